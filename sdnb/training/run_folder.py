"""A run's folder on the disk: what is in it, and whose it is.

It holds settings.toml, photos.txt (fingerprints of all that the run is made from), format.txt,
machine.json, history.csv, validation.csv where photos are held out, previews/, and checkpoints/
while the run goes on or what was learned (lora.safetensors, say) when it is finished.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path, PurePath

from sdnb.dataset.photos import fingerprint
from sdnb.dataset.samples import sample_photos, sample_trained
from sdnb.errors import Problem, bytes_in_words
from sdnb.files import (
    content_hash,
    make_writable_folder,
    sweep_aside,
    write_atomically,
    write_folder_atomically,
    write_problem,
)
from sdnb.machine import PACKAGES, Machine
from sdnb.models.base import MODELS
from sdnb.project import Project
from sdnb.training.checkpoints import checkpoints_in
from sdnb.training.config import TrainConfig, load_config
from sdnb.training.loop import Step
from sdnb.training.methods import method_of
from sdnb.training.validation import ValidationLoss, as_line, read_lines, read_validation
from sdnb.trials import trial

LESSONS = ("notebook 08", "quickstart")  # a project's folders of copied sample photos
FOLDERS = ("photos", "held_out", "prior_folder")  # settings that name photos with their captions
INPUTS = (*FOLDERS, "init_weights", "base")  # and all that name what a run is made from
BASE_FILES = ("model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors")  # of a folder
PHOTOS = "photos.txt"  # the fingerprints of these, a line each
TRIAL = "trial.txt"  # the trial of the course's tests that made the run; no file in a learner's
FORMAT = "format.txt"
FORMAT_NOW = "3"  # a run of another format is listed and used, but not continued
ELSEWHERE = "Choose another folder"
READY = "SDNB_RUNS"  # the variable that names a folder of finished runs to look in first


@dataclass(frozen=True)
class Run:
    """A run folder and what is in it."""

    folder: Path
    config: TrainConfig
    history: tuple[Step, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict, compare=False)  # see `fingerprints`

    @property
    def name(self) -> str:
        """What its folder and its exports are called: whom or what, how, and on which base, as in
        ravo_lora_sd15."""
        named = self.config.trigger or self.config.photos.name
        base = re.sub(r"\.(safetensors|ckpt)$", "", PurePath(self.config.base).name)
        parts = (named, self.config.method, base)
        return "_".join(re.sub(r"[^\w-]+", "-", part)[:40] for part in parts)

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
    def result(self) -> Path:
        """Where the run writes what was learned, at its end: a file, or for DreamBooth a folder."""
        return self.folder / method_of(self.config).result

    @property
    def weights(self) -> Path:
        """The same. Raises Problem while it is not there."""
        if not os.path.exists(self.result):
            done = len(self.history)
            what = f"The training was stopped after {done} steps, and nothing is ready for use yet"
            raise Problem(what, self.folder, "Run the cell that trains again: it goes on there")
        return self.result

    @property
    def checkpoints(self) -> list[Path]:
        """What was saved on the way, the oldest first; empty when the run is finished, unless it
        keeps more than one."""
        return checkpoints_in(self.folder / "checkpoints")

    @property
    def finished(self) -> bool:
        return os.path.exists(self.result) and self.noted(TRIAL) == trial().mark

    @property
    def older(self) -> bool:
        """Whether another version of sdnb made it, one that noted the photos alone."""
        return self.noted(FORMAT) != FORMAT_NOW

    @property
    def facts(self) -> dict:
        """What machine.json says; empty where it cannot be read."""
        try:
            return dict(json.loads(self.noted(self.machine.name)))
        except (ValueError, TypeError, RecursionError):
            return {}

    @property
    def remark(self) -> str:
        """What is not known of a finished run, in a sentence or two; often nothing."""
        steps, done, lacks = self.facts.get("steps"), len(self.history), ""
        if isinstance(steps, int) and done != steps:
            lacks = f"Of its {steps} steps, history.csv holds {done}. "
        if unknown := [name for name in _named(self.config) if name not in read_inputs(self)]:
            lacks += f"Another version of sdnb made it, and did not note its {', '.join(unknown)}."
        return lacks.strip()

    def noted(self, name: str) -> str:
        """The text of one of the folder's small files; empty without it."""
        file = self.folder / name
        return file.read_text(errors="replace").strip() if file.is_file() else ""

    def __str__(self) -> str:
        """What has come of it, in a sentence."""
        if self.finished:
            size = bytes_in_words(bytes_of(self.weights))
            closing = method_of(self.config).closing(self.weights)
            return f"Finished: {self.weights} ({size}). {closing} {self.remark}".strip()
        done = f"Stopped after {len(self.history)} steps and kept in {self.folder}"
        return f"{done}: the same again continues it."


