"""Read prepared photos: upright, RGB, square, with their captions."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from PIL import Image, ImageOps

from sdnb.problems import Problem

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
FEWEST = 3  # with one or two photos a model learns the photo, not the subject


@dataclass(frozen=True)
class Photo:
    """One photo, ready for training: `image` is RGB and square, `caption` may be empty."""

    path: Path
    image: Image.Image
    caption: str


def read_photos(folder: Path | str, resolution: int) -> list[Photo]:
    """The photos of `folder` in order of name, each `resolution` pixels a side.

    Raises Problem for a missing folder, fewer than three photos, and a photo or caption that
    cannot be read. Files that are not photos are left alone.
    """
    return [
        Photo(path, read_image(path, resolution), read_caption(path))
        for path in photo_paths(folder)
    ]


def photo_paths(folder: Path | str) -> list[Path]:
    """The photos' files, in order of name. Raises Problem for a missing folder and fewer than three
    photos."""
    folder = Path(folder)
    if not folder.is_dir():
        raise Problem("The photo folder does not exist", folder, "Check the path")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise Problem(
            "There are no photos in the folder",
            folder,
            f"Put 15 to 20 photos there ({', '.join(sorted(SUFFIXES))})",
        )
    if len(paths) < FEWEST:
        raise Problem(
            f"The folder holds {len(paths)} photo{'s' * (len(paths) > 1)}, "
            f"and training needs at least {FEWEST}",
            folder,
            "Add more; 15 to 20 are good",
        )
    return paths


def fingerprint(folder: Path | str) -> str:
    """A short digest of the folder's photos and captions: it changes when any of them does."""
    digest = sha256()
    for path in sorted(path for path in Path(folder).glob("*") if path.is_file()):
        if path.suffix.lower() in SUFFIXES | {".txt"}:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def read_image(path: Path, resolution: int) -> Image.Image:
    """Open a photo, turn it upright by its EXIF tag, and crop and scale it to a square."""
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            # via RGBA, so that every kind of transparency (palette, grey) is seen
            rgba = upright.convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Problem(
            "The photo cannot be read",
            path,
            "Open it in an image program and save it again, or remove it",
        ) from error
    on_white = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return ImageOps.fit(on_white, (resolution, resolution), Image.Resampling.LANCZOS)


def read_caption(path: Path) -> str:
    """The text of NAME.txt beside the photo NAME.jpg, on one line; empty where there is none."""
    caption = path.with_suffix(".txt")
    if not caption.exists():
        return ""
    try:
        return " ".join(caption.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        raise Problem("The caption cannot be read", caption, "Save it as UTF-8 text") from error
