"""How a form looks: widgets around a FormModel.

Only widgets and arguments that ipywidgets 7.7.1 and 8.1 share, for Colab has the former: Text,
Textarea, Checkbox, Dropdown, IntSlider, FloatSlider, HTML, Image, HBox, VBox, Accordion, all of
them older than 7.0.
"""

from html import escape

import ipywidgets as widgets
from IPython.display import display

from sdnb.notebook.glossary import address
from sdnb.notebook.settings_form import FormLine, FormModel
from sdnb.notebook.widgets import RED, row, stored
from sdnb.settings import Settings
from sdnb.training.config import preset, presets

LABEL, WIDTH = {"description_width": "14em"}, {"text": "34em", "lines": "54em"}
WIDGETS = {"choice": widgets.Dropdown, "check": widgets.Checkbox, "lines": widgets.Textarea}
BEGIN = "as this form began"


def show(model: FormModel) -> None:
    """Display the form; what is typed goes to the model at once, and its answer is shown below."""
    lines = {entry.name: _widget(model, entry) for entry in model.lines}
    answer = widgets.HTML()
    # flex-start: a row would stretch the picture to the height of the lines beside it
    hidden = {"display": "none", "align_self": "flex-start"}
    picture = widgets.Image(format="png", layout=hidden)

    def refresh() -> None:
        for name, line in lines.items():
            if line.value != model.typed[name]:
                line.value = model.typed[name]
        answer.value = _answer(model)
        shown = None if model.problems else model.picture
        if shown:
            picture.value, picture.layout.display = stored(shown, "PNG"), ""

    model.watchers.append(refresh)
    refresh()
    basic, more = (
        widgets.VBox([_with_help(lines[e.name], e) for e in model.lines if e.basic is wanted])
        for wanted in (True, False)
    )
    more.children += (widgets.HTML(_glossary_link(model)),)
    folded = widgets.Accordion([more], selected_index=None)
    folded.set_title(0, "More settings")
    chooser = _chooser(model)
    display(widgets.VBox([*([chooser] if chooser else []), row(basic, picture), folded, answer]))


def _widget(model: FormModel, entry: FormLine) -> widgets.Widget:
    wanted = {"options": list(entry.choices)} if entry.choices else {}
    width, kind = WIDTH.get(entry.kind, WIDTH["text"]), WIDGETS.get(entry.kind, widgets.Text)
    if entry.kind == "slider":
        kind = (
            widgets.IntSlider if isinstance(model.typed[entry.name], int) else widgets.FloatSlider
        )
        wanted = {"min": entry.low, "max": entry.high, "step": entry.step}
    line = kind(
        value=model.typed[entry.name],
        description=entry.label,
        style=LABEL,
        layout=widgets.Layout(width=width, max_width="100%"),
        **wanted,
    )
    line.observe(lambda change: model.type(entry.name, change["new"]), "value")
    return line


def _with_help(line: widgets.Widget, entry: FormLine) -> widgets.VBox:
    words = escape(entry.help) + (f" ({escape(entry.bounds)})" if entry.bounds else "")
    style = "margin-left:14.5em; line-height:1.35; opacity:0.7; font-size:smaller; max-width:46em"
    return widgets.VBox([line, widgets.HTML(f'<div style="{style}">{words}</div>')])


def _chooser(model: FormModel) -> widgets.Dropdown | None:
    """The named settings of this class, if any; choosing one fills the lines and keeps the
    photos."""
    found = {name: preset(name) for name in presets()}
    mine = [name for name, config in found.items() if isinstance(config, type(model.start))]
    if not mine:
        return None
    chooser = widgets.Dropdown(
        options=[BEGIN, *mine],
        description="Start from",
        style=LABEL,
        layout={"width": WIDTH["text"]},
    )

    def fill(change: dict) -> None:
        chosen: Settings = found.get(change["new"], model.start)
        model.fill(chosen, keep=("photos", "trigger", "class_word"))

    chooser.observe(fill, "value")
    return chooser


def _glossary_link(model: FormModel) -> str:
    """To the page that explains every setting, as HTML; it leaves the notebook open."""
    url = address(type(model.start))
    if not url:
        return ""
    where = f'href="{escape(url)}" target="_blank" rel="noopener"'
    return f'<a {where} style="font-size:smaller; opacity:0.7">All settings explained</a>'


def _answer(model: FormModel) -> str:
    """What is wrong; or the plan, and the same settings as Python. As HTML."""
    if model.problems:
        sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in model.problems)
        return f'<ul role="alert" style="color:{RED}; font-weight:bold">{sentences}</ul>'
    return (
        f'<div role="status" style="margin:0.5em 0">{escape(model.plan)}</div>'
        f"<details><summary>The same in Python</summary><pre>{escape(model.twin)}</pre></details>"
    )
