"""What a lesson draws of a training, and what it says, held against what it shows: each statement
with its number and its range.

The last cell of every notebook calls `lesson_says`. To a learner it tells what came out otherwise
in their run; `make lessons` fails with the statement.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

MIME = "application/vnd.sdnb.bands+json"  # beside the text, for the tests: no program shows it
COLOURS = {"": "none", "frozen": "#dfe3e8", "train": "#ffc46b", "saved": "#a9dfb4"}


@dataclass(frozen=True)
class Band:
    """`value`, the number of a run, has to lie from `low` to `high` for the `sentence` to be true.
    `wrong` names the trial in which it must not (see `trials`), or is the number that something
    else gave in the same run, the untrained base say, and has to lie outside."""

    sentence: str
    value: float
    low: float
    high: float
    wrong: str | float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def told(self) -> str:
        return f"{self.sentence}: {self.value:.3g} (expected: {self.low:g} to {self.high:g})"


def lesson_says(*rows: tuple[str, float, float, float, str | float]) -> None:
    """Show whether this run shows what the lesson says. Each row is a Band's five parts."""
    bands = [Band(row[0], *map(float, row[1:4]), _plain(row[4])) for row in rows]
    display({"text/plain": summary(bands), MIME: [asdict(band) for band in bands]}, raw=True)


def summary(bands: Sequence[Band]) -> str:
    """One line, and one for each statement that this run does not show."""
    others = [band.told for band in bands if not band.holds(band.value)]
    shown = len(bands) - len(others)
    line = f"Your run shows {shown} of {len(bands)} things that this lesson says."
    reason = " Changed settings do that, and so may chance:" if others else ""
    return "\n- ".join([line + reason, *others])


def _plain(wrong: str | float) -> str | float:
    return wrong if isinstance(wrong, str) else float(wrong)


def flow_chart(
    boxes: Sequence[tuple[float, float, str, str, tuple[float, float] | None]],
) -> Figure:
    """Boxes with arrows between them, 10 units wide. Each box is (x, y, words, state, target): its
    middle; what stands in it; "frozen", "train", "saved" or "", which is written below the words
    and gives the colour; and where its arrow points, None for no arrow."""
    heights = [y for _, y, *_ in boxes]
    bottom, top = min(heights) - 0.5, max(heights) + 0.6
    figure, axes = plt.subplots(figsize=(9, 0.9 * (top - bottom)))
    axes.axis((0, 10, bottom, top))
    axes.set_axis_off()
    for x, y, words, state, target in boxes:
        axes.annotate(
            f"{words}\n{state}".strip(),
            target or (x, y),
            (x, y),
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.6", "facecolor": COLOURS[state], "edgecolor": "none"},
            arrowprops={"arrowstyle": "->"} if target else None,
        )
    plt.close(figure)  # returned, so that it is shown once
    return figure
