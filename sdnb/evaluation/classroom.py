"""The class: the reports of many learners read together, so that a workshop in which each took
another rank, say, becomes a small study; and what `sdnb doctor` found on their machines.

What is read here was written by others, so no size and no value is trusted: pydantic checks each
file, and what it refuses is told in a sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, FiniteFloat, ValidationError
from pydantic_core import from_json

from sdnb.errors import Problem
from sdnb.evaluation.report import MEANINGS, shown
from sdnb.evaluation.scores import Number

MOST_BYTES = 1_000_000  # of a file: a report has some thousand
LONGEST = 200  # characters of a text
OWN = ("trigger", "class_word", "init_word", "seed")  # differ because learners do: no study
ABOUT = ("method", "base")  # what differs like a setting and stands beside them


def _plain(text: str) -> str:
    """Nothing that a terminal or a page would obey, on one line."""
    return "".join(c for c in text if c.isprintable())[:LONGEST]


def _value(value: Any) -> bool | int | float | str | None:
    """A setting as one plain value."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not abs(value) < 1e15:  # NaN too
            raise ValueError("no sensible number")
        return value
    return _plain("; ".join(map(str, value)) if isinstance(value, list) else str(value))


Text = Annotated[str, AfterValidator(_plain)]
Value = Annotated[bool | int | float | str | None, BeforeValidator(_value)]


class _Number(BaseModel):
    mean: FiniteFloat = Field(ge=-1e6, le=1e6)
    spread: FiniteFloat | None = Field(ge=0, le=1e6)
    n: int = Field(ge=1, le=10**6)


class _Report(BaseModel):
    """What the class needs of a report; `report.write_report` writes the format."""

    sdnb_report: Literal[1]
    name: Text
    method: Text
    base: Text
    finished: bool
    steps: int = Field(ge=0, le=10**9)
    settings: dict[Text, Value] = Field(max_length=200)
    scores: dict[Text, dict[Text, _Number]] = Field(max_length=20)


class _Finding(BaseModel):
    name: Text
    do: Text
    needed: bool


class _Machine(BaseModel):
    """What `doctor.write_findings` writes, as far as it is told here."""

    sdnb_doctor: Literal[1]
    name: Text
    findings: list[_Finding] = Field(max_length=200)

    def __str__(self) -> str:
        lacking = [f"{f.name} ({f.do})" for f in self.findings if f.do and f.needed]
        return f"{self.name}: " + (f"missing {', '.join(lacking)}" if lacking else "ok")


@dataclass(frozen=True)
class Entry:
    """One learner's result: `settings` with method and base among them, and numbers by (measure,
    eye)."""

    name: str
    settings: Mapping[str, bool | int | float | str | None]
    scores: Mapping[tuple[str, str], Number]

    @classmethod
    def of(cls, report: _Report) -> Self:
        scores = {
            (measure, eye): Number(**dict(number))
            for measure, eyes in report.scores.items()
            for eye, number in eyes.items()
        }
        about = {name: getattr(report, name) for name in ABOUT}
        return cls(report.name, about | report.settings, scores)


@dataclass(frozen=True)
class Classroom:
    """All that a folder's files tell: the reports, a line for each machine, and a sentence for
    each file that was left out."""

    entries: tuple[Entry, ...]
    machines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @cached_property
    def differing(self) -> dict[str, int]:
        """The settings that are not the same in all reports, and how many values each has; those
        of one method alone come last."""
        names = dict.fromkeys(name for entry in self.entries for name in entry.settings)
        counts = {n: len({shown(entry.settings.get(n)) for entry in self.entries}) for n in names}
        return {name: count for name, count in counts.items() if count > 1}

    @property
    def main(self) -> str | None:
        """The setting that varies most, of those that are not each learner's own; the first of
        equals. None where all are the same."""
        counts = {name: n for name, n in self.differing.items() if name not in OWN}
        return max(counts, key=counts.get, default=None)

    @cached_property
    def columns(self) -> list[tuple[str, str]]:
        """The (measure, eye) pairs that any report has, in the order of `MEANINGS`."""
        found = dict.fromkeys(pair for entry in self.entries for pair in entry.scores)
        return [pair for measure in MEANINGS for pair in found if pair[0] == measure]

    def groups(self, by: str | None) -> dict[Any, list[Entry]]:
        """The reports of each value of the setting `by`: numbers in order, then words."""
        found: dict[Any, list[Entry]] = {}
        for entry in self.entries:
            value = entry.settings.get(by) if by else "all"
            found.setdefault(value if is_number(value) else shown(value), []).append(entry)
        return dict(sorted(found.items(), key=lambda pair: (not is_number(pair[0]), pair[0])))

    def means(self, by: str | None) -> dict[Any, dict[tuple[str, str], Number]]:
        """For each value the mean over its learners, with their standard deviation."""
        return {
            value: {
                column: Number.over(torch.tensor(means, dtype=torch.float64))
                for column in self.columns
                if (means := [e.scores[column].mean for e in entries if column in e.scores])
            }
            for value, entries in self.groups(by).items()
        }


def is_number(value: Any) -> bool:
    """Whether it counts something: Python takes True for a 1."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_reports(folder: Path | str) -> Classroom:
    """All reports, and all findings of the doctor, in the .json files below `folder`.

    A report that lies there twice counts once. What is broken, foreign, written by a newer sdnb or
    of an unfinished training is left out and told in `remarks`. Raises Problem where there is no
    such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Problem("There is no such folder", folder, "Check the path")
    reports: dict[str, _Report] = {}
    machines, remarks = [], []
    for path in sorted(folder.rglob("[!.]*.json")):
        where = path.relative_to(folder)
        try:
            found = _read(path, where)
        except Problem as problem:
            remarks.append(str(problem))
            continue
        if isinstance(found, _Machine):
            machines.append(str(found))
        elif reports.setdefault(found.model_dump_json(), found) is not found:
            remarks.append(f"This report is there twice and counts once ({where}).")
    entries = tuple(map(Entry.of, reports.values()))
    return Classroom(entries, tuple(sorted(set(machines))), tuple(map(_plain, remarks)))


def _read(path: Path, where: Path) -> _Report | _Machine:
    """One file; a Problem names it as `where`."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise OSError
        with path.open("rb") as file:
            data = from_json(file.read(MOST_BYTES))
    except (OSError, ValueError) as error:
        raise Problem("The file cannot be read as JSON", where, "Ask for it again") from error
    kinds = {"sdnb_report": _Report, "sdnb_doctor": _Machine}
    key = next((k for k in kinds if isinstance(data, dict) and k in data), None)
    if key is None:
        raise Problem("The file is neither a report of sdnb nor what its doctor found", where)
    if is_number(data[key]) and data[key] > 1:
        raise Problem("The file was written by a newer sdnb", where, "Install that version here")
    try:
        found = kinds[key].model_validate(data)
    except ValidationError as error:
        raise Problem("The file is damaged", where, "Ask for it again") from error
    if isinstance(found, _Report) and not found.finished:
        raise Problem("The training of this report was not finished", where, "Let it go on")
    return found
