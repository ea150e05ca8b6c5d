"""Saving a model: its weights in fewer bits, checked first, and whole as a diffusers folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from sdnb.errors import Problem, nearest
from sdnb.files import write_folder_atomically
from sdnb.machine import DTYPES
from sdnb.models.base import Model, quiet


def save_folder(model: Model, path: Path) -> None:
    """Write the whole model as a diffusers folder, fp16. Raises Problem where a weight is not a
    number or too large for fp16 (65504); nothing is written then."""
    parts = {"unet": model.unet, "vae": model.vae, **model.encoders}
    copies = {name: _half(part, path) for name, part in parts.items()}
    pipeline = replace(model, **copies).pipeline()
    pipeline.register_modules(scheduler=model.scheduler)
    with quiet():
        write_folder_atomically(path, pipeline.save_pretrained)


def held_in(
    tensors: Mapping[str, torch.Tensor], precision: str, path: Path
) -> dict[str, torch.Tensor]:
    """Copies on the CPU in "fp16", "bf16" or "fp32". Raises Problem where one holds something that
    is no number there: fp16 ends at 65504."""
    if precision not in DTYPES:
        raise Problem(f"There is no precision {precision!r}", do=nearest(precision, DTYPES))
    dtype = DTYPES[precision]
    copies = {n: t.detach().to("cpu", dtype, copy=True).contiguous() for n, t in tensors.items()}
    for name, copy in copies.items():
        if not torch.isfinite(copy).all():
            raise Problem(
                f"{name} holds numbers that cannot be saved in {precision}",
                path,
                "Train again with a lower learning rate",
            )
    return copies


def _half(part: nn.Module, path: Path) -> nn.Module:
    """A copy in fp16 on the CPU. Made without a copy in fp32 on the way: on a GPU that a training
    has filled there would be no room for it."""
    tensors = held_in(part.state_dict(), "fp16", path)
    with torch.device("meta"):
        build = getattr(type(part), "from_config", type(part))  # diffusers' way, transformers' way
        copy = build(part.config)
    copy.load_state_dict(tensors, assign=True)
    return copy
