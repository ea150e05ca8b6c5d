"""What a LoRA file's header says of its matrices, as far as it is taken."""

import json
from collections.abc import Iterable
from pathlib import Path

from peft import LoHaConfig, LoKrConfig, LoraConfig, PeftConfig

from sdnb.errors import Problem

HEADER = "lora_adapter_metadata"  # where diffusers keeps peft's settings, as JSON
KINDS = {"LORA": LoraConfig, "LOHA": LoHaConfig, "LOKR": LoKrConfig}  # by peft's names
# What is taken from a header: how large the matrices are and how they are scaled. Nothing else, for
# peft acts on the rest: init_lora_weights = "pissa" rewrites the base's own weights.
TAKEN = {
    "r": int,
    "lora_alpha": int | float,
    "alpha": int | float,
    "rank_pattern": dict,
    "alpha_pattern": dict,
    "use_rslora": bool,
    "use_effective_conv2d": bool,  # these three say which factors a LoHa's or LoKr's layers have
    "decompose_both": bool,
    "decompose_factor": int,
}


def read_header(metadata: dict[str, str]) -> dict:
    """peft's settings as diffusers keeps them; empty where there are none that can be read."""
    try:
        header = json.loads(metadata.get(HEADER, "{}"))
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def peft_config(header: dict, part: str, modules: Iterable[str], path: Path) -> PeftConfig:
    """peft's settings from what the header says of the part, for the layers that the file has."""
    values = {
        name.removeprefix(f"{part}."): value
        for name, value in header.items()
        if name.startswith(f"{part}.") and value is not None
    }
    if values.get("use_dora"):
        raise Problem("The file is a DoRA, which cannot be used here", path, "Choose another LoRA")
    kind = KINDS.get(str(values.get("peft_type", "LORA")))
    taken = {name: values[name] for name in TAKEN if name in values}
    try:
        if not all(isinstance(value, TAKEN[name]) for name, value in taken.items()):
            raise TypeError("a value of another type")
        if taken.get("r", 1) < 1:
            raise ValueError("a rank below 1")
        return kind(target_modules=list(modules), **taken)
    except (TypeError, ValueError) as error:
        raise Problem(
            "The settings in the file's header make no sense", path, "Choose another LoRA"
        ) from error
