"""Shapes on a Pillow canvas in coordinates of our own: every shape is a polygon sent through one
transform."""

import math

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {
    "red": (206, 44, 44),
    "blue": (44, 84, 204),
    "green": (46, 150, 70),
    "yellow": (244, 208, 58),
    "purple": (132, 62, 166),
    "white": (242, 242, 242),
    "black": (38, 38, 44),
    "orange": (242, 134, 38),
}
INK = (26, 20, 24)

_TURN = np.linspace(0, 2 * math.pi, 40, endpoint=False)
CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


def shade(colour: tuple, factor: float) -> tuple:
    """`colour` darker (factor below 1) or lighter (above 1, towards white)."""
    if factor <= 1:
        return tuple(int(c * factor) for c in colour[:3])
    return tuple(int(c + (255 - c) * (factor - 1)) for c in colour[:3])


def mix(one: tuple, other: tuple, part: float) -> tuple:
    """`part` of the way from one colour to the other."""
    return tuple(int(a + (b - a) * part) for a, b in zip(one, other, strict=True))


def arc(x, y, rx, ry, start, end, count=24) -> np.ndarray:
    """Points on an ellipse from `start` to `end` degrees (0 right, 90 down)."""
    t = np.radians(np.linspace(start, end, count))
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


class Pen:
    """Draws on an RGB `canvas`; `mask` remembers where. Units: `scale` pixels to one, the origin at
    `centre` (pixels), turned by `tilt` degrees. With `outline` (colour) every shape gets a contour,
    as in a cartoon."""

    def __init__(
        self, canvas: Image.Image, centre=(0, 0), scale=1.0, tilt=0.0, outline=None, weight=0.045
    ):
        self.canvas, self.mask = canvas, Image.new("L", canvas.size, 0)
        self._draw, self._stencil = ImageDraw.Draw(canvas, "RGBA"), ImageDraw.Draw(self.mask)
        turn = math.radians(tilt)
        self._matrix = scale * np.array(
            [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
        )
        self._centre, self.scale = np.asarray(centre, float), scale
        self.outline, self.weight = outline, weight

    def pixels(self, points) -> list[float]:
        return (np.asarray(points, float) @ self._matrix + self._centre).ravel().tolist()

    def shape(self, points, fill, outline=True):
        at = self.pixels(points)
        self._draw.polygon(at, fill=fill)
        self._stencil.polygon(at, fill=255)
        if outline and self.outline:
            self.line(
                np.concatenate([np.asarray(points), np.asarray(points)[:2]]),
                self.weight,
                self.outline,
            )

    def ellipse(self, x, y, rx, ry, fill, outline=True):
        self.shape(CIRCLE * (rx, ry) + (x, y), fill, outline)

    def line(self, points, width, fill):
        at, thick = self.pixels(points), max(1, round(width * self.scale))
        self._draw.line(at, fill=fill, width=thick, joint="curve")
        for x, y in (at[:2], at[-2:]) if thick > 2 else ():  # round ends
            self._draw.ellipse(
                (x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=fill
            )

    def ring(self, x, y, rx, ry, width, fill, corners=2.0):
        """A closed contour: an ellipse, nearer a rectangle as `corners` grows (superellipse)."""
        outer = np.sign(CIRCLE) * np.abs(CIRCLE) ** (2 / corners) * (rx, ry) + (x, y)
        self.line(np.concatenate([outer, outer[:2]]), width, fill)
        return outer
