"""Reading files of tensors that may come from anywhere.

A .safetensors file cannot run code, but it can be cut off, renamed from something else, or made to
trip its reader. Whatever is wrong with one becomes a Problem before anything has been changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from sdnb.errors import Problem

HEADER = 100_000_000  # bytes: more than any model's list of tensors needs
SMALL = 10_000_000  # bytes: a pickle of a learned word has some hundred thousand
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@contextmanager
def opened(path: Path | str) -> Iterator[safe_open]:
    """The file as safetensors opens it: names, shapes and metadata at hand, no tensor read yet."""
    path = _existing(path)
    _refuse(path)
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError, ValueError, LookupError, MemoryError, RuntimeError) as error:
        what = "The file is damaged: it ends too soon, or is not what its name says"
        raise Problem(what, path, "Download or copy it again") from error


def read_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Every tensor of a small file, and its metadata.

    Raises Problem where the file is missing, damaged or no safetensors file, where a tensor is
    not made of floating-point numbers (scales such as alpha may be whole ones), or holds a NaN or
    an infinity.
    """
    with opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = dict(file.metadata() or {})
    _check_numbers(tensors, path)
    return tensors, metadata


def read_pickle(path: Path | str) -> dict[str, torch.Tensor]:
    """Every tensor of a small .pt or .bin: a mapping of tensors, as diffusers writes a learned
    word, or one with such a mapping called string_to_param, as the first Textual Inversion and
    AUTOMATIC1111's web UI do. Read weights-only: no program in the file runs.

    Raises Problem where it is missing, damaged, large, or holds other things.
    """
    path = _existing(path)
    content = None
    if path.stat().st_size <= SMALL:
        with suppress(Exception), torch.serialization.safe_globals([nn.ParameterDict]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    content = content.get("string_to_param", content) if isinstance(content, dict) else None
    if isinstance(content, nn.ParameterDict):
        content = vars(content)["_parameters"]
    if not content or not all(map(_is_small, content.values())):
        what = "The file is damaged, or a pickle of more than a learned word"
        what += ", which could run any program on your machine"
        raise Problem(what, path, "Get it as .safetensors from where it came")
    tensors = {str(name): tensor.detach() for name, tensor in content.items()}
    _check_numbers(tensors, path)
    return tensors


def _is_small(value: object) -> bool:
    """Whether it is a plain tensor, and not a giant one that a small file describes."""
    plain = isinstance(value, torch.Tensor) and value.layout == torch.strided
    return plain and value.device.type == "cpu" and value.nbytes <= SMALL


def _check_numbers(tensors: dict[str, torch.Tensor], path: Path | str) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() and tensor.ndim:
            kind = str(tensor.dtype).removeprefix("torch.")
            what = f"{name} is made of {kind}, not of fractions"
            raise Problem(what, path, "Choose another file")
        if not torch.isfinite(tensor.float()).all():  # which an 8-bit tensor cannot tell itself
            raise Problem(f"{name} is not a number throughout", path, "Choose another file")


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise Problem("There is no such file", path, "Check the path")
    return path


def _refuse(path: Path) -> None:
    """What safetensors itself would open badly, or speak badly of."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(PICKLES):
        what = "The file is a pickle, which could run any program on your machine"
        raise Problem(what, path, "Get the model as .safetensors from where it came")
    if head.startswith(b"GGUF"):
        what = "The file is a GGUF: a quantised model, which cannot be used here"
        raise Problem(what, path, "Get the model as .safetensors in fp16")
    length = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= length <= min(HEADER, path.stat().st_size - 8):
        raise Problem("The file is damaged, or no safetensors file", path, "Download it again")
