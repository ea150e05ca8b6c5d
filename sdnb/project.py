"""One learner's folder, found again the next day."""

import os
from pathlib import Path

from sdnb.files import make_writable_folder

VARIABLE = "SDNB_PROJECT"


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


def _nearest() -> Path:
    here, below = Path("sdnb_project"), Path("notebooks", "sdnb_project")
    return below if below.is_dir() and not here.exists() else here
