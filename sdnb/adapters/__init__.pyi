from .loading import load_lora as load_lora, merge_lora as merge_lora, unload_lora as unload_lora
from .words import (
    add_word as add_word,
    load_embedding as load_embedding,
    unload_embeddings as unload_embeddings,
)
