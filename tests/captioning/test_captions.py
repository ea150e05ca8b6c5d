"""Caption files: what is written, what is kept, and what an interrupt leaves."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from sdnb.captioning import CaptionConfig, SubjectConfig
from sdnb.captioning.captions import (
    MEMORY,
    Captioned,
    caption_photos,
    check_captions,
    joined,
    write_caption,
)
from sdnb.dataset.photos import Photo, fingerprint
from sdnb.errors import Problem


class Counting:
    """Says how wide each picture is; is interrupted before the batch number `stop`."""

    def __init__(self, name: str = "counting", batch_size: int = 2, stop: int = 0) -> None:
        self.name, self.batch_size, self.stop = name, batch_size, stop
        self.seen: list[int] = []

    def __call__(self, pictures):
        assert 0 < len(pictures) <= self.batch_size
        self.stop -= 1
        if self.stop == 0:
            raise KeyboardInterrupt
        self.seen += [picture.width for picture in pictures]
        return [f"a man {picture.width} wide" for picture in pictures]


def captioned(folder, captioner=None, **wishes) -> Captioned:
    config = CaptionConfig(**wishes)
    return caption_photos(folder, captioner or Counting(), config, progress=False)


def captions(folder) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.txt"))}


@pytest.fixture
def folder(tmp_path):
    """Five photos, 10 to 14 pixels wide."""
    for index in range(5):
        Image.new("RGB", (10 + index, 9)).save(tmp_path / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("prefix", "said", "suffix", "text"),
    [
        ("photo of ravo", "a man in a hat", "", "photo of ravo, a man in a hat"),
        ("photo of ravo:", "a man", "at night", "photo of ravo: a man, at night"),
        ("photo of ravo, ", "a man", " , at night", "photo of ravo, a man, at night"),
        ("", "A man. He smiles.", "", "A man. He smiles."),
        ("", "A man. He smiles.", "at night", "A man. He smiles, at night"),
        ("ravo", " , a  man\n", ".", "ravo, a man."),
        ("ravo,", "", ", at night", "ravo, at night"),
        ("ravo", "", "", "ravo"),
        ("", "", "", ""),
    ],
)
def test_the_parts_become_one_line(prefix, said, suffix, text):
    assert joined(prefix, said, suffix) == text


def test_every_photo_gets_a_caption(folder):
    captioner = Counting()
    done = captioned(folder, captioner, prefix="ravo")
    assert done == Captioned(written=[f"{i}.png" for i in range(5)])
    assert captions(folder) == {f"{i}.txt": f"ravo, a man {10 + i} wide\n" for i in range(5)}
    assert captioner.seen == [10, 11, 12, 13, 14]
    assert str(done) == "5 captions written."


def test_the_bar_counts_photos(folder, capsys):
    caption_photos(folder, Counting(), CaptionConfig())
    assert "5/5" in capsys.readouterr().err


def test_again_there_is_nothing_to_do(folder):
    captioned(folder)
    captioner = Counting()
    done = captioned(folder, captioner)
    assert len(done.unchanged) == 5 and not done.written and not captioner.seen
    assert str(done) == "No new captions written. 5 already up to date."


def test_what_was_written_by_hand_is_kept(folder):
    (folder / "1.txt").write_text("photo of ravo, my own")
    (folder / "2.txt").write_text(" \n")  # says nothing, so it is none
    done = captioned(folder)
    assert done.kept == ["1.png"] and done.written == ["0.png", "2.png", "3.png", "4.png"]
    assert captions(folder)["1.txt"] == "photo of ravo, my own"
    assert str(done) == "4 captions written. 1 of your own kept."


@pytest.mark.parametrize(
    "wishes", [{"prefix": "ravo"}, {"suffix": "ravo"}, {"captioner": Counting("another")}]
)
def test_an_automatic_caption_is_made_anew_when_the_way_it_is_made_changes(folder, wishes):
    captioned(folder)
    (folder / "3.txt").write_text("changed by hand")
    done = captioned(folder, **wishes)
    assert done.kept == ["3.png"] and done.written == ["0.png", "1.png", "2.png", "4.png"]
    again = captioned(folder, **wishes)
    assert again.kept == ["3.png"] and len(again.unchanged) == 4
    assert captions(folder)["3.txt"] == "changed by hand"


def test_all_is_made_anew_when_asked(folder):
    captioned(folder)
    (folder / "1.txt").write_bytes(b"\xff\xfe not text")
    with pytest.raises(Problem, match=r"caption cannot be read.*1\.txt"):
        captioned(folder)
    assert len(captioned(folder, overwrite=True).written) == 5
    assert captions(folder)["1.txt"] == "a man 11 wide\n"


def test_an_interrupt_loses_one_batch_and_the_rest_comes_next_time(folder):
    with pytest.raises(KeyboardInterrupt):
        captioned(folder, Counting(stop=2))
    assert list(captions(folder)) == ["0.txt", "1.txt"]
    captioner = Counting()
    done = captioned(folder, captioner)
    assert captioner.seen == [12, 13, 14] and len(done.unchanged) == 2


def test_ended_between_memory_and_caption_it_is_made_next_time(folder):
    captioned(folder)
    (folder / "2.txt").unlink()
    assert captioned(folder).written == ["2.png"]


def test_ended_while_captions_were_made_anew_they_are_no_ones_but_the_captioners(
    folder, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    captioned(folder)
    with monkeypatch.context() as ended, pytest.raises(KeyboardInterrupt):
        ended.setattr("sdnb.captioning.captions.write_caption", interrupted)
        captioned(folder, prefix="photo of ravo")
    (folder / "4.txt").write_text("mine\n")
    done = captioned(folder, prefix="photo of ravo")
    assert len(done.written) == 4 and done.kept == ["4.png"]
    assert captions(folder)["0.txt"] == "photo of ravo, a man 10 wide\n"
    (folder / "0.txt").write_text("a man 10 wide\n")  # as it was, but by hand
    assert captioned(folder, prefix="photo of ravo").kept == ["0.png", "4.png"]


@pytest.mark.parametrize(
    "memory", [None, "{", "[]", '{"0.png": 5}', '{"0.png": {"text": "x"}}', "null", b"\xff\x00"]
)
def test_without_its_memory_all_captions_count_as_yours(folder, memory):
    captioned(folder)
    (folder / MEMORY).unlink()
    if memory is not None:
        (folder / MEMORY).write_bytes(memory if isinstance(memory, bytes) else memory.encode())
    assert len(captioned(folder, prefix="ravo").kept) == 5


def test_a_photo_that_cannot_be_read_is_passed_over(folder):
    (folder / "1.png").write_bytes(b"no picture")
    (folder / "2.png").write_bytes(b"")
    done = captioned(folder, Counting(batch_size=1))
    assert [*done.problems] == ["1.png", "2.png"] and done.written == ["0.png", "3.png", "4.png"]
    assert "Passed over 1.png, 2.png, because the file cannot be read" in str(done)
    assert list(captions(folder)) == ["0.txt", "3.txt", "4.txt"]


def test_names_of_any_kind(tmp_path):
    names = ["my photo (1).JPG", "Фото моря.png", "🙂.webp", "two.dots.jpeg"]
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert captioned(tmp_path, prefix="раво").written == sorted(names)
    assert captions(tmp_path)["Фото моря.txt"] == "раво, a man 8 wide\n"
    assert captions(tmp_path)["two.dots.txt"] == "раво, a man 8 wide\n"
    assert len(captioned(tmp_path, prefix="раво").unchanged) == 4
    assert len(captioned(tmp_path, prefix="море").written) == 4


def test_one_photo_is_enough_and_two_of_one_name_share_a_caption(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    Image.new("RGB", (9, 8)).save(tmp_path / "a.jpg")
    assert captioned(tmp_path).written == ["a.jpg"]
    assert captioned(tmp_path) == Captioned(unchanged=["a.jpg"])


def test_the_memory_is_readable_and_no_part_of_the_set(folder):
    captioned(folder, prefix="ravo")
    memory = json.loads((folder / MEMORY).read_text())
    assert memory["0.png"] == {
        "text": "ravo, a man 10 wide",
        "made": '["counting", "ravo", ""]',
    }
    before = fingerprint(folder)
    (folder / MEMORY).unlink()
    assert fingerprint(folder) == before
    assert {path.name for path in folder.iterdir()} == {
        f"{i}.{end}" for i in range(5) for end in ("png", "txt")
    }


def test_no_folder_and_no_photos(tmp_path):
    with pytest.raises(Problem, match=r"folder does not exist \(.*nowhere\)"):
        captioned(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(Problem, match="There are no photos"):
        captioned(tmp_path)


def test_a_folder_of_somebody_else_is_told_before_the_work(locked_folder, ordinary_user):
    os.chmod(locked_folder, 0o755)
    Image.new("RGB", (8, 8)).save(locked_folder / "a.png")
    os.chmod(locked_folder, 0o555)
    captioner = Counting(stop=1)  # would be interrupted if it were asked at all
    assert "The folder cannot be written" in ordinary_user(captioned, locked_folder, captioner)


def test_a_captioner_that_loses_a_picture_is_told(folder):
    class Losing(Counting):
        def __call__(self, pictures):
            return ["a man"]

    with pytest.raises(Problem, match="shown 2 pictures and gave 1 captions"):
        captioned(folder, Losing())
    assert captions(folder) == {}


def test_captions_that_cannot_be_read_stop_no_other(folder):
    os.mkfifo(folder / "1.txt")
    (folder / "2.txt").write_bytes(b"caf\xe9, as old editors save it")
    (folder / "3.txt").symlink_to("/dev/zero")
    os.mkfifo(folder / "caf\udce9.png")
    done = captioned(folder)
    assert done.written == ["0.png", "4.png"]
    assert [*done.problems] == ["1.txt", "2.txt", "3.txt", "caf\udce9.png"]
    assert str(done).encode() and str(done).count("no ordinary file") == 3
    assert (folder / "2.txt").read_bytes().startswith(b"caf\xe9") and (folder / "1.txt").is_fifo()


def test_a_caption_is_written_where_the_old_one_is_read(folder):
    (folder / "0.caption").write_text("old")
    write_caption(folder / "0.png", "new")
    write_caption(folder / "1.png", "first")
    assert (folder / "0.caption").read_text() == "new\n" and not (folder / "0.txt").exists()
    assert captions(folder) == {"1.txt": "first\n"}


def test_a_bracket_of_the_prefix_does_not_make_a_caption_yours(folder):
    captioned(folder, prefix=r"ravo \(man\)")
    assert captions(folder)["0.txt"] == "ravo (man), a man 10 wide\n"
    assert len(captioned(folder, prefix=r"ravo \(man\)").unchanged) == 5


@pytest.mark.parametrize(
    ("trigger", "says", "lacks"),
    [
        ("ravo", "photo of Ravo, at night", "photo of bravo"),
        ("ravo", "ravo's hat", "ravo_man in a hat"),
        ("ravo", "(ravo)", "ravo2, smiling"),
        ("bad-hands-5", "a hand, bad-hands-5", "bad-hands-50"),
        ("<cat-toy>", "a <Cat-Toy>.", "a cat-toy"),
        ("ravo man", "the ravo man", "ravo woman"),
        ("caf\u00e9", "in the CAF\u00c9", "in the cafe"),
        ("cafe\u0301", "in the caf\u00e9", "in the cafe"),
    ],
)
def test_the_trigger_is_a_word(trigger, says, lacks):
    with_it, without = Photo(Path("a.jpg"), None, says), Photo(Path("b.jpg"), None, lacks)
    assert check_captions([with_it], trigger) == []
    (said,) = check_captions([with_it, without], trigger)
    assert said.startswith(f"b.jpg has no {trigger!r} in the caption")
    with pytest.raises(Problem, match="None of the captions says"):
        check_captions([without, Photo(Path("c.jpg"), None, "")], trigger)
    assert check_captions([without], "") == []


def test_what_is_cut_off_is_said_and_the_trigger_is_never_lost(tiny):
    """The tiny tokenizer has a token for each letter, and one for "man"."""
    room, long = 75, "ravo " + "man " * 80  # 4 + 80 tokens
    (said,) = check_captions([Photo(Path("a.jpg"), None, long)], "ravo", tiny.tokenizer)
    assert f"a.jpg has 84 tokens and the model reads {room}" in said
    assert repr("man " * 9) in said.replace("man' is", "man ' is")
    (said,) = check_captions([Photo(Path("a.jpg"), None, long)], "ravo", tiny.tokenizer, 9)
    assert "has 89 tokens" in said and repr("man " * 14) in said.replace("man' is", "man ' is")
    fits = Photo(Path("b.jpg"), None, "ravo " + "man " * 71)
    assert check_captions([fits], "ravo", tiny.tokenizer) == []
    assert check_captions([fits], "ravo", tiny.tokenizer, 4) == []
    assert len(check_captions([fits], "ravo", tiny.tokenizer, 5)) == 1
    for before in (72, 75, 90):  # the word itself is cut, or lies behind
        lost = Photo(Path("c.jpg"), None, "man " * before + "ravo")
        with pytest.raises(Problem, match=r"c\.jpg.*'ravo'.*in front"):
            check_captions([fits, lost], "ravo", tiny.tokenizer)
        assert len(check_captions([lost], "", tiny.tokenizer)) == 1


@pytest.mark.parametrize(
    "subject, front",
    [
        ("person", "photo of minka"),
        ("object", "photo of minka cat"),
        ("style", "drawing in minka style"),
    ],
)
def test_what_captions_begin_with(subject, front):
    about = SubjectConfig(trigger="minka", class_word="cat", subject=subject)
    assert about.front == front


@pytest.mark.parametrize(
    ("prefix", "said", "whole"),
    [
        ("drawing in ravo style", "a drawing of a cat", "drawing in ravo style of a cat"),
        ("drawing in ravo style", "a man, at night", "drawing in ravo style, a man, at night"),
        ("photo of ravo", "a photo of a man", "photo of ravo, a photo of a man"),
        ("", "a drawing of a cat", "a drawing of a cat"),
    ],
)
def test_a_drawing_is_called_one_once(prefix, said, whole):
    assert joined(prefix, said, "") == whole
