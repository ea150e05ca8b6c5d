"""Saving tensors and models: in fewer bits, checked first; as safetensors files that are equal
where what they hold is equal; whole as a diffusers folder."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from sdnb.errors import Problem, nearest
from sdnb.files import write_folder_atomically
from sdnb.machine import DTYPES
from sdnb.models.base import Model, quiet

Tensors = Mapping[str, torch.Tensor]
SHA256 = "0" * 64  # stands in a file's metadata where its hash will be


def save_tensors(tensors: Tensors, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, as `finish_file` leaves it."""
    save_file(dict(tensors), path, dict(metadata))
    finish_file(path)


def finish_file(path: Path) -> None:
    """Bring the metadata into the order of its keys, which safetensors writes in another one in
    every process, and put the SHA-256 of all that stands behind the header where `SHA256` is. The
    header keeps its length."""
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        metadata = sorted(header["__metadata__"].items())
        header["__metadata__"] = {key: text.replace(SHA256, digest) for key, text in metadata}
        content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        file.seek(8)
        file.write(content.ljust(length))


def save_folder(model: Model, path: Path) -> None:
    """Write the whole model as a diffusers folder, fp16. Raises Problem where a weight is not a
    number or too large for fp16 (65504); nothing is written then."""
    parts = {"unet": model.unet, "vae": model.vae, **model.encoders}
    copies = {name: _half(part, path) for name, part in parts.items()}
    pipeline = replace(model, **copies).pipeline()
    pipeline.register_modules(scheduler=model.scheduler)
    with quiet():
        write_folder_atomically(path, pipeline.save_pretrained)


def held_in(tensors: Tensors, precision: str, path: Path) -> dict[str, torch.Tensor]:
    """Copies on the CPU in "fp16", "bf16" or "fp32". Raises Problem where one holds something that
    is no number there: fp16 ends at 65504."""
    if precision not in DTYPES:
        raise Problem(f"There is no precision {precision!r}", do=nearest(precision, DTYPES))
    dtype = DTYPES[precision]
    copies = {n: t.detach().to("cpu", dtype, copy=True).contiguous() for n, t in tensors.items()}
    for name, copy in copies.items():
        if not torch.isfinite(copy).all():
            what = f"{name} holds numbers that cannot be saved in {precision}"
            raise Problem(what, path, "Train again with a lower learning rate")
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
