"""What a form knows, without any widget: the fields, what is typed in them, and what is wrong."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from PIL import Image
from pydantic.fields import FieldInfo

from sdnb.captioning.editor import BLANK
from sdnb.dataset.photos import Photo, photo_paths, read_captions
from sdnb.errors import Problem
from sdnb.files import make_writable_folder
from sdnb.inference.config import ImageConfig
from sdnb.project import Project
from sdnb.settings import Settings
from sdnb.training.config import ASIDE, TrainConfig, steps

KINDS = {bool: "check", Literal: "choice", tuple: "lines"}  # of a form's lines
ALONE = 'The mini has no others beside it. Choose a real base model, such as "sd15".'
KEPT = ("photos", "trigger", "class_word")  # are the subject's, and stay in any preset
LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "below"}


@dataclass(frozen=True)
class FormLine:
    """One line of a form. `type` is the setting's own, without its parts and None; `kind` is
    "choice", "check", "slider", "lines", "list" (of `choices`, or anything else) or "text"; `slide`
    a slider's ends and its step."""

    name: str
    label: str
    help: str
    type: type
    kind: str
    choices: tuple
    optional: bool
    basic: bool
    bounds: str
    slide: tuple[float, ...]


def form_lines(settings: type[Settings]) -> list[FormLine]:
    """The form's lines, in the order of the class; what allows one value only needs no line."""
    every = [form_line(name, field, settings) for name, field in settings.model_fields.items()]
    return [entry for entry in every if len(entry.choices) != 1]


def form_line(name: str, field: FieldInfo, settings: type[Settings]) -> FormLine:
    """The line for one setting of the class, as its type and bounds ask for."""
    whole = field.annotation
    optional = NoneType in get_args(whole)
    inner = next(part for part in get_args(whole) if part is not NoneType) if optional else whole
    plain = get_origin(inner) or inner
    rules = [(key, getattr(rule, key, None)) for key in LIMITS for rule in field.metadata]
    limits = {key: limit for key, limit in rules if limit is not None}
    more = field.json_schema_extra or {}
    step, known = more.get("step"), tuple(more.get("known", ()))
    return FormLine(
        name=name,
        label=field.title or name.replace("_", " ").capitalize(),
        help=" ".join((field.description or "").split()),
        type=plain,
        kind="slider" if step else "list" if known else KINDS.get(plain, "text"),
        choices=get_args(inner) if plain is Literal else known,
        optional=optional,
        basic=name in settings.basics,
        bounds=" and ".join(f"{LIMITS[key]} {limit:,.10g}" for key, limit in limits.items()),
        slide=(limits["ge"], limits["le"], step) if step else (),
    )


