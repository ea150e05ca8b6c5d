"""Photos from folders and zips: the copies, their captions, what is left alone, what is hostile."""

import io
import os
import shutil
import stat
import zipfile
from hashlib import sha256

import pytest
from PIL import Image

from sdnb.dataset import importing
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


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_every_entry_of_a_zip_is_copied_or_named_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "LARGEST", 2000)
    red, blue = (picture(tmp_path / f"{c}.jpg", c).read_bytes() for c in ("red", "blue"))
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as file:
        for content in (red, blue, red):
            file.writestr(entry("twice.jpg"), content)
        file.writestr(entry("//h/s.jpg"), red)
        file.writestr(entry("..\\up.jpg"), red)
        file.writestr(entry("C:/drive.jpg"), red)
        file.writestr(entry("link.jpg", stat.S_IFLNK | 0o777), "/etc/passwd")
        file.writestr(entry("pipe.jpg", stat.S_IFIFO | 0o666), b"")
        file.writestr(entry("folder.jpg/"), b"")
        file.writestr(entry("folder.jpg/in.jpg"), blue)
        file.writestr(entry("large.jpg"), bytes(2001))
        file.writestr(entry("long/" + "x" * 300 + ".jpg"), red)
        file.writestr(entry("9" * 5000 + "_a/kohya.jpg"), red)
        file.writestr(entry("twice.txt"), "an older caption")
        file.writestr(entry("twice.txt"), "a caption")
        file.writestr(entry("C:/drive.txt"), bytes(100_001))
        file.writestr(entry("broken.jpg"), b"found below")
        file.writestr(entry("secret.jpg"), b"found below")
        infos = {info.filename: info for info in file.infolist()}
    data = bytearray((tmp_path / "s.zip").read_bytes())
    data[infos["broken.jpg"].header_offset + 40] ^= 0xFF
    data[data.rindex(b"secret.jpg") - 38] |= 1  # the flag of a password, in the central directory
    (tmp_path / "s.zip").write_bytes(data)

    done = import_photos(tmp_path / "s.zip", tmp_path / "photos")
    there = {p.name for p in (tmp_path / "photos").iterdir()}
    photos = {"twice.jpg", "twice-2.jpg", "folder.jpg-in.jpg", "C--drive.jpg"}
    assert {path.name for path in done.photos} == photos and len(done.photos) == 4
    assert there == photos | {"twice.txt", "twice-2.txt"} and done.captions == 2
    assert done.aside == ["twice.txt"]
    assert (tmp_path / "photos" / "twice.txt").read_text() == "a caption"
    said = {name.split("/")[-1]: why for name, why in done.remarks.items()}
    reasons = {
        "s.jpg": "out of the zip", "up.jpg": "out of the zip", "link.jpg": "link",
        "pipe.jpg": "no file", "large.jpg": "larger than 2 kB", "x" * 300 + ".jpg": "too long",
        "kohya.jpg": "too long", "drive.txt": "larger than 100 kB", "broken.jpg": "cannot be read",
        "secret.jpg": "password",
    }  # fmt: skip
    assert said.keys() == reasons.keys()
    assert all(reasons[name] in why and why in str(done) for name, why in said.items())


def test_a_zip_of_more_than_any_set_of_photos_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "MOST", 1500)
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a.jpg", "b.JPG", "film.mov"):
            file.writestr(name, bytes(1000))
    with pytest.raises(Problem, match=r"more than 1\.5 kB"):
        import_photos(tmp_path / "s.zip", tmp_path / "photos")
    assert not (tmp_path / "photos").exists()
    monkeypatch.setattr(importing, "MOST", 2000)  # the film stays where it is
    assert len(import_photos(tmp_path / "s.zip", tmp_path / "photos").photos) == 2


def test_what_has_no_end_or_is_no_file_is_named_and_the_others_are_copied(source, tmp_path):
    os.mkfifo(source / "pipe.jpg")
    os.mkfifo(source / "a pipe")
    (source / "zero.png").symlink_to("/dev/zero")
    (source / "gone.jpg").symlink_to("nowhere")
    (source / "loop.jpg").symlink_to("loop.jpg")
    (source / "b.jpg").symlink_to("a.jpg")  # within: a photo as good as any
    (source / "linked").symlink_to("rome")
    (source / "inner.jpg").mkdir()
    (source / "rome" / "a.txt").symlink_to("/dev/zero")
    done = import_photos(source, tmp_path / "photos")
    assert len(done.photos) == 4 and done.captions == 2
    named = {"pipe.jpg", "zero.png", "gone.jpg", "loop.jpg", "rome/a.txt"}
    assert done.remarks.keys() == named and "no ordinary file" in done.remarks["pipe.jpg"]
    assert {"a pipe", "linked"} < {*done.aside}
    for kind in ("pipe.jpg", "zero.png"):
        with pytest.raises(Problem, match="zip cannot be read"):
            import_photos(source / kind, tmp_path / "photos")


def test_names_too_long_together_or_no_unicode(source, tmp_path):
    for name in ("é" * 100 + "/" + "b" * 60 + ".png", "x" * 251 + ".png", "caf\udce9.png"):
        picture(source / name).with_suffix(".txt").write_text("its caption")
    done = import_photos(source, tmp_path / "photos")
    assert len(done.photos) == 5 and done.captions == 4
    (why,) = done.remarks.values()
    assert "too long" in why and "é" in why and "belongs to you" not in why
    assert str(done).encode()
    assert import_photos(source, tmp_path / "photos").captions == 0


def test_what_may_not_be_read_is_named(locked_folder, ordinary_user, tmp_path):
    """Photos, a caption and a folder that belong to somebody else."""
    locked_folder.chmod(0o755)
    source, names = locked_folder / "s", ("a.jpg", "b.jpg", "c.jpg", "in/d.jpg")
    for name in names:
        picture(source / name).with_suffix(".txt").write_text("a caption")
    for name in ("a.jpg", "b.txt", "in"):
        (source / name).chmod(0)

    def run():
        done = import_photos(source, locked_folder / "photos")
        assert [path.name for path in done.photos] == ["b.jpg", "c.jpg"] and done.captions == 1
        raise Problem(str(done))

    said = ordinary_user(run)
    (source / "in").chmod(0o755)
    assert said.count("Permission denied") == 3, said
    assert all(name in said for name in ("a.jpg", "b.txt", "s/in"))


def test_a_caption_is_not_lost_in_silence(source, tmp_path):
    """On disks that ignore case, or where one was written by hand."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("another")
    done = import_photos(source, tmp_path / "photos")
    assert "a.txt was not copied" in str(done) and done.captions == 1


def test_when_nothing_can_be_copied_the_reasons_are_said(tmp_path):
    (tmp_path / "s").mkdir()
    os.mkfifo(tmp_path / "s" / "a.jpg")
    with pytest.raises(Problem, match=r"None of it can be copied.*no ordinary file"):
        import_photos(tmp_path / "s", tmp_path / "photos")


@pytest.mark.parametrize("seed", range(40))
def test_a_zip_with_any_byte_broken_ends_in_photos_or_a_sentence(source, tmp_path, seed):
    import random

    chance = random.Random(seed)
    data = bytearray(zipped(source, tmp_path / "s.zip").read_bytes())
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    (tmp_path / "s.zip").write_bytes(data)
    try:
        done = import_photos(tmp_path / "s.zip", tmp_path / "photos")
    except Problem as problem:
        assert str(problem)
    else:
        assert {p for p in (tmp_path / "photos").iterdir() if p.suffix != ".txt"} == {*done.photos}
    shutil.rmtree(tmp_path / "photos", ignore_errors=True)


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
