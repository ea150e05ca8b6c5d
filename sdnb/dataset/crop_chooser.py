"""The crops as the learner wants them: the doctor's, moved and resized, without widgets."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from sdnb.dataset.checkup import NOUN, Checkup, PhotoCheck
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.crops import Box, box_around
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
        if not checkup.photos:
            reasons = " ".join(checkup.unreadable.values())
            raise Problem("There is no photo to crop", checkup.config.photos, reasons)
        self.checkup, self.memory, self.index = checkup, memory, 0
        self.watchers: list[Callable[[], object]] = []
        self._changes = Changes()
        if memory:
            with suppress(Problem):
                self._changes = Changes.load(memory)

    @property
    def photo(self) -> PhotoCheck:
        """What the doctor says of the photo that is shown, with the crop that he proposes."""
        return self.checkup.photos[self.index]

    @property
    def crop(self) -> Box:
        """The part of it to keep."""
        return self._cropped(self.photo).crop

    @property
    def standing(self) -> dict[str, int | None]:
        """Where the crop stands, in whole percent: its "size" between the smallest and the largest,
        "left_right" and "up_down" within the room beside it; None where there is no room."""
        crop, least = self.crop, _least(self.photo)
        return {
            "size": _percent(crop.width / self._largest(self.photo)[0] - least, 1 - least),
            "left_right": _percent(crop.left, 1 - crop.width),
            "up_down": _percent(crop.top, 1 - crop.height),
        }

    @property
    def leave_out(self) -> bool:
        """Whether the shown photo is left out. Can be set."""
        return self.photo.name in self._changes.left_out

    @leave_out.setter
    def leave_out(self, wanted: bool) -> None:
        others = [name for name in self._changes.left_out if name != self.photo.name]
        self._change(left_out=[*others, self.photo.name] if wanted else others)

    @property
    def crops(self) -> dict[str, Box]:
        """The crop of every photo that is not left out, by name."""
        kept = [p for p in self.checkup.photos if p.name not in self._changes.left_out]
        return {photo.name: self._cropped(photo).crop for photo in kept}

    @property
    def config(self) -> PhotoConfig:
        """The settings of the checkup, now without the photos left out here."""
        here = [p.name for p in self.checkup.photos if p.name in self._changes.left_out]
        return self.checkup.config.replace(skip=(*self.checkup.config.skip, *here))

    def outcome(self, photo: PhotoCheck) -> str:
        """What becomes of a photo, in a few words."""
        if photo.name in self._changes.left_out:
            return "left out"
        cropped, config = self._cropped(photo), self.checkup.config
        wide, high = cropped.crop.pixel_size(*photo.statistics.size)
        words = f"{wide} × {high} pixels"
        if min(wide, high) < config.size:
            words += f" where {config.size} a side are wanted"
        if cropped.share_cropped is not None:
            words += f"; the {NOUN[config.subject]} fills {cropped.share_cropped:.0%} of it"
        return words

    def show(self, step: int) -> None:
        """Go to the next photo (1) or the previous (-1), as far as there is one."""
        self.index = min(max(self.index + step, 0), len(self.checkup.photos) - 1)
        self._tell()

    def move(
        self,
        size: float | None = None,
        left_right: float | None = None,
        up_down: float | None = None,
    ) -> None:
        """Let the shown photo's crop stand elsewhere, in percent as in `standing`; what is None
        stays. Another size keeps the centre, as far as the photo reaches."""
        across, down, part = self._wish(self.photo)
        if size is not None:
            least = _least(self.photo)
            part = least + min(max(size / 100, 0), 1) * (1 - least)
        wide, high = (part * side for side in self._largest(self.photo))
        if left_right is not None:
            across = wide / 2 + left_right / 100 * (1 - wide)
        if up_down is not None:
            down = high / 2 + up_down / 100 * (1 - high)
        self._change(moved={**self._changes.moved, self.photo.name: (across, down, part)})

    def as_proposed(self) -> None:
        """Give the shown photo the doctor's crop again."""
        moved = self._changes.moved
        self._change(moved={name: moved[name] for name in moved if name != self.photo.name})

    def _largest(self, photo: PhotoCheck) -> tuple[float, float]:
        """Width and height, in parts of the photo, of the largest crop of the wanted shape."""
        wide, high = photo.statistics.size
        short = min(wide, high)
        return (short / wide, short / high) if self.checkup.config.shape == "square" else (1, 1)

    def _wish(self, photo: PhotoCheck) -> tuple[float, float, float]:
        """As in `Changes.moved`, for a moved crop and a proposed one. The centre may lie nearer to
        an edge than the crop reaches: made smaller again, it is back where it was."""
        proposed = (*photo.crop.centre, photo.crop.width / self._largest(photo)[0])
        across, down, part = self._changes.moved.get(photo.name, proposed)
        return across, down, min(max(part, _least(photo)), 1)

    def _cropped(self, photo: PhotoCheck) -> PhotoCheck:
        """The same with the crop that the learner wants."""
        if photo.name not in self._changes.moved:
            return photo
        across, down, part = self._wish(photo)
        wide, high = (part * side for side in self._largest(photo))
        return replace(photo, crop=box_around((across, down), wide, high))

    def _change(self, **changes: object) -> None:
        self._changes = self._changes.replace(**changes)
        self._tell()
        if self.memory:
            self._changes.save(self.memory)

    def _tell(self) -> None:
        for tell in self.watchers:
            tell()


def _least(photo: PhotoCheck) -> float:
    """The smallest crop's size in parts of the largest's."""
    return min(SMALLEST / min(photo.statistics.size), 1)


def _percent(length: float, room: float) -> int | None:
    return round(100 * min(max(length / room, 0), 1)) if room > NO_ROOM else None
