"""The widgets that several forms share, of what ipywidgets 7.7.1 and 8.1 both have."""

import io
from collections.abc import Callable
from html import escape

import ipywidgets as widgets
from PIL import Image

from sdnb.errors import Problem

RED = "var(--jp-error-color1, #d32f2f)"  # JupyterLab's own, which suits its theme; Colab has none


def row(*parts: widgets.Widget) -> widgets.HBox:
    """Side by side, and below one another where a cell is narrow."""
    return widgets.HBox(parts, layout={"flex_flow": "row wrap"})


def button(label: str, clicked: Callable[[], object]) -> widgets.Button:
    """As wide as its label; `clicked` is called without arguments."""
    made = widgets.Button(description=label, layout={"width": "auto"})
    made.on_click(lambda _: clicked())
    return made


def alert(problem: Problem) -> str:
    """The problem as HTML."""
    return f'<div role="alert" style="color:{RED}">{escape(str(problem))}</div>'


def stored(picture: Image.Image, kind: str) -> bytes:
    """The picture as a file of the `kind` "JPEG" or "PNG", for an image widget."""
    file = io.BytesIO()
    picture.save(file, kind, quality=90)  # which a PNG has no use for
    return file.getvalue()
