"""Pictures from prompts, and trained LoRAs put to use."""

from sdnb.inference.lora import load_lora, unload_lora
from sdnb.inference.pictures import generate, grid, make_pictures

__all__ = ["generate", "grid", "load_lora", "make_pictures", "unload_lora"]
