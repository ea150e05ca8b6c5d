"""From photos to copies: what they hold and what they do not, again and again, and after accidents.

Whenever the photos are prepared here, they are compared with what they were before.
"""

import json
import os
import shutil
import warnings
from hashlib import sha256

import numpy as np
import pytest
from PIL import ExifTags, Image

from sdnb.dataset import prepare
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.crops import Box
from sdnb.dataset.decoding import open_picture, picture_size
from sdnb.dataset.photos import loss_by_shape, photo_paths
from sdnb.dataset.prepare import prepare_photos
from sdnb.errors import Problem

QUADRANTS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
CORNERS = [Box(x, y, x + 0.5, y + 0.5) for y in (0, 0.5) for x in (0, 0.5)]
WHITE = (250, 250, 250)


def quadrants(width=400, height=300) -> Image.Image:
    """Red and green above, blue and yellow below."""
    picture = Image.new("RGB", (width, height))
    for colour, corner in zip(QUADRANTS, CORNERS):
        picture.paste(colour, corner.pixels(width, height))
    return picture


@pytest.fixture
def photos(tmp_path):
    """Five photos a.jpg to e.jpg, two of them with captions."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate("abcde"):
        grey = Image.new("RGB", (40, 30), (50 * number,) * 3)
        quadrants().resize((400, 300)).save(folder / f"{name}.jpg", quality=95)
        with Image.open(folder / f"{name}.jpg") as picture:
            picture.paste(grey, (180, 140))
            picture.save(folder / f"{name}.jpg", quality=95)
    (folder / "a.txt").write_text("photo of ravo")
    (folder / "b.txt").write_text("ravo in a park")
    return folder


@pytest.fixture
def run(photos, tmp_path):
    """Prepare the photos; the originals' bytes are compared before and after."""

    def call(crops=None, notes=None, good=(), **settings):
        def state():
            files = [path for path in photos.iterdir() if path.is_file()]
            return {path.name: sha256(path.read_bytes()).digest() for path in files}

        before = state()
        config = PhotoConfig(**{"photos": photos, "size": 64, **settings})
        try:
            return prepare_photos(config, tmp_path / "dataset", crops, notes, good, progress=False)
        finally:
            assert state() == before

    return call


@pytest.fixture
def opened(monkeypatch):
    """The names of the photos that are decoded."""
    names = []

    def watched(path, at_least=None):
        names.append(path.name)
        return open_picture(path, at_least)

    monkeypatch.setattr(prepare, "open_picture", watched)
    return names


@pytest.fixture
def dataset(tmp_path):
    return tmp_path / "dataset"


def manifest(dataset) -> dict[str, dict]:
    content = json.loads((dataset / "manifest.json").read_text())
    return {entry["name"]: entry for entry in content["photos"]}


def state_of(folder) -> dict:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_copies_captions_and_the_manifest(run, photos, dataset):
    done = run(notes={"a.jpg": "The head was small."}, size=128)
    assert done.done == [f"{name}.jpg" for name in "abcde"] and not done.unchanged
    assert {p.name for p in dataset.iterdir()} == {
        "manifest.json", *done.done, "a.txt", "b.txt",
    }  # fmt: skip
    assert (dataset / "a.txt").read_text() == "photo of ravo"
    with Image.open(dataset / "a.jpg") as copy:
        assert (copy.size, copy.mode, copy.format) == ((128, 128), "RGB", "JPEG")
        assert {h for _, h, _, _ in copy.layer} == {1}  # colours at full resolution
    entry = manifest(dataset)["a.jpg"]
    assert entry["sha256"] == sha256((photos / "a.jpg").read_bytes()).hexdigest()
    assert entry["copy_sha256"] == sha256((dataset / "a.jpg").read_bytes()).hexdigest()
    assert (entry["width"], entry["height"], entry["crop"]) == (400, 300, [0, 0, 1, 1])
    assert entry["done"] == ["25 % cut off for the shape", "scaled to 128 x 128"]
    assert (entry["why"], entry["copy"], entry["held_out"]) == (
        "The head was small.", "a.jpg", False,
    )  # fmt: skip
    assert manifest(dataset)["b.jpg"]["why"] == ""
    assert str(done) == "5 photos were prepared."
    assert str(dataset.parent) not in (dataset / "manifest.json").read_text()


