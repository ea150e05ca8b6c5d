"""The picture studio: draws a `Scene` with Pillow and NumPy, the same scene to the same bytes.

Drawing happens on a larger canvas with hard edges and is then reduced, which is what makes the edges smooth.
A person is drawn in head units: the origin between the eyes and the nose, chin at y = 1, hairline near -0.6.
"""

import math
import random

import numpy as np
from PIL import Image, ImageFilter

from sdnb.mini.looks import LOOKS
from sdnb.mini.pen import CIRCLE, Pen, arc, mix, shade
from sdnb.mini.places import paint_place
from sdnb.mini.scenes import Person, Product, Scene

SKIN = {"pale": (252, 226, 208), "light": (238, 194, 160), "tan": (208, 152, 104), "brown": (152, 98, 62)}
SKIN |= {"dark": (98, 62, 42)}
HAIR = {"black": (32, 27, 28), "brown": (104, 62, 34), "blonde": (232, 196, 104), "red": (190, 78, 30)}
HAIR |= {"grey": (158, 158, 162), "blue": (52, 88, 205)}
EYES = {"brown": (88, 52, 26), "blue": (50, 110, 190), "green": (62, 134, 74)}
COLOURS = {"red": (206, 44, 44), "blue": (44, 84, 204), "green": (46, 150, 70), "yellow": (244, 208, 58)}
COLOURS |= {"purple": (132, 62, 166), "white": (242, 242, 242), "black": (38, 38, 44), "orange": (242, 134, 38)}
INK = (26, 20, 24)

# Half the width of the face and how its outline bends: (width, exponent of the jaw, how far the chin narrows).
FACE = {"round": (0.9, 2.0, 0.0), "long": (0.68, 2.1, 0.0), "square": (0.8, 4.0, 0.0), "pointed": (0.84, 1.8, 0.32)}
HEAD_BOX = (2.0, 2.32)  # width and height, in head units, of the box from hair to chin that `share` counts


def face_outline(face: str) -> np.ndarray:
    wide, jaw, narrow = FACE[face]
    x, y = CIRCLE.T
    bend = np.where(y > 0, jaw, 2.0)
    x = np.sign(x) * np.abs(x) ** (2 / bend)
    y = np.sign(y) * np.abs(y) ** (2 / bend)
    return np.stack([x * wide * (1 - narrow * np.clip(y, 0, 1)), y], 1)


def _hair_behind(pen: Pen, p: Person, wide: float, colour, hat: bool):
    dark = shade(colour, 0.8)
    if p.hair == "long":
        side = [(wide + 0.2, -0.3), (wide + 0.3, 0.6), (wide + 0.26, 1.35), (-wide - 0.26, 1.35), (-wide - 0.3, 0.6)]
        pen.shape(np.concatenate([arc(0, -0.25, wide + 0.2, 0.98, 180, 360), side]), dark)
    elif p.hair == "bob":
        side = [(wide + 0.26, 0.45), (wide + 0.12, 0.72), (-wide - 0.12, 0.72), (-wide - 0.26, 0.45)]
        pen.shape(np.concatenate([arc(0, -0.25, wide + 0.2, 0.98, 180, 360), side]), dark)
    elif p.hair == "bun" and not hat:
        pen.ellipse(0, -1.3, 0.36, 0.32, dark)
    elif p.hair == "curly":
        low = 0.35 if p.kind == "woman" else -0.05
        for sign in (-1, 1):
            for y in np.arange(-0.6, low + 0.01, 0.3):
                pen.ellipse(sign * (wide + 0.06), y, 0.24, 0.24, dark)