class FormModel:
    """The state of one form: begins with `start`, takes what is typed, gives a config back.

    `typed` holds the text of every line as it stands, sensible or not. `watchers` are called after
    every change.
    """

    def __init__(self, start: Settings) -> None:
        self.start, self.lines = start, form_lines(type(start))
        self.shelf = Project().folder / "settings" / type(start).__name__
        self.typed = self._as_typed(start)
        self.watchers: list[Callable[[], object]] = []

    def type(self, name: str, value: str | bool | float) -> None:
        """A line was changed."""
        self._take({name: value})

    def fill(self, config: Settings, keep: tuple[str, ...] = ()) -> None:
        """Put another config's values into the lines, as a preset does; `keep` stay as typed."""
        filled = self._as_typed(config)
        self._take({name: value for name, value in filled.items() if name not in keep})

    def _take(self, typed: dict[str, str | bool | float]) -> None:
        self.typed |= typed
        for tell in self.watchers:
            tell()

    def _as_typed(self, config: Settings) -> dict[str, str | bool | float]:
        return {entry.name: _as_typed(getattr(config, entry.name), entry) for entry in self.lines}

    @property
    def folded(self) -> dict[str, list[FormLine]]:
        """The lines that are not shown at once, by their headings; "" where a class has none."""
        rest = {entry.name: entry for entry in self.lines if not entry.basic}
        groups = {heading: names.split() for heading, names in type(self.start).groups.items()}
        found = {h: [rest[name] for name in names if name in rest] for h, names in groups.items()}
        placed = {name for names in groups.values() for name in names}
        found[""] = [entry for name, entry in rest.items() if name not in placed]
        return {heading: lines for heading, lines in found.items() if lines}

    @property
    def saved(self) -> list[str]:
        """The names of the settings of this class that were saved in the project."""
        return sorted(path.stem for path in self.shelf.glob("*.toml"))

    def save(self, name: str) -> str:
        """Save what the lines say under a name, in the project, and say where. Raises Problem."""
        if not re.fullmatch(r"[\w -]+", name.strip()):
            do = "Give a name of letters, digits and spaces"
            raise Problem("Settings are saved under a name", do=do)
        make_writable_folder(self.shelf)
        path = self.shelf / f"{name.strip()}.toml"
        self.config.save(path)
        return f"Saved: {path}."

    def load(self, name: str) -> str:
        """Put what was saved under a name into the lines; photos and words stay. Raises Problem."""
        path = self.shelf / f"{name.strip()}.toml"
        self.fill(type(self.start).load(path), keep=KEPT)
        return f"Filled in from {path}; photos and words are as they were."

    @property
    def changed(self) -> dict[str, str | bool | float]:
        """What is typed in the lines that differ from `start`."""
        begun = self._as_typed(self.start)
        return {name: typed for name, typed in self.typed.items() if typed != begun[name]}

    def known(self, typed: dict[str, Any]) -> dict[str, str | bool | float]:
        """Of another day's lines those that this form has too, and in the same kind."""
        return {
            name: value
            for name, value in typed.items()
            if name in self.typed and isinstance(value, type(self.typed[name]))
        }

    @property
    def config(self) -> Settings:
        """What the lines say. Raises Problem where one of them cannot be."""
        return type(self.start)(**{e.name: _as_value(self.typed[e.name], e) for e in self.lines})

    @property
    def faults(self) -> dict[str, str]:
        """A sentence for each line that cannot stay as it is, by its name, with the label that the
        learner sees; by "" where each is right by itself and two do not go together."""
        try:
            _ = self.config
        except Problem as whole:
            alone = {entry.name: self._problem_with(entry) for entry in self.lines}
            found = {name: words for name, words in alone.items() if words}
            return found or {"": f"{self._labelled(whole.what)}."}
        return {}

    @property
    def problems(self) -> list[str]:
        """The same without the names."""
        return [*self.faults.values()]

    def _problem_with(self, entry: FormLine) -> str:
        try:
            self.start.replace(**{entry.name: _as_value(self.typed[entry.name], entry)})
        except Problem as problem:
            return f"{self._labelled(problem.what)}."
        return ""

    def _labelled(self, words: str) -> str:
        """The sentence with the labels that the learner sees in place of the settings' names."""
        for entry in self.lines:
            words = words.replace(repr(entry.name), entry.label)
        return words

    @property
    def plan(self) -> str:
        """What these settings come to and what is refused, see `look`, as one text."""
        said, refused = self.look()
        return " ".join(filter(None, [said, *refused.values()]))

    def look(self) -> tuple[str, dict[str, str]]:
        """What these settings come to, in pictures or steps: for a training as far as its photos
        are there to count, with what it would pass over. And what it would refuse: a sentence for
        each line that is to blame, by its name."""
        config = self.config
        if isinstance(config, ImageConfig):
            count = len(config.prompts) * config.seeds
            return f"{len(config.prompts)} × {config.seeds} = {count} pictures.", {}
        if not isinstance(config, TrainConfig):
            return "", {}
        from sdnb.training.methods import method_of

        refused: dict[str, str] = {}
        photos, said = [], []
        with self._blamed("photos", refused):
            captions = read_captions(photo_paths(config.photos))
            photos = [Photo(path, BLANK, caption) for path, caption in captions.items()]
            views = f"{len(photos)} photos, each seen {config.views_per_photo} times"
            samples = config.batch_size * config.gradient_accumulation
            said.append(f"{views}, {samples} in a step: {steps(config, len(photos))} steps.")
        with self._blamed("base", refused):
            _find(config.base)
        with self._blamed("", refused):
            said += [] if refused else [_cost(config.replace(**ASIDE)), _minutes(config, photos)]
        with self._blamed("trigger", refused):
            said += method_of(config).remarks(config, photos) if photos else []
        return " ".join(map(self._labelled, filter(None, said))), refused

    @contextmanager
    def _blamed(self, name: str, refused: dict[str, str]) -> Iterator[None]:
        try:
            yield
        except Problem as problem:
            paths = {str(self.typed[e.name]): e.name for e in self.lines if e.type is Path}
            refused[paths.get(str(problem.where), name)] = self._labelled(str(problem))

    @property
    def others(self) -> str:
        """The same training on other base models, side by side, as `sdnb plan` ends. It takes
        seconds, too many for every key that is pressed."""
        from sdnb.machine import find_machine
        from sdnb.training.memory import compare_bases

        try:
            photos, machine = photo_paths(self.config.photos), find_machine(self.config.precision)
            return compare_bases(self.config, len(photos), machine) or ALONE
        except Problem as problem:
            return str(problem)

    @property
    def picture(self) -> Image.Image | None:
        """What these settings look like, where their class can show it (a method `preview`)."""
        return self.config.preview() if hasattr(self.start, "preview") else None

    @property
    def twin(self) -> str:
        """The same settings as a line of Python."""
        config, plain = self.config, type(self.start)()
        changed = [
            f"    {entry.name}={_source(getattr(config, entry.name))},"
            for entry in self.lines
            if getattr(config, entry.name) != getattr(plain, entry.name)
        ]
        room, name = type(config).__module__.split(".")[1], type(config).__name__
        at = "sdnb" if name in sys.modules["sdnb"].__all__ else f"sdnb.{room}"
        lines = [f"config = {at}.{name}(", *changed, ")"]
        return ("\n" if changed else "").join(lines)


