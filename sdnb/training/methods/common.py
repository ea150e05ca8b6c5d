"""What the methods share: freezing, parameter groups, the captions photos are learned with."""

from pathlib import Path

import torch

from sdnb.dataset.photos import Photo
from sdnb.errors import Problem
from sdnb.models.base import Model
from sdnb.training.config import TrainConfig


def freeze(model: Model) -> None:
    """Let nothing in the model learn."""
    for module in model.modules:
        module.requires_grad_(False)


def refuse_sdxl(model: Model, method: str) -> None:
    """Only LoRA knows what to do with two text encoders."""
    if model.text_encoder_2 is not None:
        raise Problem(
            f"{method} cannot be trained on SDXL here",
            model.info.sources[0],
            'Choose method = "lora", or a base of SD 1 or 2',
        )


def group(module: torch.nn.Module, learning_rate: float) -> dict:
    """All that trains in `module` as one parameter group of an optimizer, fp32."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()  # a half-precision base gives half-precision ones
    return {"params": parameters, "lr": learning_rate}


def captions(config: TrainConfig, photos: list[Photo]) -> list[str]:
    """Each photo's own caption; without one, the plain one."""
    return [photo.caption or plain_caption(config) for photo in photos]


def plain_caption(config: TrainConfig) -> str:
    """The plainest prompt that names the subject."""
    return f"photo of {config.trigger} {config.class_word}"


def opening(model: Model, config: TrainConfig) -> str:
    """Nothing has to be said before the run."""
    return ""


def closing(path: Path) -> str:
    """Nor of what came of it."""
    return ""