@pytest.mark.parametrize("corner", range(4))
def test_the_crop_is_of_the_upright_picture(run, photos, dataset, corner):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        turn = [None, 0, 3, 1, 5, 2, 6, 4][orientation - 1]  # how it lay in the camera
        lying = quadrants(1600, 1200)
        lying = lying if turn is None else lying.transpose(Image.Transpose(turn))
        lying.save(photos / f"{orientation}.jpg", quality=95, exif=exif)
        assert picture_size(photos / f"{orientation}.jpg") == (1600, 1200)
    run({f"{i}.jpg": CORNERS[corner] for i in range(1, 9)})
    for i in range(1, 9):
        pixels = np.asarray(Image.open(dataset / f"{i}.jpg")).astype(int)
        assert np.abs(pixels - QUADRANTS[corner]).max() <= 6, i
        said = manifest(dataset)[f"{i}.jpg"]["done"]
        assert "cropped to 25 % of the picture" in said
        assert ("turned upright" in said) == (i > 1)


def test_sizes_and_what_is_said_of_them(run, photos, dataset):
    run({"a.jpg": Box(0.25, 0.25, 0.375, 0.5)}, shape="buckets", size=256)  # 50 x 75 pixels
    entry = manifest(dataset)["a.jpg"]
    assert entry["copy_size"] == [192, 320] and Image.open(dataset / "a.jpg").size == (192, 320)
    assert entry["done"] == [
        "cropped to 3 % of the picture",
        "10 % cut off for the shape",
        "scaled to 192 x 320",
        "scaled up from 50 pixels",
    ]
    assert Image.open(dataset / "b.jpg").size == (320, 192)
    assert manifest(dataset)["b.jpg"]["done"] == [
        "20 % cut off for the shape",
        "scaled to 320 x 192",
    ]
    run(shape="buckets", size=64, bucket_step=128)  # of buckets no wider than half the square
    assert Image.open(dataset / "b.jpg").size[0] in (64, 96)