def _hair_front(pen: Pen, p: Person, wide: float, colour, hat: bool):
    top = arc(0, -0.3, wide + 0.09, 0.9, 188, 352)
    if p.hair == "bald":
        if not hat:
            pen.ellipse(-0.25, -0.72, 0.2, 0.1, (255, 255, 255, 70), outline=False)
        return
    if p.hair in ("long", "bob", "bun"):
        fringe = [(wide - 0.06, -0.12), (wide - 0.2, -0.5), (0.12, -0.84), (-wide + 0.2, -0.5), (-wide + 0.06, -0.12)]
    elif p.hair == "curly":
        fringe = [(wide - 0.06, -0.2), (wide - 0.2, -0.55), (0, -0.64), (-wide + 0.2, -0.55), (-wide + 0.06, -0.2)]
    else:
        fringe = [(wide - 0.05, -0.16), (wide - 0.2, -0.52), (0.2, -0.68), (-0.3, -0.62), (-wide + 0.2, -0.52), (-wide + 0.05, -0.16)]
    pen.shape(np.concatenate([top, fringe]), colour)
    if hat:
        return
    if p.hair == "spiky":
        for i in range(-3, 4):
            x = i * wide / 3.2
            pen.shape([(x - 0.2, -0.85), (x * 1.25, -1.5 + abs(i) * 0.09), (x + 0.2, -0.85)], colour)
        pen.shape(np.concatenate([arc(0, -0.3, wide, 0.78, 200, 340), fringe[1:-1]]), colour, outline=False)
    if p.hair == "curly":
        for degrees in range(190, 351, 20):
            x, y = math.cos(math.radians(degrees)) * (wide + 0.02), -0.32 + 0.82 * math.sin(math.radians(degrees))
            pen.ellipse(x, y, 0.23, 0.22, colour)
        pen.ellipse(0, -0.72, 0.6, 0.2, colour, outline=False)
    if p.mark == "white lock":
        lock = np.concatenate([arc(0.3, -0.88, 0.42, 0.25, 265, 180, 8), [(0.1, -0.66), (0.24, -0.62)], arc(0.62, -0.88, 0.4, 0.26, 180, 228, 8)])
        pen.shape(lock, (250, 250, 250))


def _eyes(pen: Pen, p: Person, spread: float, brow_colour):
    light = (202, 146, 70) if p.skin in ("pale", "light") else (246, 226, 182)
    for sign in (-1, 1):
        x = sign * spread
        pen.ellipse(x, 0, 0.175, 0.115, (252, 252, 252))
        pen.ellipse(x, 0, 0.09, 0.1, EYES[p.eyes], outline=False)
        pen.ellipse(x, 0, 0.045, 0.05, (12, 10, 12), outline=False)
        pen.ellipse(x - 0.03, -0.035, 0.024, 0.024, (255, 255, 255), outline=False)
        pen.line(arc(x, 0.01, 0.185, 0.13, 200, 340, 10), 0.045, INK)
        brows = {
            "thin": ([(x - 0.22, -0.36), (x, -0.41), (x + 0.22, -0.36)], 0.05, shade(brow_colour, 0.75)),
            "bushy": ([(x - 0.25, -0.36), (x, -0.4), (x + 0.25, -0.36)], 0.16, shade(brow_colour, 0.8)),
            "short light": ([(x - 0.1, -0.36), (x + 0.1, -0.36)], 0.12, light),
            "arched": (
                [(x - sign * 0.24, -0.29), (x + sign * 0.06, -0.52), (x + sign * 0.25, -0.33)],
                0.085,
                shade(brow_colour, 0.75),
            ),
        }
        pen.line(*brows[p.brows])


def _nose_and_mouth(pen: Pen, p: Person, smile: bool, skin, colour):
    dark = shade(skin, 0.72)
    if p.nose == "big":
        pen.shape([(-0.05, 0.05), (0.06, 0.05), (0.2, 0.36), (0.1, 0.44), (-0.1, 0.44), (-0.2, 0.36)], shade(skin, 0.82))
        pen.line([(-0.19, 0.36), (-0.08, 0.44), (0.08, 0.44), (0.19, 0.36)], 0.05, dark)
    else:
        pen.line([(-0.07, 0.31), (0, 0.34), (0.07, 0.31)], 0.05, dark)
    if p.beard == "moustache":
        for sign in (-1, 1):
            pen.shape([(0, 0.44), (sign * 0.2, 0.42), (sign * 0.36, 0.56), (sign * 0.16, 0.55), (0, 0.53)], colour)
    if smile:
        pen.shape(np.concatenate([arc(0, 0.58, 0.3, 0.26, 5, 175)]), (128, 28, 38))
        pen.shape([(-0.24, 0.6), (0.24, 0.6), (0.2, 0.68), (-0.2, 0.68)], (255, 255, 255), outline=False)
    else:
        pen.line([(-0.18, 0.65), (0, 0.66), (0.18, 0.65)], 0.075, mix((172, 62, 66), skin, 0.25))


def _marks(pen: Pen, p: Person, skin, spread: float):
    if p.mark == "mole":
        pen.ellipse(spread + 0.08, 0.46, 0.075, 0.075, shade(skin, 0.25) if p.skin != "dark" else (25, 12, 10))
    elif p.mark == "freckles":
        spot = mix(skin, (120, 50, 20), 0.55) if p.skin not in ("brown", "dark") else shade(skin, 0.55)
        for sign in (-1, 1):
            for dx, dy in ((0.22, 0.24), (0.36, 0.2), (0.5, 0.25), (0.29, 0.36), (0.44, 0.37), (0.36, 0.48)):
                pen.ellipse(sign * dx * spread / 0.36, dy, 0.042, 0.042, spot, outline=False)


