"""Pictures from prompts, and what was trained put to use."""

from sdnb.inference.embedding import load_embedding, unload_embeddings
from sdnb.inference.lora import load_lora, unload_lora
from sdnb.inference.pictures import generate, make_pictures

__all__ = [
    "generate",
    "load_embedding",
    "load_lora",
    "make_pictures",
    "unload_embeddings",
    "unload_lora",
]
