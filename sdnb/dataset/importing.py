"""Bring a learner's photos into the project: copies of a folder's or a zip's, originals untouched.

Folders in folders become one; kohya_ss's folders "10_ravo man" are recognised and explained. A
file that is no photo stays where it is and is listed.
"""

import os
import re
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from sdnb.dataset.decoding import LARGEST, SUFFIXES
from sdnb.dataset.photos import LONGEST, caption_files, is_photo
from sdnb.errors import Problem, bytes_in_words, printable, reason
from sdnb.files import make_writable_folder, ordinary, write_atomically, write_beside

KOHYA = re.compile(r"(\d{1,9})_(.+)")  # "10_ravo man": ten repeats of what shows a ravo man
HIDDEN = re.compile(r"__MACOSX|\.(?!\.$)")  # of programs; ".." is not hidden but refused
MOST = 10_000_000_000  # bytes of photos: a zip of a few megabytes can unpack to more than a disk


@dataclass
class Imported:
    """What was brought in. `repeats` are kohya_ss's, by folder; `aside` is what was left alone,
    `remarks` say by name what could not be copied, and why."""

    photos: list[Path] = field(default_factory=list)
    captions: int = 0
    aside: list[str] = field(default_factory=list)
    repeats: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.photos)} photos and {self.captions} captions were copied."]
        for name, times in self.repeats.items():
            asks = f"The folder {name!r} asks kohya_ss for {times} repeats in each epoch"
            lines.append(f"{asks}; here views_per_photo says how often a photo is seen.")
        lines += self.remarks.values()
        if self.aside:
            lines.append(f"Left alone: {', '.join(self.aside)}.")
        return printable("\n".join(lines))


def import_photos(source: Path | str, target: Path | str) -> Imported:
    """Copy the photos of `source`, a folder or a zip, and the captions beside them to `target`.

    A photo from a folder within is called FOLDER-NAME; one that is in `target` already is not
    written again, another one of its name becomes NAME-2, and a caption there is never overwritten.
    Returns what was brought in; a file that cannot be read or written does not stop the others.
    Raises Problem where there is no such source, the zip is broken or unpacks to more than 10 GB of
    photos, no photo can be copied, or `target` cannot be written.
    """
    source, result = Path(source), Imported()
    files = _files(source, result)
    photos = [(path, read) for path, read in files if is_photo(path)]
    if not photos:
        advice = " ".join(["Choose another folder or zip.", *result.remarks.values()])
        raise Problem("There are no photos in it", source, advice)
    captions, reads = caption_files(path for path, _ in files), dict(files)
    folder, used = make_writable_folder(target), {read for _, read in photos}
    for path, read in photos:
        with _noted(path, result):
            copy = write_beside(folder / "-".join(path.parts), read(LARGEST))
            if copy not in result.photos:  # a zip may hold it twice
                result.photos.append(copy)
            if kohya := KOHYA.fullmatch(path.parent.name):
                result.repeats[path.parent.name] = int(kohya[1])
            if caption := captions.get(path):
                used.add(reads[caption])
                _bring_caption(caption, reads[caption], copy.with_suffix(".txt"), result)
    if not result.photos:
        raise Problem("None of it can be copied", source, " ".join(result.remarks.values()))
    result.aside = [str(path) for path, read in files if read not in used]
    return result


Read = Callable[[int], bytes]
"""Reads a file that has at most so many bytes; raises whatever is wrong with it."""


def _bring_caption(path: PurePosixPath, read: Read, place: Path, result: Imported) -> None:
    with _noted(path, result):
        content = read(LONGEST)
        if not os.path.lexists(place):
            write_atomically(place, content)
            result.captions += 1
        elif ordinary(place, LONGEST).read_bytes() != content:
            result.remarks[str(path)] = f"{path} was not copied: {place.name} is another caption."


@contextmanager
def _noted(path: object, result: Imported) -> Iterator[None]:
    """What goes wrong with one file is no reason to stop: it becomes a remark."""
    try:
        yield
    except Problem as problem:
        result.remarks[str(path)] = str(problem)
    except Exception as error:  # what a damaged zip may raise has no common class
        result.remarks[str(path)] = f"{path} cannot be read: {reason(error)}."


def _files(source: Path, result: Imported) -> list[tuple[PurePosixPath, Read]]:
    """The files of a folder or a zip without hidden ones, in order of path."""
    try:
        found = _in_folder(source, result) if source.is_dir() else _in_zip(source)
        shown = [file for file in found if not any(map(HIDDEN.match, file[0].parts))]
        return sorted(shown, key=lambda file: file[0])
    except FileNotFoundError as error:
        raise Problem("There is no such folder or zip", source, "Check the path") from error
    except Exception as error:  # as above
        what = f"The zip cannot be read: {reason(error)}"
        raise Problem(what, source, "Make it anew, smaller and without a password") from error


def _in_folder(source: Path, result: Imported) -> Iterator[tuple[PurePosixPath, Read]]:
    def read(path: Path, largest: int) -> bytes:
        if not path.resolve().is_relative_to(source.resolve()):
            raise OSError("it is a link that leads out of the folder")
        return ordinary(path, largest).read_bytes()

    def note(error: OSError) -> None:
        result.remarks[error.filename] = f"{error.filename} cannot be read: {reason(error)}."

    for root, folders, names in os.walk(source, onerror=note):
        names += [name for name in folders if os.path.islink(os.path.join(root, name))]
        for path in (Path(root, name) for name in names):
            yield PurePosixPath(path.relative_to(source)), partial(read, path)


def _in_zip(source: Path) -> Iterator[tuple[PurePosixPath, Read]]:
    def read(path: PurePosixPath, info: zipfile.ZipInfo, largest: int) -> bytes:
        if path.is_absolute() or ".." in path.parts:
            raise OSError("it leads out of the zip")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise OSError("it is a link, and no file")
        if info.file_size > largest:
            raise OSError(f"it is larger than {bytes_in_words(largest)}")
        return archive.read(info)

    archive = zipfile.ZipFile(ordinary(source, sys.maxsize))
    photos = [i for i in archive.infolist() if i.filename.lower().endswith(tuple(SUFFIXES))]
    if sum(info.file_size for info in photos) > MOST:
        raise OSError(f"its photos are more than {bytes_in_words(MOST)}")
    for info in archive.infolist():
        # a backslash is Windows' mark between folders, and a colon that of a drive
        path = PurePosixPath(info.filename.replace("\\", "/").replace(":", "-"))
        if not info.is_dir():
            yield path, partial(read, path, info)
