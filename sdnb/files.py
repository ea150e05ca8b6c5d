"""Writing a file so that a crash or a full disk leaves the old one or the new one, never half, and
without writing over another."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

from safetensors import SafetensorError

from sdnb.errors import Problem
from sdnb.known_errors import recognised

ASIDE = re.compile(r"\..+\.\d+(\.\w+)?")  # what is written here is called so until it is whole


def write_atomically(path: Path | str, content: bytes | Callable[[Path], object]) -> None:
    """Write `content` beside `path`, flush it to the disk, then rename it over `path`.

    `content` is the bytes, or a function that writes them to the path it is given (same folder,
    same suffix). Raises Problem where the disk is full or the folder cannot be written; whatever
    was at `path` before is then still there.
    """
    path = Path(path)
    aside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(aside)
        else:
            aside.write_bytes(content)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except (OSError, SafetensorError) as error:
        raise write_problem(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def write_beside(path: Path, content: bytes) -> Path:
    """Write `content` to `path`, or to NAME-2 and so on where another file has that name; what is
    there already is not written twice. Returns where it is. Raises Problem as `write_atomically`.
    """
    stem = path.stem
    for number in count(2):
        if not path.exists():
            write_atomically(path, content)
            return path
        if path.read_bytes() == content:
            return path
        path = path.with_stem(f"{stem}-{number}")


def write_folder_atomically(path: Path | str, fill: Callable[[Path], object]) -> None:
    """The same for a folder: `fill` writes its files into an empty folder beside `path`, which is
    renamed when all of them are on the disk. An earlier folder there is replaced."""
    path = Path(path)
    aside, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("new", "old"))
    try:
        aside.mkdir(parents=True)
        fill(aside)
        for file in (file for file in aside.rglob("*") if file.is_file()):
            with file.open("rb+") as open_file:
                os.fsync(open_file.fileno())
        if path.exists():
            os.replace(path, old)
        os.replace(aside, path)
    except (OSError, SafetensorError) as error:
        raise write_problem(error, path) from error
    finally:
        if old.exists() and not path.exists():  # stopped between the two renames
            with contextlib.suppress(OSError):
                os.replace(old, path)
        shutil.rmtree(aside, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def sweep_aside(folder: Path) -> None:
    """Delete what a killed program had begun to write in `folder`, and nothing else."""
    for left in folder.glob(".*"):
        if not ASIDE.fullmatch(left.name):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_problem(error: Exception, path: Path | str) -> Problem:
    """The Problem that says in words why `path` could not be written."""
    if known := recognised(error):
        return Problem(known.what, path, known.do)
    reason = getattr(error, "strerror", None) or str(error)
    return Problem(
        f"The file cannot be written: {reason}", path, "Choose a folder that belongs to you"
    )


def make_writable_folder(folder: Path | str) -> Path:
    """Create `folder` (with its parents) and prove that files can be written there, or Problem."""
    folder = Path(folder)
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        what = f"The folder cannot be written: {error.strerror or error}"
        raise Problem(what, folder, write_problem(error, folder).do) from error
    return folder
