"""The class: the reports of many learners in one table. Where each took another rank, say, that is
a small study. What `sdnb doctor` found on their machines is read too.

The files were written by others, so no size and no text in them is trusted: pydantic checks each,
and a sentence says which were left out.
"""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, TypeAdapter

from sdnb.errors import Problem
from sdnb.evaluation.report import render, value_in_words
from sdnb.evaluation.scores import MEASURES, Number, Scores
from sdnb.files import write_atomically

MOST_BYTES = 1_000_000  # of a file: a report has some thousand
MOST_FILES, MOST_NAMES = 500, 300  # reports and machines, and names of settings and scores, in all
LONGEST = 200  # characters of a text
LARGEST = 1e15  # number
OWN = ("trigger", "class_word", "init_word", "seed")  # differ because learners do: no study
NONE = value_in_words(None)
FOREIGN = "The file is broken, foreign or of another version of sdnb"


def _plain(text: str) -> str:
    """Nothing that a terminal or a page would obey, on one line."""
    return "".join(c for c in text if c.isprintable())[:LONGEST]


def _number_or_words(value: Any) -> int | float | str:
    sensible = type(value) in (int, float) and abs(value) < LARGEST
    return value if sensible else _plain(value_in_words(value))


def _sensible(number: Number) -> Number:
    good = abs(number.mean) < LARGEST and 0 <= (number.spread or 0) < LARGEST
    if good and 0 < number.n < LARGEST:
        return number
    raise ValueError("no sensible number")  # NaN too


Text = Annotated[str, AfterValidator(_plain)]
Value = Annotated[int | float | str, BeforeValidator(_number_or_words)]
Score = Annotated[Number, AfterValidator(_sensible)]
Scored = Annotated[dict[Text, Score], Field(max_length=20)]


class LearnerReport(BaseModel):
    """What the class needs of a report; `report.write_report` writes the format."""

    sdnb_report: Literal[1]
    name: Text
    method: Text
    base: Text
    finished: bool
    settings: dict[Text, Value] = Field(max_length=200)
    scores: dict[Text, Scored] = Field(max_length=20)

    @property
    def choices(self) -> dict[str, int | float | str]:
        """All that may differ between learners."""
        return {"method": self.method, "base": self.base, **self.settings}

    @property
    def numbers(self) -> dict[str, Number]:
        """The scores by "measure (encoder)"."""
        rows = Scores(self.scores).rows
        return {f"{measure} ({encoder})": number for measure, encoder, number in rows}


class _Finding(BaseModel):
    name: Text
    do: Text
    needed: bool


class _Machine(BaseModel):
    """What `doctor.write_findings` writes, as far as it is of use here."""

    sdnb_doctor: Literal[1]
    name: Text
    findings: list[_Finding] = Field(max_length=200)

    def __str__(self) -> str:
        missing = [f"{f.name} ({f.do})" for f in self.findings if f.do and f.needed]
        return f"{self.name}: " + (f"missing {', '.join(missing)}" if missing else "ok")


FILE = TypeAdapter(LearnerReport | _Machine)


@dataclass
class Classroom:
    """What stands in a folder's files: the reports, a line for each machine, and a sentence for
    each file that was left out."""

    reports: list[LearnerReport] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # of settings and scores

    @property
    def differing(self) -> list[str]:
        """The settings that are not the same in all reports, those with the most values first."""
        names = dict.fromkeys(name for report in self.reports for name in report.choices)
        counts = {name: len({r.choices.get(name, NONE) for r in self.reports}) for name in names}
        return sorted((n for n in names if counts[n] > 1), key=counts.get, reverse=True)

    @property
    def columns(self) -> list[str]:
        """The scores that any report has."""
        return list(dict.fromkeys(name for report in self.reports for name in report.numbers))

    def means(self, by: str | None) -> list[tuple[int | float | str, int, dict[str, Number]]]:
        """For each value of the setting `by` (numbers in order, then words) the number of reports,
        and the mean of each score over them with their standard deviation."""
        rows = []
        values = {report.choices.get(by, NONE) for report in self.reports}
        for value in sorted(values, key=lambda value: (isinstance(value, str), value)):
            group = [r.numbers for r in self.reports if r.choices.get(by, NONE) == value]
            means = {
                column: Number.over(torch.tensor(found, dtype=torch.float64))
                for column in self.columns
                if (found := [each[column].mean for each in group if column in each])
            }
            rows.append((value, len(group), means))
        return rows


def read_reports(folder: Path | str) -> Classroom:
    """All reports, and all findings of the doctor, in the .json files below `folder`.

    A report that lies there twice counts once. What is broken, foreign, of another version of sdnb
    or of an unfinished training is left out, and `remarks` say so. Raises Problem where there is no
    such folder.
    """
    folder, room = Path(folder), Classroom()
    if not folder.is_dir():
        raise Problem("There is no such folder", folder, "Check the path")
    for path in sorted(folder.rglob("[!.]*.json")):
        if remark := _add(room, path):
            room.remarks.append(_plain(f"{remark} ({path.relative_to(folder)})."))
    return room


def _add(room: Classroom, path: Path) -> str:
    """Add what stands in a file; returns what there is to remark on it, if anything."""
    if len(room.reports) + len(room.machines) == MOST_FILES:
        return f"A class has {MOST_FILES} files at most, and this one is left out"
    if not path.is_file():  # a pipe would be waited for
        return FOREIGN
    try:
        with path.open("rb") as file:
            found = FILE.validate_json(file.read(MOST_BYTES))
    except (OSError, ValueError):
        return FOREIGN
    if isinstance(found, _Machine):
        room.machines.append(str(found))
    elif found in room.reports:
        return "This report is there twice and counts once"
    elif not found.finished:
        return "The training of this report was not finished"
    elif len(room.names | found.choices.keys() | found.numbers.keys()) > MOST_NAMES:
        return "This report has too many settings and scores that others have not"
    else:
        room.reports.append(found)
        room.names.update(found.choices, found.numbers)
    return ""


def write_class(room: Classroom, folder: Path | str, by: str | None = None) -> Path:
    """Write class.csv (a line for each report) and class.html (a page that needs no other file)
    into `folder`; returns the page's path. Names of files and folders stand in neither.

    `by` is the setting to compare by, by default the one that varies most. Raises Problem where
    there are no reports, where `by` does not differ between them, and where nothing can be written.
    """
    if not room.reports:
        raise Problem("There are no reports to compare", do="Collect the learners' .json files")
    if by is not None and by not in room.differing:
        differing = ", ".join(room.differing) or "nothing, they are all alike"
        raise Problem(f"{by!r} does not differ between the reports", do=f"What does: {differing}")
    studied = [name for name in room.differing if name not in OWN]
    by = by or next(iter(studied), None)
    others = [name for name in studied if name != by]
    title = f"The class: {by}" if by else "The class"
    html = render("class.html", title=title, room=room, by=by, others=others, measures=MEASURES)
    page = Path(folder) / "class.html"
    write_atomically(page.with_suffix(".csv"), _csv(room).encode("utf-8-sig"))  # for Excel
    write_atomically(page, html.encode())
    return page


def _csv(room: Classroom) -> str:
    """A line for each report: its name, the settings that differ, and the mean of each score."""
    names = ["name", *room.differing, *room.columns]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(map(_cell, names))
    for report in room.reports:
        means = {column: number.mean for column, number in report.numbers.items()}
        row = {**report.choices, **means, "name": report.name}
        writer.writerow(_cell(row.get(name)) for name in names)
    return file.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV
    injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@")) else value
