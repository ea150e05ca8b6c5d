"""The caption editor in a notebook: its widgets, driven from Python, and its text without them."""

import io
import sys

import pytest
from PIL import Image

from sdnb.errors import Problem
from sdnb.notebook import caption_editor


@pytest.fixture
def folder(tmp_path):
    """A wide photo, one that cannot be read, a small one whose caption looks like HTML."""
    Image.new("RGB", (1200, 600), "red").save(tmp_path / "0.jpg")
    (tmp_path / "1 & <b>.jpg").write_bytes(b"no picture")
    Image.new("RGB", (8, 16)).save(tmp_path / "2.png")
    (tmp_path / "0.txt").write_text("photo of ravo wearing a hat")
    (tmp_path / "2.txt").write_text("photo of <i>ravo</i>")
    return tmp_path


def silent(photos):
    return [f"{p.path.name} is <silent>." for p in photos if not p.caption]


class Shown:
    """The displayed editor, its parts by their labels."""

    def __init__(self, form, monkeypatch):
        view = pytest.importorskip("sdnb.notebook.views")
        boxes, self.form = [], form
        monkeypatch.setattr(view, "display", boxes.append)
        form._ipython_display_()
        (self.box,) = boxes
        top, replace, phrase, self.said, self.gallery, self.remarks = self.box.children
        self.picture, words = top.children
        self.place, _, buttons = words.children
        rows = (words, buttons, replace, phrase)
        self.parts = {
            part.description: part for row in rows for part in row.children if _named(part)
        }

    def __getitem__(self, label):
        return self.parts[label]

    def press(self, label):
        self[label].click()
        return self.said.value

    def enabled(self):
        return [label for label in ("Previous", "Next", "Undo") if not self[label].disabled]


def _named(part):
    return type(part).__name__ in ("Button", "Text", "Textarea")


@pytest.fixture
def shown(folder, monkeypatch):
    return Shown(caption_editor(folder, "ravo", silent), monkeypatch)


def test_it_shows_the_first_photo(shown):
    with Image.open(io.BytesIO(shown.picture.value)) as picture:
        assert picture.size == (384, 192) and picture.format == "JPEG"
    assert "1 of 3: 0.jpg" in shown.place.value
    assert shown["Caption"].value == "photo of ravo wearing a hat"
    assert shown["Phrase"].value == "" and shown.enabled() == ["Next"]
    assert "“ravo” stands in 2 of 3 captions." in shown.said.value
    assert "<li>1 &amp; &lt;b&gt;.jpg is &lt;silent&gt;.</li>" in shown.remarks.value


def test_every_part_has_its_label(shown):
    assert list(shown.parts) == [
        "Caption",
        "Previous",
        "Next",
        "Undo",
        "Undo all",
        "Find",
        "Replace with",
        "Replace everywhere",
        "Phrase",
        "Add everywhere",
        "Remove everywhere",
    ]


def test_through_the_photos_and_back(shown):
    shown.press("Next")
    assert "2 of 3: 1 &amp; &lt;b&gt;.jpg" in shown.place.value
    assert "The photo cannot be read" in shown.place.value
    assert shown.picture.layout.display == "none" and shown["Caption"].value == ""
    assert shown.enabled() == ["Previous", "Next"]
    shown.press("Next")
    with Image.open(io.BytesIO(shown.picture.value)) as picture:
        assert picture.size == (8, 16)
    assert shown.picture.layout.display is None and "alert" not in shown.place.value
    assert shown["Caption"].value == "photo of <i>ravo</i>" and shown.enabled() == ["Previous"]
    shown.press("Previous")
    shown.press("Previous")
    assert "1 of 3" in shown.place.value and not shown.form.model.can_undo


def test_what_is_typed_is_saved_and_the_remarks_follow(shown, folder):
    shown.press("Next")
    shown["Caption"].value = "photo of ravo, smiling "
    assert (folder / "1 & <b>.txt").read_text() == "photo of ravo, smiling\n"
    assert "Saved." in shown.said.value and shown.remarks.value == ""
    assert shown["Caption"].value == "photo of ravo, smiling "  # nothing jumps under the fingers
    assert "Took back the last change, in 1 caption." in shown.press("Undo")
    assert shown["Caption"].value == "" and "silent" in shown.remarks.value
    assert shown.enabled() == ["Previous", "Next"]


