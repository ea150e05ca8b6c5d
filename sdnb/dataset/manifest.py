"""The list of the prepared copies: what each was made from, what was done to it, and why."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter

from sdnb.errors import Problem
from sdnb.files import write_atomically

MANIFEST, HELD_OUT = "manifest.json", "held_out"


@dataclass(frozen=True)
class Entry:
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

    def placed(self, held_out: bool) -> "Entry":
        """The same with the copy among those held out, or among those to train on."""
        name = f"{PurePosixPath(self.copy).stem}.jpg"
        return replace(self, copy=f"{HELD_OUT}/{name}" if held_out else name, held_out=held_out)


def read_manifest(folder: Path) -> tuple[dict[str, Entry], set[str], dict[str, Any]]:
    """The entries of a dataset by the photo's name, the checksums of copies that a run which was
    stopped had begun to write, and the settings it was prepared with; none where there is no
    manifest yet. Raises Problem for a file that is no manifest: it may be another program's."""
    path = folder / MANIFEST
    if not path.exists():
        return {}, set(), {}
    try:
        # surrogateescape: file names that are no Unicode are kept as they are
        content = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
        entries = TypeAdapter(list[Entry]).validate_python(content["photos"])
        if any(entry != entry.placed(entry.held_out) for entry in entries):
            raise ValueError("a copy outside the dataset")
        planned = TypeAdapter(set[str]).validate_python(content.get("planned", []))
        settings = dict(content.get("settings", {}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        advice = "Move this file elsewhere and run again; copies that are still right are kept"
        raise Problem("The list of the prepared photos cannot be read", path, advice) from error
    return {entry.name: entry for entry in entries}, planned, settings


def write_manifest(
    folder: Path, settings: dict[str, Any], entries: Iterable[Entry], planned: Iterable[str] = ()
) -> None:
    """Write the settings and the entries, unless they stand there already; `planned` are the
    checksums of the copies that are about to be written."""
    content: dict = {"settings": settings, "photos": [asdict(entry) for entry in entries]}
    if planned:
        content["planned"] = sorted(planned)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    data, path = text.encode("utf-8", "surrogateescape"), folder / MANIFEST
    if checksum(path) != sha256(data).hexdigest():
        write_atomically(path, data)


def checksum(path: Path) -> str | None:
    """SHA-256 of the file's bytes; None where there is none that can be read."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