def test_only_pixels_are_copied(run, photos, dataset):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SecretCamera"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (59.0, 56.0, 4.0)})
    quadrants().save(photos / "a.jpg", exif=exif, comment=b"SecretWords", quality=95)
    assert Image.open(photos / "a.jpg").getexif().get_ifd(ExifTags.IFD.GPSInfo)
    run()
    copy = Image.open(dataset / "a.jpg")
    assert not copy.getexif() and not copy.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert set(copy.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    everything = b"".join(state_of(dataset).values())
    assert b"Secret" not in everything and b"Exif" not in everything


def test_transparent_parts_and_profiles_are_told(run, photos, dataset):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGBA", (64, 64), (9, 9, 9, 0)).save(photos / "a.png")
    quadrants(64, 64).save(photos / "b.png", icc_profile=profile)
    run()
    said = manifest(dataset)
    assert said["a.png"]["done"] == ["transparent parts made white"]
    assert said["b.png"]["done"] == ["colours converted to sRGB"]
    assert np.asarray(Image.open(dataset / "a-2.jpg")).min() > 250
    assert "icc_profile" not in Image.open(dataset / "b-2.jpg").info


def test_again_does_nothing(run, dataset, opened):
    run(held_out=1)
    assert sorted(set(opened)) == [f"{name}.jpg" for name in "abcde"] and len(opened) == 5
    before = {p: p.stat().st_mtime_ns for p in dataset.rglob("*")}
    opened.clear()
    done = run(held_out=1)
    assert not opened and not done.done and len(done.unchanged) == 5
    assert {p: p.stat().st_mtime_ns for p in dataset.rglob("*")} == before
    assert str(done) == "5 photos were done already.\n1 photo was held out."


def test_only_what_changed_is_done_again(run, photos, dataset, opened):
    run()
    opened.clear()
    assert run({"b.jpg": CORNERS[0]}).done == opened == ["b.jpg"]
    opened.clear()
    quadrants().save(photos / "c.jpg")
    (dataset / "d.jpg").unlink()
    assert sorted(run({"b.jpg": CORNERS[0]}).done) == sorted(opened) == ["c.jpg", "d.jpg"]
    opened.clear()
    run({"b.jpg": CORNERS[0]}, notes={"b.jpg": "why"}, subject="object", target_share=0.4)
    assert not opened and manifest(dataset)["b.jpg"]["why"] == "why"
    run(size=80)
    assert sorted(opened) == [f"{name}.jpg" for name in "abcde"]


def test_held_out_photos_differ(run, photos, dataset, opened):
    """Two dark and two light photos among grey ones, and one of each is held out."""
    for path in photos.glob("*.jpg"):
        path.unlink()
    greys = {"dark1": 0, "dark2": 6, "grey1": 124, "grey2": 128, "grey3": 132, "light1": 249}
    for name, value in (greys | {"light2": 255}).items():
        Image.new("RGB", (80, 80), (value,) * 3).save(photos / f"{name}.png")
    done = run(held_out=3)
    assert [name[:4] for name in done.held_out] == ["dark", "grey", "ligh"]
    assert {p.stem for p in photo_paths(dataset / "held_out")} == {n[:-4] for n in done.held_out}
    assert len(photo_paths(dataset)) == 4
    opened.clear()
    fewer = run(held_out=2)
    assert set(fewer.held_out) < set(done.held_out) and len(fewer.unchanged) == 7 and not opened
    Image.new("RGB", (80, 80), "red").save(photos / "red.png")
    assert set(run(held_out=3, size=72).held_out) == {*fewer.held_out, "red.png"}
    assert {name for name, e in manifest(dataset).items() if e["held_out"]} == {
        *fewer.held_out, "red.png",
    }  # fmt: skip


def test_photos_all_alike_are_held_out_once_each(run, photos):
    for name in "abcde":
        quadrants().save(photos / f"{name}.jpg")
    assert len(set(run(held_out=2).held_out)) == 2


def test_a_caption_goes_with_its_photo_and_is_never_overwritten(run, photos, dataset):
    run()
    for name in "abcde":
        (dataset / f"{name}.txt").write_text(f"by hand {name}")
    done = run(held_out=2)
    for name in "abcde":
        place = dataset / "held_out" if f"{name}.jpg" in done.held_out else dataset
        assert (place / f"{name}.txt").read_text() == f"by hand {name}"
    assert len([*dataset.rglob("*.txt")]) == len([*dataset.rglob("*.jpg")]) == 5
    run(size=80)
    assert {(dataset / f"{name}.txt").read_text() for name in "ab"} == {"by hand a", "by hand b"}


def test_too_few_remain(run, photos):
    with pytest.raises(Problem, match="5 can be prepared and 3 shall be held out"):
        run(held_out=3)
    for name in "cde":
        (photos / f"{name}.jpg").write_bytes(b"no picture")
    with pytest.raises(Problem, match=r"Of the 5 photos 2 can be prepared.*c\.jpg"):
        run()


def test_an_unreadable_photo_does_not_stop_the_others(run, photos, dataset):
    run()
    copy = (dataset / "c.jpg").read_bytes()
    (photos / "c.jpg").write_bytes((photos / "c.jpg").read_bytes()[:900])
    (photos / "new.jpg").write_bytes(b"")
    (photos / "folder.png").mkdir()
    done = run()
    assert [*done.unreadable] == ["c.jpg", "folder.png", "new.jpg"]
    assert "cannot be read" in done.unreadable["c.jpg"] in str(done)
    assert (dataset / "c.jpg").read_bytes() == copy and "c.jpg" in manifest(dataset)
    assert not (dataset / "new.jpg").exists()


def test_photos_of_one_stem_and_names_of_all_kinds(run, photos, dataset):
    names = ["a.png", "A.webp", "with blanks.png", "фото дня.jpg", "😀.png", "two\nlines.png"]
    for number, name in enumerate(names):
        Image.new("RGB", (64, 64), (40 * number, 0, 0)).save(photos / name)
    run()
    copies = {entry["name"]: entry["copy"] for entry in manifest(dataset).values()}
    assert {copies["A.webp"], copies["a.jpg"], copies["a.png"]} == {"A.jpg", "a-2.jpg", "a-3.jpg"}
    for number, name in enumerate(names):
        assert abs(Image.open(dataset / copies[name]).getpixel((9, 9))[0] - 40 * number) < 9
    assert copies["фото дня.jpg"] == "фото дня.jpg" and "фото" in (
        dataset / "manifest.json"
    ).read_text(encoding="utf-8")
    quadrants().save(photos / "0.png")  # first in order, but named last
    quadrants().save(photos / "A.bmp")
    run()
    later = {entry["name"]: entry["copy"] for entry in manifest(dataset).values()}
    assert later == copies | {"0.png": "0.jpg", "A.bmp": "A-4.jpg"}


def test_a_name_that_is_no_unicode(run, photos, dataset):
    name = b"\xf4\xee\xf2\xee.png".decode("utf-8", "surrogateescape")  # as old zips leave them
    try:
        quadrants().save(photos / name)
    except (OSError, UnicodeError):
        pytest.skip("this disk knows no such names")
    assert name in run().done and name in run().unchanged


def test_a_copy_changed_by_hand_stays(run, dataset):
    run()
    Image.new("RGB", (64, 64), WHITE).save(dataset / "a.jpg")
    mine = (dataset / "a.jpg").read_bytes()
    for settings in ({}, {"size": 80}):
        done = run(**settings)
        assert [*done.kept] == ["a.jpg"] and "changed by hand" in str(done)
        assert "a.jpg" not in done.done + done.unchanged
        assert (dataset / "a.jpg").read_bytes() == mine
    assert Image.open(dataset / "b.jpg").size == (80, 80)
    (dataset / "a.jpg").unlink()
    assert run(size=80).done == ["a.jpg"]


def test_photos_that_left_lose_their_copies(run, photos, dataset):
    run()
    Image.new("RGB", (64, 64), WHITE).save(dataset / "b.jpg")
    (dataset / "mine.jpg").write_bytes(b"something else")
    (photos / "a.jpg").unlink()
    done = run(skip=("b.jpg",))
    assert done.removed == ["a.jpg"] and [*done.kept] == ["b.jpg"]
    assert [*manifest(dataset)] == ["c.jpg", "d.jpg", "e.jpg"]
    there = {p.name for p in dataset.iterdir()}
    assert "a.jpg" not in there and {"a.txt", "b.jpg", "mine.jpg"} <= there


def test_a_copy_of_a_stopped_run_goes_with_its_photo(run, photos, dataset, monkeypatch):
    """The run wrote a copy and no manifest; then the photo is taken away."""
    run()
    real, calls = prepare.write_atomically, iter(range(3))

    def dying(path, content):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        real(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prepare, "write_atomically", dying)
        run(size=80)
    (photos / "a.jpg").unlink()
    done = run(size=80)
    assert done.removed == ["a.jpg"] and not done.kept and not (dataset / "a.jpg").exists()


def test_stopped_while_photos_were_held_out_their_captions_come_back(run, dataset, monkeypatch):
    """The files were moved, but the manifest does not know."""
    run()
    for name in "abcde":
        (dataset / f"{name}.txt").write_text(f"by hand {name}")

    def dying(path, content):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sdnb.dataset.manifest.write_atomically", dying)
        run(held_out=2)
    assert len([*(dataset / "held_out").iterdir()]) == 4
    assert not run().kept and not [*(dataset / "held_out").iterdir()]
    assert {(dataset / f"{n}.txt").read_text() for n in "abcde"} == {
        f"by hand {n}" for n in "abcde"
    }


def test_a_file_of_others_is_never_overwritten(run, dataset):
    dataset.mkdir()
    (dataset / "c.jpg").write_bytes(b"not ours")
    with pytest.raises(Problem, match="Another file") as caught:
        run()
    assert caught.value.where == dataset / "c.jpg"
    assert (dataset / "c.jpg").read_bytes() == b"not ours"
    (dataset / "c.jpg").unlink()
    held = run().folder / "held_out"
    held.mkdir()
    for name in "abcde":
        (held / f"{name}.jpg").write_bytes(b"not ours")
    with pytest.raises(Problem, match="Another file"):
        run(held_out=1)
    assert {path.read_bytes() for path in held.iterdir()} == {b"not ours"}
    assert len(photo_paths(dataset)) == 5


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"photos": [{"name": 1}]}', "outside"])
def test_a_broken_manifest_is_a_problem_and_a_lost_one_is_made_again(run, dataset, content):
    run()
    path, whole = dataset / "manifest.json", state_of(dataset)
    out = whole["manifest.json"].decode().replace('"copy": "a.jpg"', '"copy": "../photos/a.jpg"')
    path.write_text(out if content == "outside" else content)
    with pytest.raises(Problem, match="list of the prepared photos cannot be read"):
        run()
    path.unlink()
    assert len(run().done) == 5
    assert state_of(dataset) == whole


