"""The toy, and the plain things that stand beside it. Lengths are centimetres, z points up."""

import numpy as np
from pieces import bent, cloudy, put, ring, rounded, speckled, stuff, surface, turned, wood
from PIL import Image, ImageDraw

TEAL, CORAL, MUSTARD, CREAM = (20, 108, 114), (214, 66, 46), (228, 160, 36), (242, 228, 198)
BRASS, INK, WALNUT, BEECH = (200, 152, 72), (14, 14, 16), (96, 62, 40), (224, 180, 126)


def painted() -> np.ndarray:
    """The body's paint, once around and from bottom to top: teal, a cream belly, and a coral star
    on the bird's left, so that left and right can be told apart."""
    sheet = Image.new("RGB", (2048, 1024), TEAL)
    pen = ImageDraw.Draw(sheet)
    pen.ellipse((812, 300, 1236, 850), fill=CREAM)
    turn = np.arange(10) * np.pi / 5 + np.pi / 2
    reach = np.where(np.arange(10) % 2, 42, 100)
    star = np.stack([1090 + reach * np.cos(turn) * 1.15, 590 + reach * np.sin(turn) * 0.85], 1)
    pen.polygon([tuple(point) for point in star], fill=CORAL)
    return np.asarray(sheet) * (1 + 0.02 * cloudy(3, (9, 300)).repeat(2, 1)[..., None])


def toy(yaw: float) -> list:
    """The bird, facing the camera at yaw 0, its left towards the right of the picture."""
    teal, coral = stuff(TEAL, 0.35, coat=0.6), stuff(CORAL, 0.35, coat=0.6)
    brass, ink = stuff(BRASS, 0.25, 1), stuff(INK, 0.12, coat=1)
    beech = stuff(wood(BEECH, 11), 0.5, coat=0.25)
    egg = [(0, 0.9), (2.3, 0.9), (4.0, 2.2), (3.9, 4.2), (2.6, 6.2), (1.2, 6.6), (0, 6.6)]
    wheel = [(0, -0.5), (1.5, -0.5), (1.5, 0.5), (0, 0.5)]
    hub = [(0, 0.3), (0.6, 0.3), (0.6, 0.75), (0, 0.75)]
    peg = [(0, 0), (0.65, 0), (0.65, 0.6), (0, 0.6)]
    beak = [(0, 0), (0.95, 0), (0.9, 0.35), (0.14, 1.9), (0, 1.9)]
    turn = np.linspace(0, 1, 160)
    spring = np.stack([0.34 * np.cos(32 * turn), 0.34 * np.sin(32 * turn), 1.3 * turn], 1)
    parts = [
        (put(turned(egg, 4)), stuff(painted(), 0.35, coat=0.6), 0),
        (put(rounded((2.75, 2.3, 1.75), 5), (0, -0.2, 8.0)), beech, 10),
        (put(turned(peg), (-2.6, -0.2, 8.2), y=-90), teal, 0),
        (put(turned(beak), (0, -2.4, 7.6), x=90), stuff(MUSTARD, 0.35, coat=0.6), 0),
        (put(ring(0.82, 0.19), (1.3, -2.5, 8.55)), brass, 0),
        (put(rounded((0.75, 0.22, 0.75)), (1.3, -2.45, 8.55)), stuff(CREAM, 0.3, coat=0.8), 0),
        (put(rounded((0.38, 0.22, 0.38)), (1.3, -2.62, 8.55)), ink, 0),
        (put(rounded((0.46, 0.28, 0.46)), (-1.3, -2.42, 8.55)), ink, 0),
        (put(bent(spring, 0.1), (1.5, 0, 9.6)), brass, 0),
        (put(rounded((0.65, 0.65, 0.65)), (1.5, 0, 11.2)), coral, 0),
        (put(bent(np.array([[0, 3.2, 4.2], [0, 3.8, 4.2], [0, 4.6, 4.2]]), 0.22)), brass, 0),
        (put(ring(0.7, 0.19), (0, 4.8, 4.95), z=90), brass, 0),
        (put(ring(0.7, 0.19), (0, 4.8, 3.45), z=90), brass, 0),
        (put(bent(np.array([[0, 2.6, 2], [0, 3.6, 1.2], [0, 4.6, 0.5]]), 0.4)), beech, 10),
        (put(rounded((0.55, 0.55, 0.55)), (0, 4.6, 0.55)), coral, 0),
    ]
    for side in (-1, 1):
        wing = put(rounded((0.45, 1.6, 2.2), 2.4), (side * 4.15, 0.3, 4.4), x=-20, y=side * -24)
        parts += [
            (wing, coral, 0),
            (put(turned(wheel), (side * 3.1, 0, 1.5), y=side * 90), beech, 10),
            (put(turned(hub), (side * 2.95, 0, 1.5), y=side * 90), coral, 0),
        ]
    return [surface(put(grid, z=yaw), bsdf, solid) for grid, bsdf, solid in parts]


