"""A run to look at while it trains: the bar with the time left, the loss, the latest previews.

A terminal gets tqdm's line. A notebook gets one picture of the run that replaces itself: IPython's
display with an id, no widget, so that JupyterLab and Colab show the same. Either is moved by the
training's own thread, for Colab shows nothing that another one sends.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from sdnb.training.loop import Step
from sdnb.training.validation import ValidationLoss

SMOOTHING = 0.05  # an exponential mean over some twenty steps: single losses say nothing
SECONDS = 0.5  # between two updates
POINTS = 300  # of the loss's line, however long the run
WIDTH, HEIGHT = 600, 90


class Progress(Protocol):
    """What a run tells: every step, every sheet of previews, every loss on held-out photos."""

    def show(self, step: Step) -> None: ...

    def preview(self, picture: Path) -> None: ...

    def validated(self, held_out: ValidationLoss) -> None: ...

    def close(self) -> None: ...


def watch(total: int, history: Sequence[Step], shown: bool = True) -> Progress:
    """The display that fits this place, `history` being what is done already of `total` steps."""
    return Live(total, history) if shown and in_notebook() else Line(total, history, shown)


def in_notebook() -> bool:
    """Whether a cell is running in a Jupyter kernel: IPython in a terminal cannot show HTML."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


class Smoothed:
    """The exponential mean of the losses, step by step."""

    def __init__(self, history: Sequence[Step]) -> None:
        self.values: list[float] = []
        for step in history:
            self.add(step.loss)

    def add(self, loss: float) -> float:
        before = self.values[-1] if self.values else loss
        self.values.append(before + SMOOTHING * (loss - before))
        return self.values[-1]


class _Bar(tqdm):
    monitor_interval = 0  # no thread beside the training's


class Line:
    """One line in a terminal, or a line now and then in a log file."""

    def __init__(self, total: int, history: Sequence[Step], shown: bool = True) -> None:
        self.smoothed = Smoothed(history)
        self.bar = _Bar(total=total, initial=len(history), disable=not shown, mininterval=SECONDS)

    def show(self, step: Step) -> None:
        self.bar.set_postfix_str(
            f"loss={self.smoothed.add(step.loss):.4f}{_apart(step)}", refresh=False
        )
        self.bar.update()

    def preview(self, picture: Path) -> None:
        if not self.bar.disable:
            self.bar.write(f"Previews: {picture}")

    def validated(self, held_out: ValidationLoss) -> None:
        if not self.bar.disable:
            self.bar.write(f"Step {held_out.index}: held-out loss {held_out.loss:.4f}")

    def close(self) -> None:
        self.bar.close()


class Live:
    """The run as HTML that replaces itself; as plain text where HTML is not shown."""

    def __init__(
        self,
        total: int,
        history: Sequence[Step],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from IPython.display import display

        self.total, self.done, self.clock = total, len(history), clock
        self.losses, self.smoothed = [step.loss for step in history], Smoothed(history)
        self.held_out: list[ValidationLoss] = []
        self.last = history[-1] if history else None
        self.begun_at, self.begun = self.done, clock()
        self.shown, self.closed = self.begun, False
        self.handle = display(self, display_id=True)
        self.pictures = None  # a second display: the previews travel once, not with every update

    def show(self, step: Step) -> None:
        self.done, self.last = step.index, step
        self.losses.append(step.loss)
        self.smoothed.add(step.loss)
        if self.clock() - self.shown >= SECONDS:
            self._update()

    def preview(self, picture: Path) -> None:
        from IPython.display import Image, display

        image = Image(data=picture.read_bytes(), format="png")
        if self.pictures is None:
            self.pictures = display(image, display_id=True)
        else:
            self.pictures.update(image)

    def validated(self, held_out: ValidationLoss) -> None:
        self.held_out.append(held_out)

    def close(self) -> None:
        self.closed = True
        self._update()

    def _update(self) -> None:
        self.shown = self.clock()
        self.handle.update(self)

    def __repr__(self) -> str:
        loss = f", loss {self.smoothed.values[-1]:.4f}{_apart(self.last)}" if self.last else ""
        held = f", held out {self.held_out[-1].loss:.4f}" if self.held_out else ""
        return f"step {self.done} of {self.total}{loss}{held}, {self._time()}"

    def _time(self) -> str:
        spent, steps = self.clock() - self.begun, self.done - self.begun_at
        if self.done >= self.total:
            return f"done in {_clock(spent)}"
        if self.closed:
            return "stopped; the same again continues it"
        if not steps:
            return "the first step is the slowest"
        return f"about {_clock(spent / steps * (self.total - self.done))} left"

    def _repr_html_(self) -> str:
        share = self.done / self.total
        return (
            f'<div role="progressbar" aria-valuemin="0" aria-valuemax="{self.total}" '
            f'aria-valuenow="{self.done}" style="max-width:{WIDTH}px; font-family:sans-serif">'
            '<div style="height:8px; border-radius:4px; background:rgba(128,128,128,0.25)">'
            f'<div style="height:8px; border-radius:4px; background:#2e7d32; width:{share:.1%}">'
            f'</div></div><div style="margin:4px 0">{self!r}</div>{self._lines()}</div>'
        )

    def _lines(self) -> str:
        """The loss of the steps, pale, and its mean, as an SVG that fits both themes."""
        if len(self.losses) < 2:
            return ""
        every = max(1, len(self.losses) // POINTS)
        places = range(0, len(self.losses), every)
        top = max(self.losses[place] for place in places) or 1.0

        def line(points: Iterable[tuple[int, float]], style: str) -> str:
            spots = " ".join(
                f"{place / self.total * WIDTH:.1f},{HEIGHT * (1 - min(value / top, 1)):.1f}"
                for place, value in points
            )
            return f'<polyline points="{spots}" fill="none" {style}/>'

        pale = line(((p, self.losses[p]) for p in places), 'stroke="gray" stroke-opacity="0.5"')
        mean = line(
            ((p, self.smoothed.values[p]) for p in places), 'stroke="#f58518" stroke-width="2"'
        )
        held = ""
        if self.held_out:
            spots = ((each.index, each.loss) for each in self.held_out)
            held = line(spots, 'stroke="#4c78a8" stroke-width="2"')
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" role="img" '
            f'aria-label="the loss, its mean, and held-out photos">{pale}{mean}{held}</svg>'
        )


def _apart(step: Step) -> str:
    """With class images: the step's two losses, for they tell of different things."""
    if not step.prior_loss:
        return ""
    return f" (own {step.instance_loss:.4f}, class {step.prior_loss:.4f})"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"