@lru_cache
def _find(base: str) -> None:
    """Raises Problem for a base that is not known. One of the Hub is asked for once."""
    from sdnb.models.base import find_model

    find_model(base)


@lru_cache
def _cost(config: TrainConfig) -> str:
    """Memory and file size in a sentence. Half a second for a large model, so kept for the next
    key that is pressed. Raises Problem for what cannot be planned."""
    from sdnb.machine import find_machine
    from sdnb.training.memory import plan

    machine = find_machine(config.precision)
    where = "GPU memory" if machine.device == "cuda" else "memory beside Python's own"
    memory, file = plan(config, 1, machine).sizes
    return f"About {memory} of {where}; the file takes {file}."


def _minutes(config: TrainConfig, photos: list[Photo]) -> str:
    from sdnb.machine import find_machine
    from sdnb.training.memory import rough_minutes

    return rough_minutes(config, len(photos), find_machine(config.precision)) if photos else ""


def _as_typed(value: Any, entry: FormLine) -> str | bool | float:
    if isinstance(value, bool) or entry.kind == "slider":
        return value
    if isinstance(value, tuple):
        return "\n".join(map(str, value))
    return "" if value is None else str(value)


def _as_value(typed: str | bool | float, entry: FormLine) -> Any:
    if entry.kind == "lines":
        return tuple(line.strip() for line in str(typed).splitlines() if line.strip())
    if entry.kind in ("text", "list"):
        text = str(typed).strip()
        if entry.type in (int, float):  # "0,5" is how half of the world writes it
            text = re.sub(r"(\d),(\d+)$", r"\1.\2", text)
        return None if entry.optional and not text else text
    return typed


def _source(value: Any) -> str:
    return repr(str(value)) if isinstance(value, Path) else repr(value)
