"""The report: one page that tells what a training was given, what it cost and what came of it, and
the same in plain numbers, for a table of many."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from PIL import Image

from sdnb.dataset.photos import photo_paths, read_caption
from sdnb.dataset.pictures import open_picture
from sdnb.errors import Problem, nearest
from sdnb.evaluation.page import SIDE, document, facts, gallery, size, table, tag, thumbnail, time
from sdnb.evaluation.scores import Scores
from sdnb.files import write_atomically
from sdnb.training.config import TrainConfig, config_class
from sdnb.training.methods import METHODS
from sdnb.training.run_folder import Run, bytes_of

VERSION = 1
SHOWN = 60  # photos on the page: of more only the first
WORDED = ("instance_prompt", "class_prompt", "preview_prompts")  # settings that are captions
PLAIN = ("name", "method", "base", "machine", "finished", "steps", "seconds", "seconds_per_step")
PLAIN += ("peak_memory_gib", "file_bytes")  # what a report's numbers give as it is
MEANINGS = {
    "parade": "The share of pictures recognised among nineteen lookalikes; higher is better",
    "likeness": "Cosine to photos of the subject; higher is better",
    "prompt fit": "Cosine to the prompt's words; higher is better",
    "drift": "How far pictures of other prompts moved; lower is better",
    "diversity": "How much pictures of one prompt differ; much less than the base's is bad",
}


@dataclass(frozen=True)
class Report:
    """All that a report tells; what nobody knows is None.

    `settings` hold no path; `files` are names and bytes, the result first; `photos` are (caption,
    thumbnail) and may be fewer than `photo_count`; `pictures` are (prompt, thumbnail). Raises
    Problem for a method that there is not; `settings` may be of any version of sdnb.
    """

    name: str
    method: str
    base: str
    settings: dict[str, Any]
    machine: dict[str, str]
    finished: bool
    steps: int
    seconds: float | None = None
    peak_memory_gib: float | None = None
    files: tuple[tuple[str, int], ...] = ()
    photo_count: int | None = None
    photos: tuple[tuple[str, Image.Image], ...] = ()
    pictures: tuple[tuple[str, Image.Image], ...] = ()
    scores: Scores | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise Problem(f"{self.method!r} is no method", do=nearest(self.method, METHODS))

    @property
    def seconds_per_step(self) -> float | None:
        return self.seconds / self.steps if self.seconds is not None and self.steps else None

    @property
    def file_bytes(self) -> int | None:
        """The size of the result, where there is one."""
        return self.files[0][1] if self.finished and self.files else None

    def to_dict(self) -> dict:
        """Plain data for JSON: no picture, no caption, no path."""
        return {
            "sdnb_report": VERSION,
            **{name: getattr(self, name) for name in PLAIN},
            "settings": {k: v for k, v in self.settings.items() if k not in WORDED},
            "photos": self.photo_count,
            "scores": self.scores.to_dict() if self.scores else {},
        }


def report_of(
    run: Run,
    scores: Scores | None = None,
    pictures: Iterable[tuple[str, Image.Image]] = (),
    seconds: float | None = None,
    peak_memory_gib: float | None = None,
) -> Report:
    """What a run's folder tells, with what only the caller knows: the scores, pictures as (prompt,
    picture) pairs (a `ImageSet` is that), the seconds of training, which the folder of a run that
    rested for a night cannot tell, and the most memory in GiB."""
    config = run.config
    count, photos = _photos(config.photos)
    return Report(
        name=run.folder.name,
        method=config.method,
        base=Path(config.base).name,
        settings=_settings(config),
        machine=_machine(run.machine),
        finished=run.finished,
        steps=len(run.history),
        seconds=seconds,
        peak_memory_gib=peak_memory_gib,
        files=_files(run),
        photo_count=count,
        photos=photos,
        pictures=tuple((prompt, thumbnail(picture)) for prompt, picture in pictures),
        scores=scores,
    )


def write_report(report: Report, path: Path | str, photos: bool = True) -> Path:
    """Write the page to `path` (.html) and its numbers beside it (.json); returns the page's path.

    The page needs no other file and no network. With `photos` false it shows neither photos nor
    captions, for pages that leave the learner's machine; the numbers never do. Raises Problem where
    the files cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        path = path.with_name(f"{path.name}.html")
    html = document(report.name, _parts(report, photos))
    write_atomically(path.with_suffix(".json"), json.dumps(report.to_dict(), indent=1).encode())
    write_atomically(path, html.encode("utf-8", "replace"))  # a folder's name may be no text
    return path


