"""The photo doctor: a sentence for every photo, advice for the set, and the crop that mends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.contact_sheet import image_grid
from sdnb.dataset.crops import Box, propose_crop, show_crop
from sdnb.dataset.decoding import map_photos
from sdnb.dataset.photo_statistics import PhotoStatistics, measure_photo
from sdnb.dataset.photos import photo_paths
from sdnb.errors import Problem, printable

ENOUGH, LITTLE = 0.5, 0.25  # of the frame: below, a warning, and a strong one
CUT_OFF = 0.1  # of what stands out: more, and it is said
SOFT = 0.75  # of the wanted pixels: below, one sees that a crop was enlarged
BLURRED, SMEARED = 0.35, 0.0005  # of the set's middle sharpness; of any set's
DARK, BRIGHT, BURNT = 75, 165, 0.25  # 95th and 5th percentile of 255; part of pure white
ALIKE_DHASH, ALIKE_COLOURS = 36, 20  # bits of 256, levels of 255
SAME_PLACE, SAME_CLOTHES, SAME_LIGHT = 8, 9, 0.03  # mean distance in Lab; parts of brightness
FEW, RIGHT, MANY = 10, 15, 40  # photos
BORDERS = ("white", "#f58518", "#c62828")  # on the sheet, by grade
NOUN = {"person": "head", "object": "subject", "style": "subject"}  # what fills the photo

Faults = Iterator[tuple[int, str]]
"""The grade of each fault, and what to say of it."""


@dataclass(frozen=True)
class PhotoCheck:
    """What the doctor says of one photo. `grade` is 0 (good), 1 (a warning) or 2 (a strong one),
    `remarks` the reasons, the gravest first; `crop` is proposed."""

    statistics: PhotoStatistics
    grade: int
    remarks: tuple[str, ...]
    crop: Box
    subject: str = "person"

    @property
    def name(self) -> str:
        return self.statistics.path.name

    @property
    def share(self) -> float | None:
        """The part of the photo that the face or the thing fills; None where none is certain."""
        return self.statistics.subject.share if self.statistics.subject else None

    @property
    def share_cropped(self) -> float | None:
        """The same once the photo is cropped as proposed."""
        subject = self.statistics.subject
        return subject.within(self.crop).share if subject else None

    @property
    def meant(self) -> Box | None:
        """What the remarks speak of: the subject, and of a warning what stands out too."""
        return self.statistics.around if self.grade else self.statistics.subject

    def __str__(self) -> str:
        name = printable(self.name)
        if self.remarks:
            return f"{name}: {'; '.join(self.remarks)}."
        if self.share is None or self.subject == "object":  # of which it is a guess
            return f"{name}: good."
        return f"{name}: good, the head fills {self.share:.0%} of the photo."


@dataclass(frozen=True)
class Checkup:
    """The checks of all photos, in order of name, and advice for the set. `unreadable` tells by
    name what is wrong with files that are no photos."""

    config: PhotoConfig
    photos: tuple[PhotoCheck, ...]
    advice: tuple[str, ...]
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def crops(self) -> dict[str, Box]:
        """The proposed crop of every photo, by name."""
        return {photo.name: photo.crop for photo in self.photos}

    @property
    def good(self) -> set[str]:
        """The names of the photos without fault: what may be held out to measure by."""
        return {photo.name for photo in self.photos if not photo.grade}

    @property
    def notes(self) -> dict[str, str]:
        """The sentence of every photo, by name."""
        return {photo.name: str(photo) for photo in self.photos}

    def __str__(self) -> str:
        return "\n".join([*self.notes.values(), *self.unreadable.values(), "", *self.advice])

    def sheet(self, columns: int = 5, side: int = 220) -> Image.Image:
        """All photos with their names and crops, `side` pixels each: what goes is pale, the crop's
        frame is green, the subject's blue, and photos that need you have a border (orange for a
        warning, red for a strong one)."""
        images = []
        for photo in self.photos:
            image = show_crop(photo.statistics.thumbnail, photo.crop, photo.meant)
            image = ImageOps.pad(image, (side - 12, side - 26), color="white")
            sheet = Image.new("RGB", (side - 12, side - 12), "white")
            sheet.paste(image, (0, 14))
            name = printable(photo.name)[-side // 7 :]  # its end differs
            ImageDraw.Draw(sheet).text((2, 0), name, "black", ImageFont.load_default(11))
            images.append(ImageOps.expand(sheet, 6, BORDERS[photo.grade]))
        return image_grid(images, columns)


def check_photos(config: PhotoConfig, progress: bool = True) -> Checkup:
    """Measure every photo of `config.photos`, several at once, and give advice.

    Changes nothing. A photo that cannot be read is no reason to stop: it is named. Raises Problem
    for a missing folder, fewer than three photos, and photos of which none can be read.
    """
    paths = [path for path in photo_paths(config.photos) if path.name not in config.skip]
    found = map_photos(partial(measure_photo, subject=config.subject), paths, progress)
    measured = [one for one in found if isinstance(one, PhotoStatistics)]
    unreadable = {p.name: str(f) for p, f in zip(paths, found) if isinstance(f, Problem)}
    if not measured:
        advice = " ".join(unreadable.values())
        raise Problem("None of the photos can be read", config.photos, advice)
    middle = float(np.median([one.sharpness for one in measured]))
    twins = _twins(measured)
    photos = tuple(_check(one, config, middle, twins.get(one.path.name)) for one in measured)
    return Checkup(config, photos, tuple(_advice(measured, config.subject)), unreadable)


def _check(
    measured: PhotoStatistics, config: PhotoConfig, middle: float, twin: str | None
) -> PhotoCheck:
    """`middle` is the median sharpness of the set, `twin` a sharper photo that shows the same."""
    square, subject = config.shape == "square", config.subject
    share = config.target_share if subject == "person" else None  # a thing's is guessed
    crop = propose_crop(measured.size, measured.around, share, square)
    faults = list(_subject_faults(measured, subject, crop))
    faults += _picture_faults(measured, config.size, crop, middle)
    if twin:
        faults.append((1, f"nearly the same picture as {printable(twin)}; keep one of them"))
    if measured.thumbnail:  # no fault, but worth a look: how grey values were scaled
        faults += [(0, words) for words in measured.thumbnail.info.values()]
    faults.sort(key=lambda fault: -fault[0])
    grade = faults[0][0] if faults else 0
    return PhotoCheck(measured, grade, tuple(words for _, words in faults), crop, subject)


def _subject_faults(measured: PhotoStatistics, subject: str, crop: Box) -> Faults:
    faces, found = len(measured.subjects), measured.subject
    if subject == "person" and not found:
        yield 2, "no face was found; leave it out if nobody can be recognised in it"
    elif faces > 1:
        yield 2, f"{faces} faces; crop to one, or the word learns both"
    elif subject == "object":
        if measured.around and (lost := measured.around.within(crop).outside) > CUT_OFF:
            words = f"{lost:.0%} of what stands out (the blue frame) is cut off; if that is your"
            yield 1, f"{words} subject, move the crop by hand, or take buckets for the shape"
        if found and found.share < LITTLE:
            words = f"what stands out fills {found.share:.0%} of the photo, where half is right"
            yield 1, f"{words}; if that is your subject, crop it closer by hand"
    elif found and round(found.share, 2) < ENOUGH:  # as it is printed
        words = f"the head fills {found.share:.0%} of the photo, where half is right"
        if (mended := found.within(crop).share) > found.share + 0.02:
            words += f"; the crop makes it {mended:.0%}"
        yield (2 if found.share < LITTLE else 1), words


def _picture_faults(measured: PhotoStatistics, size: int, crop: Box, middle: float) -> Faults:
    """Those of its size, its light and its sharpness."""
    wide, high = measured.size
    small, cropped = min(wide, high), round(crop.width * wide)
    if small < size:
        words = f"small: its short side has {small} pixels, {size} are wanted, so it is enlarged"
        yield (2 if small < size / 2 else 1), words
    elif cropped < SOFT * size:
        yield 1, f"the crop is {cropped} pixels wide and will be soft at {size}; go closer"
    if measured.tones[1] < DARK:
        yield 1, "too dark"
    elif measured.tones[0] > BRIGHT or measured.burnt > BURNT:
        yield 1, "too bright, with white where there should be something to see"
    if small >= size and measured.sharpness < max(BLURRED * middle, SMEARED):
        yield 1, "blurred beside the others"  # a small one has its remark already


def _twins(measured: Sequence[PhotoStatistics]) -> dict[str, str]:
    """Of every two nearly equal photos the less sharp one, and the name of the other."""
    twins: dict[str, str] = {}
    for other, one in combinations(measured, 2):
        colours = float(np.sqrt(np.mean((one.colours - other.colours) ** 2)))
        if one.dhash - other.dhash <= ALIKE_DHASH and colours <= ALIKE_COLOURS:
            worse, better = sorted((one, other), key=lambda photo: photo.sharpness)
            twins.setdefault(worse.path.name, better.path.name)
    return twins


def _advice(measured: Sequence[PhotoStatistics], subject: str) -> Iterator[str]:
    count = len(measured)
    if count < RIGHT:
        yield f"{count} photos {'are few' if count < FEW else 'will do'}; 15 to 20 are right."
    elif count > MANY:
        yield f"{count} photos are more than needed; the best 20 learn as well and faster."
    else:
        yield f"{count} photos: a good number."
    if count < 3:
        return
    if _spread([one.background for one in measured]) < SAME_PLACE:
        found = "The background is nearly the same everywhere: it becomes part of the trigger word."
        yield f"{found} Take photos in other places, or name the place in every caption."
    if subject != "person":
        return
    if sum(not one.subjects for one in measured) > count / 2:
        yield "Most photos show no face. Is it a thing or an animal? Then choose object as Subject."
        return
    if _spread([one.clothes for one in measured]) < SAME_CLOTHES:
        found = "The clothes look nearly the same everywhere: they become part of the trigger word."
        yield f"{found} Change them, or name them in every caption."
    light = [one.light for one in measured if one.light is not None]
    if len(light) > 2 and float(np.std(light)) < SAME_LIGHT:
        yield "The light always falls from the same side. Turn around for some photos."


def _spread(colours: Sequence[np.ndarray]) -> float:
    """The mean distance from their mean."""
    points = np.array(colours)
    return float(np.linalg.norm(points - points.mean(0), axis=1).mean())
