"""What a LoRA file's header says of its matrices, as far as it is taken.

A header describes tensors; it does not act. peft would act on the rest of its settings:
init_lora_weights = "pissa" rewrites the base's own weights, and a pattern is a regular expression,
which may run for ever. So values are checked one by one, and patterns are names of layers.
"""

import re
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from peft import LoHaConfig, LoKrConfig, LoraConfig, PeftConfig
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sdnb.errors import Problem

HEADER = "lora_adapter_metadata"  # where diffusers keeps peft's settings, as JSON
KINDS = {"LORA": LoraConfig, "LOHA": LoHaConfig, "LOKR": LoKrConfig}  # by peft's names
ANOTHER = "Choose another LoRA"
LARGEST = 1e6  # alpha: far above any that was ever trained with, far below what overflows

Rank = Annotated[int, Field(ge=1, le=100_000)]
Alpha = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]  # not NaN either
SETTINGS = TypeAdapter(dict[str, Any])


class _Taken(BaseModel):
    """How large the matrices of one part are, and how they are scaled. Nothing else is taken."""

    model_config = ConfigDict(strict=True, extra="ignore")

    peft_type: Literal["LORA", "LOHA", "LOKR"] = "LORA"
    r: Rank = 8
    lora_alpha: Alpha = 8
    alpha: Alpha = 8
    rank_pattern: dict[str, Rank] = {}
    alpha_pattern: dict[str, Alpha] = {}
    use_rslora: bool = False
    use_effective_conv2d: bool = False  # these three say which factors a LoHa's or LoKr's have
    decompose_both: bool = False
    decompose_factor: int = -1


def read_header(metadata: dict[str, str]) -> dict:
    """peft's settings as diffusers keeps them; empty where the file has none. Raises Problem where
    they cannot be read."""
    try:
        return SETTINGS.validate_json(metadata.get(HEADER, "{}"))
    except ValueError as error:  # also where it is nested too deep
        what = "The settings in the file's header cannot be read"
        raise Problem(what, do=ANOTHER) from error


def read_beside(path: Path) -> dict:
    """peft's settings from the adapter_config.json that it writes beside a file of its own. Raises
    Problem where it is missing: alpha stands nowhere else."""
    try:
        return SETTINGS.validate_json(path.with_name("adapter_config.json").read_bytes())
    except (OSError, ValueError) as error:
        what = "The file's alpha stands in adapter_config.json, which is not beside it"
        do = "Copy that file too, as it lies beside this one where you found it"
        raise Problem(what, do=do) from error


def peft_config(header: dict, part: str, layers: Collection[str]) -> PeftConfig:
    """peft's settings from what the header says of the part, for the layers that the file has.
    Raises Problem where that makes no sense."""
    values = {
        name.removeprefix(f"{part}."): value
        for name, value in header.items()
        if name.startswith(f"{part}.") and value is not None
    }
    if values.get("use_dora"):
        raise Problem("The file is a DoRA, which cannot be used here", do=ANOTHER)
    try:
        taken = _Taken(**values).model_dump(exclude_unset=True)
    except ValidationError as error:
        fault = error.errors()[0]
        said = f"{fault['loc'][0]} is {str(fault['input'])[:40]}"
        what = f"The settings in the file's header make no sense: {said}"
        raise Problem(what, do=ANOTHER) from error
    for pattern in ("rank_pattern", "alpha_pattern"):
        if pattern in taken:
            taken[pattern] = _by_layer(taken[pattern], layers)
    kind = KINDS[taken.pop("peft_type", "LORA")]
    names = {field.name for field in fields(kind)}  # a LoHa has an alpha, a LoRA a lora_alpha
    own = {name: value for name, value in taken.items() if name in names}
    return kind(target_modules=list(layers), **own)


def _by_layer(pattern: dict[str, float], layers: Collection[str]) -> dict[str, float]:
    """A pattern as peft takes it, for each layer that one of its keys names, by its whole path or
    by the end of it. Raises Problem where a key is no name."""
    found = {}
    for key, value in pattern.items():
        if not re.fullmatch(r"[\w.]+", key):
            what = f"The file's header names layers by a pattern, which is not read: {key[:60]}"
            raise Problem(what, do=ANOTHER)
        for layer in layers:
            if f".{layer}".endswith(f".{key}") or f".{key}".endswith(f".{layer}"):
                found[re.escape(layer)] = value
    return found
