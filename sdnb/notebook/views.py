"""How the forms look: widgets around what they know. No other module imports ipywidgets.

Only widgets and arguments that ipywidgets 7.7.1 and 8.1 share, for Colab has the former: Text,
Textarea, Checkbox, Combobox, Dropdown, IntSlider, FloatSlider, Button, HTML, Image, HBox, VBox,
Accordion.
"""

import io
from collections.abc import Callable
from contextlib import suppress
from html import escape

import ipywidgets as widgets
from IPython.display import display
from PIL import Image, ImageOps

from sdnb.captioning.editor import CaptionEditor
from sdnb.dataset.crop_chooser import CropChooser
from sdnb.dataset.crops import show_crop
from sdnb.dataset.decoding import open_picture
from sdnb.errors import Problem
from sdnb.notebook.glossary import address
from sdnb.notebook.settings_form import KEPT, FormLine, FormModel
from sdnb.settings import Settings
from sdnb.training.config import LoraConfig, TrainConfig, preset, presets

RED = "var(--jp-error-color1, #d32f2f)"  # JupyterLab's own, which suits its theme; Colab has none
LABEL, WIDTH = {"description_width": "14em"}, {"text": "34em", "lines": "54em"}
WIDGETS = {
    "choice": widgets.Dropdown,
    "list": widgets.Combobox,
    "check": widgets.Checkbox,
    "lines": widgets.Textarea,
}
BEFORE, AFTER, CAPTIONED = 320, 256, 384  # pixels of a picture's long side; a cell has 700
SMALL, LEAF = 68, 8  # pixels of a picture in the gallery, and how many it shows
AS_WIDE = {"description_width": "initial"}  # as its words
SLIDERS = {"size": "Size", "left_right": "Left-right", "up_down": "Up-down"}


def show_settings(model: FormModel) -> None:
    """Display the form; what is typed goes to the model at once, and its answer is shown below."""
    lines = {entry.name: _widget(model, entry) for entry in model.lines}
    below = {entry.name: widgets.HTML() for entry in model.lines}  # its help, or what is wrong
    answer, picture = widgets.HTML(), _picture("png")
    picture.layout.display = "none"

    def stacked(shown: list[FormLine]) -> list[widgets.Widget]:
        return [widgets.VBox([lines[e.name], below[e.name]]) for e in shown]

    basic, more = widgets.VBox(stacked([e for e in model.lines if e.basic])), widgets.VBox()
    for heading, entries in model.folded.items():
        title = f'<h4 style="margin:0.5em 0 0">{escape(heading)}</h4>' if heading else ""
        more.children += (widgets.HTML(title), *stacked(entries))
    basic.layout.flex = "1 1 32em"  # where that is too wide, the picture is above the lines
    folded = widgets.Accordion([more], selected_index=None)
    folded.set_title(0, "More settings")

    def refresh() -> None:
        faults = model.faults
        plan, refused = ("", faults) if faults else model.look()
        for entry in model.lines:
            if lines[entry.name].value != model.typed[entry.name]:
                lines[entry.name].value = model.typed[entry.name]
            below[entry.name].value = _below(entry, refused.get(entry.name, ""))
            if entry.name in refused and not entry.basic:
                folded.selected_index = 0
        answer.value = _alert(refused.get("", "")) + _answer(model, plan, not faults)
        if not faults and (shown := model.picture):
            _put(shown, picture)

    model.watchers.append(refresh)
    refresh()
    rest = [folded] if more.children else []
    more.children += (widgets.HTML(_glossary_link(model)),)
    top = _row(picture, basic, flow="row-reverse wrap")
    asides = [*_shelf(model), *_comparison(model)]
    display(widgets.VBox([*_chooser(model), top, *rest, answer, *asides]))


def show_crops(model: CropChooser) -> None:
    """Display the crop form."""
    display(_CropView(model).box)


def show_captions(model: CaptionEditor) -> None:
    """Display the caption editor."""
    display(_CaptionView(model).box)


