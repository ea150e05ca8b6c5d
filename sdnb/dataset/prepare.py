"""From the learner's photos to the dataset: upright, cropped, scaled copies and a manifest.

What is done already is not done again. A copy is recognised by its checksum, so that a run that was
stopped anywhere, or lost its manifest, is completed by the next one.
"""

import io
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.crops import Box
from sdnb.dataset.decoding import changes, map_photos, open_picture, picture_size
from sdnb.dataset.manifest import HELD_OUT, Manifest, ManifestEntry, checksum
from sdnb.dataset.photos import FEWEST, bucket, cut_off, photo_paths, read_captions, unread_files
from sdnb.errors import Problem, printable
from sdnb.files import SHORT, make_writable_folder, write_atomically


@dataclass
class Prepared:
    """What became of the photos, by their names: prepared now, before, or no longer in the dataset;
    and in sentences, which copies stayed as you changed them, which photos or captions cannot be
    read, and which files beside them are not."""

    folder: Path
    done: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    held_out: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = {
            "prepared": self.done,
            "done already": self.unchanged,
            "held out": self.held_out,
            "taken out of the dataset": self.removed,
        }
        lines = [f"{_photos(names)} {what}." for what, names in counted.items() if names]
        lines += [*self.kept.values(), *self.unreadable.values(), *self.remarks]
        return printable("\n".join(lines))


def _photos(names: list[str]) -> str:
    return "1 photo was" if len(names) == 1 else f"{len(names)} photos were"


@dataclass
class _Copy:
    """The copy of one photo, before and after it is made."""

    photo: Path
    name: str
    crop: Box
    caption: str
    why: str
    old: ManifestEntry | None  # of the run before
    entry: ManifestEntry | None = None  # None where the photo cannot be read
    jpeg: bytes | None = None  # None where the copy that is there is the right one


def prepare_photos(
    config: PhotoConfig,
    target: Path | str,
    crops: Mapping[str, Box] | None = None,
    notes: Mapping[str, str] | None = None,
    good: Collection[str] = (),
    progress: bool = True,
) -> Prepared:
    """Write a copy of every photo into the dataset `target`, and the manifest that lists them.

    `crops` and `notes` are by the photos' names: the part of the upright picture to take (all of
    it where there is none) and the reason, which the manifest keeps; photos whose names are in
    `good` are held out before others. The captions beside the photos are copied, never over one
    that is there; a copy that you changed by hand stays as it is. Photos once held out stay so
    while as many are asked for. The photos themselves are only read.

    Raises Problem for a missing folder, a dataset that cannot be written or lies among the photos,
    a file there that is in the way, and fewer than three photos to train on. A photo or a caption
    that cannot be read does not stop the others.
    """
    paths = [path for path in photo_paths(config.photos) if path.name not in config.skip]
    folder = _dataset(config.photos, target)
    result, manifest = Prepared(folder), Manifest.load(folder)
    captions = read_captions(paths, result.unreadable)
    before = {entry.name: entry for entry in manifest.photos}
    copies = []
    for path, name in zip(paths, _copy_names(paths, before)):
        crop, why = (crops or {}).get(path.name, Box()), (notes or {}).get(path.name, "")
        copies.append(_Copy(path, name, crop, captions[path], why, before.get(path.name)))
    copies = _make_all(config, copies, result, progress)
    _hold_out(config.held_out, folder, copies, good)
    planned = manifest.planned | {copy.entry.copy_sha256 for copy in copies}
    ours = planned | {entry.copy_sha256 for entry in manifest.photos}
    settings = config.model_dump(mode="json", exclude={"photos"})  # where they lie is private
    if any(copy.jpeg for copy in copies):  # should it end halfway, these are not taken for yours
        Manifest(manifest.photos, settings, planned).save(folder)
    _remove(before, {path.name for path in paths}, ours, result)
    entries = [_settle(copy, ours, result) for copy in copies]
    result.held_out = [entry.name for entry in entries if entry.held_out]
    result.remarks = unread_files(config.photos)
    Manifest(entries, settings).save(folder)
    return result