def bytes_of(path: Path) -> int:
    """The size of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def open_run(config: TrainConfig, folder: Path | str | None = None) -> Run:
    """The run folder for these settings, created where needed, with the history so far.

    Without a `folder` it is the project's, under a name made from the settings and from the content
    of the photos, the base and all else that they name, wherever that lies: the same on every
    machine. A finished run of that name in the folder that the variable SDNB_RUNS names is copied
    into the project. Raises Problem where the folder belongs to other settings or inputs, or
    cannot be written and holds no finished run.
    """
    inputs = fingerprints(config)
    if folder is None:
        digests = "".join(inputs.values())
        content = config.model_dump_json(exclude=set(inputs)) + digests + trial().mark
        digest = sha256(content.encode()).hexdigest()[:8]
        folder = Project().folder / "runs" / f"{Run(Path(), config).name}-{digest}"
        _fetch(config, folder)
    run = Run(Path(folder), config, inputs=inputs)
    try:
        make_writable_folder(folder)
    except Problem:
        if not run.finished:  # which is only read
            raise
    if run.settings.exists():
        found = type(config).load(run.settings)
        _refuse_another(run, found)
        if found != config:  # the run, or the photos, came from another place
            with suppress(Problem):  # a finished one may lie where nothing can be written
                config.save(run.settings)
    return replace(run, history=tuple(read_history(run)))


def _named(config: TrainConfig) -> list[str]:
    """The settings that name inputs on the disk; a base of the table or the Hub is its name."""
    values = {name: getattr(config, name) for name in INPUTS}
    if values["base"] in MODELS or not os.path.exists(values["base"]):
        del values["base"]
    return [name for name, value in values.items() if value is not None]


def fingerprints(config: TrainConfig) -> dict[str, str]:
    """A digest of the content of each input on the disk, by its setting. Raises Problem where a
    file cannot be read."""
    found = {}
    for name in _named(config):
        path = Path(getattr(config, name))
        try:
            found[name] = fingerprint(path) if name in FOLDERS else _digest(path)
        except OSError as error:
            what = f"{name} cannot be read: {error.strerror}"
            raise Problem(what, error.filename or path, "Check the path") from error
    return found


def _digest(path: Path) -> str:
    """Of a file, or of a base model's files in a folder; of nothing where there is neither."""
    base = (path / BASE_FILES[0]).is_file()
    files = [file for kind in BASE_FILES for file in path.glob(kind)] if base else [path]
    whole = sha256()
    for file in sorted(filter(Path.is_file, files)):
        whole.update(os.fsencode(f"{file.relative_to(path)} {content_hash(file)}\n"))
    return whole.hexdigest()[:12]


def refuse_changed(run: Run, known: Mapping[str, str]) -> None:
    """Raise Problem where one of a run's inputs is no longer what is `known` of it."""
    if changed := [name for name in INPUTS if run.inputs.get(name) != known.get(name)]:
        what = f"The files of {', '.join(changed)} have changed since this run began"
        raise Problem(what, run.folder, f"{ELSEWHERE}, or delete this one")