def _glasses(pen: Pen, kind: str, spread: float, wide: float):
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


def _hat(pen: Pen, kind: str, colour, wide: float):
    dark, w = shade(colour, 0.72), wide + 0.16
    if kind == "cap":
        pen.shape(arc(0, -0.56, w, 0.85, 180, 360), colour)
        pen.line([(0, -1.4), (0, -0.62)], 0.03, dark)
        pen.shape([(-0.25, -0.64), (w, -0.64), (w + 0.5, -0.5), (w + 0.4, -0.44), (-0.2, -0.5)], dark)
    elif kind == "beanie":
        pen.shape(arc(0, -0.6, w, 0.86, 180, 360), colour)
        pen.shape([(-w - 0.03, -0.8), (w + 0.03, -0.8), (w + 0.03, -0.5), (-w - 0.03, -0.5)], shade(colour, 1.3))
        for i in range(-4, 5):
            pen.line([(i * w / 4.5, -0.78), (i * w / 4.5, -0.52)], 0.03, dark)
        pen.ellipse(0, -1.5, 0.2, 0.18, shade(colour, 1.45))
    elif kind == "top hat":
        pen.shape([(-w * 0.8, -0.6), (-w * 0.88, -1.75), (w * 0.88, -1.75), (w * 0.8, -0.6)], colour)
        pen.shape([(-w * 0.81, -0.72), (-w * 0.83, -0.92), (w * 0.83, -0.92), (w * 0.81, -0.72)], dark)
        pen.ellipse(0, -0.58, w + 0.3, 0.11, shade(colour, 0.85))
    else:  # sun hat
        pen.shape(arc(0, -0.66, w * 0.85, 0.66, 180, 360), colour)
        pen.shape([(-w * 0.85, -0.64), (-w * 0.84, -0.86), (w * 0.84, -0.86), (w * 0.85, -0.64)], dark)
        pen.ellipse(0, -0.6, w + 0.55, 0.15, shade(colour, 1.12))


def _body(pen: Pen, scene: Scene, skin):
    shirt = COLOURS[scene.shirt]
    slope = np.concatenate([[(-2.1, 3.4)], arc(-1.1, 1.85, 1.0, 0.72, 180, 270, 10), arc(1.1, 1.85, 1.0, 0.72, 270, 360, 10)])
    pen.shape([(-0.36, 0.6), (0.36, 0.6), (0.42, 1.5), (-0.42, 1.5)], shade(skin, 0.74))
    pen.shape(np.concatenate([slope, [(2.1, 3.4)]]), shirt)
    if scene.striped:
        band = shade(shirt, 0.6) if scene.shirt in ("white", "yellow", "orange") else shade(shirt, 1.75)
        for y, half in ((1.3, 1.6), (1.56, 1.98), (1.84, 2.08), (2.12, 2.1), (2.4, 2.1)):
            pen.shape([(-half, y), (half, y), (half, y + 0.12), (-half, y + 0.12)], band, outline=False)
    pen.shape(arc(0, 1.08, 0.46, 0.28, 0, 180), shade(skin, 0.74))


def _person(pen: Pen, scene: Scene):
    p = scene.subject
    wide, skin, colour = FACE[p.face][0], SKIN[p.skin], HAIR[p.hair_colour]
    hat, spread = scene.hat != "none", 0.16 + FACE[p.face][0] * 0.26
    _hair_behind(pen, p, wide, colour, hat)
    _body(pen, scene, skin)
    for sign in (-1, 1):
        pen.ellipse(sign * wide, 0.1, 0.13, 0.2, shade(skin, 0.82))
    outline = face_outline(p.face)
    pen.shape(outline, skin)
    for sign in (-1, 1):  # a little blood in the cheeks
        pen.ellipse(sign * spread * 1.25, 0.36, 0.15, 0.11, (*mix(skin, (230, 70, 70), 0.5), 60), outline=False)
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
        _glasses(pen, scene.glasses, spread, wide)
    if hat:
        pen.ellipse(0, -0.46, wide * 0.92, 0.13, (0, 0, 0, 50), outline=False)
        _hat(pen, scene.hat, COLOURS[scene.hat_colour], wide)


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
        return np.concatenate([arc(-0.6, 0, 1.25, 1.15, -58, 58), arc(0.6, 0, 1.25, 1.15, 122, 238)])
    if name == "drop":
        return np.concatenate([[(0, -1.05)], arc(0, 0.3, 0.68, 0.7, -25, 205)])
    return np.array([(0.15, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.25, 1), (0.6, -0.25), (0.05, -0.25), (0.45, -1)])


