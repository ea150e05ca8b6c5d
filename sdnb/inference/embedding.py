"""Put a learned word (Textual Inversion) into a model, and take it out again."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from sdnb.models import Model
from sdnb.problems import Problem
from sdnb.training import textual_inversion


def load_embedding(model: Model, file: Path | str, word: str | None = None) -> str:
    """Teach `model` the word in `file`, a safetensors file with one tensor (n, d), beside any words
    learned before. Returns the word: `word`, else the one the file names, else the file's name, as
    the web UIs call it.

    Raises Problem where the file is missing, holds no embedding, or one of another family's width.
    """
    file = Path(file)
    if not file.is_file():
        raise Problem("There is no such embedding file", file, "Check the path")
    try:
        with safe_open(file, "pt") as opened:
            (key,) = opened.keys()
            rows = opened.get_tensor(key)
            word = word or (opened.metadata() or {}).get("token") or file.stem
    except (OSError, SafetensorError, ValueError) as error:
        raise Problem(
            "The file is not an embedding", file, "Choose a file with one tensor of vectors"
        ) from error
    width = model.text_encoder.config.hidden_size
    if rows.ndim != 2 or rows.shape[1] != width or not torch.isfinite(rows).all():
        raise Problem(
            f"The embedding has the shape {tuple(rows.shape)}; this base model needs (n, {width})",
            file,
            "Use the base model it was trained on",
        )
    textual_inversion.add_word(model, word, rows)
    return word


def unload_embeddings(model: Model) -> None:
    """Take every learned word out again."""
    textual_inversion.remove(model)
