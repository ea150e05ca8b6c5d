"""Reading safetensors files that may come from anywhere.

A .safetensors file cannot run code, but it can be cut off, renamed from something else, or made to
trip its reader. Whatever is wrong with one becomes a Problem before anything has been changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from sdnb.errors import Problem

HEADER = 100_000_000  # bytes: more than any model's list of tensors needs
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@contextmanager
def opened(path: Path | str) -> Iterator[safe_open]:
    """The file as safetensors opens it: names, shapes and metadata at hand, no tensor read yet."""
    path = Path(path)
    _refuse(path)
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError, ValueError, MemoryError, RuntimeError) as error:
        raise Problem(
            "The file is damaged: it ends too soon, or is not what its name says",
            path,
            "Download or copy it again",
        ) from error


def read_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Every tensor of a small file, and its metadata.

    Raises Problem where the file is missing, damaged or no safetensors file, where a tensor is
    not made of floating-point numbers (scales such as alpha may be whole ones), or holds a NaN or
    an infinity.
    """
    with opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = dict(file.metadata() or {})
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() and tensor.ndim:
            raise Problem(
                f"{name} is made of {str(tensor.dtype).removeprefix('torch.')}, not of fractions",
                path,
                "Choose another file",
            )
        if not torch.isfinite(tensor.float()).all():  # which an 8-bit tensor cannot tell itself
            raise Problem(f"{name} is not a number throughout", path, "Choose another file")
    return tensors, metadata


def _refuse(path: Path) -> None:
    """What safetensors itself would open badly, or speak badly of."""
    if not path.is_file():
        raise Problem("There is no such file", path, "Check the path")
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(PICKLES):
        raise Problem(
            "The file is a pickle, which could run any program on your machine",
            path,
            "Get the model as .safetensors from where it came",
        )
    length = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= length <= min(HEADER, path.stat().st_size - 8):
        raise Problem("The file is damaged, or no safetensors file", path, "Download it again")
