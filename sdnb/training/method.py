"""The seam between the loop and a method: what trains, how its batches differ, what is saved."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from sdnb.config import TrainConfig
from sdnb.dataset.photos import Photo
from sdnb.models import Model
from sdnb.training import lora


class Method(Protocol):
    """A module with these four functions is a method; the loop knows nothing else of it."""

    def prepare(self, model: Model, config: Any) -> list[dict]:
        """Freeze the model but for what trains; AdamW's parameter groups, all fp32."""

    def captions(self, config: Any, photos: list[Photo]) -> list[str]:
        """The text each photo is learned with."""

    def save(self, model: Model, config: Any, path: Path) -> None:
        """Write what was learned to one safetensors file, whole or not at all."""

    def remove(self, model: Model) -> None:
        """Give the base model back as it was."""


METHODS = MappingProxyType({"lora": lora})


def method_of(config: TrainConfig) -> Method:
    return METHODS[config.method]
