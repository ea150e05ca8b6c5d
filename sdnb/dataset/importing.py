"""Bring a learner's photos into the project: copies of a folder's or a zip's, originals untouched.

Folders in folders become one; kohya_ss's folders "10_ravo man" are recognised and explained. A
file that is no photo stays where it is and is listed.
"""

import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from sdnb.dataset.photos import caption_files, is_photo
from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically, write_beside

KOHYA = re.compile(r"(\d+)_(.+)")  # "10_ravo man": ten repeats of what shows a ravo man
SKIPPED = ("__MACOSX", ".", "/")  # left behind by programs; hidden or "../"; of an absolute path
# what a damaged zip may raise, or one with a password
BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError)
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
    Returns what was brought in. Raises Problem where there is no such source, the zip is broken, it
    holds no photo, or `target` cannot be written.
    """
    source = Path(source)
    if not source.exists():
        raise Problem("There is no such folder or zip", source, "Check the path")
    try:
        files = _files(source)
    except BROKEN as error:
        raise Problem(
            "The zip cannot be read", source, "Make it anew, without a password"
        ) from error
    fitting = [path for path, (size, _) in files.items() if size <= LARGEST]
    photos, captions = list(filter(is_photo, fitting)), caption_files(fitting)
    if not photos:
        raise Problem("There are no photos in it", source, "Choose another folder or zip")
    folder, result, used = make_writable_folder(target), Imported(), set()
    for path in photos:
        copy = write_beside(folder / "-".join(path.parts), files[path][1]())
        result.photos.append(copy)
        if kohya := KOHYA.fullmatch(path.parent.name):
            result.repeats[path.parent.name] = int(kohya[1])
        caption = captions.get(path)
        if caption and not copy.with_suffix(".txt").exists():
            write_atomically(copy.with_suffix(".txt"), files[caption][1]())
            result.captions += 1
        used |= {path, caption}
    result.aside = [str(path) for path in files if path not in used]
    return result


Files = dict[PurePosixPath, tuple[int, Callable[[], bytes]]]
"""By the path within the source: the size in bytes, and what reads them. In order of path."""


def _files(source: Path) -> Files:
    """The files of a folder or a zip, without hidden ones and what leads out of it."""
    if source.is_file():
        archive = zipfile.ZipFile(source)
        if archive.testzip():
            raise zipfile.BadZipFile
        infos = [info for info in archive.infolist() if not info.is_dir()]
        found = {i.filename: (i.file_size, partial(archive.read, i)) for i in infos}
    else:
        home = source.resolve()
        paths = [path for path in source.rglob("*") if path.is_file()]
        inside = [path for path in paths if path.resolve().is_relative_to(home)]  # links lead out
        found = {p.relative_to(source).as_posix(): (p.stat().st_size, p.read_bytes) for p in inside}
    files = {PurePosixPath(name): found[name] for name in sorted(found)}
    return {p: files[p] for p in files if not any(part.startswith(SKIPPED) for part in p.parts)}
