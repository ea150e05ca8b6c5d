"""The nine places, painted small, to stand softly out of focus behind the subject."""

import random

from PIL import Image, ImageFilter

from sdnb.mini.pen import Pen, shade

SIZE = 96  # pixels; enough for something out of focus


def _sky(pen, colour, down=1.0):
    for i in range(8):
        pen.shape(
            [(0, i / 8 * down), (1, i / 8 * down), (1, down), (0, down)],
            shade(colour, 1 + i * 0.05),
        )


def _block(pen, x0, y0, x1, y1, fill):
    pen.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)


def _beach(pen, rng):
    _sky(pen, (95, 175, 240))
    horizon = rng.uniform(0.48, 0.58)
    pen.ellipse(rng.choice((0.12, 0.88)), 0.13, 0.09, 0.09, (255, 240, 150))
    _block(pen, 0, horizon, 1, horizon + 0.2, (25, 105, 190))
    _block(pen, 0, horizon + 0.13, 1, horizon + 0.16, (150, 205, 230))
    _block(pen, 0, horizon + 0.2, 1, 1, (240, 214, 150))


def _forest(pen, rng):
    _block(pen, 0, 0, 1, 1, (110, 155, 95))
    for i in range(9):
        x = (i + rng.uniform(0.1, 0.9)) / 9
        _block(pen, x - 0.025, 0, x + 0.025, 1, shade((92, 62, 38), rng.uniform(0.7, 1.1)))
        pen.ellipse(
            x, rng.uniform(0, 0.25), 0.12, 0.16, shade((28, 92, 45), rng.uniform(0.8, 1.15))
        )
    _block(pen, 0, 0.86, 1, 1, (60, 85, 40))


def _city(pen, rng):
    _sky(pen, (165, 185, 205))
    for i in range(7):
        x, top, grey = i / 7, rng.uniform(0.05, 0.4), rng.randint(75, 125)
        _block(pen, x, top, x + 0.13, 1, (grey, grey, grey + 14))
        for row in range(12):
            for column in (0.025, 0.075):
                if rng.random() < 0.75:
                    y = top + 0.05 + row * 0.08
                    _block(pen, x + column, y, x + column + 0.03, y + 0.04, (250, 230, 140))


def _snow(pen, rng):
    _sky(pen, (165, 195, 225))
    for x in (0.0, 0.5, 1.0):
        top = rng.uniform(0.12, 0.3)
        pen.shape([(x - 0.4, 0.7), (x, top), (x + 0.4, 0.7)], (135, 155, 185))
        pen.shape([(x - 0.16, top + 0.18), (x, top), (x + 0.16, top + 0.18)], (245, 248, 252))
    _block(pen, 0, 0.64, 1, 1, (240, 245, 252))
    for _ in range(45):
        pen.ellipse(rng.random(), rng.random(), 0.012, 0.012, (255, 255, 255))


def _desert(pen, rng):
    _sky(pen, (250, 165, 85))
    pen.shape([(0, 0.6), (0.3, 0.48), (0.6, 0.6), (1, 0.52), (1, 1), (0, 1)], (205, 130, 65))
    _block(pen, 0, 0.75, 1, 1, (222, 160, 92))
    for x in (rng.uniform(0.06, 0.14), rng.uniform(0.86, 0.94)):
        _block(pen, x - 0.03, 0.3, x + 0.03, 0.85, (45, 110, 60))
        _block(pen, x - 0.1, 0.45, x, 0.5, (45, 110, 60))
        _block(pen, x - 0.1, 0.36, x - 0.06, 0.5, (45, 110, 60))


def _night(pen, rng):
    _sky(pen, (10, 14, 48))
    pen.ellipse(rng.choice((0.13, 0.87)), 0.15, 0.085, 0.085, (248, 244, 215))
    for _ in range(40):
        size = rng.uniform(0.006, 0.013)
        pen.ellipse(rng.random(), rng.random(), size, size, (235, 235, 255))
    pen.shape([(0, 0.85), (0.3, 0.74), (0.65, 0.82), (1, 0.72), (1, 1), (0, 1)], (8, 10, 28))


def _library(pen, rng):
    _block(pen, 0, 0, 1, 1, (88, 54, 30))
    spines = (
        (160, 45, 45),
        (45, 85, 140),
        (190, 150, 60),
        (55, 110, 70),
        (205, 190, 160),
        (110, 60, 110),
    )
    for row in range(5):
        x = 0.0
        while x < 1:
            wide, tall = rng.uniform(0.035, 0.06), rng.uniform(0.12, 0.165)
            _block(
                pen, x, row * 0.21 + 0.18 - tall, x + wide, row * 0.21 + 0.18, rng.choice(spines)
            )
            x += wide + 0.008


def _garden(pen, rng):
    _sky(pen, (150, 210, 240), 0.35)
    _block(pen, 0, 0.28, 1, 1, (105, 180, 75))
    for _ in range(70):
        x, y = rng.random(), rng.uniform(0.25, 1)
        petal = rng.choice(
            ((235, 70, 120), (250, 215, 70), (250, 250, 250), (170, 90, 200), (240, 80, 60))
        )
        pen.ellipse(x, y, 0.028, 0.028, petal)
        pen.ellipse(x, y, 0.009, 0.009, (250, 200, 60))


def _room(pen, rng):
    _block(pen, 0, 0, 1, 1, (222, 198, 168))
    _block(pen, 0, 0.84, 1, 1, (140, 98, 66))
    side = rng.choice((0.0, 0.72))
    _block(pen, side + 0.02, 0.1, side + 0.26, 0.52, (250, 250, 248))
    _block(pen, side + 0.045, 0.125, side + 0.235, 0.495, (150, 205, 240))
    _block(pen, side + 0.13, 0.1, side + 0.15, 0.52, (250, 250, 248))
    other = 0.74 - side
    _block(pen, other + 0.03, 0.16, other + 0.23, 0.42, (120, 70, 60))
    _block(pen, other + 0.06, 0.19, other + 0.2, 0.39, (90, 150, 150))


PAINTERS = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "snow": _snow,
    "desert": _desert,
    "night": _night,
    "library": _library,
    "garden": _garden,
    "room": _room,
}


def paint_place(name: str, rng: random.Random, size: int, sharp: bool = False) -> Image.Image:
    """The place as a `size` x `size` picture, out of focus unless `sharp` (cartoons are in focus
    everywhere)."""
    small = Image.new("RGB", (SIZE, SIZE))
    PAINTERS[name](Pen(small, scale=SIZE), rng)
    if not sharp:
        small = small.filter(ImageFilter.GaussianBlur(1.6))
    return small.resize((size, size), Image.Resampling.BICUBIC)
