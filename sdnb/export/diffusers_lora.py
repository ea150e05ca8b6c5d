"""diffusers' own LoRA format, which is what training saves."""

import json
from pathlib import Path

from sdnb.export.writing import checked
from sdnb.files import write_atomically
from sdnb.problems import Problem
from sdnb.tensors import read_tensors
from sdnb.training.lora_file import HEADER


def export_diffusers(file: Path | str, path: Path | str) -> Path:
    """The LoRA in `file`, which training saved, for diffusers' `load_lora_weights`: a copy, after a
    look whether it says its alpha; diffusers would take the rank for it.

    Raises Problem where it does not, where the file is none of training's, and for a LoHa or LoKr,
    which diffusers does not read.
    """
    path = checked(path, "", file)
    tensors, header = read_tensors(file)
    if any(".hada_" in name or ".lokr_" in name for name in tensors):
        raise Problem(
            "diffusers reads no LoHa and no LoKr",
            file,
            "Export it by export_kohya: kohya's format, which the web UIs read",
        )
    try:
        told = json.loads(header.get(HEADER, ""))
        alphas = [float(told[f"{part}.lora_alpha"]) for part in {n.split(".")[0] for n in tensors}]
    except (LookupError, TypeError, ValueError):
        alphas = []
    if not alphas:
        raise Problem(
            "This is not a LoRA as this package's training saves it: it does not say its alpha",
            file,
            "Choose the lora.safetensors of a run",
        )
    write_atomically(path, Path(file).read_bytes())
    return path
