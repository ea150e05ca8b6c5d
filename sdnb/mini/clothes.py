"""Paints what a person wears, in head units: shirt, glasses, hat."""

import numpy as np

from sdnb.mini.pen import CIRCLE, COLOURS, Pen, arc, shade
from sdnb.mini.scenes import Scene


def put_on_glasses(pen: Pen, kind: str, spread: float, wide: float):
    """Glasses for eyes `spread` from the middle, in a face `wide` to either side."""
    frame, dark = (24, 20, 26), kind == "sunglasses"
    rx, ry, corners = (0.27, 0.25, 2.0) if kind == "round" else (0.28, 0.2, 8.0)
    if dark:
        rx, ry, corners = 0.31, 0.23, 3.2
    y = 0.02
    for sign in (-1, 1):
        x = sign * spread
        rim = np.sign(CIRCLE) * np.abs(CIRCLE) ** (2 / corners) * (rx, ry) + (x, y)
        pen.shape(rim, (18, 16, 22, 255) if dark else (215, 235, 255, 60), outline=False)
        pen.ring(x, y, rx, ry, 0.075, frame, corners)
        pen.line([(sign * (spread + rx), y - 0.05), (sign * (wide + 0.02), y - 0.08)], 0.07, frame)
        if dark:
            pen.line([(x - 0.14, -0.07), (x - 0.04, -0.12)], 0.04, (150, 150, 165))
    pen.line([(-spread + rx, y - 0.04), (0, y - 0.09), (spread - rx, y - 0.04)], 0.07, frame)


def put_on_hat(pen: Pen, kind: str, colour, wide: float):
    """A hat for a face `wide` to either side."""
    dark, w = shade(colour, 0.72), wide + 0.16
    if kind == "cap":
        pen.shape(arc(0, -0.56, w, 0.85, 180, 360), colour)
        pen.line([(0, -1.4), (0, -0.62)], 0.03, dark)
        pen.shape(
            [(-0.25, -0.64), (w, -0.64), (w + 0.5, -0.5), (w + 0.4, -0.44), (-0.2, -0.5)], dark
        )
    elif kind == "beanie":
        pen.shape(arc(0, -0.6, w, 0.86, 180, 360), colour)
        pen.shape(
            [(-w - 0.03, -0.8), (w + 0.03, -0.8), (w + 0.03, -0.5), (-w - 0.03, -0.5)],
            shade(colour, 1.3),
        )
        for i in range(-4, 5):
            pen.line([(i * w / 4.5, -0.78), (i * w / 4.5, -0.52)], 0.03, dark)
        pen.ellipse(0, -1.5, 0.2, 0.18, shade(colour, 1.45))
    elif kind == "top hat":
        pen.shape(
            [(-w * 0.8, -0.6), (-w * 0.88, -1.75), (w * 0.88, -1.75), (w * 0.8, -0.6)], colour
        )
        pen.shape(
            [(-w * 0.81, -0.72), (-w * 0.83, -0.92), (w * 0.83, -0.92), (w * 0.81, -0.72)], dark
        )
        pen.ellipse(0, -0.58, w + 0.3, 0.11, shade(colour, 0.85))
    else:  # sun hat
        pen.shape(arc(0, -0.66, w * 0.85, 0.66, 180, 360), colour)
        pen.shape(
            [(-w * 0.85, -0.64), (-w * 0.84, -0.86), (w * 0.84, -0.86), (w * 0.85, -0.64)], dark
        )
        pen.ellipse(0, -0.6, w + 0.55, 0.15, shade(colour, 1.12))


def paint_body(pen: Pen, scene: Scene, skin):
    """Neck and shoulders in the scene's shirt."""
    shirt = COLOURS[scene.shirt]
    slope = np.concatenate(
        [
            [(-2.1, 3.4)],
            arc(-1.1, 1.85, 1.0, 0.72, 180, 270, 10),
            arc(1.1, 1.85, 1.0, 0.72, 270, 360, 10),
        ]
    )
    pen.shape([(-0.36, 0.6), (0.36, 0.6), (0.42, 1.5), (-0.42, 1.5)], shade(skin, 0.74))
    pen.shape(np.concatenate([slope, [(2.1, 3.4)]]), shirt)
    if scene.striped:
        band = shade(shirt, 0.6 if scene.shirt in ("white", "yellow", "orange") else 1.75)
        for y, half in ((1.3, 1.6), (1.56, 1.98), (1.84, 2.08), (2.12, 2.1), (2.4, 2.1)):
            pen.shape(
                [(-half, y), (half, y), (half, y + 0.12), (-half, y + 0.12)], band, outline=False
            )
    pen.shape(arc(0, 1.08, 0.46, 0.28, 0, 180), shade(skin, 0.74))
