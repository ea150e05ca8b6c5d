"""How the caption editor looks: widgets around a CaptionEditor.

As in view.py, only what ipywidgets 7.7.1 and 8.1 share. What is typed arrives when its line is
left: a click on a button right after would overtake the last keys, and the change would be another
photo's.
"""

from collections.abc import Callable
from html import escape

import ipywidgets as widgets
from IPython.display import display

from sdnb.captioning.editor import CaptionEditor
from sdnb.dataset.decoding import open_picture
from sdnb.errors import Problem
from sdnb.notebook.widgets import alert, button, row, stored

LONGEST = 384  # pixels of a picture's long side
LABEL = {"description_width": "initial"}


def show(model: CaptionEditor) -> None:
    """Display the editor."""
    display(_View(model).box)


class _View:
    def __init__(self, model: CaptionEditor) -> None:
        self.model, self.pictured = model, None
        self.picture = widgets.Image(
            format="jpeg", layout={"max_width": "100%", "align_self": "flex-start"}
        )
        self.place, self.said, self.remarks = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.caption = widgets.Textarea(
            description="Caption",
            rows=6,
            continuous_update=False,
            style=LABEL,
            layout={"width": "auto"},
        )
        self.caption.observe(lambda change: self._do(self._edit, change["new"]), "value")
        self.search, self.new = _line("Find"), _line("Replace with")
        self.phrase = _line("Phrase", model.trigger)
        self.previous = self._button("Previous", lambda: self._move(-1))
        self.next = self._button("Next", lambda: self._move(1))
        self.undo = self._button("Undo", self._undo)
        self.box = self._arranged()
        model.watchers.append(self._refresh)
        self._refresh()

    def _arranged(self) -> widgets.VBox:
        words = widgets.VBox(
            [self.place, self.caption, row(self.previous, self.next, self.undo)],
            layout={"flex": "1 1 18em"},  # below the picture where a cell is narrow
        )
        replace = self._button("Replace everywhere", self._replace)
        add = self._button("Add everywhere", self._add)
        remove = self._button("Remove everywhere", self._remove)
        return widgets.VBox(
            [
                row(self.picture, words),
                row(self.search, self.new, replace),
                row(self.phrase, add, remove),
                self.said,
                self.remarks,
            ]
        )

    def _button(self, label: str, deed: Callable[[], str]) -> widgets.Button:
        return button(label, lambda: self._do(deed))

    def _do(self, deed: Callable[..., str], *given: str) -> None:
        """Do it, and say below what came of it."""
        try:
            self.said.value = f'<div role="status">{escape(deed(*given))}</div>'
        except Problem as problem:
            self.said.value = alert(problem)

    def _edit(self, text: str) -> str:
        return "Saved." if self.model.edit(text) else ""

    def _move(self, step: int) -> str:
        self.model.show(step)
        return ""

    def _undo(self) -> str:
        return f"Took back the last change, in {_count(self.model.undo())}."

    def _replace(self) -> str:
        return f"Changed {_count(self.model.replace(self.search.value, self.new.value))}."

    def _add(self) -> str:
        return f"Changed {_count(self.model.add(self.phrase.value))}."

    def _remove(self) -> str:
        return f"Changed {_count(self.model.remove(self.phrase.value))}."

    def _refresh(self) -> None:
        """Show the model as it is now."""
        model = self.model
        if self.pictured != model.path:  # not at every change of its caption
            self.pictured = model.path
            self._show_picture()
        if " ".join(self.caption.value.split()) != model.caption:
            self.caption.value = model.caption
        self.previous.disabled = model.index == 0
        self.next.disabled = model.index == len(model.paths) - 1
        self.undo.disabled = not model.can_undo
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in model.remarks)
        self.remarks.value = f"<ul>{remarks}</ul>" if remarks else ""

    def _show_picture(self) -> None:
        place = f"<b>{escape(self.model.place)}</b>"
        try:
            picture = open_picture(self.model.path)
            picture.thumbnail((LONGEST, LONGEST))
            self.picture.value, self.picture.layout.display = stored(picture, "JPEG"), None
        except Problem as problem:
            self.picture.layout.display = "none"
            place += alert(problem)
        self.place.value = place


def _line(label: str, value: str = "") -> widgets.Text:
    return widgets.Text(
        value=value,
        description=label,
        continuous_update=False,
        style=LABEL,
        layout={"width": "16em"},
    )


def _count(captions: int) -> str:
    return f"{captions or 'no'} caption{'s' * (captions != 1)}"
