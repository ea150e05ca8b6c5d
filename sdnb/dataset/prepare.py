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
from itertools import chain, count
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sdnb.dataset.boxes import Box
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.manifest import HELD_OUT, Entry, checksum, read_manifest, write_manifest
from sdnb.dataset.photos import FEWEST, bucket, cut_off, photo_paths
from sdnb.dataset.pictures import changes, open_picture, picture_size
from sdnb.dataset.threads import in_threads
from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically


@dataclass
class Prepared:
    """What became of the photos, by their names: prepared now, before, or no longer in the dataset;
    and in sentences, which copies stayed as you changed them and which photos cannot be read."""

    folder: Path
    done: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    held_out: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = {
            "prepared": self.done,
            "done already": self.unchanged,
            "held out": self.held_out,
            "taken out of the dataset": self.removed,
        }
        lines = [f"{_photos(names)} {what}." for what, names in counted.items() if names]
        return "\n".join([*lines, *self.kept.values(), *self.unreadable.values()])


def _photos(names: list[str]) -> str:
    return "1 photo was" if len(names) == 1 else f"{len(names)} photos were"


@dataclass(frozen=True)
class _Job:
    path: Path  # of the photo
    crop: Box
    why: str
    copy: str  # the copy's name
    old: Entry | None  # of the run before


def prepare_photos(
    config: PhotoConfig,
    target: Path | str,
    crops: Mapping[str, Box] | None = None,
    notes: Mapping[str, str] | None = None,
    good: Collection[str] | None = None,
    progress: bool = True,
) -> Prepared:
    """Write a copy of every photo into the dataset `target`, and the manifest that lists them.

    `crops` and `notes` are by the photos' names: the part of the upright picture to take (all of
    it where there is none) and the reason, which the manifest keeps; photos whose names are in
    `good` are held out before others. The captions beside the photos are copied, never over one
    that is there; a copy that you changed by hand stays as it is. Photos once held out stay so
    while as many are asked for. The photos themselves are only read.

    Raises Problem for a missing folder, a dataset that cannot be written or lies among the photos,
    a file there that is in the way, and fewer than three photos to train on. A photo that cannot be
    read does not stop the others.
    """
    paths = [path for path in photo_paths(config.photos) if path.name not in config.skip]
    folder = _dataset(config.photos, target)
    before, planned, _ = read_manifest(folder)
    done = Prepared(folder)
    crops, notes, copies = crops or {}, notes or {}, _copy_names(paths, before)
    jobs = [
        _Job(p, crops.get(p.name, Box()), notes.get(p.name, ""), copy, before.get(p.name))
        for p, copy in zip(paths, copies)
    ]
    made = _make_all(config, jobs, done, progress)
    held_out = _hold_out(config.held_out, folder, [(e, jpeg) for _, e, jpeg in made], good)
    planned |= {entry.copy_sha256 for _, entry, _ in made}
    settings = config.model_dump(mode="json", exclude={"photos"})  # where they lie is private
    if any(jpeg for _, _, jpeg in made):  # should it end halfway, these are not taken for yours
        write_manifest(folder, settings, before.values(), planned)
    _remove(before, {path.name for path in paths}, done)
    entries = [
        _settle(job, entry.placed(entry.name in held_out), jpeg, planned, done)
        for job, entry, jpeg in made
    ]
    done.held_out = [entry.name for entry in entries if entry.held_out]
    write_manifest(folder, settings, entries)
    return done


def _make_all(
    config: PhotoConfig, jobs: Sequence[_Job], done: Prepared, progress: bool
) -> list[tuple[_Job, Entry, bytes | None]]:
    """Every job with what `_make` makes of it, but for photos that cannot be read. Raises Problem
    where too few are left."""
    made = []
    for job, result in zip(jobs, in_threads(partial(_make, config, done.folder), jobs, progress)):
        if isinstance(result, Problem):
            done.unreadable[job.path.name] = str(result)
            if not job.old or not (done.folder / job.old.copy).exists():
                continue
            result = job.old, None  # what was prepared while it could be read
        made.append((job, *result))
    if len(made) - config.held_out >= FEWEST:
        return made
    what = f"Of the {len(jobs)} photos {len(made)} can be prepared and {config.held_out} shall be "
    what += f"held out, but training needs at least {FEWEST}"
    advice = " ".join(["Add photos or hold fewer out.", *done.unreadable.values()])
    raise Problem(what, config.photos, advice)


def _dataset(photos: Path, target: Path | str) -> Path:
    """The folder for the copies, which can be written and does not lie among the photos."""
    folder, home = Path(target), photos.resolve()
    if any(f.resolve().is_relative_to(home) for f in (folder, folder / HELD_OUT)):
        what = "The copies cannot lie in the folder of the photos, which are never changed"
        raise Problem(what, folder, "Choose another folder for the dataset")
    return make_writable_folder(folder)


def _copy_names(paths: Sequence[Path], before: Mapping[str, Entry]) -> list[str]:
    """A photo keeps the name of its copy, for a caption may stand beside that. A new one's copy is
    called like the photo, and NAME-2 where another of that name is there (a.jpg and a.png)."""
    names = {path.name: Path(before[path.name].copy).name for path in paths if path.name in before}
    taken = {name.casefold() for name in names.values()}  # some disks ignore case
    for path in (path for path in paths if path.name not in names):
        free = chain([f"{path.stem}.jpg"], (f"{path.stem}-{n}.jpg" for n in count(2)))
        names[path.name] = next(name for name in free if name.casefold() not in taken)
        taken.add(names[path.name].casefold())
    return [names[path.name] for path in paths]