@pytest.mark.parametrize("die_at", range(1, 9))
@pytest.mark.parametrize("earlier", [False, True])
def test_stopped_at_any_write_the_next_run_completes(run, dataset, monkeypatch, die_at, earlier):
    """Five copies, two captions and the manifest are written; with other settings `earlier`."""
    if earlier:
        run(size=80, held_out=2)
    with monkeypatch.context() as patched:
        real, calls = prepare.write_atomically, iter(range(1, die_at))

        def write(path, content):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            real(path, content)

        patched.setattr(prepare, "write_atomically", write)
        patched.setattr("sdnb.dataset.manifest.write_atomically", write)
        if die_at <= (6 if earlier else 8):
            with pytest.raises(KeyboardInterrupt):
                run(held_out=1)
    done = run(held_out=1)
    assert not done.kept and len(done.done + done.unchanged) == 5 and len(done.held_out) == 1
    for entry in manifest(dataset).values():
        data = (dataset / entry["copy"]).read_bytes()
        assert sha256(data).hexdigest() == entry["copy_sha256"]
        assert Image.open(dataset / entry["copy"]).size == (64, 64)
    assert len([*dataset.rglob("*.jpg")]) == 5 and len([*dataset.rglob("*.txt")]) == 2


def test_a_half_written_file_is_no_photo(run, photos, dataset):
    run()
    (dataset / ".a.123.jpg").write_bytes(b"half")
    (photos / "._a.jpg").write_bytes(b"of a Mac")
    assert not run().unreadable and len(photo_paths(dataset)) == 5


