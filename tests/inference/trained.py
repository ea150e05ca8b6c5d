"""Files as trainings of the tiny model leave them, filled by chance."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from sdnb.models.base import Model
from sdnb.training.config import LoraConfig
from sdnb.training.methods.lora import Lora


def save_lora(model: Model, config: LoraConfig, path: Path, seed: int) -> None:
    """A LoRA of the UNet and the text encoder that can be seen."""
    generator = torch.Generator().manual_seed(seed)
    for group in Lora().prepare(model, config):
        for parameter in group["params"]:
            parameter.data.normal_(0, 0.3, generator=generator)
    path.parent.mkdir(parents=True, exist_ok=True)
    Lora().save(model, config, path)
    Lora().remove(model)


def save_word(path: Path, seed: int) -> None:
    """An embedding of two vectors, for the word that the file is named after."""
    generator = torch.Generator().manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = torch.randn(2, 32, generator=generator)
    save_file({"emb_params": rows}, path)
