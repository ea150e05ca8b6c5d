"""Settings to fill in, in a notebook: a cell shows the form, the next one takes its config."""

from pathlib import Path

from sdnb.config import Settings
from sdnb.files import make_writable_folder
from sdnb.forms.model import FormModel
from sdnb.problems import Problem
from sdnb.project import Project


def form(start: Settings | type[Settings], name: str | None = None) -> "Form":
    """A form for settings: show it as the last line of a cell, take `.config` in the next one.

    `start` is a config to begin with, or a class for its defaults. Under `name` (the class's name
    unless given) it remembers in the project what was typed, and comes back with it.
    """
    start = start() if isinstance(start, type) else start
    return Form(start, Project().folder / "forms" / f"{name or type(start).__name__}.toml")


class Form:
    """Settings to fill in. It trains nothing: `config` is what it is for."""

    def __init__(self, start: Settings, memory: Path) -> None:
        self.model, self.memory = FormModel(start), memory
        if memory.exists():
            try:
                self.model.fill(type(start).load(memory))
            except Problem:
                pass  # an older version's memory: begin as if there were none
        self.model.watchers.append(self._remember)

    @property
    def config(self) -> Settings:
        """What is filled in, checked. Raises Problem with a sentence for every line at fault."""
        problems = self.model.problems
        if problems:
            raise Problem(" ".join(problems), do="Correct the form above and run this cell again")
        return self.model.config

    def _remember(self) -> None:
        if not self.model.problems:
            make_writable_folder(self.memory.parent)
            self.model.config.save(self.memory)

    def __repr__(self) -> str:
        """The form as text, where there are no widgets."""
        return "\n".join(self.model.problems) or f"{self.model.twin}\n{self.model.plan}".strip()

    def _ipython_display_(self) -> None:
        try:
            from sdnb.forms.view import show
        except ImportError:  # no ipywidgets here
            print(self)
        else:
            show(self.model)
