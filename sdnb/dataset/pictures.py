"""Read what phones, cameras and people have: any common format, as upright sRGB on white."""

import io
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from sdnb.problems import Problem

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .heic .heif .avif .tif .tiff .bmp .gif".split()
)
AGAIN = "Open it in an image program and save it again as JPEG, or remove it"


def open_picture(path: Path) -> Image.Image:
    """The first picture in a file, RGB in the colours of sRGB, turned upright by its EXIF tag,
    transparent parts white.

    The format is told by the file's content, not by its name. Raises Problem for what cannot be
    read, and for more than 178 million pixels (Pillow's guard against decompression bombs).
    """
    _open_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and odd tags
            with Image.open(path) as file:
                file.load()
                return _on_white(_srgb(ImageOps.exif_transpose(_eight_bits(file))))
    except Image.DecompressionBombError as error:
        raise Problem(
            "The photo has more than 178 million pixels", path, "Save a smaller copy of it"
        ) from error
    # whatever a broken file makes its decoder raise: six libraries, and no common class
    except Exception as error:
        if path.suffix.lower() in (".heic", ".heif") and not _open_heif():
            raise Problem(
                "Photos of this kind need the package pillow-heif",
                path,
                "Run `pip install pillow-heif`, or save the photo as JPEG",
            ) from error
        raise Problem("The photo cannot be read", path, AGAIN) from error


@cache
def _open_heif() -> bool:
    """Teach Pillow the format of iPhones, where the package for it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


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
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK", "L"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")  # so that every kind of transparency (palette, grey) is seen
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
