"""Looks, each a filter over a flat drawing: six artists', which the base model never sees, for they
are what the style lesson teaches it; and five dozen of the world's own, which it knows by name.
Sizes are parts of the frame, so that a look is the same at any resolution."""

import colorsys
import random
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageFilter


def _luma(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"), np.float32) / 255


def _edges(picture: Image.Image) -> np.ndarray:
    """How strongly brightness changes at each pixel, 0 to 1."""
    soft = _luma(picture.filter(ImageFilter.GaussianBlur(picture.width / 200)))
    dy, dx = np.gradient(soft)
    return np.clip(np.hypot(dx, dy) * picture.width / 22, 0, 1)


def _image(array: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(array, 0, 255).astype(np.uint8))


def screenprint(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Four inks, dealt out by brightness."""
    inks = np.array([(28, 24, 72), (214, 40, 72), (250, 150, 60), (255, 240, 205)], np.float32)
    return _image(inks[np.digitize(_luma(picture), (0.25, 0.5, 0.75))])


def mosaic(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Square tiles with pale joints."""
    return _tiles(picture, 24, (236, 230, 216))


def _tiles(picture: Image.Image, tiles: int, joints) -> Image.Image:
    size = picture.width
    small = picture.resize((tiles, tiles), Image.Resampling.BOX)
    big = np.asarray(small.resize((size, size), Image.Resampling.NEAREST), np.float32)
    place = (np.arange(size) + 0.5) * tiles / size % 1
    joint = (place < 0.17)[:, None] | (place < 0.17)[None, :]
    return _image(np.where(joint[..., None], joints, np.clip(big * 1.1, 0, 255)))


def blueprint(picture: Image.Image, rng: random.Random) -> Image.Image:
    """White lines on blue paper."""
    ink = _edges(picture)[..., None]
    paper = np.array((22, 58, 138), np.float32) * (0.8 + 0.35 * _luma(picture)[..., None])
    return _image(paper * (1 - ink) + 245 * ink)


def watercolour(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Pale washes that run over their contours, on warm paper."""
    wash = picture.filter(ImageFilter.MedianFilter(max(3, picture.width // 48 | 1)))
    wash = np.asarray(wash.filter(ImageFilter.GaussianBlur(picture.width / 170)), np.float32)
    blotch = np.array([[rng.uniform(0.75, 1.1) for _ in range(7)] for _ in range(7)], np.float32)
    blotch = np.asarray(Image.fromarray(blotch).resize(picture.size, Image.Resampling.BICUBIC))[
        ..., None
    ]
    paper = np.array((253, 248, 234), np.float32)
    return _image(paper - (paper - wash) * 0.78 * blotch)


def neon(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Glowing contours in the dark, pink above and cyan below."""
    edge = _edges(picture)
    glow = (
        np.asarray(
            _image(edge * 255).filter(ImageFilter.GaussianBlur(picture.width / 60)), np.float32
        )
        / 255
    )
    down = np.linspace(0, 1, picture.height, dtype=np.float32)[:, None, None]
    tube = (
        np.array((255, 60, 190), np.float32) * (1 - down)
        + np.array((40, 235, 255), np.float32) * down
    )
    return _image(np.array((14, 8, 30), np.float32) + tube * (edge + 0.9 * glow)[..., None])


def pencil(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Graphite on paper: contours and one hatching."""
    size = picture.width
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    hatch = ((x + y) * 34 % 1 < 0.4) * (_luma(picture) < 0.5) * 0.3
    dark = np.clip(_edges(picture) * 0.95 + hatch + (0.55 - _luma(picture)).clip(0) * 0.5, 0, 0.85)
    return _image(np.array((246, 244, 238), np.float32) * (1 - dark[..., None]))


FILTERS: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "screenprint": screenprint,
    "mosaic": mosaic,
    "blueprint": blueprint,
    "watercolour": watercolour,
    "neon": neon,
    "pencil": pencil,
}


Colour = tuple[int, int, int]


def _colour(rng: random.Random, bright: float) -> Colour:
    """Any colour, about as light as `bright` (0 to 1)."""
    level = min(1.0, max(0.0, bright + rng.uniform(-0.08, 0.08)))
    rgb = colorsys.hls_to_rgb(rng.random(), level, rng.uniform(0.35, 0.95))
    return tuple(int(255 * part) for part in rgb)


@cache
def own_look(index: int) -> Callable[[Image.Image, random.Random], Image.Image]:
    """One of the world's own looks: prints, drawings, washes, tints and tiles, each with
    its own inks, paper and measures."""
    rng = random.Random(f"look {index}")
    inks = rng.randint(4, 5)
    palette = np.array([_colour(rng, 0.15 + 0.7 * i / (inks - 1)) for i in range(inks)], np.float32)
    dark, light = palette[0], palette[-1]
    paper, ink = (dark, light) if rng.random() < 0.5 else (light, dark)
    count = rng.randint(16, 32)

    def printed(picture: Image.Image, _) -> Image.Image:
        levels = np.linspace(0, 1, inks + 1)[1:-1]
        return _image(palette[np.digitize(_luma(picture), levels)])

    def drawn(picture: Image.Image, _) -> Image.Image:
        return _image(paper + (ink - paper) * _edges(picture)[..., None])

    def washed(picture: Image.Image, _) -> Image.Image:
        wash = picture.filter(ImageFilter.GaussianBlur(picture.width / 130))
        return _image(light - (light - np.asarray(wash, np.float32)) * 0.7)

    def tiled(picture: Image.Image, _) -> Image.Image:
        return _tiles(picture, count, light)

    def tinted(picture: Image.Image, _) -> Image.Image:
        tone = dark + (light - dark) * _luma(picture)[..., None]
        return _image(0.35 * np.asarray(picture, np.float32) + 0.65 * tone)

    return (printed, drawn, washed, printed, tinted, tiled)[index % 6]


def look(style: str) -> Callable[[Image.Image, random.Random], Image.Image] | None:
    """The filter of a style; None for photos and cartoons."""
    return own_look(int(style.split()[1])) if style.startswith("look ") else FILTERS.get(style)