def _dataset(photos: Path, target: Path | str) -> Path:
    """The folder for the copies, which can be written and does not lie among the photos."""
    folder, home = Path(target), photos.resolve()
    if any(f.resolve().is_relative_to(home) for f in (folder, folder / HELD_OUT)):
        what = "The copies cannot lie in the folder of the photos, which are never changed"
        raise Problem(what, folder, "Choose another folder for the dataset")
    return make_writable_folder(folder)


def _copy_names(paths: Sequence[Path], before: Mapping[str, ManifestEntry]) -> list[str]:
    """A photo keeps the name of its copy, for a caption may stand beside that. A new one's copy is
    called like the photo, and NAME-2 where another of that name is there (a.jpg and a.png)."""
    names = {path.name: Path(before[path.name].copy).name for path in paths if path.name in before}
    taken = {name.casefold() for name in names.values()}  # some disks ignore case
    for path in paths:
        if path.name in names:
            continue
        name, numbers = f"{path.stem}.jpg", count(2)
        while name.casefold() in taken:
            name = f"{path.stem[:SHORT]}-{next(numbers)}.jpg"
        names[path.name] = name
        taken.add(name.casefold())
    return [names[path.name] for path in paths]


def _make_all(
    config: PhotoConfig, copies: Sequence[_Copy], result: Prepared, progress: bool
) -> list[_Copy]:
    """Make the copies and return those that have an entry. Raises Problem where too few have."""
    problems = map_photos(partial(_make, config, result.folder), copies, progress)
    for copy, problem in zip(copies, problems):
        if problem:
            result.unreadable[copy.photo.name] = str(problem)
            if copy.old and (result.folder / copy.old.copy).exists():
                copy.entry = copy.old  # what was prepared while it could be read
    made = [copy for copy in copies if copy.entry]
    if len(made) - config.held_out < FEWEST:
        what = f"Of the {len(copies)} photos {len(made)} can be prepared and {config.held_out} "
        what += f"shall be held out, but training needs at least {FEWEST}"
        do = " ".join(["Add photos or hold fewer out.", *result.unreadable.values()])
        raise Problem(what, config.photos, do)
    return made


