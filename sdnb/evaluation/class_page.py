"""What a class's reports come to: class.csv for a spreadsheet, and one page with the plot, the
means and the table. Names of files and folders stand in neither."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdnb.errors import Problem
from sdnb.evaluation.classroom import OWN, Classroom, is_number
from sdnb.evaluation.page import address, document, facts, table, tag
from sdnb.evaluation.report import MEANINGS, shown
from sdnb.files import write_atomically

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2")  # of the eyes
WIDE = 20  # from this ratio of the largest to the smallest number on, the axis is logarithmic
TICKS = 12  # values that are written at the axis; of more, those that matplotlib picks


def write_class(room: Classroom, folder: Path | str, by: str | None = None) -> Path:
    """Write class.csv (a line for each report) and class.html (a page that needs no other file)
    into `folder`; returns the page's path.

    `by` is the setting to plot against, by default the one that varies most. Raises Problem where
    there are no reports, where `by` does not differ between them, and where nothing can be written.
    """
    if not room.entries:
        raise Problem("There are no reports to compare", do="Collect the learners' .json files")
    if by is not None and by not in room.differing:
        differing = ", ".join(room.differing) or "nothing, they are all alike"
        raise Problem(f"{by!r} does not differ between the reports", do=f"What does: {differing}")
    by = by or room.main
    page = Path(folder) / "class.html"
    html = document("The class", _parts(room, by))
    write_atomically(page.with_suffix(".csv"), _csv(room).encode("utf-8-sig"))  # for Excel
    write_atomically(page, html.encode())
    return page


def _parts(room: Classroom, by: str | None) -> Iterator[Element]:
    yield tag("h1", f"The class: {by}" if by else "The class")
    yield tag("p", _opening(room, by))
    found = {"reports": str(len(room.entries)), f"values of {by}": str(len(room.groups(by)))}
    yield facts(found if by else {"reports": str(len(room.entries))})
    if not room.columns:
        yield tag("p", "None of the reports holds a score.")
        return
    yield tag("h2", "Every report, and the means")
    yield tag("img", src=plot(room, by), alt="The scores", style="aspect-ratio: auto")
    yield tag(
        "p",
        "A dot is one report, its bar the spread over the seeds of that report. The ring is the "
        "mean of the reports with that value.",
    )
    yield tag("h2", "Means over the learners who share a value")
    names = [f"{measure} ({eye})" for measure, eye in room.columns]
    yield table((by or "", "Reports", *names), _means(room, by), kept=2)
    yield tag(
        "p",
        "Mean ± standard deviation over those learners. A value that one learner took has no "
        "deviation, and a difference smaller than the deviations may be luck.",
    )
    measures = dict.fromkeys(measure for measure, _ in room.columns)
    yield table(("Score", "What it is"), [(name, MEANINGS[name]) for name in measures])
    yield tag("h2", "All reports")
    yield table(("Report", *room.differing, *names), _rows(room))


def _opening(room: Classroom, by: str | None) -> str:
    if by is None:
        return "No setting differs between the reports: what the scores differ by is chance."
    others = ", ".join(name for name in room.differing if name not in (by, *OWN))
    told = f"What differs between the reports is {by}"
    if not others:
        return f"{told}, and nothing else that is not each learner's own."
    return f"{told}, and also {others}: a difference in the scores may come from any of them."


def _means(room: Classroom, by: str | None) -> Iterator[list[str]]:
    groups = room.groups(by)
    for value, means in room.means(by).items():
        cells = [f"{means[c]:.3f}" if c in means else "–" for c in room.columns]
        yield [shown(value), str(len(groups[value])), *cells]


def _rows(room: Classroom) -> Iterator[list[str]]:
    for entry in room.entries:
        settings = [shown(entry.settings.get(name)) for name in room.differing]
        scores = [f"{entry.scores[c]:.3f}" if c in entry.scores else "–" for c in room.columns]
        yield [entry.name, *settings, *scores]


def _csv(room: Classroom) -> str:
    """A line for each report: name, the settings that differ, each score's mean, spread, seeds."""
    file = io.StringIO()
    writer = csv.writer(file)
    kinds = ("mean", "spread", "n")
    names = [f"{m} ({eye}) {kind}" for m, eye in room.columns for kind in kinds]
    writer.writerow(map(_cell, ["name", *room.differing, *names]))
    for entry in room.entries:
        row = [entry.name, *(entry.settings.get(name) for name in room.differing)]
        for column in room.columns:
            number = entry.scores.get(column)
            row += [getattr(number, kind, None) for kind in kinds]
        writer.writerow(map(_cell, row))
    return file.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV
    injection)."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@" and value else value


def plot(room: Classroom, by: str | None) -> str:
    """A panel for each measure, the eyes in colours, as the address of a PNG for an <img>."""
    measures = list(dict.fromkeys(measure for measure, _ in room.columns))
    eyes = list(dict.fromkeys(eye for _, eye in room.columns))
    file = io.BytesIO()
    with matplotlib.rc_context({"text.parse_math": False}):  # a $ in a name is a $
        rows = -(-len(measures) // 2)
        figure = Figure(figsize=(9, 2.8 * rows), layout="constrained")
        for index, measure in enumerate(measures):
            axes = figure.add_subplot(rows, 2, index + 1)
            places = _axis(axes, list(room.groups(by)))
            for colour, eye in zip(COLOURS, eyes):
                _dots(axes, room, by, (measure, eye), places, colour)
            axes.set(title=measure, xlabel=by or "")
            if len(eyes) > 1:
                axes.legend(fontsize="small")
        figure.savefig(file, format="png", dpi=110)
    return address(file.getvalue(), "png")


def _axis(axes: Axes, values: list) -> dict:
    """Where each value stands: numbers at themselves, words side by side."""
    if not all(map(is_number, values)):
        axes.set_xticks(range(len(values)), [shown(value)[:18] for value in values])
        return {value: place for place, value in enumerate(values)}
    if min(values) > 0 and max(values) / min(values) >= WIDE:
        axes.set_xscale("log")
        axes.minorticks_off()
    if len(values) <= TICKS:
        axes.set_xticks(values, map(shown, values))
    return {value: value for value in values}


def _dots(
    axes: Axes,
    room: Classroom,
    by: str | None,
    column: tuple[str, str],
    places: dict,
    colour: str,
) -> None:
    found = [
        (places[value], entry.scores[column])
        for value, entries in room.groups(by).items()
        for entry in entries
        if column in entry.scores
    ]
    if not found:
        return
    xs, numbers = zip(*found)
    ys, bars = [number.mean for number in numbers], [number.spread or 0 for number in numbers]
    axes.errorbar(xs, ys, bars, fmt=".", color=colour, alpha=0.5, label=column[1])
    means = {places[v]: m[column].mean for v, m in room.means(by).items() if column in m}
    line = "-" if all(map(is_number, room.groups(by))) else ""  # words have no order
    axes.plot(means.keys(), means.values(), line, marker="o", mfc="white", color=colour)
