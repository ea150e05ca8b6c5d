"""Read what phones, cameras and people have: any common format, as upright sRGB on white."""

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms
from pillow_heif import register_heif_opener

from sdnb.errors import Problem
from sdnb.files import ordinary

SUFFIXES = set(".jpg .jpeg .jpe .jfif .png .webp .heic .heif .avif .tif .tiff .bmp .gif".split())
register_heif_opener()  # the format of iPhones
AGAIN = "Open it in an image program and save it again as JPEG, or remove it"
LARGEST = 500_000_000  # bytes: no photo is larger, but a link or a hostile zip may lead to more
MOST, LARGE = 100_000_000, 25_000_000  # pixels: to be decoded at all; in one thread at a time
TURNS = dict(zip(range(2, 9), (0, 3, 1, 5, 4, 6, 2)))  # by the EXIF tag: Pillow's Image.Transpose
DEPTHS = [2**bits - 1 for bits in (8, 10, 12, 14, 16)]
_one_at_a_time = threading.Lock()


def open_picture(path: Path, at_least: int | None = None) -> Image.Image:
    """The first picture in a file, RGB in the colours of sRGB, turned upright by its EXIF tag,
    transparent parts white. Where grey values of more than 8 bits were scaled, `info` says how.

    With `at_least`, a JPEG is made smaller while it is decoded, which is several times as fast: to
    a half, a quarter or an eighth, the smallest whose short side still has that many pixels. Other
    formats come whole up to 25 million pixels; above, they are made smaller in the same sense. A
    JPEG of more than 100 million pixels comes at half its size or less. The format is known by the
    file's content, not by its name. Raises Problem for what cannot be read, and for more than 100
    million pixels (178 in a JPEG, Pillow's guard against decompression bombs), so that no picture
    takes more than 1.7 GB.
    """
    with _opened(path) as file:
        short = min(file.size)
        if file.width * file.height > MOST:
            at_least = min(at_least or short, short // 2)
        if at_least:
            file.draft(None, (at_least, at_least))
        if file.width * file.height <= LARGE:
            return _decoded(file)
        # by a thread of its own: each thread of the C library keeps the memory that it has had
        with _one_at_a_time, ThreadPoolExecutor(1) as thread:
            return thread.submit(_decoded, file, at_least).result()


def _decoded(file: Image.Image, at_least: int | None = None) -> Image.Image:
    """The picture as `open_picture` gives it; with `at_least` scaled down by a whole number."""
    file.load()
    image, scaled = _eight_bits(file)
    picture = _on_white(_srgb(image))
    if at_least and (part := min(picture.size) // at_least) > 1:
        picture = picture.reduce(part)
    if (turn := _turn(file)) in TURNS:
        picture = picture.transpose(TURNS[turn])
    picture.info = {"scaled": scaled} if scaled else {}
    return picture


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels of the upright picture, from the file's header, no pixel decoded.
    Raises Problem for what the header shows: no picture, or too many pixels."""
    with _opened(path) as file:
        lying = _turn(file) in (5, 6, 7, 8) and file.format != "TIFF"  # which Pillow turns itself
        return file.size[::-1] if lying else file.size


def changes(path: Path) -> list[str]:
    """What `open_picture` changes in the picture, in a few words each, from the file's header."""
    with _opened(path) as file:
        turn = _turn(file)  # once: asked again, Pillow says nothing of tags that are broken
        found = {
            "turned upright": turn in TURNS,
            "colours converted to sRGB": _has_profile(file) or file.mode == "CMYK",
            "transparent parts made white": file.has_transparency_data,
            "taken as upright, for its EXIF cannot be read": turn == 0,
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
        shown = {"unit": "photo", "miniters": 1, "disable": not progress}
        return thread_map(call, photos, max_workers=min(os.cpu_count(), 8), **shown)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The file opened by Pillow, its header read; whatever goes wrong, here or while it is decoded,
    is a Problem."""
    try:
        # warned of large pictures and odd tags
        with warnings.catch_warnings(action="ignore"), Image.open(ordinary(path, LARGEST)) as file:
            if file.width * file.height > MOST and file.format not in ("JPEG", "MPO"):
                raise Image.DecompressionBombError
            yield file
    except (Image.DecompressionBombError, MemoryError) as error:
        what = "The photo has too many pixels: 100 million are the most, and 178 in a JPEG"
        raise Problem(what, path, "Save a smaller copy of it") from error
    # whatever a broken file makes its decoder raise: six libraries, and no common class
    except Exception as error:
        told = getattr(error, "strerror", None)  # by the system, of the file and not the picture
        what = f"The photo cannot be read{f': {told}' if told else ''}"
        raise Problem(what, path, "Mend or remove the file" if told else AGAIN) from error


def _turn(file: Image.Image) -> int:
    """The EXIF tag for how the camera was held: 1 is upright, from 5 on it lay on its side; 0 where
    it cannot be read, which counts as upright."""
    try:
        # Asked for its tags, a PNG decodes all pixels first, for they may stand behind them.
        blind = file.format == "PNG" and b"eXIf" not in Path(file.filename).read_bytes()
        exif = Image.Image.getexif(file) if blind else file.getexif()
        turn = exif.get(ExifTags.Base.Orientation, 1)
        return turn if turn in range(1, 9) else 1
    except Exception:  # as many kinds as there are ways to break it
        return 0


def _eight_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """Grey of 16 or 32 bits or floating as 8-bit, for Pillow's own conversion would clip at 255;
    and how its values were scaled, in words, where that was not plain."""
    if not image.mode.startswith(("I", "F")):
        return image, ""
    values = np.asarray(image)
    low, full = _grey_range(values.ravel()[:: 1 + values.size // 10_000_000])
    scaled = np.subtract(values, low, dtype=np.float32)
    scaled *= 255 / (full - low)
    np.nan_to_num(scaled, copy=False)  # what is no number becomes black
    grey = Image.fromarray(scaled.round(out=scaled).clip(0, 255, out=scaled).astype(np.uint8))
    grey.info = dict(image.info)
    plain = low == 0 and full in (255, 65535) and np.isfinite(values).all()
    return grey, "" if plain else f"grey values from {low:g} to {full:g} shown as 0 to 255"


def _grey_range(values: np.ndarray) -> tuple[float, float]:
    """The values that shall be black and white. A few pixels may lie outside, for a sensor has hot
    ones. White is the most that the depth allows (8, 10, 12, 14 or 16 bits, the least that holds
    the values), or the brightest that is there: of fractions, and where there is no such depth."""
    values = values[np.isfinite(values)]
    rare = min(max(1, values.size // 10_000, min(values.size // 1000, 10)), (values.size - 1) // 2)
    low, peak = (float(np.partition(values, at)[at]) for at in (rare, values.size - 1 - rare))
    if low >= 0 and peak > 1 and (values == np.rint(values)).all():
        return 0, next((depth for depth in DEPTHS if depth >= peak), peak)
    return min(low, 0), peak if peak > min(low, 0) else 1


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
    """Pixels alone, no profile to be applied twice; with as few copies as there can be."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    # so that every kind of transparency (palette, grey) is seen
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba)
    return white