@pytest.mark.parametrize("place", ["", "dataset", "../photos/./x"])
def test_never_among_the_photos(photos, place):
    with pytest.raises(Problem, match="cannot lie in the folder of the photos"):
        prepare_photos(PhotoConfig(photos=photos), photos / place, progress=False)
    (photos.parent / "held_out").symlink_to(photos)
    with pytest.raises(Problem, match="cannot lie in the folder of the photos"):
        prepare_photos(PhotoConfig(photos=photos), photos.parent, progress=False)
    assert {p.suffix for p in photos.iterdir()} == {".jpg", ".txt"}


def test_a_dataset_that_cannot_be_written(photos, locked_folder, ordinary_user):
    locked_folder.chmod(0o755)
    config = PhotoConfig(photos=shutil.copytree(photos, locked_folder / "photos"))
    locked_folder.chmod(0o555)
    said = ordinary_user(lambda: prepare_photos(config, locked_folder / "x", progress=False))
    assert "cannot be written" in said and not (locked_folder / "x").exists()


def test_no_photos(tmp_path):
    with pytest.raises(Problem, match="does not exist"):
        prepare_photos(PhotoConfig(photos=tmp_path / "none"), tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_warnings_are_as_before(run):
    before = list(warnings.filters)
    run()
    assert warnings.filters == before


@pytest.mark.parametrize(("at_least", "scale"), [(None, 1), (301, 1), (300, 2), (150, 4), (75, 8),
                                                 (10, 8), (9999, 1)])  # fmt: skip
def test_a_jpeg_is_scaled_while_it_is_decoded(tmp_path, at_least, scale):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    quadrants(800, 600).save(tmp_path / "a.jpg", exif=exif, quality=95)
    quadrants(800, 600).save(tmp_path / "a.png", exif=exif)
    picture = open_picture(tmp_path / "a.jpg", at_least)
    assert picture.size == (600 // scale, 800 // scale)
    assert open_picture(tmp_path / "a.png", at_least).size == (600, 800)
    assert [picture.getpixel((int(x * picture.width), int(y * picture.height)))[0] > 100
            for x, y in ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8))
            ] == [False, True, True, False]  # fmt: skip


