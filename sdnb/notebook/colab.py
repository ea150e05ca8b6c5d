"""What only Google Colab has: its upload dialog, downloads, and Drive. Of Colab's secrets there is
nothing here: huggingface_hub itself reads HF_TOKEN from them, where the Hub asks for one.

The one room that knows google.colab. Its behaviour was read from the source of colabtools
(google/colab/files.py, drive.py). Colab cannot take files of more than 1 MB from a
FileUpload widget (ipywidgets issue 3452), so photos come through its own dialog.
"""

import os
import shutil
import tempfile
from contextlib import chdir
from pathlib import Path

from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically, write_beside
from sdnb.machine import on_colab
from sdnb.project import VARIABLE, Project

DRIVE = Path("/content/drive")


def upload_photos(folder: Path | str | None = None) -> list[Path]:
    """Ask for files in Colab's dialog and put them into `folder` (the project's photos/); returns
    where they are. A file that is there already is not written again, and another one of the same
    name becomes NAME-2: nothing is overwritten.

    Raises Problem off Colab, and where nothing was chosen.
    """
    files = _module("files", "Put your photos into the folder yourself")
    folder = make_writable_folder(folder or Project().photos)
    with tempfile.TemporaryDirectory() as desk, chdir(desk):
        files.upload()  # saves into the current folder what was chosen
        given = {path.name: path.read_bytes() for path in sorted(Path(desk).iterdir())}
    if not given:
        raise Problem("No files were chosen", folder, "Run the cell again and choose your photos")
    return [write_beside(folder / name, content) for name, content in given.items()]


def download(path: Path | str) -> None:
    """Hand a file to the browser, which saves it; a folder as one zip."""
    files = _module("files", f"The file is on this machine: {path}")
    path = Path(path)
    if not path.exists():
        raise Problem("There is nothing to download", path, "Run the cells above first")
    files.download(str(_zipped(path) if path.is_dir() else path))


def use_drive(folder: str = "sdnb_project") -> Path:
    """Keep the project in a folder of the learner's Drive, where it outlives the session: photos,
    captions, forms and runs, whose checkpoints a training goes on from in the next one.

    Raises Problem off Colab, and where Drive is refused, does not answer or cannot be written.
    """
    drive = _module("drive", "Your project is on this machine and stays there")
    try:
        drive.mount(str(DRIVE))
    except Exception as error:  # a refusal, a time-out, a Colab without Drive: a class for each
        reason = (str(error) or type(error).__name__).splitlines()[0]
        do = "Run the cell again and allow it"
        if "contain files" in reason:
            do = f"Move the files in {DRIVE} elsewhere, and run the cell again"
        raise Problem(f"Google Drive was not opened: {reason}", do=do) from error
    project = make_writable_folder(DRIVE / "MyDrive" / folder)
    os.environ[VARIABLE] = str(project)
    return project


def _module(name: str, do: str):
    if not on_colab():
        raise Problem("This works on Google Colab only", do=do)
    from importlib import import_module

    return import_module(f"google.colab.{name}")


def _zipped(folder: Path) -> Path:
    """The folder as a zip beside it. It stays there: the browser fetches it after the cell."""
    folder = folder.absolute()
    place = folder.with_name(f"{folder.name}.zip")

    def pack(aside: Path) -> None:
        shutil.make_archive(str(aside.with_suffix("")), "zip", folder)  # it adds the suffix itself

    write_atomically(place, pack)
    return place
