"""What is measured of one photo: size, face or object, sharpness, exposure, colours."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image

from sdnb.dataset.crops import Box
from sdnb.dataset.decoding import open_picture, picture_size
from sdnb.dataset.detection import find_faces, find_object

SIDE = 512  # pixels of the short side: sharpness of photos of any size is compared there


@dataclass(frozen=True)
class PhotoStatistics:
    """The measurements of one photo.

    `size` is width and height of the upright photo in pixels, `subjects` the boxes of all faces
    (from hair to chin), or the one box of what stands out, and `certain` whether that is one thing.
    `sharpness` says how much of the contrast at 512 pixels is edges, `tones` are the 5th and 95th
    percentile of its brightness (of 255), and `burnt` is the part that is pure white. `dhash` has
    256 bits. `colours` is (8, 8, 3), RGB with its mean brightness taken away; `background` and
    `clothes` are mean Lab colours (3,). `light` says how much brighter the right half of the face
    is than the left, in parts of its brightness.
    """

    path: Path
    size: tuple[int, int]
    subjects: tuple[Box, ...]
    sharpness: float
    tones: tuple[float, float]
    burnt: float
    dhash: imagehash.ImageHash = field(repr=False)
    colours: np.ndarray = field(repr=False)
    background: np.ndarray = field(repr=False)
    clothes: np.ndarray = field(repr=False)
    light: float | None = None
    certain: bool = True
    thumbnail: Image.Image | None = field(default=None, repr=False)

    @property
    def around(self) -> Box | None:
        """The largest face, or all that stands out."""
        return self.subjects[0] if self.subjects else None

    @property
    def subject(self) -> Box | None:
        """The same, but None where it is not certain that it is one thing."""
        return self.around if self.certain else None


def measure_photo(path: Path, subject: str) -> PhotoStatistics:
    """Measure one photo; `subject` is "person", "object" or "style" (nobody is looked for).
    Raises Problem where it cannot be read."""
    picture = open_picture(path, at_least=SIDE)
    picture.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)
    subjects, certain = [], True
    if subject == "person":
        subjects = find_faces(picture)
    elif subject == "object":
        around, certain = find_object(picture)
        subjects = [around] if around else []
    grey = np.asarray(_short_side(picture, SIDE).convert("L"), np.float32)
    thing = subjects[0] if subjects and subject == "object" else Box()  # the ground may be soft
    left, top, right, bottom = thing.pixels(*grey.shape[::-1])
    colours = _shrunk(picture, 8)
    lab = cv2.cvtColor(_shrunk(picture, 16) / 255, cv2.COLOR_RGB2LAB)
    picture.thumbnail((384, 384))
    return PhotoStatistics(
        path=path,
        size=picture_size(path),
        subjects=tuple(subjects),
        sharpness=_sharpness(grey[top:bottom, left:right]),
        tones=tuple(np.percentile(grey, (5, 95)).tolist()),
        burnt=float((grey >= 250).mean()),
        dhash=imagehash.dhash(picture, 16),
        colours=colours - colours.mean(),
        background=np.concatenate([lab[:9, :2], lab[:9, -2:]]).reshape(-1, 3).mean(0),
        clothes=lab[-2:, 5:11].reshape(-1, 3).mean(0),
        light=_light(picture, subjects[0]) if subjects and subject == "person" else None,
        certain=certain,
        thumbnail=picture,
    )


def _shrunk(picture: Image.Image, side: int) -> np.ndarray:
    """(side, side, 3) RGB of 255."""
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX), np.float32)


def _short_side(picture: Image.Image, pixels: int) -> Image.Image:
    scale = min(pixels / min(picture.size), 4 * pixels / max(picture.size))  # not for a thread
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS)


def _sharpness(grey: np.ndarray) -> float:
    """How much of the contrast is edges: the variance of the Laplacian (Pech-Pacheco et al. 2000),
    grain smoothed away before, in parts of the picture's variance, so that dark is not blurred."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1)
    return float(cv2.Laplacian(smooth, cv2.CV_32F).var() / max(smooth.var(), 1))


def _light(picture: Image.Image, face: Box) -> float:
    """How much brighter the right half of the face is than the left, in parts of its brightness."""
    left, top, right, bottom = face.pixels(*picture.size)
    wide, high = right - left, bottom - top
    inner = (left + wide // 5, top + high // 2, right - wide // 5, bottom - high // 10)
    halves = picture.convert("L").crop(inner).resize((2, 1), Image.Resampling.BOX)
    brightness = np.asarray(halves, np.float32)[0]
    return float((brightness[1] - brightness[0]) / max(brightness.mean(), 1))