def test_scaling_while_decoding_changes_next_to_nothing(run, photos, dataset, monkeypatch):
    """Of 256 shades the copies of a photo differ by less than 1 on average, and by at most 12."""
    chance = np.random.default_rng(0)
    waves = np.sin(np.linspace(0, 60, 1600))[None, :, None] * np.cos(np.linspace(0, 40, 1200))[
        :, None, None
    ]  # fmt: skip
    pixels = 128 + 90 * waves * chance.uniform(0.3, 1, 3) + chance.normal(0, 8, (1200, 1600, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(photos / "a.jpg", quality=92)
    run(size=128)
    fast = np.asarray(Image.open(dataset / "a.jpg")).astype(float)
    (dataset / "a.jpg").unlink()
    monkeypatch.setattr(prepare, "open_picture", lambda path, at_least=None: open_picture(path))
    run(size=128)
    away = np.abs(np.asarray(Image.open(dataset / "a.jpg")) - fast)
    assert 0 < away.mean() < 1 and away.max() <= 12


def test_the_size_is_read_without_the_pixels(photos, monkeypatch):
    for suffix in ("jpg", "png", "webp", "avif", "tiff"):
        exif = Image.Exif()  # anew, for saving as AVIF takes the tag out of it
        exif[ExifTags.Base.Orientation] = 8
        quadrants().save(photos / f"turned.{suffix}", exif=exif)
    quadrants().save(photos / "plain.png")
    content = (photos / "turned.png").read_bytes()
    start = content.index(b"eXIf") - 4  # ImageMagick writes it behind the pixels
    end = start + 12 + int.from_bytes(content[start : start + 4])
    late = content[:start] + content[end:-12] + content[start:end] + content[-12:]
    (photos / "late.png").write_bytes(late)
    assert picture_size(photos / "late.png") == (300, 400) == open_picture(photos / "late.png").size
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    for suffix in ("jpg", "png", "webp", "avif", "tiff"):
        assert picture_size(photos / f"turned.{suffix}") == (300, 400)
    assert picture_size(photos / "plain.png") == (400, 300)
    (photos / "no.jpg").write_bytes(b"no picture")
    with pytest.raises(Problem, match="cannot be read"):
        picture_size(photos / "no.jpg")


def test_what_each_shape_loses():
    rows = loss_by_shape([(4000, 3000), (512, 512), (1000, 3000)])
    assert [row["bucket"] for row in rows] == [(576, 448), (512, 512), (320, 768)]
    assert [row["square"] for row in rows] == pytest.approx([0.25, 0, 2 / 3])
    assert [row["lost"] for row in rows] == pytest.approx([1 / 28, 0, 0.2])


def test_every_setting_helps():
    for name, field in PhotoConfig.model_fields.items():
        assert field.title and field.description.endswith("."), name
    assert set(PhotoConfig.basics) <= set(PhotoConfig.model_fields)


def test_good_photos_are_held_out_before_others(run, photos):
    for name, colour in (("y", "white"), ("z", "black")):  # the two that differ most
        Image.new("RGB", (400, 300), colour).save(photos / f"{name}.jpg")
    good = {f"{name}.jpg" for name in "abcde"}
    assert set(run(held_out=2, good=good).held_out) <= good
    assert run(held_out=3, good={"a.jpg"}).held_out, "with too few good ones any will do"


def test_stopped_and_then_other_settings(run, dataset, monkeypatch):
    """Copies of the stopped run are not taken for somebody's work, in a first run neither."""
    for first in (64, 72):  # an empty dataset; one that is complete
        written = []

        def dying(path, content, real=prepare.write_atomically, written=written):
            written.append(path)
            if len(written) == 3:
                raise KeyboardInterrupt
            real(path, content)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(prepare, "write_atomically", dying)
            run(size=first)
        done = run(size=96)
        assert done.kept == {} and len(done.done + done.unchanged) == 5
        sizes = {Image.open(path).size for path in dataset.rglob("*.jpg")}
        assert sizes == {(96, 96)} and len(list(dataset.rglob("*.jpg"))) == 5


def test_what_has_no_end_does_not_stop_the_others(run, photos, dataset):
    os.mkfifo(photos / "pipe.jpg")
    (photos / "zero.png").symlink_to("/dev/zero")
    (photos / "a.txt").unlink()
    (photos / "a.txt").symlink_to("/dev/zero")
    os.mkfifo(photos / "c.txt")
    for _ in range(2):
        done = run(held_out=1)
        assert len(done.done + done.unchanged) == 5
        assert {*done.unreadable} == {"pipe.jpg", "zero.png", "a.txt", "c.txt"}
        assert all("no ordinary file" in why in str(done) for why in done.unreadable.values())
    assert len([*dataset.rglob("b.txt")]) == 1


def test_what_may_not_be_read_does_not_stop_the_others(photos, locked_folder, ordinary_user):
    locked_folder.chmod(0o755)
    source = shutil.copytree(photos, locked_folder / "photos")
    for name in ("a.txt", "c.jpg"):
        (source / name).chmod(0)

    def call():
        done = prepare_photos(PhotoConfig(photos=source), locked_folder / "x", progress=False)
        assert len(done.done) == 4
        raise Problem(str(done))

    said = ordinary_user(call)
    assert said.count("Permission denied") == 2 and "a.txt" in said and "c.jpg" in said


def test_a_file_that_cannot_be_read_is_not_overwritten(run, dataset):
    """Nobody knows whose it is."""
    dataset.mkdir()
    os.mkfifo(dataset / "c.jpg")
    with pytest.raises(Problem, match="Another file"):
        run()
    assert (dataset / "c.jpg").is_fifo()


def test_names_as_long_as_a_disk_allows(run, photos, dataset):
    names = [f"{'x' * 251}.jpg", f"{'x' * 251}.png", f"{'ж' * 125}.png"]
    for name in names:
        quadrants().save(photos / name)
    (photos / f"{'x' * 251}.txt").write_text("a caption")
    done = run()
    assert {*names} < {*done.done} and not done.unreadable
    copies = {entry["name"]: entry["copy"] for entry in manifest(dataset).values()}
    assert copies[names[0]] == names[0] and copies[names[1]] == f"{'x' * 60}-2.jpg"
    assert (dataset / copies[names[1]]).with_suffix(".txt").read_text() == "a caption"
    assert len(run().unchanged) == 8


def test_how_grey_was_scaled_is_told(run, photos, dataset):
    values = np.tile(np.arange(0, 4096, 16, np.uint16), (256, 1))
    Image.fromarray(values).save(photos / "grey.png")
    run()
    assert "grey values from 0 to 4095 shown as 0 to 255" in manifest(dataset)["grey.png"]["done"]
    assert np.asarray(Image.open(dataset / "grey.jpg")).max() > 240


def test_what_is_said_can_be_printed(run, photos):
    name = "caf\udce9.png"
    (photos / name).write_bytes(b"no photo")
    done = run()
    assert name in done.unreadable and str(done).encode() and "caf?.png" in str(done)


def test_captions_of_other_names_are_copied_and_what_is_not_read_is_said(run, photos, dataset):
    (photos / "c.caption").write_text("ravo \\(a man\\)")
    (photos / "d.jpg.TXT").write_text("ravo at night")
    (photos / "e.wd14_cap").write_text("1boy")
    Image.new("L", (9, 9)).save(photos / "a-masklabel.png")
    done = run()
    assert done.done == [f"{name}.jpg" for name in "abcde"]
    assert (dataset / "c.txt").read_text() == "ravo (a man)"
    assert (dataset / "d.txt").read_text() == "ravo at night"
    said = "No caption is found for e.jpg. Not read: a-masklabel.png and e.wd14_cap."
    assert said in str(done) and not (dataset / "e.txt").exists()


def test_a_caption_that_is_not_text_is_told_and_stops_no_photo(run, photos, dataset):
    (photos / "b.txt").write_bytes(b"caf\xe9")
    done = run()
    assert "caption cannot be read" in done.unreadable["b.txt"] in str(done)
    assert (dataset / "b.jpg").exists() and not (dataset / "b.txt").exists()