def _make(config: PhotoConfig, folder: Path, job: _Job) -> tuple[Entry, bytes | None] | Problem:
    """The photo's entry and its copy's JPEG, None where the copy that is there is the right one; or
    the Problem with a photo that cannot be read."""
    digest, old, crop = checksum(job.path), job.old, job.crop.rounded()
    if (
        old
        and (old.sha256, old.crop) == (digest, crop)
        and old.copy_size == _copy_size(config, *_pixels(job.crop, old.width, old.height))
        and old.copy_sha256 == checksum(folder / old.copy)
    ):
        return replace(old, why=job.why), None
    try:
        width, height = picture_size(job.path)
        cropped = _pixels(job.crop, width, height)
        size = _copy_size(config, *cropped)
        # a smaller picture will do as long as the crop, whole pixels of it, has the copy's
        part = max((of_copy + 1) / of_crop for of_copy, of_crop in zip(size, cropped))
        picture = open_picture(job.path, math.ceil(part * min(width, height)))
        done = changes(job.path) + _fitting(job.crop.share, cropped, size)
    except Problem as problem:
        return problem
    picture = picture.crop(job.crop.pixels(*picture.size))
    jpeg = io.BytesIO()
    # of pixels alone: no place, no camera, no comment
    fitted = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    fitted.save(jpeg, "JPEG", quality=95, subsampling=0)
    made = sha256(jpeg.getvalue()).hexdigest()
    entry = Entry(job.path.name, digest, width, height, crop, done, job.why, job.copy, size, made)
    return entry.placed(bool(old and old.held_out)), jpeg.getvalue()


def _pixels(crop: Box, width: int, height: int) -> tuple[int, int]:
    """Width and height in pixels of a crop."""
    left, top, right, bottom = crop.pixels(width, height)
    return right - left, bottom - top


def _copy_size(config: PhotoConfig, width: int, height: int) -> tuple[int, int]:
    """Width and height of the copy of a crop, in pixels."""
    if config.shape == "square":
        return config.size, config.size
    return bucket(width, height, config.size, min(config.bucket_step, config.size // 2))


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


def _hold_out(
    number: int,
    folder: Path,
    made: Sequence[tuple[Entry, bytes | None]],
    good: Collection[str] | None,
) -> set[str]:
    """The names of the photos to hold out: those held out before, then an ordinary one and those
    that differ most, of the `good` ones where there are enough.

    Each copy is a point, the 768 values of its thumbnail of 16 x 16 pixels. The first photo is the
    nearest to the mean of all; then, again and again, the one whose nearest among the chosen is
    farthest away (farthest-point sampling).
    """
    chosen = [i for i, (entry, _) in enumerate(made) if entry.held_out][:number]
    if len(chosen) < number:
        those = [pair for pair in made if good is None or pair[0].name in good or pair[0].held_out]
        if len(those) >= number:
            made = those
            chosen = [i for i, (entry, _) in enumerate(made) if entry.held_out][:number]
        points = np.stack([_thumbnail(jpeg or folder / entry.copy) for entry, jpeg in made])
        chosen = chosen or [int(np.linalg.norm(points - points.mean(0), axis=1).argmin())]
        while len(chosen) < number:
            away = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(1)
            away[chosen] = -1  # so that of photos all alike none is chosen twice
            chosen.append(int(away.argmax()))
    return {made[i][0].name for i in chosen}


def _thumbnail(copy: bytes | Path) -> np.ndarray:
    picture = Image.open(io.BytesIO(copy)) if isinstance(copy, bytes) else open_picture(copy, 16)
    return np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.float64).ravel()


def _remove(before: Mapping[str, Entry], names: set[str], done: Prepared) -> None:
    """Delete the copies of photos that are no longer to be prepared, where they are still ours."""
    for name in sorted(before.keys() - names):
        path = done.folder / before[name].copy
        if checksum(path) == before[name].copy_sha256:
            path.unlink()
            done.removed.append(name)
        elif path.exists():
            done.kept[name] = f"{name} is gone, but {path.name} was changed by hand and stays."


def _settle(
    job: _Job, entry: Entry, jpeg: bytes | None, planned: set[str], done: Prepared
) -> Entry:
    """Bring the copy and its caption to their place, over nothing but a copy of ours; the entry as
    it is then."""
    old, path = job.old, done.folder / entry.copy
    here, caption = done.folder / old.copy if old else path, path.with_suffix(".txt")
    for moving, place in ((here, path), (here.with_suffix(".txt"), caption)):
        if moving.exists() and not place.exists():
            make_writable_folder(place.parent)
            os.replace(moving, place)
    there, ours = checksum(path), old.copy_sha256 if old else None
    if there not in (None, ours, *planned):
        if not old or (here != path and here.exists()):
            advice = "Move it elsewhere, or choose an empty folder for the dataset"
            raise Problem("Another file is where a copy belongs", path, advice)
        advice = "delete it to have it made anew"
        done.kept[entry.name] = f"{entry.copy} was changed by hand and stays so; {advice}."
        return old.placed(entry.held_out)
    if jpeg and there != entry.copy_sha256:
        write_atomically(path, jpeg)
    elsewhere = done.folder / entry.placed(not entry.held_out).copy
    if checksum(elsewhere) in planned:  # left by a run that was stopped
        elsewhere.unlink()
    own = job.path.with_suffix(".txt")
    if own.is_file() and not caption.exists():
        write_atomically(caption, own.read_bytes())
    (done.done if jpeg else done.unchanged).append(entry.name)
    return entry