def _make(config: PhotoConfig, folder: Path, copy: _Copy) -> None:
    """Give the copy its entry, and its JPEG unless the file that is there is the right one. Raises
    Problem for a photo that cannot be read."""
    digest, old, crop = checksum(copy.photo), copy.old, copy.crop.rounded()
    width, height = picture_size(copy.photo)
    cropped = copy.crop.pixel_size(width, height)
    size = config.size, config.size
    if config.shape == "buckets":
        size = bucket(*cropped, config.size, min(config.bucket_step, config.size // 2))
    same = old and (old.sha256, old.crop, old.copy_size) == (digest, crop, size)
    if same and old.copy_sha256 == checksum(folder / old.copy):
        copy.entry = replace(old, why=copy.why)
        return
    # a smaller picture will do as long as the crop, whole pixels of it, has the copy's
    part = max((of_copy + 1) / of_crop for of_copy, of_crop in zip(size, cropped))
    picture = open_picture(copy.photo, math.ceil(part * min(width, height)))
    done = [*changes(copy.photo), *picture.info.values()]
    done += _fitting(copy.crop.share, cropped, size)
    picture = picture.crop(copy.crop.pixels(*picture.size))
    picture = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=95, subsampling=0)  # pixels alone: no place, no camera
    copy.jpeg = jpeg.getvalue()
    copy.entry = ManifestEntry(
        name=copy.photo.name,
        sha256=digest,
        width=width,
        height=height,
        crop=crop,
        done=done,
        why=copy.why,
        copy=copy.name,
        copy_size=size,
        copy_sha256=sha256(copy.jpeg).hexdigest(),
    ).placed(bool(old and old.held_out))


def _fitting(share: float, cropped: tuple[int, int], size: tuple[int, int]) -> list[str]:
    """What is done to a picture after it is opened, in a few words each."""
    lost = round(100 * cut_off(*cropped, size))
    found = {
        f"cropped to {100 * share:.0f} % of the picture": share < 0.995,
        f"{lost} % cut off for the shape": lost > 0,
        f"scaled to {size[0]} x {size[1]}": cropped != size,
        f"scaled up from {min(cropped)} pixels": size[0] > cropped[0] or size[1] > cropped[1],
    }
    return [words for words, true in found.items() if true]


def _hold_out(number: int, folder: Path, copies: Sequence[_Copy], good: Collection[str]) -> None:
    """Choose the photos to hold out: those held out before, then an ordinary one and those that
    differ most, of the `good` ones where there are enough.

    Each copy is a point, the 768 values of its thumbnail of 16 x 16 pixels. The first photo is the
    nearest to the mean of all; then, again and again, the one whose nearest among the chosen is
    farthest away (farthest-point sampling).
    """
    fit = [copy for copy in copies if copy.photo.name in good or copy.entry.held_out]
    fit = fit if len(fit) >= number else copies
    chosen = [index for index, copy in enumerate(fit) if copy.entry.held_out][:number]
    if len(chosen) < number:
        points = np.stack([_thumbnail(copy.jpeg or folder / copy.entry.copy) for copy in fit])
        chosen = chosen or [int(np.linalg.norm(points - points.mean(0), axis=1).argmin())]
        while len(chosen) < number:
            away = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(1)
            away[chosen] = -1  # so that of photos all alike none is chosen twice
            chosen.append(int(away.argmax()))
    names = {fit[index].photo.name for index in chosen}
    for copy in copies:
        copy.entry = copy.entry.placed(copy.photo.name in names)


def _thumbnail(copy: bytes | Path) -> np.ndarray:
    picture = Image.open(io.BytesIO(copy)) if isinstance(copy, bytes) else open_picture(copy, 16)
    return np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.float64).ravel()


def _remove(
    before: Mapping[str, ManifestEntry], names: set[str], ours: set[str], result: Prepared
) -> None:
    """Delete the copies of photos that are no longer to be prepared, where they are still ours."""
    for name in sorted(before.keys() - names):
        path = result.folder / before[name].copy
        if checksum(path) in ours:
            path.unlink()
            result.removed.append(name)
        elif path.exists():
            result.kept[name] = f"{name} is gone, but {path.name} was changed by hand and stays."


def _settle(copy: _Copy, ours: set[str], result: Prepared) -> ManifestEntry:
    """Bring the copy and its caption to their place, over nothing but a copy of ours; the entry as
    it is then."""
    entry, path = copy.entry, result.folder / copy.entry.copy
    other = result.folder / entry.placed(not entry.held_out).copy
    caption = path.with_suffix(".txt")
    if copy.old:  # held out now, or no longer
        for source, place in ((other, path), (other.with_suffix(".txt"), caption)):
            if source.exists() and not place.exists():
                make_writable_folder(place.parent)
                os.replace(source, place)
    there = checksum(path)
    if os.path.lexists(path) and there not in ours:  # one that cannot be read may be anybody's
        if not copy.old or other.exists():
            advice = "Move it elsewhere, or choose an empty folder for the dataset"
            raise Problem("Another file is where a copy belongs", path, advice)
        advice = "delete it to have it made anew"
        result.kept[entry.name] = f"{entry.copy} was changed by hand and stays so; {advice}."
        return copy.old.placed(entry.held_out)
    if copy.jpeg and there != entry.copy_sha256:
        write_atomically(path, copy.jpeg)
    if checksum(other) in ours:  # left by a run that was stopped
        other.unlink()
    if copy.caption and not caption.exists():
        write_atomically(caption, copy.caption.encode())
    (result.done if copy.jpeg else result.unchanged).append(entry.name)
    return entry