class _PhotoView:
    """One of several photos at a time, and buttons that lead to the others. A view arranges its
    widgets in `box` and shows the model as it is now in `refresh`."""

    box: widgets.VBox

    def __init__(self, model: CropChooser | CaptionEditor, count: int) -> None:
        self.model, self.count = model, count
        self.place, self.said = widgets.HTML(), widgets.HTML()
        self.previous = self.button("Previous", lambda: model.show(-1))
        self.next = self.button("Next", lambda: model.show(1))
        self.arrange()
        model.watchers.append(self.refresh)
        self.refresh()

    def arrange(self) -> None:
        raise NotImplementedError

    def refresh(self) -> None:
        self.previous.disabled = self.model.index == 0
        self.next.disabled = self.model.index == self.count - 1

    def button(self, label: str, deed: Callable[[], str | None]) -> widgets.Button:
        return _button(label, lambda: self.do(deed))

    def on_change(self, widget: widgets.Widget, deed: Callable[..., str | None]) -> None:
        widget.observe(lambda change: self.do(deed, change["new"]), "value")

    def do(self, deed: Callable[..., str | None], *given: object) -> None:
        """Do it, and say what came of it; something may be done and yet not saved."""
        self.said.value = ""
        try:
            if words := deed(*given):
                self.say(words)
        except Problem as problem:
            self.said.value += _alert(problem)

    def say(self, words: str) -> None:
        self.said.value = f'<div role="status">{escape(words)}</div>'


class _CropView(_PhotoView):
    """The pictures are the small ones of the checkup, and so follow a slider as it is moved."""

    def __init__(self, model: CropChooser) -> None:
        super().__init__(model, len(model.checkup.photos))

    def arrange(self) -> None:
        self.before, self.after = _picture("jpeg"), _picture("jpeg")
        self.sliders = {name: self._slider(name) for name in SLIDERS}
        self.left_out = widgets.Checkbox(description="Leave this photo out", indent=False)
        self.on_change(self.left_out, self._leave_out)
        self.back = self.button("As proposed", self.model.as_proposed)
        pictures, buttons = _row(self.before, self.after), _row(self.previous, self.next, self.back)
        parts = [self.place, pictures, self.said, *self.sliders.values(), self.left_out, buttons]
        self.box = widgets.VBox(parts)

    def _slider(self, name: str) -> widgets.IntSlider:
        style, layout = {"description_width": "6em"}, {"width": "34em", "max_width": "100%"}
        slider = widgets.IntSlider(description=SLIDERS[name], style=style, layout=layout)
        self.on_change(slider, lambda percent: self._slide(name, percent))
        return slider

    def _slide(self, name: str, percent: int) -> None:
        """Move the crop, unless it was the crop that moved the slider."""
        if self.model.standing[name] not in (None, percent):
            self.model.move(**{name: percent})

    def _leave_out(self, wanted: bool) -> None:
        if wanted != self.model.leave_out:
            self.model.leave_out = wanted

    def refresh(self) -> None:
        super().refresh()
        model, photo = self.model, self.model.photo
        self.place.value = f"<b>{model.index + 1} of {self.count}:</b> {escape(str(photo))}"
        for name, percent in model.standing.items():
            self.sliders[name].disabled = percent is None
            self.sliders[name].value = 50 if percent is None else percent
        self.left_out.value = model.leave_out
        self.back.disabled = model.crop == photo.crop
        self.say(f"Now: {model.outcome(photo)}.")
        self._show_pictures()

    def _show_pictures(self) -> None:
        photo, crop = self.model.photo.statistics, self.model.crop
        before = ImageOps.contain(photo.thumbnail, (BEFORE, BEFORE))
        _put(show_crop(before, crop, photo.subject), self.before)
        kept = photo.thumbnail.crop(crop.pixels(*photo.thumbnail.size))
        square = self.model.checkup.config.shape == "square"  # so is what rounding made 50 × 51
        fit = ImageOps.fit if square else ImageOps.contain
        _put(fit(kept, (AFTER, AFTER)), self.after)


