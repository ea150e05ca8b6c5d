"""Pictures from prompts, and trained LoRAs put to use."""

from sdnb.inference.lora import load_lora, unload_lora
from sdnb.inference.pictures import grid, make_pictures

__all__ = ["grid", "load_lora", "make_pictures", "unload_lora"]
