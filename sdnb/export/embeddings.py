"""A learned word as the web UIs read it: a file of one tensor, called by the file's name."""

from pathlib import Path

from safetensors.torch import save as to_bytes

from sdnb.errors import Problem
from sdnb.export.writing import IN_PROMPTS, checked
from sdnb.files import write_atomically
from sdnb.models.saving import held_in
from sdnb.models.tensors import read_tensors
from sdnb.training.methods.textual_inversion import KEY


def to_embedding(file: Path | str, path: Path | str) -> Path:
    """Write the learned word in `file`, one tensor (n, d), to `path`, fp32. In a prompt it is
    called by `path`'s name without the ending, so give it the word's.

    Raises Problem where the file is no embedding, or the name cannot be written in a prompt.
    """
    path = checked(path, IN_PROMPTS["embedding"], file)
    tensors, _ = read_tensors(file)
    rows = next(iter(tensors.values()), None)
    if len(tensors) != 1 or rows.ndim != 2:
        raise Problem("The file is not an embedding", file, "Choose a file with one learned word")
    write_atomically(path, to_bytes(held_in({KEY: rows}, "fp32", path), {"format": "pt"}))
    return path
