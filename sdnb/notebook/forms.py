"""Forms: settings to fill in, crops to move, captions to edit.

A cell shows the form as its last line; the next one takes what was chosen. What a form knows and
does is in its `model`, without widgets.
"""

import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import tomli_w

from sdnb.captioning.editor import CaptionEditor
from sdnb.dataset.checkup import Checkup
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.crop_chooser import CropChooser
from sdnb.dataset.crops import Box
from sdnb.dataset.photos import Photo
from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically
from sdnb.notebook.settings_form import FormModel
from sdnb.project import Project
from sdnb.settings import Settings


def form(start: Settings | type[Settings], name: str | None = None) -> "Form":
    """A form for settings: show it as the last line of a cell, take `.config` in the next one.

    `start` is a config to begin with, or a class for its defaults. Under `name` (the class's name
    unless given) it remembers in the project which lines were changed, and comes back with them,
    also where `start` has moved on.
    """
    start = start() if isinstance(start, type) else start
    return Form(start, Project().folder / "forms" / f"{name or type(start).__name__}.toml")


def crop_form(checkup: Checkup, name: str = "crops") -> "CropForm":
    """The photos of a checkup with the crops that it proposes, to accept or to move: show it as the
    last line of a cell, take `.crops` and `.config` in the next one.

    Under `name` it remembers in the project what was changed, and comes back with it. Raises
    Problem where no photo could be read.
    """
    return CropForm(CropChooser(checkup, Project().folder / "forms" / f"{name}.toml"))


def caption_editor(
    folder: Path | str, trigger: str = "", advise: Callable[[list[Photo]], list[str]] | None = None
) -> "CaptionForm":
    """The photos of `folder` with their captions, to change: show it as the last line of a cell.

    `trigger` is the trigger word, which is counted at first; `advise` turns a list of Photo into
    remarks (the coach with its other arguments bound). Raises Problem for a missing folder, one
    without photos and a caption that is not text.
    """
    return CaptionForm(CaptionEditor(folder, trigger, advise))


class Shown:
    """Shows itself at the end of a cell: by a function of `views`, and as text where there is no
    ipywidgets."""

    show = "show_settings"

    def _ipython_display_(self) -> None:
        try:
            views = import_module("sdnb.notebook.views")
        except ImportError:
            print(self)
        else:
            getattr(views, self.show)(self.model)


class Form(Shown):
    """Settings to fill in. It trains nothing: `config` is what it is for."""

    def __init__(self, start: Settings, memory: Path) -> None:
        self.model, self.memory = FormModel(start), memory
        self._remind()
        self.model.watchers.append(self._remember)

    @property
    def config(self) -> Settings:
        """What is filled in, checked. Raises Problem with a sentence for every line at fault."""
        if problems := self.model.problems:
            raise Problem(" ".join(problems), do="Correct the form above and run this cell again")
        return self.model.config

    def _remind(self) -> None:
        """Type again what the memory holds, unless it is not to be read or no longer fits."""
        try:
            self.model.typed |= self.model.known(tomllib.loads(self.memory.read_text("utf-8")))
        except (OSError, ValueError):
            return
        if self.model.problems:  # an older version's memory: begin as if there were none
            self.model.typed = FormModel(self.model.start).typed

    def _remember(self) -> None:
        if not self.model.problems:
            make_writable_folder(self.memory.parent)
            write_atomically(self.memory, tomli_w.dumps(self.model.changed).encode())

    def __repr__(self) -> str:
        """The form as text, where there are no widgets."""
        return "\n".join(self.model.problems) or f"{self.model.twin}\n{self.model.plan}".strip()


class CropForm(Shown):
    """Crops to move. It writes no pictures: `crops` and `config` are what it is for."""

    show = "show_crops"

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
        return "\n".join(f"{p.name}: {self.model.outcome(p)}." for p in self.model.checkup.photos)


class CaptionForm(Shown):
    """Captions to edit; every change is saved at once."""

    show = "show_captions"

    def __init__(self, model: CaptionEditor) -> None:
        self.model = model

    def __repr__(self) -> str:
        """The captions and the remarks as text, where there are no widgets."""
        captions = [f"{name}: {text or '(none)'}" for name, text in self.model.captions.items()]
        return "\n".join([*captions, *self.model.remarks])
