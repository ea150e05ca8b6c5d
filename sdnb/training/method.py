"""The seam between the loop and a method: what trains, how its batches differ, what is saved."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from sdnb.config import TrainConfig
from sdnb.dataset.photos import Photo
from sdnb.models import Model
from sdnb.training import dreambooth, lora, textual_inversion


class Method(Protocol):
    """A module with these four functions and a name is a method; the loop knows nothing else of
    it."""

    RESULT: str  # the file or folder that `save` writes into the run

    def prepare(self, model: Model, config: Any) -> list[dict]:
        """Freeze the model but for what trains; the optimizer's parameter groups, all fp32."""

    def captions(self, config: Any, photos: list[Photo]) -> list[str]:
        """The text each photo is learned with."""

    def save(self, model: Model, config: Any, path: Path) -> None:
        """Write what was learned to a file or folder, whole or not at all."""

    def remove(self, model: Model) -> None:
        """Give the base model back as it was."""


METHODS = MappingProxyType(
    {"lora": lora, "dreambooth": dreambooth, "textual_inversion": textual_inversion}
)


def method_of(config: TrainConfig) -> Method:
    return METHODS[config.method]


def restore(model: Model) -> None:
    """Give the base model back as it was, whatever method has been at work on it."""
    for method in (lora, textual_inversion, dreambooth):  # the last reads into the plain modules
        method.remove(model)
