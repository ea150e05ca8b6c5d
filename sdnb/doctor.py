"""`sdnb doctor`: can this machine run the lessons, and the base model for one's own photos? If not,
what is missing, and the command that mends it."""

import importlib.util
import json
import platform
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from packaging.requirements import Requirement

from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically
from sdnb.machine import GIB, PACKAGES, Machine, find_machine, on_colab
from sdnb.models.base import MODELS, default_base
from sdnb.models.families import MINI
from sdnb.project import Project
from sdnb.training.run_folder import READY, finished_runs, ready_runs

VERSION = 1  # of the file that `write_findings` writes
LESSON_MEMORY, LESSON_DISK = 3.0, 1.0  # GiB: the demo's peak is 1, a browser and JupyterLab beside


@dataclass(frozen=True)
class Finding:
    """One line of the screen. `do` is the command or deed that mends it; empty where all is well.
    Without what is `needed` the lessons do not run."""

    name: str
    fact: str
    do: str = ""
    needed: bool = True

    @property
    def missing(self) -> bool:
        """Whether the lessons do not run as it is."""
        return bool(self.do) and self.needed

    def __str__(self) -> str:
        mark = "MISSING" if self.missing else "note" if self.do else "ok"
        line = f"{mark:>8}  {self.name:<12} {self.fact}"
        return f"{line}\n{'':23}{self.do}" if self.do else line


def check_machine(base: str | None = None) -> list[Finding]:
    """Everything worth a line about this machine, for the lessons and for `base` (default: what
    this machine would take for one's own photos). Reads only; asks no network."""
    machine = find_machine()
    return [
        Finding("Python", platform.python_version()),  # with an older one nothing here imports
        *_packages(),
        Finding("processor", f"{machine.name}, {machine.precision}: {machine.why}"),
        _memory(machine),
        *_project(),
        *_ready(),
        _notebook(),
        *_profile(base or default_base(), machine),
    ]


def report(findings: list[Finding]) -> str:
    """The screen: a line for each finding, and last whether the lessons run."""
    outcome = "The lessons run on this machine."
    if lacking := ", ".join(f.name for f in findings if f.missing):
        outcome = f"The lessons cannot run yet; see {lacking} above."
    return "\n".join([*map(str, findings), "", outcome])


def write_findings(findings: list[Finding], path: Path | str) -> Path:
    """Write the findings as JSON, for `sdnb class`; returns the file's path.

    `path` is the file, or a folder, made where there is none: the file there is called by the
    machine's name. No path stands in it. Raises Problem where it cannot be written.
    """
    name, path = platform.node() or "machine", Path(path)
    if path.is_dir() or not path.suffix:
        path = make_writable_folder(path) / f"{name}.json"
    rows = [asdict(f) | {"fact": "" if Path(f.fact).is_absolute() else f.fact} for f in findings]
    data = {"sdnb_doctor": VERSION, "name": name, "findings": rows}
    write_atomically(path, json.dumps(data, indent=1).encode())
    return path


def _packages() -> list[Finding]:
    """What the package needs, against what is installed: one line, or one for each at fault."""
    try:
        lines = requires("sdnb") or []
    except PackageNotFoundError:
        return [Finding("sdnb", "imported, but not installed", "python -m pip install -e .")]
    needs = [Requirement(line) for line in lines if "extra ==" not in line]
    faults = []
    for need in needs:
        found = ""
        with suppress(PackageNotFoundError):
            found = version(need.name)
        if not (found and need.specifier.contains(found, prereleases=True)):
            fact = f"{found or 'not installed'}; needed: {need}"
            # --no-deps: an upgrade of one would pull others along, which breaks Colab's set
            how = " --no-deps" if on_colab() else ""
            do = f'{Path(sys.executable).name} -m pip install{how} "{need}"'
            faults.append(Finding(need.name, fact, do))
    fact = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return faults or [Finding("packages", fact)]


def _memory(machine: Machine) -> Finding:
    few = machine.memory_gib < LESSON_MEMORY
    fact = f"{machine.memory_gib:.1f} GiB ({machine.device}), {machine.cores} cores"
    do = f"Close other programs: the lessons take {LESSON_MEMORY:g} GiB" if few else ""
    return Finding("memory", fact, do, needed=few)


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _project() -> list[Finding]:
    folder = Project().folder.absolute()
    near = _nearest(folder)
    free = shutil.disk_usage(near).free / GIB
    full = f"Free some space: the lessons take {LESSON_DISK:g} GiB" if free < LESSON_DISK else ""
    try:
        make_writable_folder(near)  # leaves nothing behind
        cannot = ""
    except Problem as problem:
        cannot = f"{problem.do}, and name it in the variable SDNB_PROJECT"
    return [Finding("project", str(folder), cannot), Finding("disk", f"{free:.0f} GiB free", full)]


def _ready() -> list[Finding]:
    """The finished runs that a teacher has made ready, where a variable names their folder."""
    if (folder := ready_runs()) is None:
        return []
    found = []
    with suppress(OSError):
        found = finished_runs(folder)
    do = "" if found else f"Check the folder in the variable {READY}"
    return [Finding("ready runs", f"{len(found)} finished", do, needed=False)]


def _notebook() -> Finding:
    """Forms need ipywidgets; without it they print themselves as text."""
    names = filter(importlib.util.find_spec, ("jupyterlab", "ipywidgets"))
    found = [f"{name} {version(name)}" for name in names]
    lacking = len(found) < 2 and not on_colab()
    do = 'python -m pip install jupyterlab "ipywidgets>=7.7"' if lacking else ""
    return Finding("notebooks", ", ".join(found) or "no JupyterLab here", do, needed=False)


def _profile(base: str, machine: Machine) -> list[Finding]:
    """What the base model for one's own photos asks for beyond the lessons."""
    info = MODELS.get(base)
    if info is None:
        return [Finding("own photos", f"base model {Path(base).name}")]
    if info.family.name == MINI.name:
        real = "For real faces open the course on Colab (free GPU)"
        do = "" if machine.device == "cuda" else real
        return [Finding("own photos", "base model mini: a rehearsal only", do, needed=False)]
    memory, disk = info.family.memory_gib, info.family.disk_gib
    little = machine.device == "cpu" or machine.memory_gib < memory
    fact = f"base model {base}, which takes {memory:g} GiB of GPU memory and more"
    do = "Set SDNB_PROFILE=mini, or open the course on Colab (free GPU)" if little else ""
    findings = [Finding("own photos", fact, do, needed=False)]
    if not _downloaded(info.sources):
        fact = f"{base} is not on this machine yet: it is fetched when first used"
        free = shutil.disk_usage(_nearest(Path(constants.HF_HUB_CACHE).absolute())).free / GIB
        do = f"Free some space: {disk:g} GiB" if free < disk else "Have a connection ready then"
        findings.append(Finding("download", fact, do, needed=False))
    return findings


def _downloaded(sources: tuple[str, ...]) -> bool:
    found = [try_to_load_from_cache(source, "model_index.json") for source in sources]
    return any(isinstance(path, str) for path in found)