def _product(pen: Pen, p: Product):
    body, trim = COLOURS[p.colour], COLOURS[p.pattern_colour]
    if p.kind == "mug":
        pen.line(arc(0.82, 0.02, 0.46, 0.44, -80, 80), 0.3, INK if pen.outline else shade(body, 0.8))
        if pen.outline:
            pen.line(arc(0.82, 0.02, 0.46, 0.44, -80, 80), 0.2, shade(body, 0.8))
        left, right, top, low = -0.85, 0.85, -0.9, 0.9
        pen.shape(np.concatenate([[(left, top)], arc(0, low, right, 0.16, 180, 0), [(right, top)]]), body)
    else:
        for fill, wide in ((INK, 0.2), (shade(body, 0.7), 0.13)):
            if wide == 0.13 or pen.outline:
                pen.line(arc(0, -0.75, 0.42, 0.62, 180, 360), wide, fill)
        left, right, top, low = -0.92, 0.92, -0.75, 1.0
        pen.shape([(left * 0.88, top), (right * 0.88, top), (right, low), (left, low)], body)
    if p.pattern == "striped":
        for y in (-0.66, 0.56, 0.8):
            pen.shape([(left, y), (right, y), (right, y + 0.13), (left, y + 0.13)], trim, outline=False)
    elif p.pattern == "dotted":
        for i in range(5):
            for y in (-0.62, 0.72):
                pen.ellipse(-0.68 + i * 0.34, y, 0.085, 0.085, trim, outline=False)
    elif p.pattern == "banded":
        pen.shape([(left, 0.42), (right, 0.42), (right, 0.82), (left, 0.82)], trim, outline=False)
    if p.kind == "mug":
        pen.ellipse(0, top, 0.85, 0.16, shade(body, 0.55))
    pen.shape(logo_points(p.logo) * 0.44 + (0, -0.08), COLOURS[p.logo_colour], outline=pen.outline is not None)


def _light(picture: np.ndarray, mask: np.ndarray, pen_scale: float, centre, side: float) -> np.ndarray:
    """Soft light from one side: the subject rounds off away from it, the corners of the frame darken a little."""
    size = picture.shape[0]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    u, v = (x - centre[0]) / pen_scale, (y - centre[1]) / pen_scale
    round_off = 1 - 0.16 * np.clip(u * u * 0.9 + v * v * 0.5, 0, 1.3) + 0.13 * np.clip(side * u, -1.2, 1.2) - 0.05 * np.clip(v, -1, 1)
    vignette = 1 - 0.5 * ((x / size - 0.5) ** 2 + (y / size - 0.5) ** 2)
    backdrop = vignette * (1 + 0.1 * side * (x / size - 0.5) * 2)
    return picture * (backdrop + mask * (np.clip(round_off, 0.6, 1.2) - backdrop))[..., None]


def draw(scene: Scene, size: int = 128, looks: bool = True) -> Image.Image:
    """The scene as a square RGB picture of `size` pixels."""
    rng = random.Random(scene.seed)
    flat = scene.style != "photo"
    over = 3 if size <= 160 else 2
    full = size * over
    canvas = paint_place(scene.place, rng, full, sharp=flat)
    box = HEAD_BOX if scene.is_person else (2.3, 2.1)
    unit = full * math.sqrt(scene.share / (box[0] * box[1]))
    drop = (0.06 if scene.hat == "none" else 0.28) if scene.is_person else 0.0
    centre = (full * (0.5 + scene.dx), full * (0.5 + scene.dy) + drop * unit)
    pen = Pen(canvas, centre, unit, scene.tilt, outline=INK if flat else None)
    if scene.is_person:
        _person(pen, scene)
    else:
        pen.ellipse(0.1, 0.98, 1.15, 0.14, (0, 0, 0, 90), outline=False)
        _product(pen, scene.subject)
    canvas = canvas.reduce(over)
    if scene.style == "photo":
        mask = np.asarray(pen.mask.reduce(over).filter(ImageFilter.GaussianBlur(size / 128)), np.float32) / 255
        picture = _light(np.asarray(canvas, np.float32), mask, unit / over, (centre[0] / over, centre[1] / over), scene.light)
        grain = np.random.default_rng(scene.seed).standard_normal((size, size, 1), np.float32)
        canvas = Image.fromarray(np.clip(picture + 2.0 * grain + 0.5, 0, 255).astype(np.uint8))
    if looks and scene.style in LOOKS:
        canvas = LOOKS[scene.style](canvas, random.Random(scene.seed + 1))
    return canvas
