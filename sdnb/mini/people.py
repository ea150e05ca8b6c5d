"""Paints a person in head units: the origin between the eyes and the nose, chin at y = 1, hairline
near -0.6."""

import math

import numpy as np

from sdnb.mini.clothes import paint_body, put_on_glasses, put_on_hat
from sdnb.mini.pen import CIRCLE, COLOURS, INK, Pen, arc, mix, shade
from sdnb.mini.scenes import Scene
from sdnb.mini.subjects import Person

SKIN = {
    "pale": (252, 226, 208),
    "light": (238, 194, 160),
    "tan": (208, 152, 104),
    "brown": (152, 98, 62),
    "dark": (98, 62, 42),
}
HAIR = {
    "black": (32, 27, 28),
    "brown": (104, 62, 34),
    "blonde": (232, 196, 104),
    "red": (190, 78, 30),
    "grey": (158, 158, 162),
    "blue": (52, 88, 205),
}
EYES = {"brown": (88, 52, 26), "blue": (50, 110, 190), "green": (62, 134, 74)}
# Half the width of the face, the exponent of the jaw's curve, how far the chin narrows.
FACE = {
    "round": (0.9, 2.0, 0.0),
    "long": (0.68, 2.1, 0.0),
    "square": (0.8, 4.0, 0.0),
    "pointed": (0.84, 1.8, 0.32),
}


def face_outline(face: str) -> np.ndarray:
    """(40, 2) points around a face of this shape."""
    wide, jaw, narrow = FACE[face]
    x, y = CIRCLE.T
    bend = np.where(y > 0, jaw, 2.0)
    x = np.sign(x) * np.abs(x) ** (2 / bend)
    y = np.sign(y) * np.abs(y) ** (2 / bend)
    return np.stack([x * wide * (1 - narrow * np.clip(y, 0, 1)), y], 1)


def _hair_behind(pen: Pen, p: Person, wide: float, colour, hat: bool):
    dark = shade(colour, 0.8)
    if p.hair == "long":
        side = [
            (wide + 0.2, -0.3),
            (wide + 0.3, 0.6),
            (wide + 0.26, 1.35),
            (-wide - 0.26, 1.35),
            (-wide - 0.3, 0.6),
        ]
        pen.shape(np.concatenate([arc(0, -0.25, wide + 0.2, 0.98, 180, 360), side]), dark)
    elif p.hair == "bob":
        side = [
            (wide + 0.26, 0.45),
            (wide + 0.12, 0.72),
            (-wide - 0.12, 0.72),
            (-wide - 0.26, 0.45),
        ]
        pen.shape(np.concatenate([arc(0, -0.25, wide + 0.2, 0.98, 180, 360), side]), dark)
    elif p.hair == "bun" and not hat:
        pen.ellipse(0, -1.3, 0.36, 0.32, dark)
    elif p.hair == "curly":
        low = 0.35 if p.kind == "woman" else -0.05
        for sign in (-1, 1):
            for y in np.arange(-0.6, low + 0.01, 0.3):
                pen.ellipse(sign * (wide + 0.06), y, 0.24, 0.24, dark)


def _fringe(p: Person, wide: float) -> list[tuple[float, float]]:
    """The lower edge of the hair on the forehead, from right to left."""
    if p.hair in ("long", "bob", "bun"):
        side, middle = [(wide - 0.06, -0.12), (wide - 0.2, -0.5)], [(0.12, -0.84)]
    elif p.hair == "curly":
        side, middle = [(wide - 0.06, -0.2), (wide - 0.2, -0.55)], [(0, -0.64)]
    else:
        side, middle = [(wide - 0.05, -0.16), (wide - 0.2, -0.52)], [(0.2, -0.68), (-0.3, -0.62)]
    return [*side, *middle, *((-x, y) for x, y in reversed(side))]


