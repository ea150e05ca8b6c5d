"""Read prepared photos: upright, RGB, square or in buckets of shapes, with their captions."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from PIL import Image, ImageOps

from sdnb.dataset.decoding import SUFFIXES, open_picture
from sdnb.errors import Problem

FEWEST = 3  # with one or two photos a model learns the photo, not the subject


@dataclass(frozen=True)
class Photo:
    """One photo, ready for training: `image` is RGB, `caption` may be empty."""

    path: Path
    image: Image.Image
    caption: str


def read_photos(
    folder: Path | str, resolution: int, bucket_step: int = 0, fewest: int = FEWEST
) -> list[Photo]:
    """The photos of `folder` in order of name, each `resolution` pixels a side; with a
    `bucket_step` each in the bucket that is nearest to its own shape.

    Raises Problem for a missing folder, fewer than `fewest` photos, and a photo or caption that
    cannot be read. Files that are not photos are left alone.
    """
    return [
        Photo(path, read_image(path, resolution, bucket_step), read_caption(path))
        for path in photo_paths(folder, fewest)
    ]


def photos_in(folder: Path) -> list[Path]:
    """The photos' files, in order of name, however few."""
    # hidden files are no photos: Macs write ._NAME.jpg, and a power cut leaves a half of ours
    shown = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in shown if path.suffix.lower() in SUFFIXES)


def photo_paths(folder: Path | str, fewest: int = FEWEST) -> list[Path]:
    """The photos' files, in order of name. Raises Problem for a missing folder and for fewer than
    `fewest` photos."""
    folder = Path(folder)
    if not folder.is_dir():
        raise Problem("The photo folder does not exist", folder, "Check the path")
    paths = photos_in(folder)
    if len(paths) >= fewest:
        return paths
    if paths:
        photos = "1 photo" if len(paths) == 1 else f"{len(paths)} photos"
        what = f"The folder holds {photos}, and training needs at least {fewest}"
        do = "Add more; 15 to 20 are good"
    elif any(Path(name).suffix.lower() in SUFFIXES for name in _names_below(folder)):
        what = "The photos lie in folders within this one"
        do = 'Bring them together: sdnb.dataset.import_photos("that folder", sdnb.Project().photos)'
    else:
        what = "There are no photos in the folder"
        do = "Put 15 to 20 photos there (JPEG, PNG, HEIC, WebP and others)"
    raise Problem(what, folder, do)


def _names_below(folder: Path) -> Iterator[str]:
    """The files' names in the first folders below: all of /proc, or of a disk, would take long."""
    return (name for _, _, names in islice(os.walk(folder), 1000) for name in names)


def fingerprint(folder: Path | str) -> str:
    """A digest of the folder's photos and captions, 12 hexadecimal digits: it changes when any of
    them does."""
    digest = sha256()
    for path in sorted(path for path in Path(folder).glob("[!.]*") if path.is_file()):
        if path.suffix.lower() in SUFFIXES | {".txt"}:
            digest.update(os.fsencode(path.name) + path.read_bytes())
    return digest.hexdigest()[:12]


def read_image(path: Path, resolution: int, bucket_step: int = 0) -> Image.Image:
    """A photo in RGB, cropped and scaled to a square of `resolution` pixels a side, or to its
    bucket. Raises Problem where it cannot be read."""
    picture = open_picture(path)
    size = (resolution, resolution)
    if bucket_step:
        size = bucket(*picture.size, resolution, bucket_step)
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def bucket(width: int, height: int, resolution: int, step: int) -> tuple[int, int]:
    """The size of a photo's bucket: both sides multiples of `step` pixels, the area at most that of
    the square, the shape as near to the photo's as there is (NovelAI's aspect ratio bucketing, as
    kohya_ss does it). No side is under half or over twice the square's."""
    sides = range(resolution // 2 // step * step, 2 * resolution + 1, step)
    sizes = [(wide, resolution**2 // wide // step * step) for wide in sides if wide]
    fitting = [(wide, high) for wide, high in sizes if high >= resolution // 2 // step * step > 0]
    shape = math.log(width / height)
    return min(fitting, key=lambda size: abs(math.log(size[0] / size[1]) - shape))


def cut_off(width: float, height: float, target: tuple[int, int]) -> float:
    """The part of a picture's area that is lost when it is cropped to the shape of `target`."""
    wide, high = width * target[1], height * target[0]
    return 1 - min(wide, high) / max(wide, high)


def loss_by_shape(sizes: Sequence[tuple[int, int]]) -> list[dict[str, tuple[int, int] | float]]:
    """For each photo, (width, height) in pixels, its "bucket" at 512 pixels (as in `bucket`), and
    the parts of its area that are lost in a "square" and in that bucket ("lost"), between 0 and 1.
    """
    rows = []
    for width, height in sizes:
        own = bucket(width, height, 512, 64)
        square, lost = cut_off(width, height, (512, 512)), cut_off(width, height, own)
        rows.append({"bucket": own, "square": square, "lost": lost})
    return rows


def read_caption(path: Path) -> str:
    """The text of NAME.txt beside the photo NAME.jpg, on one line; empty where there is none.
    Raises Problem where it cannot be read."""
    caption = path.with_suffix(".txt")
    if not caption.exists():
        return ""
    try:
        return " ".join(caption.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        raise Problem("The caption cannot be read", caption, "Save it as UTF-8 text") from error
