"""The caption editor, in a notebook: a cell shows it, and every change is saved at once."""

from collections.abc import Callable
from pathlib import Path

from sdnb.captioning.editor import CaptionEditor
from sdnb.dataset.photos import Photo
from sdnb.notebook.forms import Shown


def caption_editor(
    folder: Path | str,
    trigger: str = "",
    advise: Callable[[list[Photo]], list[str]] | None = None,
) -> "CaptionForm":
    """The photos of `folder` with their captions, to change: show it as the last line of a cell.

    `trigger` is the trigger word, ready to be added everywhere; `advise` turns a list of Photo into
    remarks (the coach with its other arguments bound). Raises Problem for a missing folder, one
    without photos and a caption that is not text.
    """
    return CaptionForm(CaptionEditor(folder, trigger, advise))


class CaptionForm(Shown):
    """Captions to look through and to change. What it knows and does is in `model`."""

    view = "sdnb.notebook.captions_view"

    def __init__(self, model: CaptionEditor) -> None:
        self.model = model

    def __repr__(self) -> str:
        """The captions and the remarks as text, where there are no widgets."""
        captions = [f"{name}: {text or '(none)'}" for name, text in self.model.captions.items()]
        return "\n".join([*captions, *self.model.remarks])
