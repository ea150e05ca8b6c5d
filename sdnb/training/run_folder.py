"""A run's folder on the disk: what is in it, and whose it is.

It holds settings.toml, photos.txt, format.txt, machine.json, history.csv, validation.csv where
photos are held out, previews/, and checkpoints/ while the run goes on or what was learned
(lora.safetensors, say) when it is finished.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, fields, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from sdnb.dataset.photos import fingerprint
from sdnb.dataset.samples import sample_photos
from sdnb.errors import Problem, bytes_in_words
from sdnb.files import (
    make_writable_folder,
    sweep_aside,
    write_atomically,
    write_folder_atomically,
    write_problem,
)
from sdnb.machine import PACKAGES, Machine
from sdnb.project import Project
from sdnb.training.checkpoints import checkpoints_in
from sdnb.training.config import TrainConfig, load_config
from sdnb.training.loop import Step
from sdnb.training.methods import method_of
from sdnb.training.validation import ValidationLoss, read_validation
from sdnb.trials import trial

LESSONS = ("notebook 08", "quickstart")  # a project's folders of copied sample photos
PHOTOS = "photos.txt"  # their fingerprint
TRIAL = "trial.txt"  # the trial of the course's tests that made the run; no file in a learner's
FORMAT = "format.txt"
FORMAT_NOW = "2"  # a run of another format is listed and used, but not continued
READY = "SDNB_RUNS"  # the variable that names a folder of finished runs to look in first


@dataclass(frozen=True)
class Run:
    """A run folder and what is in it."""

    folder: Path
    config: TrainConfig
    history: tuple[Step, ...] = ()

    @property
    def settings(self) -> Path:
        return self.folder / "settings.toml"

    @property
    def machine(self) -> Path:
        """What it was trained on, and with which libraries."""
        return self.folder / "machine.json"

    @property
    def validation_file(self) -> Path:
        """The losses on held-out photos; see `validation`."""
        return self.folder / "validation.csv"

    @property
    def validation(self) -> list[ValidationLoss]:
        """The losses on the held-out photos so far; empty where none are held out."""
        return read_validation(self.validation_file)

    @property
    def weights(self) -> Path:
        """What was learned: a file, or for DreamBooth a folder; there only when the run is
        finished."""
        return self.folder / method_of(self.config).result

    @property
    def checkpoints(self) -> list[Path]:
        """What was saved on the way, the oldest first; empty when the run is finished, unless it
        keeps more than one."""
        return checkpoints_in(self.folder / "checkpoints")

    @property
    def finished(self) -> bool:
        return self.weights.exists() and self.noted(TRIAL) == trial().mark

    def noted(self, name: str) -> str:
        """The text of one of the folder's small files; empty without it."""
        file = self.folder / name
        return file.read_text() if file.exists() else ""

    def __str__(self) -> str:
        """What has come of it, in a sentence."""
        if self.finished:
            size = bytes_in_words(bytes_of(self.weights))
            closing = method_of(self.config).closing(self.weights)
            return f"Finished: {self.weights} ({size}). {closing}".rstrip()
        done = f"Stopped after {len(self.history)} steps and kept in {self.folder}"
        return f"{done}: the same again continues it."


