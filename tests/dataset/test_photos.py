import os

import numpy as np
import pytest
from PIL import Image

from sdnb.dataset.photos import (
    fingerprint,
    literal,
    photo_paths,
    photos_in,
    read_caption,
    read_image,
    read_photos,
    unread_files,
)
from sdnb.errors import Problem

ORIENTATION = 0x0112  # the EXIF tag


def test_photos_come_square_with_their_captions(photos_folder):
    photos = read_photos(photos_folder, 48)
    assert [photo.path.name for photo in photos] == [f"{i}.png" for i in range(5)]
    assert {(photo.image.size, photo.image.mode) for photo in photos} == {((48, 48), "RGB")}
    assert photos[0].caption == ""
    assert photos[1].caption == "photo of ravo man number 1"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation):
    upright = np.zeros((64, 64, 3), np.uint8)
    upright[:32, :32] = (255, 0, 0)  # red at the top left, green at the top right
    upright[:32, 32:] = (0, 255, 0)
    # how a camera held in each way stores the upright picture: the inverses of the eight turns
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.array(read_image(tmp_path / "a.png", 64)), upright)


def test_the_fingerprint_is_of_what_is_read(tmp_path):
    """A Mac's ._a.png is no photo; a name that is no Unicode is a name."""
    for name in ("a.png", "b\udcff.png"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    before = fingerprint(tmp_path)
    (tmp_path / "._a.png").write_bytes(b"x")
    assert fingerprint(tmp_path) == before
    (tmp_path / "a.txt").write_text("a")
    assert fingerprint(tmp_path) != before


def test_the_crop_is_the_middle(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert np.array(read_image(tmp_path / "a.png", 10)).min() == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white(tmp_path, mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    extra = {"transparency": image.getpixel((0, 0))} if mode == "P" else {}
    image.save(tmp_path / "a.png", **extra)
    assert np.array(read_image(tmp_path / "a.png", 8)).min() == 255


def test_bad_folders_are_problems(tmp_path):
    with pytest.raises(Problem, match="does not exist"):
        read_photos(tmp_path / "absent", 8)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(Problem, match="no photos"):
        read_photos(tmp_path, 8)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(Problem, match="1 photo, and training needs at least 3"):
        read_photos(tmp_path, 8)


@pytest.mark.parametrize("content", [b"", b"not a picture", "cut"])
def test_an_unreadable_photo_is_named(tmp_path, content):
    for name in "abc":
        Image.effect_noise((64, 64), 50).save(tmp_path / f"{name}.jpg")
    bad = tmp_path / "b.jpg"
    bad.write_bytes(bad.read_bytes()[:400] if content == "cut" else content)
    with pytest.raises(Problem) as caught:
        read_photos(tmp_path, 8)
    assert caught.value.where == bad


def test_an_unreadable_caption_is_named(tmp_path):
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    with pytest.raises(Problem) as caught:
        read_photos(tmp_path, 8)
    assert caught.value.where == tmp_path / "b.txt"


def test_a_caption_without_an_end_is_named(tmp_path):
    for name, make in {
        "pipe": os.mkfifo,
        "zero": lambda path: path.symlink_to("/dev/zero"),
        "gone": lambda path: path.symlink_to("nowhere"),
        "folder": lambda path: path.mkdir(),
        "long": lambda path: path.write_bytes(b"a" * 100_001),
    }.items():
        (tmp_path / f"{name}.jpg").touch()
        make(tmp_path / f"{name}.txt")
        with pytest.raises(Problem, match="caption cannot be read: ") as caught:
            read_caption(tmp_path / f"{name}.jpg")
        assert caught.value.where == tmp_path / f"{name}.txt"
    (tmp_path / "long.txt").write_bytes(b"a" * 100_000)
    assert len(read_caption(tmp_path / "long.jpg")) == 100_000
    os.mkfifo(tmp_path / "b.jpg")
    assert fingerprint(tmp_path)


def test_what_may_not_be_read_is_named(locked_folder, ordinary_user):
    locked_folder.chmod(0o755)
    folder = locked_folder / "photos"
    folder.mkdir()
    for name in "abc":
        Image.new("RGB", (8, 8)).save(folder / f"{name}.jpg")
    (folder / "b.txt").write_text("a caption")
    (folder / "b.txt").chmod(0)
    for read in (fingerprint, lambda folder: read_photos(folder, 8)):
        said = ordinary_user(read, folder)
        assert "caption cannot be read: Permission denied" in said and "b.txt" in said
    folder.chmod(0)
    assert "folder cannot be read: Permission denied" in ordinary_user(photo_paths, folder)
    locked_folder.chmod(0)
    assert "folder cannot be read: Permission denied" in ordinary_user(photo_paths, folder)
    locked_folder.chmod(0o755)
    folder.chmod(0o755)


NFC, NFD = "\u00e9", "e\u0301"  # é as one character and as two


@pytest.mark.parametrize(
    ("photo", "caption"),
    [
        ("a.jpg", "a.TXT"),
        ("a.jpg", "a.caption"),
        ("a.jpg", "a.Caption"),
        ("a.jpg", "a.jpg.txt"),
        ("a.JPG", "a.JPG.Txt"),
        ("two.dots.png", "two.dots.caption"),
        (f"{NFC}.jpg", f"{NFD}.txt"),
        (f"{NFD}.jpg", f"{NFC}.TXT"),
    ],
)
def test_a_caption_is_found_under_every_usual_name(tmp_path, photo, caption):
    Image.new("RGB", (9, 9)).save(tmp_path / photo)
    before = fingerprint(tmp_path)
    (tmp_path / caption).write_text("photo of ravo")
    (found,) = read_photos(tmp_path, 8, fewest=1)
    assert found.caption == read_caption(tmp_path / photo) == "photo of ravo"
    assert fingerprint(tmp_path) != before and unread_files(tmp_path) == []


def test_of_two_captions_the_text_file_is_read_and_the_other_named(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg")
    for name in ("a.caption", "a.txt", "a.TXT"):
        (tmp_path / name).write_text(name)
    assert read_caption(tmp_path / "a.jpg") == "a.txt"
    (said,) = unread_files(tmp_path)
    assert said == "Not read: a.TXT and a.caption. A caption is NAME.txt beside NAME.jpg."


def test_what_is_not_read_is_said_with_the_photos_that_lack_a_caption(tmp_path):
    for name in ("p0.jpg", "p1.jpg", "p2.jpg"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    Image.new("L", (9, 9)).save(tmp_path / "p0-masklabel.png")
    others = ("p0.cap", "p1.jpg.json", "metadata.jsonl", "notes.txt")
    for name in (*others, "p2.txt", "truth.json", ".captions.json", "p2.mov"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in photos_in(tmp_path)] == ["p0.jpg", "p1.jpg", "p2.jpg"]
    (said,) = unread_files(tmp_path)
    assert said.startswith("No caption is found for p0.jpg and p1.jpg. Not read: ")
    assert "metadata.jsonl, notes.txt, p0-masklabel.png and 2 more." in said


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"ravo \(a man\)", "ravo (a man)"),
        (r"a \[b\] c:\\d", r"a [b] c:\d"),
        ("(red:1.3) hat", "(red:1.3) hat"),
        (f"caf{NFD}\n at  night", f"caf{NFC} at night"),
        (r"c:\dir", r"c:\dir"),
    ],
)
def test_a_caption_is_read_as_its_words(written, read):
    assert literal(written) == read


def test_what_a_prompt_escapes_a_caption_takes_for_the_same_words():
    from sdnb.inference.prompts import escape, read_prompt

    for words in ("ravo (man) [x]", r"a\b (c)"):
        assert literal(escape(words)) == words == read_prompt(escape(words)).parts[0][0].text
