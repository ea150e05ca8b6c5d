"""Settings to fill in, in a notebook: a cell shows the form, the next one takes its config."""

import tomllib
from importlib import import_module
from pathlib import Path

import tomli_w

from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically
from sdnb.notebook.model import FormModel
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


class Shown:
    """Shows itself at the end of a cell: by the widgets of the module `view`, and as text where
    there is no ipywidgets."""

    view = "sdnb.notebook.view"

    def _ipython_display_(self) -> None:
        try:
            show = import_module(self.view).show
        except ImportError:
            print(self)
        else:
            show(self.model)


class Form(Shown):
    """Settings to fill in. It trains nothing: `config` is what it is for."""

    def __init__(self, start: Settings, memory: Path) -> None:
        self.model, self.memory = FormModel(start), memory
        self._remind()
        self.model.watchers.append(self._remember)

    @property
    def config(self) -> Settings:
        """What is filled in, checked. Raises Problem with a sentence for every line at fault."""
        problems = self.model.problems
        if problems:
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
