"""The picture studio: draws a `Scene` with Pillow and NumPy, the same scene to the same bytes.

Drawing happens on a larger canvas with hard edges and is then reduced, which is what makes the
edges smooth.
"""

import math
import random

import numpy as np
from PIL import Image, ImageFilter

from sdnb.mini.looks import look
from sdnb.mini.pen import INK, Pen
from sdnb.mini.people import paint_person
from sdnb.mini.places import paint_place
from sdnb.mini.products import paint_product
from sdnb.mini.scenes import Scene

# Width and height, in head units, of the box from hair to chin that `share` counts.
HEAD_BOX = (2.0, 2.32)


def _light(
    picture: np.ndarray, mask: np.ndarray, pen_scale: float, centre, side: float
) -> np.ndarray:
    """Soft light from one side: the subject rounds off away from it, the corners of the frame
    darken a little."""
    size = picture.shape[0]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    u, v = (x - centre[0]) / pen_scale, (y - centre[1]) / pen_scale
    round_off = (
        1
        - 0.16 * np.clip(u * u * 0.9 + v * v * 0.5, 0, 1.3)
        + 0.13 * np.clip(side * u, -1.2, 1.2)
        - 0.05 * np.clip(v, -1, 1)
    )
    vignette = 1 - 0.5 * ((x / size - 0.5) ** 2 + (y / size - 0.5) ** 2)
    backdrop = vignette * (1 + 0.1 * side * (x / size - 0.5) * 2)
    return picture * (backdrop + mask * (np.clip(round_off, 0.6, 1.2) - backdrop))[..., None]


def _unit_and_drop(scene: Scene) -> tuple[float, float]:
    """One unit of the subject (a head's, for a person) in parts of the picture's side, and by how
    many of them it stands below the middle, so that a hat fits in."""
    box = HEAD_BOX if scene.is_person else (2.3, 2.1)
    drop = (0.06 if scene.hat == "none" else 0.28) if scene.is_person else 0.0
    return math.sqrt(scene.share / (box[0] * box[1])), drop


def head_box(scene: Scene) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the box that a person's `share` counts, from hair to chin, in
    parts of the picture."""
    (unit, drop), (wide, high) = _unit_and_drop(scene), HEAD_BOX
    x, y = 0.5 + scene.dx, 0.5 + scene.dy + drop * unit
    return x - wide / 2 * unit, y - (high - 1) * unit, x + wide / 2 * unit, y + unit


def draw_scene(scene: Scene, size: int = 128) -> Image.Image:
    """The scene as a square RGB picture of `size` pixels."""
    rng = random.Random(scene.seed)
    flat = scene.style != "photo"
    over = 3 if size <= 160 else 2
    full = size * over
    canvas = paint_place(scene.place, rng, full, sharp=flat)
    part, drop = _unit_and_drop(scene)
    unit = full * part
    centre = (full * (0.5 + scene.dx), full * (0.5 + scene.dy) + drop * unit)
    pen = Pen(canvas, centre, unit, scene.tilt, outline=INK if flat else None)
    if scene.is_person:
        paint_person(pen, scene)
    else:
        pen.ellipse(0.1, 0.98, 1.15, 0.14, (0, 0, 0, 90), outline=False)
        paint_product(pen, scene.subject)
    canvas = canvas.reduce(over)
    if scene.style == "photo":
        soft = pen.mask.reduce(over).filter(ImageFilter.GaussianBlur(size / 128))
        mask = np.asarray(soft, np.float32) / 255
        picture = _light(
            np.asarray(canvas, np.float32),
            mask,
            unit / over,
            (centre[0] / over, centre[1] / over),
            scene.light,
        )
        grain = np.random.default_rng(scene.seed).standard_normal((size, size, 1), np.float32)
        canvas = Image.fromarray(np.clip(picture + 2.0 * grain + 0.5, 0, 255).astype(np.uint8))
    if paint := look(scene.style):
        canvas = paint(canvas, random.Random(scene.seed + 1))
    return canvas
