"""How a model learns. A new method is a module here, a class of settings, and a line below."""

from collections.abc import Mapping
from types import MappingProxyType

import torch

from sdnb.machine import DTYPES, Machine
from sdnb.models.base import Model
from sdnb.training.config import TrainConfig
from sdnb.training.methods.base import Method
from sdnb.training.methods.dreambooth import Dreambooth
from sdnb.training.methods.lora import Lora
from sdnb.training.methods.textual_inversion import TextualInversion

# in the order in which they are removed: the last reads its weights into the plain modules
METHODS: Mapping[str, Method] = MappingProxyType(
    {method.name: method for method in (Lora(), TextualInversion(), Dreambooth())}
)


def method_of(config: TrainConfig) -> Method:
    """The method that these settings are for."""
    return METHODS[config.method]


def base_dtype(config: TrainConfig, machine: Machine) -> torch.dtype:
    """The number format in which a run holds its base: what the GPU calculates in, unless the
    base's own weights train; fp32 on a CPU."""
    if machine.device == "cpu" or not method_of(config).half_base:
        return torch.float32
    return DTYPES[machine.precision]


def restore(model: Model) -> None:
    """Give the base model back as it was, whatever method has trained it."""
    for method in METHODS.values():
        method.remove(model)
