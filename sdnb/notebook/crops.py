"""The crop form, in a notebook: a cell shows it, the next one takes its crops and its config."""

from sdnb.dataset.checkup import Checkup
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.crop_chooser import CropChooser
from sdnb.dataset.crops import Box
from sdnb.notebook.forms import Shown
from sdnb.project import Project


def crop_form(checkup: Checkup, name: str = "crops") -> "CropForm":
    """The photos of a checkup with the crops that it proposes, to accept or to move: show it as the
    last line of a cell, take `.crops` and `.config` in the next one.

    Under `name` it remembers in the project what was changed, and comes back with it. Raises
    Problem where no photo could be read.
    """
    return CropForm(CropChooser(checkup, Project().folder / "forms" / f"{name}.toml"))


class CropForm(Shown):
    """Crops to look through and to move. It writes no pictures: `crops` and `config` are what it is
    for. What it knows and does is in `model`."""

    view = "sdnb.notebook.crops_view"

    def __init__(self, model: CropChooser) -> None:
        self.model = model

    @property
    def crops(self) -> dict[str, Box]:
        """The crop of every photo that is not left out, by name."""
        return self.model.crops

    @property
    def config(self) -> PhotoConfig:
        """The settings of the checkup, now without the photos left out."""
        return self.model.config

    def __repr__(self) -> str:
        """What becomes of each photo as text, where there are no widgets."""
        model = self.model
        return "\n".join(f"{p.name}: {model.outcome(p)}." for p in model.checkup.photos)