def read_inputs(run: Run) -> dict[str, str]:
    """The fingerprints that `claim` noted, by setting. Raises Problem where they are damaged."""
    lines = [line.partition(" ") for line in run.noted(PHOTOS).splitlines()]
    found = {name or "photos": digest for digest, _, name in lines}  # before, theirs stood alone
    good = all(re.fullmatch("[0-9a-f]{12}", digest) for digest in found.values())
    if good and found.keys() <= {*INPUTS} and (found or run.older):
        return found
    what = "The note of what the run was made from is damaged"
    raise Problem(what, run.folder / PHOTOS, f"{ELSEWHERE}; what was learned is still there")


def _refuse_another(run: Run, found: TrainConfig) -> None:
    """Raise Problem where the folder holds another run than this one: with other settings (those
    `found` there), of another version, or made from other inputs."""
    what, do = "", ELSEWHERE
    same = {name: getattr(run.config, name) for name in _named(run.config)}  # wherever they lie
    same = {name: at for name, at in same.items() if getattr(found, name) not in {None, *MODELS}}
    if found.replace(**same) != run.config:
        what, do = "The folder already holds a run with other settings", f"{do}, or delete this one"
    elif not run.finished and run.older:
        what = "The folder holds a run of another version of sdnb, which cannot be continued"
        what += f": its run format is {run.noted(FORMAT) or '1':.20}, not {FORMAT_NOW}"
        do += " and train anew; what it saved is still there"
    elif run.noted(TRIAL) != trial().mark:
        what = "The folder holds a run of the course's tests, or this is one"
    if what:
        raise Problem(what, run.folder, do)
    noted = read_inputs(run)
    refuse_changed(run, run.inputs | noted if run.older else noted)


def ready_runs() -> Path | None:
    """The folder that the variable SDNB_RUNS names, "shipped" being the lessons' runs that come
    with the course; None where there is none. It is only read."""
    if os.environ.get(READY) == "shipped":
        return sample_trained("person_lora").parents[1] / "runs"
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
    """The finished runs in `folder`, the oldest first. What cannot be read any more is left out;
    a printed sentence says so, and what a run lacks."""
    found = []
    for settings in sorted(Path(folder).glob("*/settings.toml"), key=lambda p: p.stat().st_mtime):
        try:
            run = Run(settings.parent, load_config(settings))
            if run.finished:
                read_validation(run.validation_file)  # or Problem
                run = replace(run, history=tuple(read_history(run)))
                if run.remark:
                    print(f"{run.folder.name}: {run.remark}")
                found.append(run)
        except Problem as problem:
            print(f"The run {settings.parent.name} is left out: {problem}")
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

    return list(filter(own, finished_runs(project.folder / "runs")))


def claim(run: Run) -> None:
    """From here on the folder belongs to these settings and these inputs."""
    sweep(run)
    if mark := trial().mark:
        write_atomically(run.folder / TRIAL, mark.encode())
    write_atomically(run.folder / FORMAT, FORMAT_NOW.encode())
    noted = [f"{digest} {name}\n" for name, digest in run.inputs.items()]
    write_atomically(run.folder / PHOTOS, "".join(noted).encode())
    run.config.save(run.settings)  # the last, for this is what claims the folder


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
    write_atomically(path, "".join(map(as_line, (names, *map(astuple, history)))).encode())
    with path.open("a", buffering=1) as file:  # line by line: a crash loses none

        def append(step: Step) -> None:
            history.append(step)
            try:
                file.write(as_line(astuple(step)))
            except OSError as error:
                raise write_problem(error, path) from error

        yield append


def read_history(run: Run) -> list[Step]:
    """The steps that are noted in history.csv; see `read_lines`."""
    return read_lines(run.folder / "history.csv", lambda i, *rest: Step(int(i), *map(float, rest)))


def write_machine(run: Run, machine: Machine, processes: int, steps: int) -> None:
    """Note in machine.json where and with what the run is trained, and how many steps it has."""
    facts = asdict(machine) | {"processes": processes, "steps": steps}
    facts["packages"] = {name: version(name) for name in PACKAGES}
    write_atomically(run.machine, json.dumps(facts, indent=2).encode())
