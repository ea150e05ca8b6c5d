"""Files and folders that are whole or as they were. More of it is tested where they are written."""

import os
import signal
import subprocess
import sys
from hashlib import sha256

import pytest

from sdnb import files
from sdnb.errors import Problem
from sdnb.files import (
    aside_path,
    content_hash,
    make_writable_folder,
    ordinary,
    sweep_aside,
    write_atomically,
    write_beside,
    write_folder_atomically,
)


@pytest.mark.parametrize("stop", [PermissionError, KeyboardInterrupt])
def test_stopped_between_two_renames_the_old_folder_is_still_there(tmp_path, monkeypatch, stop):
    write_folder_atomically(tmp_path / "model", lambda path: (path / "a").write_text("old"))
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise stop
        return real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises((Problem, KeyboardInterrupt)):
        write_folder_atomically(tmp_path / "model", lambda path: (path / "a").write_text("new"))
    assert (tmp_path / "model" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def dead_process() -> int:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


@pytest.mark.parametrize("length", [245, 250, 255])
@pytest.mark.parametrize("letter", ["x", "ж"])
def test_a_name_as_long_as_a_disk_allows(tmp_path, length, letter):
    size = len(letter.encode())
    for suffix in (".jpg", "." + "y" * 30):
        path = tmp_path / (letter * ((length - len(suffix)) // size) + suffix)
        for write in (write_atomically, write_beside):
            write(path, b"content")
        assert path.read_bytes() == b"content"
        assert write_beside(path, b"other").read_bytes() == b"other"
        path.unlink()
        write_folder_atomically(path, lambda aside: (aside / "a").write_text("a"))
        write_folder_atomically(path, lambda aside: (aside / "a").write_text("b"))
        assert (path / "a").read_text() == "b"


def test_a_name_that_is_too_long_is_said_to_be(tmp_path):
    for write in (write_atomically, write_beside):
        with pytest.raises(Problem, match=r"too long.*shorter name") as caught:
            write(tmp_path / ("x" * 256), b"")
        assert "belongs to you" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_name_aside_keeps_the_suffix_and_tells_two_files_apart(tmp_path):
    one, two = aside_path(tmp_path / "a.png"), aside_path(tmp_path / "b.png")
    assert one != two and one.suffix == ".png" and one.parent == tmp_path
    assert str(os.getpid()) in one.name and one.name.startswith(".sdnb-")


@pytest.mark.parametrize("write", ["file", "folder", "make", "beside"])
def test_what_a_killed_program_left_is_swept_by_the_next_write(tmp_path, monkeypatch, write):
    def left(process: int, token: str) -> tuple:
        monkeypatch.setattr(files, "TOKEN", token)
        monkeypatch.setattr(os, "getpid", lambda: process)
        half, folder = (aside_path(tmp_path / name) for name in ("model.safetensors", "model"))
        half.write_bytes(b"half")
        folder.mkdir()
        (folder / "unet").write_bytes(b"half")
        monkeypatch.undo()
        return half, folder

    gone = [*left(dead_process(), "0" * 8), *left(os.getpid(), "0" * 8)]  # a number is used again
    kept = [*left(os.getppid(), "0" * 8), *left(os.getpid(), files.TOKEN)]
    kept += [
        tmp_path / name for name in (".a.77.toml", ".sdnb-x", ".sdnb-77", f".sdnb-{'9' * 30}-")
    ]
    for path in kept[4:]:
        path.write_bytes(b"a stranger's")
    {
        "file": lambda: write_atomically(tmp_path / "other", b""),
        "folder": lambda: write_folder_atomically(tmp_path / "other", lambda aside: None),
        "make": lambda: make_writable_folder(tmp_path),
        "beside": lambda: write_beside(tmp_path / "other", b""),
    }[write]()
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)


def test_killed_while_it_wrote_the_next_run_sweeps(tmp_path):
    """A process that is killed in the middle of a large file."""
    program = (
        "import sys, time, pathlib; from sdnb.files import write_atomically\n"
        "def half(aside):\n aside.write_bytes(bytes(9)); print('half', flush=True)\n"
        " time.sleep(60)\n"
        f"write_atomically(pathlib.Path({str(tmp_path / 'step_1.safetensors')!r}), half)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as killed:
        killed.stdout.readline()
        (half,) = tmp_path.iterdir()
        sweep_aside(tmp_path)
        assert half.exists()  # its process lives
        killed.send_signal(signal.SIGKILL)
    write_atomically(tmp_path / "step_2.safetensors", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["step_2.safetensors"]


def test_killed_between_two_renames_the_old_folder_comes_back(tmp_path):
    path = tmp_path / "model"
    write_folder_atomically(path, lambda aside: (aside / "a").write_text("old"))
    os.replace(path, aside_path(path, "old"))  # all that was done when it was killed
    write_atomically(tmp_path / "other", b"")  # sweeps, but not what is the only one
    with pytest.raises(ZeroDivisionError):
        write_folder_atomically(path, lambda aside: 1 / 0)
    assert (path / "a").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "other"}


def test_only_ordinary_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to("file")
    for name in ("pipe", "folder", "zero"):
        with pytest.raises(OSError, match="no ordinary file"):
            ordinary(tmp_path / name, 9)
    with pytest.raises(FileNotFoundError):
        ordinary(tmp_path / "nowhere", 9)
    with pytest.raises(OSError, match="larger than"):
        ordinary(tmp_path / "file", 2)
    assert ordinary(tmp_path / "link", 3).read_bytes() == b"123"
    for name in ("pipe", "folder", "zero", "nowhere"):  # in the way, and nobody's copy
        assert write_beside(tmp_path / name, b"x") == tmp_path / f"{name}-2"


def test_a_hash_is_of_the_content_whatever_the_files_time_says(tmp_path):
    """Also behind a safetensors header; a file put back with its old time is read again."""
    file = tmp_path / "a.safetensors"
    header = b'{"__metadata__":{"a":"b"}}'
    for body in (b"one", b"two"):
        new = tmp_path / "new"  # another file in its place: no clock is too coarse to tell
        new.write_bytes(len(header).to_bytes(8, "little") + header + body)
        os.utime(new, ns=(1, 1))
        os.replace(new, file)
        assert content_hash(file) == sha256(file.read_bytes()).hexdigest()
        assert content_hash(file, behind_header=True) == sha256(body).hexdigest()


def test_a_folder_whose_name_no_disk_can_hold_is_a_problem(tmp_path):
    with pytest.raises(Problem, match="folder cannot be written"):
        make_writable_folder(f"{tmp_path}/a\0b")
