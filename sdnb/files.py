"""Writing a file so that a crash or a full disk leaves the old one or the new one, never half, and
without writing over another; and reading none that has no end."""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable
from functools import lru_cache
from hashlib import file_digest, sha256
from itertools import count
from pathlib import Path

import psutil
from safetensors import SafetensorError

from sdnb.errors import Problem, bytes_in_words, reason
from sdnb.known_errors import recognised

# process, token, and which file it will be
ASIDE = re.compile(r"\.sdnb-(\d{1,9})-([0-9a-f]{8})-.+")
TOKEN = secrets.token_hex(4)  # of this process: its number was perhaps another's before
SHORT = 60  # characters of a stem: at most 240 bytes of the 255 that a disk allows a name


def write_atomically(path: Path | str, content: bytes | Callable[[Path], object]) -> None:
    """Write `content` beside `path`, flush it to the disk, then rename it over `path`.

    `content` is the bytes, or a function that writes them to the path it is given (same folder,
    same suffix). Raises Problem where the disk is full or the folder cannot be written; whatever
    was at `path` before is then still there.
    """
    path = Path(path)
    aside = aside_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_aside(path.parent)
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
        if not os.path.lexists(path):
            write_atomically(path, content)
            return path
        with contextlib.suppress(OSError):  # what cannot be read is another file
            if ordinary(path, len(content)).read_bytes() == content:
                return path
        path = path.with_stem(f"{stem[:SHORT]}-{number}")


def write_folder_atomically(path: Path | str, fill: Callable[[Path], object]) -> None:
    """The same for a folder: `fill` writes its files into an empty folder beside `path`, which is
    renamed when all of them are on the disk. An earlier folder there is replaced."""
    path = Path(path)
    aside, old = aside_path(path), aside_path(path, "old")
    try:
        aside.mkdir(parents=True)
        sweep_aside(path.parent)
        _settle(old, path)
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
        _settle(old, path)
        shutil.rmtree(aside, ignore_errors=True)


def _settle(old: Path, path: Path) -> None:
    """Bring the earlier folder back where a run was stopped between the two renames; else it is of
    no use any more."""
    with contextlib.suppress(OSError):
        if old.exists() and not path.exists():
            os.replace(old, path)
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)


def aside_path(path: Path, owner: str = "") -> Path:
    """Where `path` is written until it is whole: in the same folder, with the same suffix, by a
    name that carries our mark and this process, or another `owner`. It is short, however long the
    name of `path` is."""
    owner = owner or f"{os.getpid()}-{TOKEN}"
    digest = sha256(path.name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return path.with_name(f".sdnb-{owner}-{digest}{path.suffix if len(path.suffix) < 20 else ''}")


def sweep_aside(folder: Path) -> None:
    """Delete what killed programs had begun to write in `folder`: what carries our mark and whose
    process is gone, and nothing else. Every write here does it first."""
    for left in folder.glob(".sdnb-*"):
        if not (mark := ASIDE.fullmatch(left.name)):
            continue
        process, token = int(mark[1]), mark[2]
        if token == TOKEN if process == os.getpid() else psutil.pid_exists(process):
            continue
        with contextlib.suppress(OSError):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def ordinary(path: Path, largest: int) -> Path:
    """The path of a file that has an end. Raises OSError, with the reason, for what is missing, a
    folder, a pipe or a device (also behind a link), and for more than `largest` bytes."""
    size = path.stat().st_size
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is no ordinary file")
    if size > largest:
        raise OSError(errno.EFBIG, f"it is larger than {bytes_in_words(largest)}")
    return path


def write_problem(error: Exception, path: Path | str) -> Problem:
    """The Problem that says in words why `path` could not be written."""
    if known := recognised(error):
        return Problem(known.what, path, known.do)
    what = f"The file cannot be written: {reason(error)}"
    return Problem(what, path, "Choose another name or another folder")


def make_writable_folder(folder: Path | str) -> Path:
    """Create `folder` (with its parents) and prove that files can be written there, or Problem."""
    folder = Path(folder)
    probe = aside_path(folder / "probe")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_aside(folder)
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:  # the latter for a name with the character of code 0
        what = f"The folder cannot be written: {reason(error)}"
        raise Problem(what, folder, write_problem(error, folder).do) from error
    return folder


def content_hash(path: Path, behind_header: bool = False) -> str:
    """SHA-256 of a file, or of what stands behind a safetensors header, which is kohya's hash of a
    LoRA and outlives other metadata. A second or two a gigabyte, once for each state of the file.
    """
    seen = path.stat()  # the time of the last change cannot be set by hand
    state = seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino
    return _hash(path, behind_header, *state)


@lru_cache(1000)
def _hash(path: Path, behind_header: bool, *_state: int) -> str:
    with path.open("rb") as content:
        content.seek(8 + int.from_bytes(content.read(8), "little") if behind_header else 0)
        return file_digest(content, "sha256").hexdigest()
