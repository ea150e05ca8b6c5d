"""What is put into a base model and taken out again: LoRAs of every spelling, and learned words."""

from sdnb.adapters.loading import load_lora, unload_lora, use_loras
from sdnb.adapters.merging import merge_lora
from sdnb.adapters.words import add_word, load_embedding, unload_embeddings

__all__ = [
    "add_word",
    "load_embedding",
    "load_lora",
    "merge_lora",
    "unload_embeddings",
    "unload_lora",
    "use_loras",
]