def _hair_front(pen: Pen, p: Person, wide: float, colour, hat: bool):
    if p.hair == "bald":
        if not hat:
            pen.ellipse(-0.25, -0.72, 0.2, 0.1, (255, 255, 255, 70), outline=False)
        return
    fringe = _fringe(p, wide)
    pen.shape(np.concatenate([arc(0, -0.3, wide + 0.09, 0.9, 188, 352), fringe]), colour)
    if p.hair in ("short", "spiky", "bun"):  # before the ears, where a hat leaves it to be seen
        for sign in (-1, 1):
            pen.ellipse(sign * (wide - 0.03), -0.16, 0.13, 0.34, colour, outline=False)
    if hat:
        return
    if p.hair == "spiky":
        for i in range(-3, 4):
            x = i * wide / 3.2
            tip = (x * 1.25, -1.5 + abs(i) * 0.09)
            pen.shape([(x - 0.2, -0.85), tip, (x + 0.2, -0.85)], colour)
        crown = np.concatenate([arc(0, -0.3, wide, 0.78, 200, 340), fringe[1:-1]])
        pen.shape(crown, colour, outline=False)
    if p.hair == "curly":
        for turn in np.radians(range(190, 351, 20)):
            x, y = math.cos(turn) * (wide + 0.02), -0.32 + 0.82 * math.sin(turn)
            pen.ellipse(x, y, 0.23, 0.22, colour)
        pen.ellipse(0, -0.72, 0.6, 0.2, colour, outline=False)
    if p.mark == "white lock":
        left = arc(0.3, -0.88, 0.42, 0.25, 265, 180, 8)
        right = arc(0.62, -0.88, 0.4, 0.26, 180, 228, 8)
        pen.shape(np.concatenate([left, [(0.1, -0.66), (0.24, -0.62)], right]), (250, 250, 250))


def _eyes(pen: Pen, p: Person, spread: float, brow_colour):
    light = (202, 146, 70) if p.skin in ("pale", "light") else (246, 226, 182)
    for sign in (-1, 1):
        x = sign * spread
        pen.ellipse(x, 0, 0.2, 0.145, (252, 252, 252))
        pen.ellipse(x, 0, 0.125, 0.135, EYES[p.eyes], outline=False)
        pen.ellipse(x, 0, 0.05, 0.055, (12, 10, 12), outline=False)
        pen.ellipse(x - 0.04, -0.045, 0.026, 0.026, (255, 255, 255), outline=False)
        pen.line(arc(x, 0.01, 0.21, 0.16, 200, 340, 10), 0.045, INK)
        if p.kind == "woman":  # lashes
            pen.line([(x + sign * 0.18, -0.07), (x + sign * 0.31, -0.17)], 0.05, INK)
            pen.line([(x + sign * 0.12, -0.13), (x + sign * 0.2, -0.25)], 0.05, INK)
        brows = {
            "thin": (
                [(x - 0.24, -0.39), (x, -0.45), (x + 0.24, -0.39)],
                0.055,
                shade(brow_colour, 0.75),
            ),
            "bushy": (
                [(x - 0.26, -0.39), (x, -0.44), (x + 0.26, -0.39)],
                0.18,
                shade(brow_colour, 0.8),
            ),
            "short light": ([(x - 0.1, -0.4), (x + 0.1, -0.4)], 0.15, light),
            "arched": (
                [(x - sign * 0.24, -0.3), (x + sign * 0.06, -0.56), (x + sign * 0.26, -0.35)],
                0.095,
                shade(brow_colour, 0.75),
            ),
        }
        pen.line(*brows[p.brows])


