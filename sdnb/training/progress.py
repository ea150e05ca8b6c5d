"""A run to look at while it trains: the bar with the time left, the loss, the previews.

A terminal gets tqdm's line. A notebook gets one picture of the run that replaces itself: IPython's
display with an id, no widget, so that JupyterLab and Colab show the same. Either is moved by the
training's own thread, for Colab shows nothing that another one sends.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageOps
from tqdm import tqdm

from sdnb.dataset.contact_sheet import image_grid
from sdnb.training.loop import Step
from sdnb.training.validation import ValidationLoss

SMOOTHING = 0.05  # an exponential mean over some twenty steps: single losses say nothing
SECONDS = 0.5  # between two updates
POINTS = 300  # of the loss's line, however long the run
WIDTH, HEIGHT, EDGE = 600, 90, 40  # of the loss's picture, and of the room for its axes
SIDE, COLUMNS = 128, 6  # pixels of a preview, and how many stand beside one another
LINES = {"each step": "gray", "mean of the last twenty or so": "#f58518", "held out": "#4c78a8"}


class Progress:
    """What is done of a run of `total` steps. Shows nothing by itself: the displays below do."""

    pictures = False  # whether it shows previews themselves

    def __init__(self, total: int, history: Sequence[Step]) -> None:
        self.total = total
        self.looked: set[int] = set()  # the steps with a preview
        self.steps: list[Step] = []
        self.means: list[float] = []  # the exponential mean of the losses, step by step
        for step in history:
            Progress.show(self, step)

    def show(self, step: Step) -> None:
        """Take in the step that has just been done, and show it."""
        before = self.means[-1] if self.means else step.loss
        self.steps.append(step)
        self.means.append(before + SMOOTHING * (step.loss - before))

    @property
    def losses(self) -> str:
        """The mean, and with class images the last step's two losses, which mean two things."""
        mean, last = f"{self.means[-1]:.4f}", self.steps[-1]
        if not last.prior_loss:
            return mean
        return f"{mean} (own {last.instance_loss:.4f}, class {last.prior_loss:.4f})"

    def preview(self, path: Path, images: list[Image.Image], prompts: Sequence[str]) -> None:
        """Show previews, one of each prompt, which are in the file too."""
        self.looked.add(len(self.steps))

    def validated(self, held_out: ValidationLoss) -> None:
        """Show a loss on held-out photos."""

    def close(self) -> None:
        """Show the end of the run."""


def watch(total: int, history: Sequence[Step], shown: bool = True) -> Progress:
    """The display that fits this place, `history` being what is done already of `total` steps."""
    if not shown:
        return Progress(total, history)
    return Live(total, history) if in_notebook() else Line(total, history)


def in_notebook() -> bool:
    """Whether a cell is running in a Jupyter kernel: IPython in a terminal cannot show HTML."""
    ipython = sys.modules.get("IPython")  # a kernel has loaded it
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


class _Bar(tqdm):
    monitor_interval = 0  # no thread beside the training's


class Line(Progress):
    """One line in a terminal, or a line now and then in a log file."""

    def __init__(self, total: int, history: Sequence[Step]) -> None:
        super().__init__(total, history)
        self.bar = _Bar(total=total, initial=len(history), mininterval=SECONDS)

    def show(self, step: Step) -> None:
        super().show(step)
        self.bar.set_postfix_str(f"loss={self.losses}", refresh=False)
        self.bar.update()

    def preview(self, path: Path, images: list[Image.Image], prompts: Sequence[str]) -> None:
        super().preview(path, images, prompts)
        self.bar.write(f"Previews: {path}")

    def validated(self, held_out: ValidationLoss) -> None:
        self.bar.write(f"Step {held_out.index}: held-out loss {held_out.loss:.4f}")

    def close(self) -> None:
        self.bar.close()


