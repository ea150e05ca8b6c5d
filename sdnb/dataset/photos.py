"""Read prepared photos: upright, RGB, square or in buckets of shapes, with their captions."""

import math
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePath

from PIL import Image, ImageOps

from sdnb.dataset.decoding import LARGEST, SUFFIXES, open_picture
from sdnb.errors import Problem, reason, some_of
from sdnb.files import ordinary

LONGEST = 100_000  # bytes of a caption, where a model reads 77 words
FEWEST = 3  # with one or two photos a model learns the photo, not the subject
CAPTIONS = (".txt", ".caption")  # how caption files end, here and in kohya_ss; the first is ours
MASKS = ("-masklabel", "-condlabel")  # what OneTrainer keeps beside NAME.jpg is called NAME and so
# how files end that may hold captions: remarked on where they are not read
WORDS = set(".txt .caption .captions .cap .tags .wd14_cap .jsonl .csv .rtf .docx".split())


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
    texts = read_captions(photo_paths(folder, fewest)).items()
    return [Photo(path, read_image(path, resolution, bucket_step), text) for path, text in texts]


def photos_in(folder: Path) -> list[Path]:
    """The photos' files, in order of name, however few. Raises Problem for a missing folder, or one
    that cannot be read."""
    try:
        # hidden files are no photos: Macs write ._NAME.jpg, and a power cut leaves a half of ours
        shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = "does not exist" if missing else f"cannot be read: {reason(error)}"
        raise Problem(f"The photo folder {what}", folder, "Check the path") from error
    return sorted(filter(is_photo, shown))


def is_photo(path: PurePath) -> bool:
    """Whether a file's name is a photo's: a mask beside one is none."""
    return path.suffix.lower() in SUFFIXES and not path.stem.endswith(MASKS)


def photo_paths(folder: Path | str, fewest: int = FEWEST) -> list[Path]:
    """The photos' files, in order of name. Raises Problem as `photos_in`, and for fewer than
    `fewest` photos."""
    folder = Path(folder)
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
    them does. Raises Problem for one that cannot be read."""
    digest = sha256()
    for path in sorted(path for path in Path(folder).glob("[!.]*") if path.is_file()):
        if path.suffix.lower() in SUFFIXES.union(CAPTIONS):
            digest.update(os.fsencode(path.name) + read_bytes(path, LARGEST))
    return digest.hexdigest()[:12]


def read_image(path: Path, resolution: int, bucket_step: int = 0) -> Image.Image:
    """A photo in RGB, cropped and scaled to a square of `resolution` pixels a side, or to its
    bucket. Raises Problem where it cannot be read."""
    picture, size = open_picture(path), (resolution, resolution)
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


def caption_files(files: Iterable[PurePath]) -> dict:
    """The caption file of each photo among `files`, of a folder or in a zip: NAME.txt or
    NAME.caption beside NAME.jpg, or NAME.jpg.txt; the ending in letters of any size, the name in
    either normal form of Unicode (a Mac writes "é" as two characters)."""
    files = set(files)
    by_name = {_normal(path): path for path in files if path.suffix.lower() in CAPTIONS}
    found = {}
    for photo in filter(is_photo, files):
        names = [photo.with_suffix(end) for end in CAPTIONS]
        names += [photo.with_name(photo.name + end) for end in CAPTIONS]
        fitting = (name if name in files else by_name.get(_normal(name)) for name in names)
        if caption := next(filter(None, fitting), None):
            found[photo] = caption
    return found


def _normal(path: PurePath) -> PurePath:
    return path.with_name(unicodedata.normalize("NFC", path.stem) + path.suffix.lower())


def caption_file(photo: Path) -> Path:
    """Where a photo's caption stands, or belongs where there is none."""
    return caption_files(photo.parent.iterdir()).get(photo, photo.with_suffix(CAPTIONS[0]))


def read_captions(
    photos: Sequence[Path], problems: dict[str, str] | None = None
) -> dict[Path, str]:
    """The caption of each of a folder's photos, as `literal`; empty where there is none. Raises
    Problem where one cannot be read, unless there are `problems` to note it in, by its name."""
    files = caption_files(photos[0].parent.iterdir()) if photos else {}
    texts = dict.fromkeys(photos, "")
    for photo in filter(files.get, photos):
        try:
            texts[photo] = text_of(files[photo])
        except Problem as problem:
            if problems is None:
                raise
            problems[files[photo].name] = str(problem)
    return texts


def read_caption(photo: Path) -> str:
    """The caption of one photo, as `read_captions` finds it."""
    return read_captions([photo])[photo]


def text_of(caption: Path) -> str:
    """What a caption file says, as `literal`. Raises Problem where it cannot be read."""
    try:
        return literal(read_bytes(caption, LONGEST).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Problem("The caption cannot be read", caption, "Save it as UTF-8 text") from error


def literal(caption: str) -> str:
    r"""A caption as the text encoder shall read it: on one line, in one normal form, and without
    the backslash that makes a bracket a bracket in prompts, for here each is one.

    >>> literal("ravo \\(a man\\)")
    'ravo (a man)'
    """
    caption = re.sub(r"\\([()\[\]\\])", r"\1", unicodedata.normalize("NFC", caption))
    return " ".join(caption.split())


def unread_files(folder: Path) -> list[str]:
    """A sentence about the captions and masks in a photo folder that are not read, if there are
    any, and about the photos without a caption then."""
    photos, files = photos_in(folder), list(folder.glob("[!.]*"))
    captions, names = caption_files(files), {n for p in photos for n in (p.stem, p.name)}
    others = set(files) - set(photos) - set(captions.values())
    unread = [path.name for path in others if path.suffix.lower() in SUFFIXES | WORDS]
    unread += [path.name for path in others if path.suffix == ".json" and path.stem in names]
    silent = [photo.name for photo in photos if photo not in captions]
    none = f"No caption is found for {some_of(silent)}. " if silent else ""
    where = "A caption is NAME.txt beside NAME.jpg."
    return [f"{none}Not read: {some_of(sorted(unread))}. {where}"] if unread else []


def read_bytes(path: Path, largest: int) -> bytes:
    """What is in a photo or a caption. Raises Problem where that cannot be read, has no end, or is
    more than `largest` bytes."""
    try:
        return ordinary(path, largest).read_bytes()
    except OSError as error:
        kind = "caption" if path.suffix.lower() in CAPTIONS else "photo"
        what = f"The {kind} cannot be read: {reason(error)}"
        raise Problem(what, path, "Mend or remove the file") from error