def _nose_and_mouth(pen: Pen, p: Person, smile: bool, skin, colour):
    dark = shade(skin, 0.72)
    if p.nose == "big":
        pen.shape(
            [(-0.05, 0.02), (0.06, 0.02), (0.23, 0.35), (0.12, 0.45), (-0.12, 0.45), (-0.23, 0.35)],
            shade(skin, 0.8),
        )
        pen.line([(-0.22, 0.35), (-0.1, 0.45), (0.1, 0.45), (0.22, 0.35)], 0.06, dark)
    else:
        pen.line([(-0.07, 0.31), (0, 0.34), (0.07, 0.31)], 0.05, dark)
    if p.beard == "moustache":
        for sign in (-1, 1):
            pen.shape(
                [
                    (0, 0.44),
                    (sign * 0.2, 0.42),
                    (sign * 0.36, 0.56),
                    (sign * 0.16, 0.55),
                    (0, 0.53),
                ],
                colour,
            )
    lips = (196, 36, 74) if p.kind == "woman" else mix((172, 62, 66), skin, 0.25)
    if smile:
        if p.kind == "woman":
            pen.shape(arc(0, 0.56, 0.37, 0.34, 0, 180), lips, outline=False)
        pen.shape(np.concatenate([arc(0, 0.58, 0.3, 0.26, 5, 175)]), (128, 28, 38))
        pen.shape(
            [(-0.24, 0.6), (0.24, 0.6), (0.2, 0.68), (-0.2, 0.68)], (255, 255, 255), outline=False
        )
    else:
        full = 0.13 if p.kind == "woman" else 0.075
        pen.line([(-0.18, 0.65), (0, 0.66), (0.18, 0.65)], full, lips)


def _marks(pen: Pen, p: Person, skin, spread: float):
    if p.mark == "mole":
        pen.ellipse(
            spread + 0.08,
            0.46,
            0.095,
            0.095,
            shade(skin, 0.25) if p.skin != "dark" else (25, 12, 10),
        )
    elif p.mark == "freckles":
        spot = (
            mix(skin, (120, 50, 20), 0.55) if p.skin not in ("brown", "dark") else shade(skin, 0.55)
        )
        for sign in (-1, 1):
            for dx, dy in (
                (0.22, 0.24),
                (0.36, 0.2),
                (0.5, 0.25),
                (0.29, 0.36),
                (0.44, 0.37),
                (0.36, 0.48),
            ):
                pen.ellipse(sign * dx * spread / 0.36, dy, 0.05, 0.05, spot, outline=False)


def paint_person(pen: Pen, scene: Scene):
    """The scene's person, from the hair behind to the hat in front."""
    p = scene.subject
    wide, skin, colour = FACE[p.face][0], SKIN[p.skin], HAIR[p.hair_colour]
    hat, spread = scene.hat != "none", 0.16 + FACE[p.face][0] * 0.26
    _hair_behind(pen, p, wide, colour, hat)
    paint_body(pen, scene, skin)
    for sign in (-1, 1):
        pen.ellipse(sign * wide, 0.1, 0.13, 0.2, shade(skin, 0.82))
    outline = face_outline(p.face)
    pen.shape(outline, skin)
    for sign in (-1, 1):  # a little blood in the cheeks
        pen.ellipse(
            sign * spread * 1.25,
            0.36,
            0.15,
            0.11,
            (*mix(skin, (230, 70, 70), 0.5), 60),
            outline=False,
        )
    if p.beard == "beard":
        low = outline[outline[:, 1] > 0.1] * (1.03, 1.05)
        inner = arc(0, 0.12, wide * 0.74, 0.5, 10, 170, 16)
        pen.shape(np.concatenate([low, inner[::-1]]), colour)
        pen.shape(arc(0, 0.6, 0.36, 0.2, 180, 360), colour, outline=False)
    _nose_and_mouth(pen, p, scene.smile, skin, colour)
    _eyes(pen, p, spread, colour)
    _marks(pen, p, skin, spread)
    _hair_front(pen, p, wide, colour, hat)
    if scene.glasses != "none":
        put_on_glasses(pen, scene.glasses, spread, wide)
    if hat:
        pen.ellipse(0, -0.46, wide * 0.92, 0.13, (0, 0, 0, 50), outline=False)
        put_on_hat(pen, scene.hat, COLOURS[scene.hat_colour], wide)