class Live(Progress):
    """The run as HTML that replaces itself; as plain text where HTML is not shown."""

    pictures = True

    def __init__(
        self, total: int, history: Sequence[Step], clock: Callable[[], float] = time.monotonic
    ) -> None:
        from IPython.display import display

        super().__init__(total, history)
        self.held_out: list[ValidationLoss] = []
        self.clock, self.done_before, self.closed = clock, len(history), False
        self.begun = self.updated = clock()
        self.handle = display(self, display_id=True)
        self.looks: dict[int, list[Image.Image]] = {}  # previews by step
        self.previews = None  # a second display: they travel once, not with every update

    def show(self, step: Step) -> None:
        super().show(step)
        if self.clock() - self.updated >= SECONDS:
            self._update()

    def preview(self, path: Path, images: list[Image.Image], prompts: Sequence[str]) -> None:
        """A row for each prompt, a column for each look: the first, the last and some between."""
        from IPython.display import display

        super().preview(path, images, prompts)
        self.looks[len(self.steps)] = [ImageOps.contain(image, (SIDE, SIDE)) for image in images]
        steps, between = [*self.looks], min(len(self.looks), COLUMNS) - 1
        shown = [steps[round(i * (len(steps) - 1) / (between or 1))] for i in range(between + 1)]
        small = [image for row in zip(*map(self.looks.get, shown)) for image in row]
        strip = image_grid(small, len(shown), prompts, [f"step {step}" for step in shown])
        if self.previews is None:
            self.previews = display(strip, display_id=True)
        else:
            self.previews.update(strip)

    def validated(self, held_out: ValidationLoss) -> None:
        self.held_out.append(held_out)

    def close(self) -> None:
        self.closed = True
        self._update()

    def _update(self) -> None:
        self.updated = self.clock()
        self.handle.update(self)

    def __repr__(self) -> str:
        loss = f", loss {self.losses}" if self.steps else ""
        held = f", held out {self.held_out[-1].loss:.4f}" if self.held_out else ""
        return f"step {len(self.steps)} of {self.total}{loss}{held}, {self._time()}"

    def _time(self) -> str:
        spent, done = self.clock() - self.begun, len(self.steps)
        left = self.total - done
        if left <= 0:
            return f"done in {_clock(spent)}"
        if self.closed:
            return "stopped; the same again continues it"
        if done == self.done_before:
            return "the first step is the slowest"
        return f"about {_clock(spent / (done - self.done_before) * left)} left"

    def _repr_html_(self) -> str:
        done = len(self.steps)
        return (
            f'<div role="progressbar" aria-valuemin="0" aria-valuemax="{self.total}" '
            f'aria-valuenow="{done}" style="max-width:{WIDTH}px; font-family:sans-serif">'
            '<div style="height:8px; border-radius:4px; background:rgba(128,128,128,0.25)">'
            '<div style="height:8px; border-radius:4px; background:#2e7d32; '
            f'width:{done / self.total:.1%}"></div></div>'
            f'<div style="margin:4px 0">{self!r}</div>{self._plot()}</div>'
        )

    def _plot(self) -> str:
        """The loss of the steps, pale, and its mean, as an SVG that fits both themes."""
        if len(self.steps) < 2:
            return ""
        shown = range(0, len(self.steps), max(1, len(self.steps) // POINTS))
        top = max(self.steps[i].loss for i in shown) or 1.0

        def line(points: Iterable[tuple[int, float]], style: str) -> str:
            places = " ".join(
                f"{x / self.total * WIDTH:.1f},{HEIGHT * (1 - min(y / top, 1)):.1f}"
                for x, y in points
            )
            return f'<polyline points="{places}" fill="none" {style}/>' if places else ""

        def text(x: int, y: int, words: str, anchor: str) -> str:
            place = f'x="{x}" y="{y}" text-anchor="{anchor}"'
            return f'<text {place} font-size="11" fill="currentColor">{words}</text>'

        held_out = ((each.index, each.loss) for each in self.held_out)
        names = [name for name in LINES if name != "held out" or self.held_out]
        legend = " ".join(f'<span style="color:{LINES[name]}">━</span> {name}' for name in names)
        return (
            f'<svg viewBox="{-EDGE} -6 {WIDTH + EDGE + 6} {HEIGHT + 24}" width="100%" role="img" '
            f'aria-label="the loss, its mean, and held-out photos">'
            + line(((i, self.steps[i].loss) for i in shown), 'stroke="gray" stroke-opacity="0.5"')
            + line(((i, self.means[i]) for i in shown), 'stroke="#f58518" stroke-width="2"')
            + line(held_out, 'stroke="#4c78a8" stroke-width="2"')
            + f'<path d="M0,0V{HEIGHT}H{WIDTH}" fill="none" stroke="currentColor"/>'
            + text(-4, 8, f"{top:.2g}", "end")
            + text(-4, HEIGHT, "0", "end")
            + text(0, HEIGHT + 14, "step 0", "start")
            + text(WIDTH, HEIGHT + 14, f"{self.total}", "end")
            + f'</svg><div style="font-size:smaller">loss: {legend}</div>'
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"
