"""Paints a mug or a bag with its pattern and logo."""

import numpy as np

from sdnb.mini.pen import COLOURS, INK, Pen, arc, shade
from sdnb.mini.subjects import Product


def logo_points(name: str) -> np.ndarray:
    """The logo's outline inside the unit circle."""
    if name == "star":
        radius = np.where(np.arange(10) % 2, 0.45, 1.0)
        turn = np.radians(np.arange(10) * 36 - 90)
        return np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)
    if name == "heart":
        t = np.radians(np.arange(0, 360, 12))
        x = np.sin(t) ** 3
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
        return np.stack([x, y], 1)
    if name == "moon":
        return np.concatenate([arc(0, 0, 1, 1, 60, 300), arc(0.45, 0, 0.75, 0.88, 285, 75)])
    if name == "leaf":
        return np.concatenate(
            [arc(-0.6, 0, 1.25, 1.15, -58, 58), arc(0.6, 0, 1.25, 1.15, 122, 238)]
        )
    if name == "drop":
        return np.concatenate([[(0, -1.05)], arc(0, 0.3, 0.68, 0.7, -25, 205)])
    return np.array(
        [
            (0.15, -1),
            (-0.6, 0.15),
            (-0.05, 0.15),
            (-0.25, 1),
            (0.6, -0.25),
            (0.05, -0.25),
            (0.45, -1),
        ]
    )


def paint_product(pen: Pen, p: Product):
    """The product, about two units high around the origin."""
    body, trim = COLOURS[p.colour], COLOURS[p.pattern_colour]
    if p.kind == "mug":
        pen.line(
            arc(0.82, 0.02, 0.46, 0.44, -80, 80), 0.3, INK if pen.outline else shade(body, 0.8)
        )
        if pen.outline:
            pen.line(arc(0.82, 0.02, 0.46, 0.44, -80, 80), 0.2, shade(body, 0.8))
        left, right, top, low = -0.85, 0.85, -0.9, 0.9
        pen.shape(
            np.concatenate([[(left, top)], arc(0, low, right, 0.16, 180, 0), [(right, top)]]), body
        )
    else:
        for fill, wide in ((INK, 0.2), (shade(body, 0.7), 0.13)):
            if wide == 0.13 or pen.outline:
                pen.line(arc(0, -0.75, 0.42, 0.62, 180, 360), wide, fill)
        left, right, top, low = -0.92, 0.92, -0.75, 1.0
        pen.shape([(left * 0.88, top), (right * 0.88, top), (right, low), (left, low)], body)
    if p.pattern == "striped":
        for y in (-0.66, 0.56, 0.8):
            pen.shape(
                [(left, y), (right, y), (right, y + 0.13), (left, y + 0.13)], trim, outline=False
            )
    elif p.pattern == "dotted":
        for i in range(5):
            for y in (-0.62, 0.72):
                pen.ellipse(-0.68 + i * 0.34, y, 0.085, 0.085, trim, outline=False)
    elif p.pattern == "banded":
        pen.shape([(left, 0.42), (right, 0.42), (right, 0.82), (left, 0.82)], trim, outline=False)
    if p.kind == "mug":
        pen.ellipse(0, top, 0.85, 0.16, shade(body, 0.55))
    pen.shape(
        logo_points(p.logo) * 0.44 + (0, -0.08),
        COLOURS[p.logo_colour],
        outline=pen.outline is not None,
    )
