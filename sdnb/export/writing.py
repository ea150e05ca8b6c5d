"""What every exported file has: a name that the web UIs can call it by, and in the header what it
says of itself."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save as to_bytes

from sdnb.errors import Problem
from sdnb.models.base import Model

IN_PROMPTS = {  # what means something there, so that no file called by its name may have it
    "lora": ":<>",  # <lora:name:1>
    "embedding": " ,:()[]<>|\\",
}
SGM = "https://github.com/Stability-AI/generative-models"


def checked(path: Path | str, forbidden: str, source: Path | str | None = None) -> Path:
    """The path of a file to export. Raises Problem where it does not end in .safetensors, its name
    holds one of the `forbidden` characters, which mean something in a prompt, or it is `source`."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise Problem("The web UIs find files by their ending", path, "Let it end in .safetensors")
    if found := [character for character in forbidden if character in path.stem]:
        raise Problem(
            f"The file's name is written into prompts, where {found[0]!r} means something else",
            path,
            "Choose a name of letters and digits",
        )
    if source and path.resolve() == Path(source).resolve():
        raise Problem("That would overwrite what was trained", path, "Choose another name")
    return path


def modelspec(model: Model, title: str, kind: str = "") -> dict[str, str]:
    """What a file says of itself by ModelSpec 1.0.1, as kohya-ss/sd-scripts writes it
    (library/sai_model_spec.py). `kind` is "lora", or nothing for a whole model. The mini model
    passes for an SD 1, whose layout it has."""
    family = model.info.family
    architecture = family.architecture
    header = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{architecture}/{kind}" if kind else architecture,
        "implementation": SGM if not kind or family.original_names else "diffusers",
        "title": title,
        "resolution": f"{model.info.resolution}x{model.info.resolution}",
        "prediction_type": "v" if family.v_prediction else "epsilon",
    }
    if model.info.licence != "unknown":
        header["license"] = model.info.licence
    return {f"modelspec.{name}": value for name, value in header.items()}


def model_hash(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 of what stands behind the header, which the web UIs take for the file's own hash
    (precalculate_safetensors_hashes in kohya-ss/sd-scripts)."""
    content = to_bytes(tensors)
    return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