def bytes_of(path: Path) -> int:
    """The size of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def open_run(config: TrainConfig, folder: Path | str | None = None) -> Run:
    """The run folder for these settings, created where needed, with the history so far.

    Without a `folder` it is the project's, under a name made from the settings and from what is in
    the photo folder, wherever that lies: the same on every machine. A finished run of that name in
    the folder that the variable SDNB_RUNS names is copied into the project. Raises Problem where
    the folder cannot be written or belongs to other settings or photos.
    """
    photos = fingerprint(config.photos)
    if folder is None:
        content = config.model_dump_json(exclude={"photos"}) + photos + trial().mark
        digest = sha256(content.encode()).hexdigest()[:8]
        folder = Project().runs / f"{config.photos.name}-{config.method}-{digest}"
        _fetch(config, folder)
    run = Run(make_writable_folder(folder), config)
    if run.settings.exists():
        found = type(config).load(run.settings)
        _refuse_another(run, found, photos)
        if found != config:  # the run, or the photos, came from another place
            config.save(run.settings)
    return replace(run, history=tuple(read_history(run)))


def _refuse_another(run: Run, found: TrainConfig, photos: str) -> None:
    """Raise Problem where the folder holds another run than this one: with other settings (those
    `found` there), of another version, or on photos with another fingerprint."""
    what, do = "", "Choose another folder"
    delete = f"{do}, or delete this one"
    if found.replace(photos=run.config.photos) != run.config:
        what, do = "The folder already holds a run with other settings", delete
    elif not run.finished and run.noted(FORMAT) != FORMAT_NOW:
        what = "The folder holds a run of another version of sdnb, which cannot be continued"
        do = "Choose another folder and train anew; what it saved is still there"
    elif run.noted(TRIAL) != trial().mark:
        what = "The folder holds a run of the course's tests, or this is one"
    elif run.noted(PHOTOS) not in ("", photos):
        what, do = "The photos or captions have changed since this run began", delete
    if what:
        raise Problem(what, run.folder, do)


def ready_runs() -> Path | None:
    """The folder that the variable SDNB_RUNS names, None where there is none. It is only read."""
    return Path(os.environ[READY]) if os.environ.get(READY) else None


def _fetch(config: TrainConfig, folder: Path) -> None:
    """Copy the run, where it lies ready and the project has not begun it itself. Not copytree: it
    would keep the other folder's permissions, which may forbid writing."""
    ready = ready_runs()
    source = Run(ready / folder.name, config) if ready else None

    def copy(aside: Path) -> None:
        for path in source.folder.rglob("[!.]*"):
            if path.is_file():
                target = aside / path.relative_to(source.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    with suppress(OSError):  # a folder that cannot be looked into holds nothing for us
        if source and source.finished and not Run(folder, config).settings.exists():
            write_folder_atomically(folder, copy)


def finished_runs(folder: Path | str) -> list[Run]:
    """The finished runs in `folder`, the oldest first. What is no run, or cannot be read any more,
    is left out."""
    found = []
    for settings in sorted(Path(folder).glob("*/settings.toml"), key=lambda p: p.stat().st_mtime):
        with suppress(Problem):
            run = Run(settings.parent, load_config(settings))
            if run.finished:
                found.append(replace(run, history=tuple(read_history(run))))
    return found


def own_runs() -> list[Run]:
    """The project's finished runs on photos of the learner's own, the oldest first: without those
    on the sample photos, and on the copies of them that two notebooks make."""
    project = Project()
    places = (sample_photos().parent, *(project.folder / name for name in LESSONS))
    lessons = [place.resolve() for place in places]

    def own(run: Run) -> bool:
        photos = run.config.photos.resolve()
        return not any(photos.is_relative_to(place) for place in lessons)

    return list(filter(own, finished_runs(project.runs)))


def claim(run: Run) -> None:
    """From here on the folder belongs to these settings and these photos."""
    sweep(run)
    if mark := trial().mark:
        write_atomically(run.folder / TRIAL, mark.encode())
    write_atomically(run.folder / FORMAT, FORMAT_NOW.encode())
    run.config.save(run.settings)
    write_atomically(run.folder / PHOTOS, fingerprint(run.config.photos).encode())


def sweep(run: Run) -> None:
    """Take away what is of no use any more: half files that a killed run left aside, and, when the
    run is finished, the checkpoint it would have gone on from."""
    for folder in (".", "checkpoints", "previews", "class_images"):
        sweep_aside(run.folder / folder)
    if run.finished and run.config.keep_checkpoints == 1:
        shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)


@contextmanager
def append_history(run: Run, history: list[Step]) -> Iterator[Callable[[Step], None]]:
    """Cut history.csv to the steps in `history`; then what is called with a step adds it to both,
    as a line at once."""
    path, names = run.folder / "history.csv", [field.name for field in fields(Step)]
    lines = [",".join(map(str, row)) for row in (names, *map(astuple, history))]
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    with path.open("a", buffering=1) as file:  # line by line: a crash loses none

        def append(step: Step) -> None:
            history.append(step)
            try:
                file.write(",".join(map(str, astuple(step))) + "\n")
            except OSError as error:
                raise write_problem(error, path) from error

        yield append


def read_history(run: Run) -> list[Step]:
    """The steps that are noted in history.csv, a half line left out; none where there is none.
    Raises Problem where other things stand there."""
    path = run.folder / "history.csv"
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]  # a crash may have cut the last line
    rows = (line.split(",") for line in whole.splitlines()[1:])
    try:
        return [Step(int(row[0]), *map(float, row[1:])) for row in rows]
    except (ValueError, TypeError) as error:
        raise Problem(
            "The run's history cannot be read", path, "Train again in another folder"
        ) from error


def write_machine(run: Run, machine: Machine, processes: int) -> None:
    """Note in machine.json where and with what the run is trained."""
    facts = asdict(machine) | {"processes": processes}
    facts["packages"] = {name: version(name) for name in PACKAGES}
    write_atomically(run.machine, json.dumps(facts, indent=2).encode())
