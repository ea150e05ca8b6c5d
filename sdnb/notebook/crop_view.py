"""How the crop form looks: widgets around a CropChooser.

As in view.py, only what ipywidgets 7.7.1 and 8.1 share. The pictures are the doctor's small ones,
and so follow a slider as it is moved.
"""

from collections.abc import Callable
from html import escape

import ipywidgets as widgets
from IPython.display import display
from PIL import ImageOps

from sdnb.dataset.crop_chooser import CropChooser
from sdnb.dataset.crops import show_crop
from sdnb.errors import Problem
from sdnb.notebook.widgets import alert, button, row, stored

BEFORE, AFTER = 320, 256  # pixels of a picture's long side: both fit a cell of 700
SLIDERS = {"size": "Size", "left_right": "Left-right", "up_down": "Up-down"}
LABEL, WIDTH = {"description_width": "6em"}, {"width": "34em", "max_width": "100%"}


def show(model: CropChooser) -> None:
    """Display the form."""
    display(_View(model).box)


class _View:
    def __init__(self, model: CropChooser) -> None:
        self.model = model
        self.place, self.outcome = widgets.HTML(), widgets.HTML()
        self.before, self.after = _picture(), _picture()
        self.sliders = {name: self._slider(name) for name in SLIDERS}
        self.left_out = widgets.Checkbox(description="Leave this photo out", indent=False)
        self.left_out.observe(lambda change: self._do(self._leave_out, change["new"]), "value")
        self.previous = self._button("Previous", lambda: model.show(-1))
        self.next = self._button("Next", lambda: model.show(1))
        self.back = self._button("As proposed", model.as_proposed)
        self.box = widgets.VBox(
            [
                self.place,
                row(self.before, self.after),
                self.outcome,
                *self.sliders.values(),
                self.left_out,
                row(self.previous, self.next, self.back),
            ]
        )
        model.watchers.append(self._refresh)
        self._refresh()

    def _slider(self, name: str) -> widgets.IntSlider:
        slider = widgets.IntSlider(description=SLIDERS[name], style=LABEL, layout=WIDTH)
        slider.observe(lambda change: self._do(self._slide, name, change["new"]), "value")
        return slider

    def _button(self, label: str, deed: Callable[[], None]) -> widgets.Button:
        return button(label, lambda: self._do(deed))

    def _do(self, deed: Callable[..., None], *given: object) -> None:
        try:
            deed(*given)
        except Problem as problem:  # it is done, but cannot be kept for tomorrow
            self.outcome.value += alert(problem)

    def _slide(self, name: str, percent: int) -> None:
        """Move the crop, unless it was the crop that moved the slider."""
        if self.model.standing[name] not in (None, percent):
            self.model.move(**{name: percent})

    def _leave_out(self, wanted: bool) -> None:
        if wanted != self.model.leave_out:
            self.model.leave_out = wanted

    def _refresh(self) -> None:
        """Show the model as it is now."""
        model, photo = self.model, self.model.photo
        count = len(model.checkup.photos)
        self.place.value = f"<b>{model.index + 1} of {count}:</b> {escape(str(photo))}"
        self.outcome.value = f'<div role="status">Now: {escape(model.outcome(photo))}.</div>'
        for name, percent in model.standing.items():
            self.sliders[name].disabled = percent is None
            self.sliders[name].value = 50 if percent is None else percent
        self.left_out.value = model.leave_out
        self.previous.disabled = model.index == 0
        self.next.disabled = model.index == count - 1
        self.back.disabled = model.crop == photo.crop
        self._show_pictures()

    def _show_pictures(self) -> None:
        photo, crop = self.model.photo.statistics, self.model.crop
        before = ImageOps.contain(photo.thumbnail, (BEFORE, BEFORE))
        self.before.value = stored(show_crop(before, crop, photo.subject), "JPEG")
        kept = photo.thumbnail.crop(crop.pixels(*photo.thumbnail.size))
        square = self.model.checkup.config.shape == "square"  # so is what rounding made 50 × 51
        fit = ImageOps.fit if square else ImageOps.contain
        self.after.value = stored(fit(kept, (AFTER, AFTER)), "JPEG")


def _picture() -> widgets.Image:
    return widgets.Image(
        format="jpeg", layout={"max_width": "100%", "margin": "2px", "align_self": "flex-start"}
    )
