"""Bring a learner's photos into the project: copies of a folder's or a zip's, originals untouched.

Folders in folders become one; kohya_ss's folders "10_ravo man" are recognised and explained. A
file that is no photo stays where it is and is listed.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sdnb.dataset.pictures import SUFFIXES
from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically, write_beside

KOHYA = re.compile(r"(\d+)_(.+)")  # "10_ravo man": ten repeats of what shows a ravo man
LEFT_BEHIND = ("__MACOSX", ".")  # by programs; hidden files
BROKEN = (zipfile.BadZipFile, zlib.error)  # what a damaged zip may raise
LARGEST = 200_000_000  # bytes: no photo is larger, but a hostile zip may be


@dataclass
class Imported:
    """What was brought in. `repeats` are kohya_ss's, by folder; `aside` what was left alone."""

    photos: list[Path] = field(default_factory=list)
    captions: int = 0
    aside: list[str] = field(default_factory=list)
    repeats: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.photos)} photos and {self.captions} captions were copied."]
        for name, times in self.repeats.items():
            lines.append(
                f"The folder {name!r} asks kohya_ss for {times} repeats in each epoch; here "
                "views_per_photo says how often a photo is seen."
            )
        if self.aside:
            lines.append(f"Left alone: {', '.join(self.aside)}.")
        return "\n".join(lines)


def import_photos(source: Path | str, target: Path | str) -> Imported:
    """Copy the photos of `source`, a folder or a zip, and the captions beside them to `target`.

    A photo from a folder within is called FOLDER-NAME; one that is in `target` already is not
    written again, another one of its name becomes NAME-2, and a caption there is never overwritten.
    Returns what was brought in. Raises Problem where there is no such source, the zip is broken, or
    it holds no photo.
    """
    source = Path(source)
    if not source.exists():
        raise Problem("There is no such folder or zip", source, "Check the path")
    try:
        entries = list(_of_zip(source) if source.is_file() else _of_folder(source))
    except (*BROKEN, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise Problem(
            "The zip cannot be read", source, "Make it anew, without a password"
        ) from error
    photos = {p for p, _ in entries if p.suffix.lower() in SUFFIXES}
    if not photos:
        raise Problem("There are no photos in it", source, "Choose another folder or zip")
    folder, done, copies = make_writable_folder(target), Imported(), {}
    for path, content in sorted(entries, key=lambda entry: str(entry[0])):
        if path in photos and _size(content) <= LARGEST:
            copy = write_beside(folder / "-".join(path.parts), content.read_bytes())
            copies[path.with_suffix("")] = copy
            done.photos.append(copy)
            if kohya := KOHYA.fullmatch(path.parent.name):
                done.repeats[path.parent.name] = int(kohya[1])
        elif path.suffix.lower() != ".txt":
            done.aside.append(str(path))
    for path, content in entries:
        if path.suffix.lower() != ".txt":
            continue
        if not (photo := copies.get(path.with_suffix(""))):
            done.aside.append(str(path))
        elif not (caption := photo.with_suffix(".txt")).exists():
            write_atomically(caption, content.read_bytes())
            done.captions += 1
    return done


def _of_folder(folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """(path within the folder, the file), links out of the folder left out."""
    home = folder.resolve()
    for path in folder.rglob("*"):
        inside = PurePosixPath(path.relative_to(folder).as_posix())
        if path.is_file() and path.resolve().is_relative_to(home) and not _hidden(inside):
            yield inside, path


def _of_zip(file: Path) -> Iterator[tuple[PurePosixPath, zipfile.Path]]:
    """(path within the zip, the entry), entries that would lead out of it ("../") left out."""
    with zipfile.ZipFile(file) as opened:
        if opened.testzip():
            raise zipfile.BadZipFile
    root = zipfile.Path(file)
    for name in root.root.namelist():
        inside = PurePosixPath(name)
        if name.endswith("/") or inside.is_absolute() or ".." in inside.parts or _hidden(inside):
            continue
        yield inside, root / name


def _hidden(inside: PurePosixPath) -> bool:
    return any(part.startswith(LEFT_BEHIND) for part in inside.parts)


def _size(file: Path | zipfile.Path) -> int:
    if isinstance(file, Path):
        return file.stat().st_size
    return file.root.getinfo(file.at).file_size
