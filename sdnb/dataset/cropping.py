"""The crops as the learner wants them: the doctor's, moved and resized, without widgets."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from sdnb.dataset.boxes import Box
from sdnb.dataset.checkup import Checkup, Verdict, noun
from sdnb.dataset.config import PhotoConfig
from sdnb.errors import Problem
from sdnb.settings import Settings

SMALLEST = 64  # pixels of a crop's short side
NO_ROOM = 1e-6  # of a side, far below a pixel


class Changes(Settings):
    """What the learner decided, by the photos' names; of photos that are not here today too."""

    left_out: tuple[str, ...] = ()
    """The photos left out by hand."""
    moved: dict[str, tuple[float, float, float]] = Field(default_factory=dict)
    """Where the centre of a crop is wanted, across and down in parts of the photo, and its size in
    parts of the largest crop; so it suits a photo of any size and both shapes."""


class CropChooser:
    """The photos of a checkup, one of them shown, and their crops: as proposed, or moved since.

    `watchers` are called after every change and every move to another photo. In the file `memory`
    (TOML) every change is saved at once and found again the next time; a file that cannot be read
    counts as none.

    Raises Problem where no photo could be read. Every change raises one where `memory` cannot be
    written, and is made nevertheless.
    """

    def __init__(self, checkup: Checkup, memory: Path | None = None) -> None:
        if not checkup.verdicts:
            reasons = " ".join(checkup.unreadable.values())
            raise Problem("There is no photo to crop", checkup.config.photos, reasons)
        self.checkup, self.memory, self.index = checkup, memory, 0
        self.watchers: list[Callable[[], object]] = []
        self._changes = Changes()
        if memory:
            with suppress(Problem):
                self._changes = Changes.load(memory)

    @property
    def verdict(self) -> Verdict:
        """What the doctor says of the photo that is shown."""
        return self.checkup.verdicts[self.index]

    @property
    def crop(self) -> Box:
        """The part of it to keep."""
        return self._cropped(self.verdict).crop

    @property
    def share(self) -> float | None:
        """The part of the crop that the head or the thing fills; None where none was found."""
        return self._cropped(self.verdict).share_cropped

    @property
    def standing(self) -> dict[str, int | None]:
        """Where the crop stands, in whole percent: its "size" between the smallest and the largest,
        "left_right" and "up_down" within the room beside it; None where there is no room."""
        crop, least = self.crop, _least(self.verdict)
        wide, high = crop.right - crop.left, crop.bottom - crop.top
        return {
            "size": _percent(wide / self._largest(self.verdict)[0] - least, 1 - least),
            "left_right": _percent(crop.left, 1 - wide),
            "up_down": _percent(crop.top, 1 - high),
        }

    @property
    def leave_out(self) -> bool:
        """Whether the shown photo is left out. Can be set."""
        return self.verdict.name in self._changes.left_out

    @leave_out.setter
    def leave_out(self, wanted: bool) -> None:
        others = (name for name in self._changes.left_out if name != self.verdict.name)
        self._change(left_out=(*others, *[self.verdict.name] * wanted))

    @property
    def crops(self) -> dict[str, Box]:
        """The crop of every photo that is not left out, by name."""
        kept = [v for v in self.checkup.verdicts if v.name not in self._changes.left_out]
        return {verdict.name: self._cropped(verdict).crop for verdict in kept}

    @property
    def skip(self) -> tuple[str, ...]:
        """The names of all photos left out: in the settings, then here."""
        here = [v.name for v in self.checkup.verdicts if v.name in self._changes.left_out]
        return (*self.checkup.config.skip, *here)

    @property
    def config(self) -> PhotoConfig:
        """The settings that the photos were examined with, now without those left out."""
        return self.checkup.config.replace(skip=self.skip)

    def outcome(self, verdict: Verdict) -> str:
        """What becomes of a photo, in a few words."""
        if verdict.name in self._changes.left_out:
            return "left out"
        cropped, config = self._cropped(verdict), self.checkup.config
        left, top, right, bottom = cropped.crop.pixels(*verdict.look.size)
        words = f"{right - left} × {bottom - top} pixels"
        if min(right - left, bottom - top) < config.size:
            words += f" where {config.size} a side are wanted"
        if cropped.share_cropped is not None:
            words += f"; the {noun(config.subject)} fills {cropped.share_cropped:.0%} of it"
        return words

    def show(self, step: int) -> None:
        """Go to the next photo (1) or the previous (-1), as far as there is one."""
        self.index = min(max(self.index + step, 0), len(self.checkup.verdicts) - 1)
        self._tell()

    def move(
        self,
        size: float | None = None,
        left_right: float | None = None,
        up_down: float | None = None,
    ) -> None:
        """Let the shown photo's crop stand elsewhere, in percent as in `standing`; what is None
        stays. Another size keeps the centre, as far as the photo reaches."""
        across, down, part = self._wish(self.verdict)
        if size is not None:
            least = _least(self.verdict)
            part = least + min(max(size / 100, 0), 1) * (1 - least)
        wide, high = (part * side for side in self._largest(self.verdict))
        if left_right is not None:
            across = wide / 2 + left_right / 100 * (1 - wide)
        if up_down is not None:
            down = high / 2 + up_down / 100 * (1 - high)
        self._change(moved={**self._changes.moved, self.verdict.name: (across, down, part)})

    def as_proposed(self) -> None:
        """Give the shown photo the doctor's crop again."""
        moved = self._changes.moved
        self._change(moved={name: moved[name] for name in moved if name != self.verdict.name})

    def _largest(self, verdict: Verdict) -> tuple[float, float]:
        """Width and height, in parts of the photo, of the largest crop of the wanted shape."""
        short, (wide, high) = min(verdict.look.size), verdict.look.size
        return (short / wide, short / high) if self.checkup.config.shape == "square" else (1, 1)

    def _wish(self, verdict: Verdict) -> tuple[float, float, float]:
        """As in `Changes.moved`, for a moved crop and a proposed one. The centre may lie nearer to
        an edge than the crop reaches: made smaller again, it is back where it was."""
        crop = verdict.crop
        centre = (crop.left + crop.right) / 2, (crop.top + crop.bottom) / 2
        proposed = (*centre, (crop.right - crop.left) / self._largest(verdict)[0])
        across, down, part = self._changes.moved.get(verdict.name, proposed)
        return across, down, min(max(part, _least(verdict)), 1)

    def _cropped(self, verdict: Verdict) -> Verdict:
        """The same with the crop that the learner wants."""
        if verdict.name not in self._changes.moved:
            return verdict
        across, down, part = self._wish(verdict)
        wide, high = (part * side for side in self._largest(verdict))
        left = min(max(across - wide / 2, 0), 1 - wide)
        top = min(max(down - high / 2, 0), 1 - high)
        return replace(verdict, crop=Box(left, top, left + wide, top + high))

    def _change(self, **changes: object) -> None:
        self._changes = self._changes.replace(**changes)
        self._tell()
        if self.memory:
            self._changes.save(self.memory)

    def _tell(self) -> None:
        for tell in self.watchers:
            tell()


def _least(verdict: Verdict) -> float:
    """The smallest crop's size in parts of the largest's."""
    return min(SMALLEST / min(verdict.look.size), 1)


def _percent(length: float, room: float) -> int | None:
    return round(100 * min(max(length / room, 0), 1)) if room > NO_ROOM else None
