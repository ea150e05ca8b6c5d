"""Put a learned word (Textual Inversion) into a model, and take it out again."""

from pathlib import Path

from sdnb.models.base import Model
from sdnb.problems import Problem
from sdnb.training import textual_inversion


def load_embedding(model: Model, file: Path | str, word: str | None = None) -> str:
    """Teach `model` the word in `file`, a safetensors file with one tensor (n, d), beside any words
    learned before. Returns the word: `word`, else the one the file names, else the file's name, as
    the web UIs call it.

    Raises Problem where the file is missing, holds no embedding, or one of another family's width,
    and where the model is an SDXL, whose embeddings are pairs.
    """
    if model.text_encoder_2 is not None:
        raise Problem(
            "An SDXL takes embeddings of two parts, which cannot be used here",
            file,
            "Choose a base of SD 1 or 2",
        )
    rows, named = textual_inversion.read_rows(file, model)
    textual_inversion.add_word(model, word or named, rows)
    return word or named


def unload_embeddings(model: Model) -> None:
    """Take every learned word out again."""
    textual_inversion.remove(model)
