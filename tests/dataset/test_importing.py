"""Photos from folders and zips: the copies, their captions, what is left alone, what is hostile."""

import io
import os
import zipfile
from hashlib import sha256

import pytest
from PIL import Image

from sdnb.dataset.importing import import_photos
from sdnb.errors import Problem


def picture(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)
    return path


@pytest.fixture
def source(tmp_path):
    """What learners have: folders in folders, captions, other things."""
    folder = tmp_path / "source"
    picture(folder / "a.jpg").with_suffix(".txt").write_text("photo of ravo")
    picture(folder / "rome" / "a.png", "blue")
    picture(folder / "10_ravo man" / "b c.JPG", "green").with_suffix(".txt").write_text("ravo")
    (folder / "notes.pdf").write_bytes(b"%PDF")
    (folder / "lost.txt").write_text("a caption of nothing")
    (folder / ".DS_Store").write_bytes(b"x")
    picture(folder / "__MACOSX" / "a.jpg")
    return folder


def damaged() -> bytes:
    """A zip whose packed bytes are no longer what zlib can unpack."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", bytes(range(256)) * 9)
    data = bytearray(whole.getvalue())
    data[35] = 0xFF  # behind 30 bytes of header and 5 of name: a block of a kind there is not
    return bytes(data)


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as file:
        for inside in sorted(folder.rglob("*")):
            file.write(inside, inside.relative_to(folder))
    return path


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_copies_and_captions(source, tmp_path, kind):
    before = {p: sha256(p.read_bytes()).digest() for p in source.rglob("*.*") if p.is_file()}
    given = source if kind == "folder" else zipped(source, tmp_path / "s.zip")
    done = import_photos(given, tmp_path / "photos")
    there = {p.name for p in (tmp_path / "photos").iterdir()}
    assert there == {"a.jpg", "a.txt", "rome-a.png", "10_ravo man-b c.JPG", "10_ravo man-b c.txt"}
    assert done.captions == 2 and done.repeats == {"10_ravo man": 10}
    assert sorted(done.aside) == ["lost.txt", "notes.pdf"]
    said = str(done)
    assert "3 photos and 2 captions" in said and "10 repeats" in said and "notes.pdf" in said
    assert before == {p: sha256(p.read_bytes()).digest() for p in before}


def test_again_does_nothing_and_never_overwrites(source, tmp_path):
    photos = tmp_path / "photos"
    import_photos(source, photos)
    (photos / "a.txt").write_text("by hand")
    times = {p.name: p.stat().st_mtime_ns for p in photos.iterdir()}
    assert import_photos(source, photos).captions == 0
    assert {p.name: p.stat().st_mtime_ns for p in photos.iterdir()} == times
    assert (photos / "a.txt").read_text() == "by hand"


def test_another_photo_of_the_same_name_is_kept_beside(source, tmp_path):
    picture(tmp_path / "photos" / "a.jpg", "yellow")
    import_photos(source, tmp_path / "photos")
    assert (tmp_path / "photos" / "a-2.jpg").exists()
    assert (tmp_path / "photos" / "a-2.txt").read_text() == "photo of ravo"
    assert Image.open(tmp_path / "photos" / "a.jpg").getpixel((0, 0))[1] > 200  # still yellow


def test_a_zip_that_would_leave_its_folder(tmp_path):
    photo = picture(tmp_path / "p.jpg").read_bytes()
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        for name in ("good.jpg", "../evil.jpg", "/tmp/evil.jpg", "in/../../evil.jpg"):
            file.writestr(name, photo)
    done = import_photos(tmp_path / "evil.zip", tmp_path / "deep" / "photos")
    assert [p.name for p in done.photos] == ["good.jpg"]
    assert {p.name for p in tmp_path.rglob("*.jpg")} == {"p.jpg", "good.jpg"}


def test_a_link_out_of_the_folder_is_left_alone(source, tmp_path):
    secret = picture(tmp_path / "secret.jpg")
    os.symlink(secret, source / "link.jpg")
    done = import_photos(source, tmp_path / "photos")
    assert len(done.photos) == 3 and not (tmp_path / "photos" / "link.jpg").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "no such"),
        (lambda p: p.write_bytes(b""), "cannot be read"),
        (lambda p: p.write_bytes(b"PK\x03\x04 and no more"), "cannot be read"),
        (lambda p: p.write_bytes(damaged()), "cannot be read"),
        (lambda p: p.mkdir(), "no photos"),
        (lambda p: zipfile.ZipFile(p, "w").close(), "no photos"),
    ],
)
def test_what_cannot_be_imported_is_a_sentence(tmp_path, make, said):
    make(tmp_path / "x.zip")
    with pytest.raises(Problem, match=said):
        import_photos(tmp_path / "x.zip", tmp_path / "photos")


def test_captions_come_under_every_usual_name_and_masks_are_left_alone(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a.jpg", "b.jpg", "e\u0301.jpg", "a-masklabel.png"):
        Image.new("RGB", (9, 9)).save(source / name)
    for name in ("a.caption", "b.jpg.txt", "\u00e9.TXT"):
        (source / name).write_text(name)
    done = import_photos(source, tmp_path / "photos")
    assert done.captions == 3 and done.aside == ["a-masklabel.png"]
    assert (tmp_path / "photos" / "b.txt").read_text() == "b.jpg.txt"
    assert (tmp_path / "photos" / "e\u0301.txt").read_text() == "\u00e9.TXT"