class _CaptionView(_PhotoView):
    """What is typed arrives when its line is left: a click on a button right after would overtake
    the last keys, and the change would be another photo's."""

    def __init__(self, model: CaptionEditor) -> None:
        self.pictured = None  # the path of the photo in `picture`
        self.leaf, self.phrase = range(0), model.trigger
        super().__init__(model, len(model.paths))
        self.say(self._count(model.trigger))

    def arrange(self) -> None:
        model = self.model
        self.picture, self.remarks, self.gallery = _picture("jpeg"), widgets.HTML(), _row()
        self.caption = widgets.Textarea(rows=6, layout={"width": "auto"}, **_named("Caption"))
        self.on_change(self.caption, lambda text: "Saved." if model.edit(text) else "")
        search, new, phrase = _line("Find"), _line("Replace with"), _line("Phrase")
        self.on_change(phrase, self._count)  # empty at first: one click would remove the trigger
        replace = self.button(
            "Replace everywhere", lambda: _changed(model.replace(search.value, new.value))
        )
        add = self.button("Add everywhere", lambda: _changed(model.add(phrase.value)))
        remove = self.button("Remove everywhere", lambda: _changed(model.remove(phrase.value)))
        self.undo = self.button(
            "Undo", lambda: f"Took back the last change, in {_captions(model.undo())}."
        )
        self.undo_all = self.button(
            "Undo all", lambda: f"Took back all changes made in this editor: {model.undo_all()}."
        )
        words = widgets.VBox(
            [self.place, self.caption, _row(self.previous, self.next, self.undo, self.undo_all)],
            layout={"flex": "1 1 18em"},  # below the picture where a cell is narrow
        )
        rows = [_row(self.picture, words), _row(search, new, replace), _row(phrase, add, remove)]
        self.box = widgets.VBox([*rows, self.said, self.gallery, self.remarks])

    def _count(self, phrase: str) -> str:
        self.phrase = phrase
        self._mark()
        count, whole = self.model.count(phrase), len(self.model.captions)
        return f"“{phrase}” stands in {count} of {whole} captions." if phrase.strip() else ""

    def refresh(self) -> None:
        super().refresh()
        model = self.model
        if self.pictured != model.path:  # not at every change of its caption
            self.pictured = model.path
            self._show_picture()
        if " ".join(self.caption.value.split()) != model.caption:
            self.caption.value = model.caption
        self.undo.disabled = self.undo_all.disabled = not model.can_undo
        first = model.index - model.index % LEAF
        if (leaf := range(first, min(first + LEAF, self.count))) != self.leaf:
            self.leaf = leaf
            self.gallery.children = [self._small(index) for index in leaf]
        self._mark()
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in model.remarks)
        self.remarks.value = f"<ul>{remarks}</ul>" if remarks else ""

    def _small(self, index: int) -> widgets.VBox:
        """One photo of the gallery, and a button that leads to it."""
        picture, path = _picture("jpeg"), self.model.paths[index]
        with suppress(Problem):  # what is wrong with it is told where it is shown large
            _put(ImageOps.fit(open_picture(path), (SMALL, SMALL)), picture)
        lead = self.button(f"{index + 1}", lambda: self.model.go(index))
        lead.tooltip, lead.layout.width = path.name, "auto"
        return widgets.VBox([picture, lead])

    def _mark(self) -> None:
        """In the gallery: a filled button for the photo that is shown, and a tick where the
        caption holds the phrase."""
        holding = self.model.holding(self.phrase)
        for index, part in zip(self.leaf, self.gallery.children):
            lead = part.children[1]
            lead.button_style = "primary" if index == self.model.index else ""
            tick = " ✓" if self.model.paths[index].name in holding else ""
            lead.description = f"{index + 1}{tick}"

    def _show_picture(self) -> None:
        self.place.value = f"<b>{escape(self.model.place)}</b>"
        try:
            picture = open_picture(self.model.path)
        except Problem as problem:
            self.picture.layout.display = "none"
            self.place.value += _alert(problem)
        else:
            picture.thumbnail((CAPTIONED, CAPTIONED))
            _put(picture, self.picture)


def _line(label: str) -> widgets.Text:
    return widgets.Text(layout={"width": "16em"}, **_named(label))


def _named(label: str) -> dict[str, object]:
    """What the lines of the caption editor share: what is typed arrives when one is left."""
    return {"description": label, "continuous_update": False, "style": AS_WIDE}


def _changed(captions: int) -> str:
    return f"Changed {_captions(captions)}."


def _captions(count: int) -> str:
    return f"{count or 'no'} caption{'s' * (count != 1)}"


def _widget(model: FormModel, entry: FormLine) -> widgets.Widget:
    wanted = {"options": list(entry.choices)} if entry.choices else {}
    width, kind = WIDTH.get(entry.kind, WIDTH["text"]), WIDGETS.get(entry.kind, widgets.Text)
    if entry.kind == "slider":
        kind = widgets.IntSlider if entry.type is int else widgets.FloatSlider
        wanted = dict(zip(("min", "max", "step"), entry.slide))
    look = {"style": LABEL, "layout": {"width": width, "max_width": "98%"}}  # it has a margin
    line = kind(value=model.typed[entry.name], description=entry.label, **look, **wanted)
    line.observe(lambda change: model.type(entry.name, change["new"]), "value")
    return line


