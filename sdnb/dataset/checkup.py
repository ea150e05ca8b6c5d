"""The photo doctor: a sentence for every photo, advice for the set, and the crop that mends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sdnb.dataset.boxes import Box
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.contact_sheet import image_grid
from sdnb.dataset.crops import propose_crop, show_crop
from sdnb.dataset.look import Look, look_at
from sdnb.dataset.photos import photo_paths
from sdnb.dataset.threads import in_threads
from sdnb.errors import Problem

ENOUGH, LITTLE = 0.5, 0.25  # of the frame: below, a warning, and a strong one
SOFT = 0.75  # of the wanted pixels: below, one sees that a crop was enlarged
BLURRED, SMEARED = 0.35, 0.0005  # of the set's middle sharpness; of any set's
DARK, BRIGHT, BURNT = 75, 165, 0.25  # 95th and 5th percentile of 255; part of pure white
ALIKE_PRINT, ALIKE_COLOURS = 36, 20  # bits of 256 (dHash), levels of 255
SAME_PLACE, SAME_CLOTHES, SAME_LIGHT = 8, 9, 0.03  # mean distance in Lab; parts of brightness
FEW, RIGHT, MANY = 10, 15, 40  # photos


@dataclass(frozen=True)
class Verdict:
    """What the doctor says of one photo. `grade` is 0 (good), 1 (a warning) or 2 (a strong one),
    `remarks` the reasons, the gravest first; `crop` is proposed."""

    look: Look
    grade: int
    remarks: tuple[str, ...]
    crop: Box
    subject: str = "person"

    @property
    def name(self) -> str:
        return self.look.path.name

    @property
    def share(self) -> float | None:
        """The part of the photo that the head or the thing fills; None where none was found."""
        return self.look.subject.share if self.look.subject else None

    @property
    def share_cropped(self) -> float | None:
        """The same once the photo is cropped as proposed."""
        return self.look.subject.within(self.crop).share if self.look.subject else None

    def __str__(self) -> str:
        if self.remarks:
            return f"{self.name}: {'; '.join(self.remarks)}."
        if self.share is None:
            return f"{self.name}: good."
        return f"{self.name}: good, the {noun(self.subject)} fills {self.share:.0%} of the photo."


@dataclass(frozen=True)
class Checkup:
    """All verdicts, in order of name, and what is to be said of the set. `unreadable` tells by name
    what is wrong with files that are no photos."""

    config: PhotoConfig
    verdicts: tuple[Verdict, ...]
    advice: tuple[str, ...]
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def crops(self) -> dict[str, Box]:
        """The proposed crop of every photo, by name."""
        return {verdict.name: verdict.crop for verdict in self.verdicts}

    @property
    def good(self) -> set[str]:
        """The names of the photos without fault: what may be held out to measure by."""
        return {verdict.name for verdict in self.verdicts if not verdict.grade}

    @property
    def notes(self) -> dict[str, str]:
        """The sentence of every photo, by name."""
        return {verdict.name: str(verdict) for verdict in self.verdicts}

    def __str__(self) -> str:
        lines = [str(verdict) for verdict in self.verdicts]
        return "\n".join([*lines, *self.unreadable.values(), "", *self.advice])

    def sheet(self, columns: int = 5, side: int = 220) -> Image.Image:
        """All photos with their crops: what goes is pale, heads have a frame, and so have photos
        that need you (orange for a warning, red for a strong one)."""
        return image_grid([_shown(verdict, side) for verdict in self.verdicts], columns)


def _shown(verdict: Verdict, side: int) -> Image.Image:
    look = verdict.look
    picture = show_crop(look.thumbnail, verdict.crop, look.subject)
    picture = ImageOps.pad(picture, (side - 12, side - 12), color="white")
    return ImageOps.expand(picture, 6, ("white", "#f58518", "#c62828")[verdict.grade])


def check_photos(config: PhotoConfig, progress: bool = True) -> Checkup:
    """Look at every photo of `config.photos`, several at once, and say what is to be said.

    Changes nothing. A photo that cannot be read is no reason to stop: it is named. Raises Problem
    for a missing folder and fewer than three photos.
    """
    paths = [path for path in photo_paths(config.photos) if path.name not in config.skip]

    def try_to_look(path: Path) -> Look | Problem:
        try:
            return look_at(path, config.subject)
        except Problem as problem:
            return problem

    found = in_threads(try_to_look, paths, progress)
    looks = [look for look in found if isinstance(look, Look)]
    bad = {p.name: str(f) for p, f in zip(paths, found) if isinstance(f, Problem)}
    if not looks:
        raise Problem("None of the photos can be read", config.photos, " ".join(bad.values()))
    twins, middle = _twins(looks), float(np.median([look.sharpness for look in looks]))
    verdicts = tuple(_verdict(look, config, middle, twins.get(look.path.name)) for look in looks)
    return Checkup(config, verdicts, tuple(_of_the_set(verdicts, config.subject)), bad)


def _verdict(look: Look, config: PhotoConfig, middle: float, twin: str | None) -> Verdict:
    square = config.shape == "square"
    crop = propose_crop(look.size, look.subject, config.target_share, square)
    found = [
        *_of_the_subject(look, config.subject, crop),
        *_of_the_size(look, crop, config.size),
        *_of_the_light(look),
    ]
    if look.sharpness < max(BLURRED * middle, SMEARED) and min(look.size) >= config.size:
        found.append((1, "blurred beside the others"))  # a small one was told so already
    if twin:
        found.append((1, f"nearly the same picture as {twin}; keep one of them"))
    found.sort(key=lambda pair: -pair[0])
    grade = max((grade for grade, _ in found), default=0)
    return Verdict(look, grade, tuple(words for _, words in found), crop, config.subject)


def _of_the_subject(look: Look, subject: str, crop: Box) -> list[tuple[int, str]]:
    if subject == "style":
        return []
    if not look.subjects:
        if subject == "object":
            return []  # GrabCut is no judge
        return [(2, "no face was found; leave it out if nobody can be recognised in it")]
    if len(look.subjects) > 1:
        return [(2, f"{len(look.subjects)} faces; crop to one, or the word learns both")]
    share = look.subject.share
    if round(share, 2) >= ENOUGH:  # as it is printed
        return []
    words = f"the {noun(subject)} fills {share:.0%} of the photo, where half is right"
    if (mended := look.subject.within(crop).share) > share + 0.02:
        words += f"; the crop makes it {mended:.0%}"
    if subject == "object":
        return [(1, f"as far as one can guess, {words}")]
    return [(2 if share < LITTLE else 1, words)]


def _of_the_size(look: Look, crop: Box, size: int) -> list[tuple[int, str]]:
    wide, high = look.size
    if min(wide, high) < size:
        grade = 2 if min(wide, high) < size / 2 else 1
        return [(grade, f"small, {wide} × {high} pixels where {size} a side are wanted")]
    pixels = round((crop.right - crop.left) * wide)
    if pixels < SOFT * size:
        return [(1, f"the crop is {pixels} pixels wide and will be soft at {size}; go closer")]
    return []


def _of_the_light(look: Look) -> list[tuple[int, str]]:
    if look.tones[1] < DARK:
        return [(1, "too dark")]
    if look.tones[0] > BRIGHT or look.burnt > BURNT:
        return [(1, "too bright, with white where there should be something to see")]
    return []


def _twins(looks: Sequence[Look]) -> dict[str, str]:
    """Of every two nearly equal photos the less sharp one, and the name of the other."""
    twins: dict[str, str] = {}
    for place, look in enumerate(looks):
        for other in looks[:place]:
            colours = float(np.sqrt(np.mean((look.colours - other.colours) ** 2)))
            if look.print - other.print <= ALIKE_PRINT and colours <= ALIKE_COLOURS:
                worse, better = sorted((look, other), key=lambda one: one.sharpness)
                twins.setdefault(worse.path.name, better.path.name)
    return twins


def _of_the_set(verdicts: Sequence[Verdict], subject: str) -> list[str]:
    looks = [verdict.look for verdict in verdicts]
    advice = [_of_the_number(len(looks))]
    if len(looks) < 3:
        return advice
    if _spread([look.background for look in looks]) < SAME_PLACE:
        advice.append(
            "The background is nearly the same everywhere: it becomes part of the special word. "
            "Take photos in other places, or name the place in every caption."
        )
    if subject != "person":
        return advice
    if _spread([look.clothes for look in looks]) < SAME_CLOTHES:
        advice.append(
            "The clothes look nearly the same everywhere: they become part of the special word. "
            "Change them, or name them in every caption."
        )
    light = [look.light for look in looks if look.light is not None]
    if len(light) > 2 and float(np.std(light)) < SAME_LIGHT:
        advice.append("The light always falls from the same side. Turn around for some photos.")
    return advice


def _of_the_number(count: int) -> str:
    if count < FEW:
        return f"{count} photos are few; 15 to 20 are right."
    if count < RIGHT:
        return f"{count} photos will do; 15 to 20 are right."
    if count > MANY:
        return f"{count} photos are more than needed; the best 20 learn as well and faster."
    return f"{count} photos: a good number."


def _spread(colours: Sequence[np.ndarray]) -> float:
    """The mean distance from their mean."""
    points = np.array(colours)
    return float(np.linalg.norm(points - points.mean(0), axis=1).mean())


def noun(subject: str) -> str:
    """What is measured of a photo that shows such a subject."""
    return "head" if subject == "person" else "subject"
