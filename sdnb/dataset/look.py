"""What can be measured about one photo: size, head or subject, sharpness, exposure, colours."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image

from sdnb.dataset.boxes import Box
from sdnb.dataset.faces import find_faces
from sdnb.dataset.pictures import open_picture, picture_size

SEEN = 512  # pixels of the short side: sharpness of photos of any size is compared there
CUT, BORDER, ROUNDS = 256, 0.08, 4  # GrabCut's picture, what is background, and how often


@dataclass(frozen=True)
class Look:
    """One photo as the doctor sees it.

    `size` is width and height of the upright photo in pixels, `subjects` the boxes of all heads, or
    the one box of an object. `sharpness` says how much of the contrast at 512 pixels is edges,
    `tones` are the 5th and 95th percentile of its brightness (of 255), and `burnt` is the part that
    is pure white. `background` and `clothes` are mean Lab colours; `light` says how much brighter
    the right half of the face is than the left, in parts of its brightness.
    """

    path: Path
    size: tuple[int, int]
    subjects: tuple[Box, ...]
    sharpness: float
    tones: tuple[float, float]
    burnt: float
    print: imagehash.ImageHash = field(repr=False)
    colours: np.ndarray = field(repr=False)  # (8, 8, 3) RGB, its mean brightness taken away
    background: np.ndarray = field(repr=False)
    clothes: np.ndarray = field(repr=False)
    light: float | None = None
    thumbnail: Image.Image | None = field(default=None, repr=False)

    @property
    def subject(self) -> Box | None:
        """The largest head, or the object."""
        return self.subjects[0] if self.subjects else None


def look_at(path: Path, subject: str) -> Look:
    """Measure one photo; `subject` is "person", "object" or "style" (where nobody is looked for).
    Raises Problem where it cannot be read."""
    picture = open_picture(path, at_least=SEEN)
    small = picture.copy()
    small.thumbnail((2 * SEEN, 2 * SEEN), Image.Resampling.LANCZOS)
    boxes = {"person": find_faces, "object": find_object}.get(subject, lambda picture: [])(small)
    grey = np.asarray(_short_side(small, SEEN).convert("L"), np.float32)
    colours = np.asarray(small.resize((8, 8), Image.Resampling.BOX), np.float32)
    lab = cv2.cvtColor(
        np.asarray(small.resize((16, 16), Image.Resampling.BOX), np.float32) / 255,
        cv2.COLOR_RGB2LAB,
    )
    small.thumbnail((384, 384))
    return Look(
        path,
        picture_size(path),
        tuple(boxes),
        _sharpness(grey),
        tuple(float(value) for value in np.percentile(grey, (5, 95))),
        float((grey >= 250).mean()),
        imagehash.dhash(small, 16),
        colours - colours.mean(),
        np.concatenate([lab[:9, :2], lab[:9, -2:]]).reshape(-1, 3).mean(0),
        lab[-2:, 5:11].reshape(-1, 3).mean(0),
        _light(small, boxes[0]) if boxes and subject == "person" else None,
        small,
    )


def find_object(picture: Image.Image) -> list[Box]:
    """The box of what stands out from the photo's border, by GrabCut (Rother et al. 2004): a hint
    and no more, wrong by a tenth of the photo in one of six. Empty where nothing stands out."""
    small = picture.convert("RGB").resize((CUT, CUT), Image.Resampling.BOX)
    edge = round(CUT * BORDER)
    mask = np.zeros((CUT, CUT), np.uint8)
    models = np.zeros((2, 1, 65), np.float64)
    cv2.setRNGSeed(0)  # it begins with k-means
    try:
        frame = (edge, edge, CUT - 2 * edge, CUT - 2 * edge)
        image = np.ascontiguousarray(small)
        cv2.grabCut(image, mask, frame, models[0], models[1], ROUNDS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # a picture of one colour
        return []
    wanted = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(wanted)
    if count < 2:
        return []
    left, top, wide, high, _ = max(boxes[1:], key=lambda box: box[cv2.CC_STAT_AREA]) / CUT
    return [Box(float(left), float(top), float(left + wide), float(top + high))]


def _sharpness(grey: np.ndarray) -> float:
    """How much of the contrast is edges: the variance of the Laplacian (Pech-Pacheco et al. 2000),
    grain smoothed away before, in parts of the picture's variance, so that dark is not blurred."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1)
    return float(cv2.Laplacian(smooth, cv2.CV_32F).var() / max(smooth.var(), 1))


def _light(picture: Image.Image, head: Box) -> float:
    """How much brighter the right half of the face is than the left, in parts of its brightness."""
    left, top, right, bottom = head.pixels(*picture.size)
    wide, high = right - left, bottom - top
    face = picture.convert("L").crop(
        (left + wide // 5, top + high // 2, right - wide // 5, bottom - high // 10)
    )
    halves = np.asarray(face.resize((2, 1), Image.Resampling.BOX), np.float32)[0]
    return float((halves[1] - halves[0]) / max(halves.mean(), 1))


def _short_side(picture: Image.Image, pixels: int) -> Image.Image:
    scale = min(pixels / min(picture.size), 4 * pixels / max(picture.size))  # not for a thread
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS)