def _below(entry: FormLine, fault: str) -> str:
    """What stands below a line, under its field: what is wrong, or its help. As HTML."""
    words = escape(entry.help) + (f" ({escape(entry.bounds)})" if entry.bounds else "")
    said = _alert(fault) or f'<div style="opacity:0.7; font-size:smaller">{words}</div>'
    return f'<div style="margin-left:14.5em; line-height:1.35; max-width:34em">{said}</div>'


def _chooser(model: FormModel) -> list[widgets.Dropdown]:
    """A choice of the named settings of this class, if any; it fills the lines and keeps the
    photos."""
    found = {name: preset(name) for name in presets()}
    mine = [name for name, config in found.items() if isinstance(config, type(model.start))]
    if not mine:
        return []
    look = {"description": "Start from", "style": LABEL, "layout": {"width": WIDTH["text"]}}
    chooser = widgets.Dropdown(options=["as this form began", *mine], **look)

    def fill(change: dict) -> None:
        chosen: Settings = found.get(change["new"], model.start)
        model.fill(chosen, keep=KEPT)

    chooser.observe(fill, "value")
    return [chooser]


def _glossary_link(model: FormModel) -> str:
    """To the page that explains every setting, as HTML; it leaves the notebook open."""
    url = address(type(model.start))
    if not url:
        return ""
    where = f'href="{escape(url)}" target="_blank" rel="noopener"'
    return f'<a {where} style="font-size:smaller; opacity:0.7">All settings explained</a>'


def _answer(model: FormModel, plan: str, whole: bool) -> str:
    """The plan, and the same settings as Python; or, where something is wrong, that it is. As
    HTML."""
    if not whole:
        return '<div role="status">Correct what is red first.</div>'
    return (
        f'<div role="status" style="margin:0.5em 0">{escape(plan)}</div>'
        f"<details><summary>The same in Python</summary><pre>{escape(model.twin)}</pre></details>"
    )


def _shelf(model: FormModel) -> tuple[widgets.Widget, ...]:
    """For a training: a name, and buttons to save the settings under it and to load them again."""
    if not isinstance(model.start, TrainConfig):
        return ()
    name, said = _named("Your settings") | {"placeholder": "a name of yours"}, widgets.HTML()
    line = widgets.Combobox(options=model.saved, layout={"width": "24em"}, **name)

    def button(label: str, deed: Callable[[str], str]) -> widgets.Button:
        def do() -> None:
            try:
                said.value = f'<div role="status">{escape(deed(line.value))}</div>'
            except Problem as problem:
                said.value = _alert(problem)
            line.options = model.saved

        return _button(label, do)

    return _row(line, button("Save", model.save), button("Load", model.load)), said


def _comparison(model: FormModel) -> tuple[widgets.Widget, ...]:
    """For a LoRA, which every base model can learn: a button that sets the others beside this one,
    until something is changed."""
    if not isinstance(model.start, LoraConfig):
        return ()
    table = widgets.HTML()

    def compare() -> None:
        table.value = '<div role="status">Counting, which takes some seconds …</div>'
        table.value = f"<pre>{escape(model.others)}</pre>"

    model.watchers.append(lambda: setattr(table, "value", ""))
    return _row(_button("Compare base models", compare)), table


def _button(label: str, deed: Callable[[], object]) -> widgets.Button:
    """As wide as its label."""
    made = widgets.Button(description=label, layout={"width": "auto"})
    made.on_click(lambda _: deed())
    return made


def _row(*parts: widgets.Widget, flow: str = "row wrap") -> widgets.HBox:
    """Side by side, and below one another where a cell is narrow."""
    return widgets.HBox(parts, layout={"flex_flow": flow})


def _picture(kind: str) -> widgets.Image:
    """Of the kind "jpeg" or "png"."""
    # flex-start: a row would stretch the picture to the height of what is beside it
    layout = {"max_width": "100%", "margin": "2px", "align_self": "flex-start"}
    return widgets.Image(format=kind, layout=layout)


def _put(picture: Image.Image, widget: widgets.Image) -> None:
    """Show the picture in the widget."""
    file = io.BytesIO()
    picture.save(file, widget.format, quality=90)  # which a PNG has no use for
    widget.value, widget.layout.display = file.getvalue(), None


def _alert(problem: Problem | str) -> str:
    """The problem as HTML, and nothing for none."""
    said = escape(str(problem))
    return f'<div role="alert" style="color:{RED}; font-weight:bold">{said}</div>' if said else ""