def _parts(report: Report, photos: bool) -> Iterator[Element]:
    yield tag("h1", report.name)
    yield tag("p", _opening(report))
    yield facts(_costs(report))
    if report.pictures:
        yield tag("h2", "Pictures it draws")
        yield gallery(report.pictures, rows=True)
    if report.scores:
        yield from _scores(report.scores)
    if photos and report.photos:
        yield tag("h2", "Photos it learned from")
        yield gallery(report.photos)
        if more := (report.photo_count or 0) - len(report.photos):
            yield tag("p", f"… and {more} more.")
    yield from _told_settings(report, photos)
    if report.files:
        yield tag("h2", "Files")
        yield table(("File", "Size"), [(name, size(count)) for name, count in report.files])


def _opening(report: Report) -> str:
    photos = "" if report.photo_count is None else f" from {report.photo_count} photos"
    told = f"{METHODS[report.method].title} for {report.base}, learned{photos}"
    if word := report.settings.get("trigger"):
        told += f" as “{word}”"
    for word, key in (("on", "name"), ("in", "precision")):
        if key in report.machine:
            told += f" {word} {report.machine[key]}"
    return told + ("." if report.finished else "; not finished yet.")


def _costs(report: Report) -> dict[str, str]:
    """What is known of the costs."""
    found = {"steps": str(report.steps)}
    if report.seconds is not None:
        found["of training"] = time(report.seconds)
    if report.seconds_per_step is not None:
        found["a step"] = f"{report.seconds_per_step:.2g} s"
    if report.peak_memory_gib is not None:
        found["memory at most"] = f"{report.peak_memory_gib:.1f} GiB"
    if report.file_bytes is not None:
        found["the result"] = size(report.file_bytes)
    return found


def _scores(scores: Scores) -> Iterator[Element]:
    yield tag("h2", "Scores")
    rows, before = [], ""
    for name, eye, number in scores.rows:
        said = ("", "") if name == before else (name, MEANINGS.get(name, ""))  # once for all eyes
        rows.append((said[0], eye, f"{number:.3f}", str(number.n), said[1]))
        before = name
    yield table(("Measure", "Seen by", "Mean ± spread", "Seeds", "What it is"), rows, kept=4)
    yield tag(
        "p",
        "The spread is the standard deviation over seeds. Smaller differences between two "
        "trainings may be luck.",
    )


def _told_settings(report: Report, photos: bool) -> Iterator[Element]:
    """The settings that are not the defaults; one that is not known here has none."""
    fields, rows = config_class(report.method).model_fields, []
    for name, value in report.settings.items():
        field = fields.get(name)
        title, usual = (field.title, field.default) if field else (name, None)
        if shown(value) != shown(usual) and (photos or name not in WORDED):
            rows.append((title, shown(value), shown(usual)))
    yield tag("h2", "Settings that are not the defaults")
    yield table(("Setting", "Here", "Default"), rows) if rows else tag("p", "None.")


def shown(value: Any) -> str:
    """A setting's value in words."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The settings without those that are paths, as the base may be."""
    paths = {name for name in type(config).model_fields if isinstance(getattr(config, name), Path)}
    return config.model_dump(mode="json", exclude={*paths, "base", "method"})


def _photos(folder: Path) -> tuple[int | None, tuple[tuple[str, Image.Image], ...]]:
    """How many photos the folder holds, and the first of them; None where they are gone."""
    try:
        paths = photo_paths(folder, fewest=1)
    except Problem:
        return None, ()
    found = []
    for path in paths[:SHOWN]:
        try:
            found.append((read_caption(path), thumbnail(open_picture(path, at_least=SIDE))))
        except Problem:  # the report of a training is no place to mend its photos
            continue
    return len(paths), tuple(found)


def _machine(path: Path) -> dict[str, str]:
    """The machine as the run noted it; empty where it did not."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return {key: str(noted[key]) for key in ("name", "device", "precision")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _files(run: Run) -> tuple[tuple[str, int], ...]:
    """The result and the checkpoints with their bytes."""
    paths = [*([run.weights] if run.finished else []), *run.checkpoints]
    return tuple((path.name, bytes_of(path)) for path in paths)
