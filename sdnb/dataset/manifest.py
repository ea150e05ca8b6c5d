"""The list of the prepared copies: what each was made from, what was done to it, and why; and the
photos that came after it was written."""

import json
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter

from sdnb.dataset.decoding import LARGEST
from sdnb.dataset.photos import photos_in
from sdnb.errors import Problem, printable, some_of
from sdnb.files import ordinary, write_atomically
from sdnb.project import Project

MANIFEST, HELD_OUT = "manifest.json", "held_out"


@dataclass(frozen=True)
class ManifestEntry:
    """One photo and its copy. Checksums are SHA-256 of a file's bytes; sizes are in pixels, the
    photo's those of the upright picture; the crop is a Box in parts of it."""

    name: str
    sha256: str
    width: int
    height: int
    crop: list[float]
    done: list[str]
    why: str
    copy: str  # its path within the dataset
    copy_size: tuple[int, int]
    copy_sha256: str
    held_out: bool = False

    def placed(self, held_out: bool) -> "ManifestEntry":
        """The same with the copy among those held out, or among those to train on."""
        name = f"{PurePosixPath(self.copy).stem}.jpg"
        return replace(self, copy=f"{HELD_OUT}/{name}" if held_out else name, held_out=held_out)


@dataclass(frozen=True)
class Manifest:
    """The photos of a dataset and the settings that it was prepared with. `planned` are the
    checksums of copies that a run was about to write: it may have been stopped."""

    photos: list[ManifestEntry]
    settings: dict[str, Any] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """The manifest of a dataset, an empty one where there is none yet. Raises Problem for a
        file that is no manifest: it may be another program's."""
        path = folder / MANIFEST
        if not path.exists():
            return cls([])
        try:
            # surrogateescape: file names that are no Unicode are kept as they are
            content = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
            manifest = TypeAdapter(cls).validate_python(content)
            if any(entry != entry.placed(entry.held_out) for entry in manifest.photos):
                raise ValueError("a copy outside the dataset")
            return manifest
        except (OSError, ValueError) as error:
            advice = "Move this file elsewhere and run again; copies that are still right are kept"
            raise Problem("The list of the prepared photos cannot be read", path, advice) from error

    def save(self, folder: Path) -> None:
        """Write it, unless it stands there already. Raises Problem where that fails."""
        content: dict = {"settings": self.settings, "photos": [asdict(p) for p in self.photos]}
        if self.planned:
            content["planned"] = sorted(self.planned)
        text = json.dumps(content, indent=1, ensure_ascii=False)
        data, path = text.encode("utf-8", "surrogateescape"), folder / MANIFEST
        if checksum(path) != sha256(data).hexdigest():
            write_atomically(path, data)


def checksum(path: Path) -> str | None:
    """SHA-256 of the file's bytes; None where there is none that can be read."""
    try:
        return sha256(ordinary(path, LARGEST).read_bytes()).hexdigest()
    except OSError:
        return None


def where_photos_go(project: Project | None = None) -> str:
    """The folder that the learner's photos belong in, and which of those there the dataset of
    notebook 01 lacks, in sentences. Photos that were left out by choice do not count, nor does any
    while nothing is prepared. Raises Problem where the folder cannot be written, or the dataset's
    list is none."""
    project = project or Project()
    said = f"Your photos belong in {project.photos.absolute()}"
    manifest = Manifest.load(project.folder / "dataset")
    known = {*(entry.name for entry in manifest.photos), *manifest.settings.get("skip", ())}
    paths = photos_in(project.photos) if manifest.photos else []
    new = [path.name for path in paths if path.name not in known]
    if not new:
        return said
    advice = "Run the last cells of notebooks 01 and 02 again, or training passes them over."
    return printable(f"{said}\nNot in your dataset yet: {some_of(new)}. {advice}")
