"""The seam between the loop and a method: what trains, how its batches differ, what is saved."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch

from sdnb.dataset.photos import Photo
from sdnb.machine import DTYPES, Machine
from sdnb.models.base import Model
from sdnb.training.config import TrainConfig
from sdnb.training.methods import dreambooth, lora, textual_inversion


class Method(Protocol):
    """A module with these six functions and two names is a method; the loop knows nothing else of
    it."""

    HALF_BASE: bool  # whether the base's own weights may be held in 16 bits: they do not train
    RESULT: str  # the file or folder that `save` writes into the run

    def prepare(self, model: Model, config: Any) -> list[dict]:
        """Freeze the model but for what trains; the optimizer's parameter groups, all fp32."""

    def captions(self, config: Any, photos: list[Photo]) -> list[str]:
        """The text each photo is learned with."""

    def save(self, model: Model, config: Any, path: Path) -> None:
        """Write what was learned to a file or folder, whole or not at all."""

    def opening(self, model: Model, config: Any) -> str:
        """A sentence to say before the run; often none."""

    def closing(self, path: Path) -> str:
        """A sentence about what was saved; often none."""

    def remove(self, model: Model) -> None:
        """Give the base model back as it was."""


METHODS = MappingProxyType(
    {"lora": lora, "dreambooth": dreambooth, "textual_inversion": textual_inversion}
)


def method_of(config: TrainConfig) -> Method:
    """The method that these settings are for."""
    return METHODS[config.method]


def base_dtype(config: TrainConfig, machine: Machine) -> torch.dtype:
    """The number format in which a run holds its base: what the GPU calculates in, unless the
    base's own weights train; fp32 on a CPU."""
    if machine.device == "cpu" or not method_of(config).HALF_BASE:
        return torch.float32
    return DTYPES[machine.precision]


def restore(model: Model) -> None:
    """Give the base model back as it was, whatever method has been at work on it."""
    for method in (lora, textual_inversion, dreambooth):  # the last reads into the plain modules
        method.remove(model)
