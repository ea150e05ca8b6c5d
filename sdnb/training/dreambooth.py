"""DreamBooth (Ruiz et al. 2022, arXiv 2208.12242): every weight of the UNet learns, and by choice
the text encoder's. The result is a whole model that stands alone."""

from dataclasses import replace
from pathlib import Path

import torch

from sdnb.config import DreamboothConfig
from sdnb.dataset.photos import Photo
from sdnb.files import write_folder_atomically
from sdnb.loading import reload
from sdnb.models import Model, quiet
from sdnb.problems import Problem
from sdnb.training import lora, parts
from sdnb.training.parts import closing, freeze, group, opening, refuse_sdxl

__all__ = ["HALF_BASE", "RESULT", "captions", "closing", "opening", "prepare", "remove", "save"]

HALF_BASE = False
RESULT = "model"


def prepare(model: Model, config: DreamboothConfig) -> list[dict]:
    """Free the UNet (and the text encoder), after giving back what an earlier run has moved."""
    refuse_sdxl(model, "DreamBooth")
    if config.begin_from:
        raise Problem(
            "DreamBooth goes on from a model, not from a LoRA or an embedding",
            config.begin_from,
            "Name the model's folder as base, and leave begin_from out",
        )
    remove(model)
    freeze(model)
    model.moved = True
    model.unet.requires_grad_(True)
    groups = [group(model.unet, config.learning_rate)]
    if config.train_text_encoder:
        model.text_encoder.requires_grad_(True)
        # its last pooling weights take no part: only the hidden states reach the UNet
        groups.append(group(model.text_encoder, config.text_encoder_learning_rate))
    return groups


def captions(config: DreamboothConfig, photos: list[Photo]) -> list[str]:
    """The instance prompt for every photo, or each photo's own caption."""
    if config.instance_prompt:
        return [config.instance_prompt] * len(photos)
    return parts.captions(config, photos)


def save(model: Model, config: DreamboothConfig, path: Path) -> None:
    """Write the whole model as a diffusers folder, fp16. Raises Problem where a weight is not a
    number or too large for fp16 (65504); nothing is written then."""
    halves = {name: _half(getattr(model, name), path) for name in ("unet", "text_encoder", "vae")}
    pipeline = replace(model, **halves).pipeline()
    pipeline.register_modules(scheduler=model.scheduler)
    with quiet():
        write_folder_atomically(path, pipeline.save_pretrained)


def _half(part: torch.nn.Module, path: Path) -> torch.nn.Module:
    """A copy in fp16 on the CPU. Made without a copy in fp32 on the way: on a GPU that the training
    has filled there would be no room for it."""
    state = part.state_dict()
    values = {name: value.detach().to("cpu", torch.float16) for name, value in state.items()}
    if not all(torch.isfinite(value).all() for value in values.values()):
        raise Problem(
            "The trained model holds numbers that cannot be saved",
            path,
            "Lower the learning rate and train again",
        )
    with torch.device("meta"):
        build = getattr(type(part), "from_config", type(part))  # diffusers' way, transformers' way
        copy = build(part.config)
    copy.load_state_dict(values, assign=True)
    return copy


def remove(model: Model) -> None:
    """Give the base model back as it was, read again from where it came."""
    lora.remove(model)
    if model.moved:
        reload(model)