def mug(colour=(232, 188, 60)) -> list:
    outline = [(0, 0), (3.6, 0), (3.9, 0.4), (3.9, 8.8), (3.6, 8.8), (3.5, 1), (0, 1)]
    turn = np.linspace(-1.5, 1.5, 40)
    handle = np.stack([3.6 + 2.2 * np.cos(turn), 0 * turn, 4.6 + 2.6 * np.sin(turn)], 1)
    return [
        (turned(outline), stuff(colour, 0.3, coat=0.8)),
        (bent(handle, 0.5), stuff(colour, 0.3)),
    ]


def apple() -> list:
    outline = [(0, 0.9), (0.9, 0.1), (2.6, 0.6), (3.7, 3.4), (2.9, 5.9), (1, 6.3), (0, 5.2)]
    skin = speckled((172, 30, 30), 0.12, 60) + 40 * cloudy(9, (70, 3))[..., None] * [0.6, 1, 0.2]
    stalk = np.array([[0, 0, 5], [0.2, 0, 6], [0.5, 0.1, 6.9]])
    return [(turned(outline, 4), stuff(skin, 0.35, coat=0.4)), (bent(stalk, 0.14), stuff(WALNUT))]


def blocks() -> list:
    box = rounded((1.9, 1.9, 1.9), 12)
    top = put(box, (0.3, 0.2, 5.7), z=30)
    colours = ((70, 110, 170), MUSTARD, (120, 150, 80))
    places = (put(box, (-2.2, 0, 1.9), z=8), put(box, (2.1, 0.6, 1.9), z=-14), top)
    return [(place, stuff(colour, 0.5)) for place, colour in zip(places, colours)]


def books() -> list:
    sizes, turns = ((6, 4.4, 1.1), (5.4, 4, 0.8), (5, 3.8, 0.9)), (4, -7, 12)
    colours, pages = ((60, 84, 130), (178, 70, 60), (96, 120, 90)), stuff((236, 226, 204), 0.9)
    shapes, height = [], 0.0
    for turn, (wide, deep, thick), colour in zip(turns, sizes, colours):
        cover, middle = stuff(colour, 0.6), height + thick
        shapes.append(
            (put(rounded((wide - 0.3, deep - 0.3, thick), 20), (0, 0, middle), z=turn), pages)
        )
        for level in (middle - thick, middle + thick):
            board = rounded((wide, deep, 0.14), 20)
            shapes.append((put(board, (0, 0, level), z=turn), cover))
        height += 2 * thick + 0.28
    return shapes


def plant() -> list:
    outline = [(0, 0), (2.4, 0), (3.3, 5), (3.6, 5), (3.6, 6), (3, 6), (2.9, 5.2), (0, 5.2)]
    chance = np.random.default_rng(3)
    leaves = []
    for turn in range(0, 720, 32):
        leaf = put(rounded((0.85, 0.1, 2.8)), (0, 0, 2.4))
        leaf = put(leaf, (0, 0, 5.2), x=chance.uniform(5, 75), z=turn)
        leaves.append((leaf, stuff((52 + turn / 40, 112 + turn / 30, 58), 0.4, coat=0.2)))
    return [(turned(outline), stuff(speckled((186, 98, 64)), 0.8)), *leaves]


BESIDE = {
    "a yellow mug": mug,
    "a red apple": apple,
    "three wooden blocks": blocks,
    "a stack of books": books,
    "a green plant in a pot": plant,
}


def beside(name: str, at: tuple[float, float]) -> list:
    return [surface(put(grid, (*at, 0)), bsdf) for grid, bsdf in BESIDE[name]()]