def test_everywhere(shown, folder):
    shown["Find"].value, shown["Replace with"].value = "PHOTO", "picture"
    assert "Changed 2 captions." in shown.press("Replace everywhere")
    assert shown["Caption"].value == "picture of ravo wearing a hat"
    shown["Phrase"].value = "a hat"
    assert "“a hat” stands in 1 of 3 captions." in shown.said.value
    assert "Changed 1 caption." in shown.press("Remove everywhere")
    assert shown["Caption"].value == "picture of ravo"
    assert "Changed no captions." in shown.press("Remove everywhere")
    assert "Changed 3 captions." in shown.press("Add everywhere")
    assert (folder / "1 & <b>.txt").read_text() == "a hat\n"
    for _ in range(3):
        shown.press("Undo")
    assert shown["Caption"].value == "photo of ravo wearing a hat" and shown.enabled() == ["Next"]


def test_the_gallery_leads_to_each_photo_and_ticks_the_phrase(shown):
    def tell():
        return [part.children[1].description for part in shown.gallery.children]

    assert tell() == ["1 ✓", "2", "3 ✓"]  # the trigger at first
    filled = [part.children[1].button_style for part in shown.gallery.children]
    assert filled == ["primary", "", ""]
    pictures = [part.children[0] for part in shown.gallery.children]
    assert pictures[0].value and not pictures[1].value  # this one is broken
    shown.gallery.children[2].children[1].click()
    assert "3 of 3" in shown.place.value
    assert shown.gallery.children[2].children[1].button_style == "primary"
    shown["Phrase"].value = "a hat"
    assert tell() == ["1 ✓", "2", "3"]
    shown.press("Add everywhere")
    assert tell() == ["1 ✓", "2 ✓", "3 ✓"]


def test_the_gallery_turns_its_leaf(tmp_path, monkeypatch):
    for number in range(10):
        Image.new("RGB", (16, 16), "red").save(tmp_path / f"{number}.png")
    shown = Shown(caption_editor(tmp_path), monkeypatch)
    assert [p.children[1].description for p in shown.gallery.children] == list("12345678")
    for _ in range(8):
        shown.press("Next")
    assert [p.children[1].description for p in shown.gallery.children] == ["9", "10"]


def test_everything_is_taken_back_at_once(shown, folder):
    before = [path.read_text() for path in sorted(folder.glob("*.txt"))]
    shown["Phrase"].value = "at night"
    shown.press("Add everywhere")
    shown["Caption"].value = "nothing of it"
    said = shown.press("Undo all")
    assert "Took back all changes made in this editor: 2." in said
    after = [path.read_text() for path in sorted(folder.glob("*.txt"))]
    assert [text.strip() for text in after if text.strip()] == before
    assert shown["Undo all"].disabled and shown["Undo"].disabled


def test_what_cannot_be_saved_is_told_and_stays_typed(shown, monkeypatch):
    def refuse(*_):
        raise Problem("The disk is <full>")

    monkeypatch.setattr("sdnb.captioning.editor.write_caption", refuse)
    shown["Caption"].value = "new words"
    assert 'role="alert"' in shown.said.value and "The disk is &lt;full&gt;." in shown.said.value
    assert shown["Caption"].value == "new words" and shown.enabled() == ["Next"]


def test_two_displays_of_one_form_agree(shown, monkeypatch):
    other = Shown(shown.form, monkeypatch)
    other["Caption"].value = "from the other"
    other.press("Next")
    assert "2 of 3" in shown.place.value
    shown.press("Previous")
    assert shown["Caption"].value == other["Caption"].value == "from the other"


def test_without_widgets_it_is_text(folder, monkeypatch, capsys):
    form = caption_editor(folder, advise=silent)
    text = "0.jpg: photo of ravo wearing a hat\n1 & <b>.jpg: (none)\n2.png: photo of <i>ravo</i>\n"
    assert repr(form) == text + "1 & <b>.jpg is <silent>."
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.delitem(sys.modules, "sdnb.notebook.views", raising=False)
    form._ipython_display_()
    assert capsys.readouterr().out == repr(form) + "\n"


def test_a_folder_without_photos_is_a_problem(tmp_path):
    with pytest.raises(Problem, match="There are no photos"):
        caption_editor(tmp_path)
