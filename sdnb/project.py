"""One learner's folder, found again the next day."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from sdnb.errors import Problem
from sdnb.files import make_writable_folder

VARIABLE = "SDNB_PROJECT"
PACKAGE = Path(__file__).parent


class Project:
    """The folders of one learner's work below `folder`, each created when it is first asked for.

    `folder` is the argument, else the environment variable SDNB_PROJECT, else "sdnb_project" in
    the current folder, or in "notebooks" below it where only that one exists: the command line
    finds what the notebooks have made. Every property raises Problem where the folder cannot be
    written.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder or os.environ.get(VARIABLE) or _nearest())

    @property
    def photos(self) -> Path:
        """The learner's own photos: read, never changed."""
        return make_writable_folder(self.folder / "photos")

    @property
    def own_photos(self) -> Path | None:
        """The folder to train from: the prepared copies, else the photos as they are, else None
        while the learner has put none there."""
        folders = (self.folder / "dataset", self.folder / "photos")
        # hidden files do not count: a Mac writes .DS_Store into every folder that was looked at
        return next((f for f in folders if f.is_dir() and any(f.glob("[!.]*"))), None)

    @property
    def dataset(self) -> Path:
        """Checked and cropped copies of the photos, with their captions."""
        return make_writable_folder(self.folder / "dataset")

    @property
    def runs(self) -> Path:
        """One folder per training run."""
        return make_writable_folder(self.folder / "runs")

    @property
    def exports(self) -> Path:
        """Files for other programs."""
        return make_writable_folder(self.folder / "exports")

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})"


def open_course(folder: Path | str | None = None) -> None:
    """Open the course in JupyterLab, and wait until that is closed.

    Its notebooks are copied into `folder` ("sdnb_course" unless given, or "notebooks" in a checkout
    of the course), but for those that are there already. Raises Problem without JupyterLab, and
    where the folder cannot be written.
    """
    if not find_spec("jupyterlab"):
        do = f'Run: "{sys.executable}" -m pip install jupyterlab ipywidgets pandas'
        raise Problem("JupyterLab is not installed here", do=do)
    checkout = PACKAGE.parent / "notebooks"
    pages = checkout if checkout.is_dir() else PACKAGE / "_notebooks"  # as the wheel has them
    if not folder and Path("notebooks", "00_start_here.ipynb").is_file():
        folder = "notebooks"
    folder = make_writable_folder(Path(folder or "sdnb_course"))
    for page in sorted([*pages.glob("*.ipynb"), *pages.glob("*.md")]):
        if not (folder / page.name).exists():
            shutil.copyfile(page, folder / page.name)
    print(f"The course is in {folder.absolute()}; Ctrl-C ends JupyterLab.")
    as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    subprocess.run([sys.executable, "-m", "jupyterlab", str(folder), *as_root])


def _nearest() -> Path:
    here, below = Path("sdnb_project"), Path("notebooks", "sdnb_project")
    return below if below.is_dir() and not here.exists() else here
