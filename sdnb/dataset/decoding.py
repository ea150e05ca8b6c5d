"""Read what phones, cameras and people have: any common format, as upright sRGB on white."""

import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps
from pillow_heif import register_heif_opener

from sdnb.errors import Problem

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .heic .heif .avif .tif .tiff .bmp .gif".split()
)
register_heif_opener()  # the format of iPhones
AGAIN = "Open it in an image program and save it again as JPEG, or remove it"


def open_picture(path: Path, at_least: int | None = None) -> Image.Image:
    """The first picture in a file, RGB in the colours of sRGB, turned upright by its EXIF tag,
    transparent parts white.

    With `at_least`, a JPEG is made smaller while it is decoded, which is several times as fast: to
    a half, a quarter or an eighth, the smallest whose short side still has that many pixels. Other
    formats come whole. The format is known by the file's content, not by its name. Raises Problem
    for what cannot be read, and for more than 178 million pixels (Pillow's guard against
    decompression bombs).
    """
    with _opened(path) as file:
        if at_least:
            file.draft(None, (at_least, at_least))
        file.load()
        return _on_white(_srgb(ImageOps.exif_transpose(_eight_bits(file))))


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels of the upright picture, from the file's header, no pixel decoded.
    Raises Problem for what the header shows: no picture, or too many pixels."""
    with _opened(path) as file:
        lying = _turn(file) in (5, 6, 7, 8) and file.format != "TIFF"  # which Pillow turns itself
        return file.size[::-1] if lying else file.size


def changes(path: Path) -> list[str]:
    """What `open_picture` changes in the picture, in a few words each, from the file's header."""
    with _opened(path) as file:
        found = {
            "turned upright": _turn(file) in range(2, 9),
            "colours converted to sRGB": _has_profile(file) or file.mode == "CMYK",
            "transparent parts made white": file.has_transparency_data,
        }
    return [words for words, true in found.items() if true]


def map_photos(function: Callable, photos: Sequence, progress: bool) -> list:
    """The function's result for each photo, in order, or the Problem that it raises; several at
    once. Threads are enough: Pillow decodes and scales outside Python's lock."""
    from tqdm.contrib.concurrent import thread_map  # in a notebook it imports ipywidgets

    def call(photo: object) -> object:
        try:
            return function(photo)
        except Problem as problem:
            return problem

    with warnings.catch_warnings(action="ignore"):  # as in _opened, once around all threads
        # miniters: no update by tqdm's own thread, which Colab would not show
        return thread_map(
            call, photos, max_workers=os.cpu_count(), unit="photo", miniters=1, disable=not progress
        )


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The file opened by Pillow, its header read; whatever goes wrong, here or while it is decoded,
    is a Problem."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as file:
            yield file  # warned of large pictures and odd tags
    except Image.DecompressionBombError as error:
        raise Problem(
            "The photo has more than 178 million pixels", path, "Save a smaller copy of it"
        ) from error
    # whatever a broken file makes its decoder raise: six libraries, and no common class
    except Exception as error:
        raise Problem("The photo cannot be read", path, AGAIN) from error


def _turn(file: Image.Image) -> int:
    """The EXIF tag for how the camera was held: 1 is upright, from 5 on it lay on its side."""
    # Asked for its tags, a PNG decodes all pixels first, for they may stand behind them.
    blind = file.format == "PNG" and b"eXIf" not in Path(file.filename).read_bytes()
    exif = Image.Image.getexif(file) if blind else file.getexif()
    return exif.get(ExifTags.Base.Orientation, 1)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and floating grey as 8-bit; Pillow's own conversion would clip at 255."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float64)
    full = 65535.0 if image.mode.startswith("I") else max(values.max(), 1e-12)
    grey = Image.fromarray((values / full * 255).round().clip(0, 255).astype(np.uint8))
    grey.info = dict(image.info)
    if exif := image.getexif():
        grey.info["exif"] = exif.tobytes()
    return grey


def _srgb(image: Image.Image) -> Image.Image:
    """Colours by the picture's own profile (Display P3 of iPhones, print CMYK) as sRGB; a broken
    profile is no reason to lose a photo."""
    if not _has_profile(image):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        target = ImageCms.createProfile("sRGB")
        mode = "RGBA" if image.mode == "RGBA" else "RGB"  # transparent parts stay so
        return ImageCms.profileToProfile(image, source, target, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _has_profile(image: Image.Image) -> bool:
    """Whether its colours are to be read by a profile of its own."""
    return bool(image.info.get("icc_profile")) and image.mode in ("RGB", "RGBA", "CMYK", "L")


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        opaque = image.convert("RGB")
        opaque.info = {}  # as below: pixels alone, no profile to be applied twice
        return opaque
    rgba = image.convert("RGBA")  # so that every kind of transparency (palette, grey) is seen
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
