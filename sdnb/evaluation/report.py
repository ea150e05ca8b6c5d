"""The report: one page that tells what a training was given, what it cost and what came of it, and
the same in plain numbers, for a table of many."""

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from sdnb.dataset.decoding import open_picture
from sdnb.dataset.photos import photo_paths, read_caption
from sdnb.errors import Problem, bytes_in_words, nearest, seconds_in_words
from sdnb.evaluation.scores import MEASURES, Scores
from sdnb.files import write_atomically
from sdnb.training.config import config_class
from sdnb.training.methods import METHODS
from sdnb.training.run_folder import Run, bytes_of

VERSION = 1
SHOWN = 60  # photos on the page: of more only the first
SIDE = 320  # pixels of a picture on the page, the longer side
WORDED = ("instance_prompt", "class_prompt", "preview_prompts")  # settings that are captions
PLAIN = ("name", "method", "base", "machine", "finished", "steps", "seconds", "seconds_per_step")
PLAIN += ("peak_memory_gib", "file_bytes")  # what a report's numbers give as it is


@dataclass(frozen=True)
class Report:
    """All that a report tells; what nobody knows is None.

    `settings` hold no path; `files` are names and bytes, the result first; `photos` are (caption,
    thumbnail) and may be fewer than `photo_count`; `images` are (prompt, thumbnail). Raises Problem
    for a method that there is not; `settings` may be of any version of sdnb.
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
    images: tuple[tuple[str, Image.Image], ...] = ()
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
    images: Iterable[tuple[str, Image.Image]] = (),
    seconds: float | None = None,
    peak_memory_gib: float | None = None,
) -> Report:
    """What a run's folder tells, with what only the caller knows: the scores, (prompt, image) pairs
    (an `ImageSet` is that), the seconds of training, which the folder of a run that rested for a
    night cannot tell, and the most memory in GiB."""
    config = run.config
    paths = {name for name in type(config).model_fields if isinstance(getattr(config, name), Path)}
    files = [*([run.weights] if run.finished else []), *run.checkpoints]
    count, photos = _photos(config.photos)
    return Report(
        name=run.folder.name,
        method=config.method,
        base=Path(config.base).name,
        settings=config.model_dump(mode="json", exclude={*paths, "base", "method"}),
        machine=_machine(run.machine),
        finished=run.finished,
        steps=len(run.history),
        seconds=seconds,
        peak_memory_gib=peak_memory_gib,
        files=tuple((path.name, bytes_of(path)) for path in files),
        photo_count=count,
        photos=photos,
        images=tuple((prompt, thumbnail(image)) for prompt, image in images),
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
    by_prompt = [
        (prompt, [image for _, image in pairs])
        for prompt, pairs in groupby(report.images, key=lambda pair: pair[0])
    ]
    html = render(
        "report.html",
        title=report.name,
        report=report,
        method=METHODS[report.method].title,
        by_prompt=by_prompt,
        measures=MEASURES,
        photos=photos,
        settings=_changed_settings(report, photos),
    )
    write_atomically(path.with_suffix(".json"), json.dumps(report.to_dict(), indent=1).encode())
    write_atomically(path, html.encode("utf-8", "replace"))  # a folder's name may be no text
    return path


def render(template: str, **values: Any) -> str:
    """A page from the folder templates/. Whatever others wrote stands there as text, never as
    markup."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("sdnb.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    filters = (bytes_in_words, data_uri, seconds_in_words, value_in_words)
    templates.filters |= {function.__name__: function for function in filters}
    return templates.get_template(template).render(values)


def data_uri(image: Image.Image) -> str:
    """The image as the source of an <img>."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def thumbnail(image: Image.Image) -> Image.Image:
    """A small copy, RGB, without what came along in the file: where a photo was taken, say."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return Image.frombytes("RGB", small.size, small.tobytes())


def value_in_words(value: Any) -> str:
    """A setting's value for people."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _changed_settings(report: Report, photos: bool) -> list[tuple[str, str, str]]:
    """(title, value, default) where the two differ; a setting that is not known here has no
    default."""
    fields, rows = config_class(report.method).model_fields, []
    for name, value in report.settings.items():
        field = fields.get(name)
        title, default = (field.title, field.default) if field else (name, None)
        here, usual = value_in_words(value), value_in_words(default)
        if here != usual and (photos or name not in WORDED):
            rows.append((title, here, usual))
    return rows


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
