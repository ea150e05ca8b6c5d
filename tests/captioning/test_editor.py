"""The caption editor without widgets: what each change makes of the captions and their files."""

import os
from functools import partial

import pytest
from PIL import Image

from sdnb.captioning import CaptionEditor, coach, editor as module
from sdnb.errors import Problem
from sdnb.models.loading import load_model

GOOD = (
    "photo of ravo wearing a hat, at the beach",
    "photo of ravo in a blue coat, in the city",
    "photo of ravo, smiling, in a forest",
)


def folder_with(folder, *captions):
    for index, caption in enumerate(captions):
        Image.new("RGB", (8, 8)).save(folder / f"{index}.png")
        if caption:
            (folder / f"{index}.txt").write_text(caption + "\n", "utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    return folder_with(tmp_path, *GOOD)


def on_disk(folder) -> list[str]:
    return [path.read_text("utf-8") for path in sorted(folder.glob("*.txt"))]


def test_it_goes_from_photo_to_photo_and_no_further(folder):
    editor, places = CaptionEditor(folder, "ravo"), []
    editor.watchers.append(lambda: places.append(editor.place))
    for step in (-1, 1, 1, 1, -1):
        editor.show(step)
    assert [place[0] for place in places] == ["1", "2", "3", "3", "2"]
    assert places[-1] == "2 of 3: 1.png" and editor.caption == GOOD[1]
    assert editor.path == folder / "1.png" and not editor.can_undo


def test_an_edit_is_saved_at_once_and_only_there(folder):
    editor, told = CaptionEditor(folder), []
    untouched = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    editor.watchers.append(lambda: told.append(editor.caption))
    editor.show(1)
    assert editor.edit("  a new\n caption ") == 1 and editor.caption == "a new caption"
    assert on_disk(folder) == [GOOD[0] + "\n", "a new caption\n", GOOD[2] + "\n"]
    assert editor.edit("a new caption ") == 0  # the same on one line
    assert told == [GOOD[1], "a new caption"]
    del untouched[folder / "1.txt"]
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched
    assert len(list(folder.iterdir())) == 6


def test_an_emptied_caption_is_an_empty_file(folder):
    CaptionEditor(folder).edit("")
    assert on_disk(folder)[0] == "" and CaptionEditor(folder).caption == ""


@pytest.mark.parametrize(
    ("search", "new", "first", "changed"),
    [
        ("RAVO", "zorg", "photo of zorg wearing a hat, at the beach", 3),
        ("a hat", r"\1 (cap)", r"photo of ravo wearing \1 (cap), at the beach", 1),
        ("hat, at", "hat at", "photo of ravo wearing a hat at the beach", 1),
        ("wearing a hat", "", "photo of ravo , at the beach", 1),
        (".", "!", GOOD[0], 0),
        ("", "x", GOOD[0], 0),
        ("ravo", "ravo", GOOD[0], 0),
    ],
)
def test_replace_is_plain_text(folder, search, new, first, changed):
    editor = CaptionEditor(folder)
    assert editor.replace(search, new) == changed
    assert editor.caption == first and on_disk(folder)[0] == first + "\n"


def test_add_where_it_is_lacking(tmp_path):
    folder_with(tmp_path, "ravo in a Red Hat", "ravo, red hats", "ravo.", "")
    editor = CaptionEditor(tmp_path)
    assert editor.add(" red  hat,") == 3
    assert on_disk(tmp_path) == [
        "ravo in a Red Hat\n",
        "ravo, red hats, red hat\n",
        "ravo, red hat\n",
        "red hat\n",
    ]
    assert editor.add("red hat") == 0 and editor.add(" , ") == 0


@pytest.mark.parametrize(
    ("caption", "phrase", "left"),
    [
        ("photo of ravo wearing a hat, at night", "wearing a hat", "photo of ravo, at night"),
        ("photo of ravo wearing a hat, at night", "a hat", "photo of ravo, at night"),
        ("photo of ravo wearing a hat, at night", "Hat", "photo of ravo, at night"),
        ("photo of ravo wearing a red hat", "red", "photo of ravo wearing a hat"),
        ("ravo wearing glasses and a hat, smiling", "glasses", "ravo wearing a hat, smiling"),
        ("ravo wearing a hat and glasses, smiling", "glasses", "ravo wearing a hat, smiling"),
        ("ravo, a hat, glasses and a coat", "glasses", "ravo, a hat, a coat"),
        ("a man and a woman and a dog", "a woman", "a man and a dog"),
        ("a man, and a dog", "a man", "a dog"),
        ("photo of a man at the beach", "a man", "photo at the beach"),
        ("sitting on a red carpet in Rome", "a red carpet", "sitting in Rome"),
        ("photo of ravo", "ravo", "photo"),
        ("smiling, ravo", "smiling", "ravo"),
        ("ravo, smiling", "smiling", "ravo"),
        ("ravo , hat ,at night", "hat", "ravo, at night"),
        ("with the lights on, smiling", "smiling", "with the lights on"),
        ("clothes: a hat, a coat", "a hat", "clothes: a coat"),
        ("A man. Smiling. He waves.", "smiling", "A man. He waves."),
        ("A man in a hat.", "in a hat", "A man."),
        ("hat, hat, hat", "hat", ""),
        ("a man, hat, hat, hat hat smiling", "hat", "a man, smiling"),
        ("red-haired, tired, red man's", "red", "red-haired, tired, man's"),
        ("ravo's hat, ravo", "ravo", "ravo's hat"),
        ("фото раво в шляпе, ночью", "В шляпе", "фото раво, ночью"),
        ("ravo 🙂 in a room (c++)", "🙂", "ravo in a room (c++)"),
        ("ravo, c++, x.y", "c++", "ravo, x.y"),
        ("ravo, , , left as it is", "hat", "ravo, , , left as it is"),
        ("ravo", " , ", "ravo"),
    ],
)
def test_remove_tidies_what_is_left(tmp_path, caption, phrase, left):
    editor = CaptionEditor(folder_with(tmp_path, caption))
    assert editor.remove(phrase) == (caption != left)
    assert editor.caption == left and on_disk(tmp_path) == [left + "\n" if left else ""]


def test_undo_takes_back_each_change_and_saves_it(folder):
    editor = CaptionEditor(folder)
    editor.replace("ravo", "zorg")
    editor.add("at night")
    editor.remove("photo of")
    editor.edit("x")
    editor.edit("xy")
    assert on_disk(folder)[:2] == ["xy\n", "zorg in a blue coat, in the city, at night\n"]
    assert editor.undo() == 1 and editor.caption.startswith("zorg wearing")
    assert editor.undo() == 3 and editor.caption.startswith("photo of zorg")
    assert editor.undo() == 3 and editor.caption == GOOD[0].replace("ravo", "zorg")
    assert editor.undo() == 3 and not editor.can_undo and editor.undo() == 0
    assert tuple(editor.captions.values()) == GOOD
    assert on_disk(folder) == [caption + "\n" for caption in GOOD]


def test_undo_shows_what_it_is_about(folder):
    editor = CaptionEditor(folder)
    editor.edit("first")
    editor.show(1)
    editor.edit("second")
    editor.show(1)
    assert editor.undo() == 1 and editor.place.startswith("2") and editor.caption == GOOD[1]
    assert editor.undo() == 1 and editor.place.startswith("1") and editor.caption == GOOD[0]


def test_a_change_in_between_ends_a_row_of_edits(folder):
    editor = CaptionEditor(folder)
    editor.edit("red")
    editor.replace("red", "blue")
    editor.edit("green")
    editor.undo()
    assert editor.caption == "blue"


def test_two_photos_of_one_name_share_a_caption(tmp_path):
    folder_with(tmp_path, "ravo")
    Image.new("RGB", (8, 8)).save(tmp_path / "0.jpg")
    editor = CaptionEditor(tmp_path)
    editor.edit("zorg")
    assert editor.captions == {"0.jpg": "zorg", "0.png": "zorg"}
    assert editor.replace("zorg", "ravo") == 1
    editor.undo()
    assert editor.captions == {"0.jpg": "zorg", "0.png": "zorg"} and on_disk(tmp_path) == ["zorg\n"]


def test_the_coach_looks_over_the_shoulder(folder):
    tokenizer = load_model("mini").tokenizer
    editor = CaptionEditor(folder, "ravo", partial(coach, trigger="ravo", tokenizer=tokenizer))
    assert editor.remarks == []
    editor.edit("")
    (remark,) = editor.remarks
    assert remark.startswith("0.png has no caption")
    editor.edit("a man at the beach")
    (remark,) = editor.remarks
    assert remark.startswith("0.png has no 'ravo' in the caption")
    editor.add("ravo")
    assert editor.remarks == [] and editor.caption == "a man at the beach, ravo"
    assert CaptionEditor(folder).remarks == []


def test_a_full_disk_in_the_middle_leaves_what_can_be_taken_back(folder, monkeypatch):
    editor, write = CaptionEditor(folder), module.write_caption

    def full(photo, text):
        if photo.name == "1.png":
            raise Problem("The disk is full")
        write(photo, text)

    monkeypatch.setattr(module, "write_caption", full)
    with pytest.raises(Problem, match="full"):
        editor.replace("ravo", "zorg")
    assert [line.split()[2] for line in on_disk(folder)] == ["zorg", "ravo", "ravo,"]
    assert [f"{text}\n" for text in editor.captions.values()] == on_disk(folder)
    assert editor.undo() == 1 and tuple(editor.captions.values()) == GOOD


def test_what_cannot_be_edited(tmp_path):
    with pytest.raises(Problem, match="does not exist"):
        CaptionEditor(tmp_path / "nowhere")
    with pytest.raises(Problem, match="There are no photos"):
        CaptionEditor(tmp_path)
    folder_with(tmp_path, "ravo")
    (tmp_path / "0.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(Problem, match=r"caption cannot be read.*0\.txt"):
        CaptionEditor(tmp_path)


def test_a_folder_of_somebody_else_is_told(locked_folder, ordinary_user):
    os.chmod(locked_folder, 0o755)
    folder_with(locked_folder, "ravo")
    os.chmod(locked_folder, 0o555)
    editor = CaptionEditor(locked_folder)
    assert "0.txt" in ordinary_user(editor.edit, "zorg")
    assert on_disk(locked_folder) == ["ravo\n"]
