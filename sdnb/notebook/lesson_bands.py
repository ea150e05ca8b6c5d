"""What a lesson says, held against what it shows: each statement with its number and its range.

The last cell of every notebook calls `lesson_says`. To a learner it tells what came out otherwise
in their run; `make lessons` fails with the statement.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from IPython.display import display

MIME = "application/vnd.sdnb.bands+json"  # beside the text, for the tests: no program shows it


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


def summary(bands: Iterable[Band]) -> str:
    """One line, and one for each statement that this run does not show."""
    bands = list(bands)
    others = [band.told for band in bands if not band.holds(band.value)]
    shown = len(bands) - len(others)
    line = f"Your run shows {shown} of {len(bands)} things that this lesson says."
    if not others:
        return line
    reason = "Changed settings do that, and so may chance:"
    return "\n- ".join([f"{line} {reason}", *others])


def _plain(wrong: str | float) -> str | float:
    return wrong if isinstance(wrong, str) else float(wrong)
