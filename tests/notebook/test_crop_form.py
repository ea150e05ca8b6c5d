"""The crop form in a notebook: its widgets, driven from Python, and its text without them."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from sdnb.dataset.checkup import check_photos
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.crops import Box
from sdnb.errors import Problem
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON
from sdnb.notebook import crop_form


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))


@pytest.fixture(scope="module")
def checkup(tmp_path_factory):
    """A square photo, a wide one, and one whose name looks like HTML."""
    folder = tmp_path_factory.mktemp("photos")
    names = ("0.png", "1.png", "2 & <b>.png")
    for name, scene in zip(names, photos_of(SAMPLE_PERSON, 3, seed=1, share=0.1)):
        picture = Image.new("RGB", (512, 256), "red") if name == "1.png" else None
        (picture or draw_scene(scene, 256)).save(folder / name)
    return check_photos(PhotoConfig(photos=folder, size=128, subject="style"), progress=False)


class Shown:
    """The displayed form, its parts by their labels."""

    def __init__(self, form, monkeypatch):
        view = pytest.importorskip("sdnb.notebook.views")
        boxes, self.form = [], form
        monkeypatch.setattr(view, "display", boxes.append)
        form._ipython_display_()
        (box,) = boxes
        self.place, pictures, self.outcome, *controls, buttons = box.children
        self.before, self.after = pictures.children
        self.parts = {part.description: part for part in (*controls, *buttons.children)}

    def __getitem__(self, label):
        return self.parts[label]

    def standing(self):
        sliders = [self[label] for label in ("Size", "Left-right", "Up-down")]
        return [None if slider.disabled else slider.value for slider in sliders]

    def enabled(self):
        labels = ("Previous", "Next", "As proposed")
        return [label for label in labels if not self[label].disabled]


def opened(image) -> Image.Image:
    picture = Image.open(io.BytesIO(image.value))
    assert picture.format == "JPEG"
    return picture


@pytest.fixture
def shown(checkup, monkeypatch):
    return Shown(crop_form(checkup), monkeypatch)


def test_it_shows_the_first_photo(shown, checkup):
    assert "1 of 3:" in shown.place.value and str(checkup.photos[0]) in shown.place.value
    assert opened(shown.before).size == (320, 320) and opened(shown.after).size == (256, 256)
    assert "Now: 256 × 256 pixels." in shown.outcome.value
    assert shown.standing() == [100, None, None] and shown.enabled() == ["Next"]
    assert not shown["Leave this photo out"].value


def test_every_part_has_its_label(shown):
    buttons = ["Previous", "Next", "As proposed"]
    sliders = ["Size", "Left-right", "Up-down"]
    assert list(shown.parts) == [*sliders, "Leave this photo out", *buttons]


def test_looking_changes_nothing(shown, checkup):
    for label in ("Next", "Next", "Next", "Previous", "Previous", "Next"):
        shown[label].click()
    assert shown.form.crops == checkup.crops and shown.form.config == checkup.config
    assert not shown.form.model.memory.exists()


def test_through_the_photos(shown):
    shown["Next"].click()
    assert opened(shown.before).size == (320, 160)
    assert shown.standing() == [100, 50, None] and shown.enabled() == ["Previous", "Next"]
    shown["Next"].click()
    assert "3 of 3:</b> 2 &amp; &lt;b&gt;.png: " in shown.place.value
    assert shown.standing() == [100, None, None] and shown.enabled() == ["Previous"]


def test_the_crop_and_the_pictures_follow_the_sliders(shown):
    shown["Next"].click()
    before = shown.before.value
    shown["Size"].value = 50
    assert "Now: 160 × 160 pixels." in shown.outcome.value and shown.before.value != before
    shown["Left-right"].value, shown["Up-down"].value = 0, 100
    assert shown.form.crops["1.png"] == Box(0, 0.375, 0.3125, 1)
    assert shown.standing() == [50, 0, 100]
    assert shown.enabled() == ["Previous", "Next", "As proposed"]
    pale, kept = (np.asarray(opened(shown.before))[y, 30] for y in (20, 120))
    assert pale[1] > 120 and kept[1] < 30  # what is kept stays red
    assert opened(shown.after).size == (256, 256)
    shown["As proposed"].click()
    assert shown.standing() == [100, 50, None] and shown.enabled() == ["Previous", "Next"]


def test_buckets_are_shown_in_their_shape(checkup, monkeypatch):
    config = checkup.config.replace(shape="buckets")
    shown = Shown(crop_form(check_photos(config, progress=False)), monkeypatch)
    shown["Next"].click()
    shown["Size"].value = 33
    wide, high = opened(shown.after).size
    assert wide == 256 and abs(high - 128) <= 2


def test_a_photo_is_left_out_and_taken_again(shown, checkup):
    shown["Next"].click()
    shown["Leave this photo out"].value = True
    assert "Now: left out." in shown.outcome.value
    assert shown.form.config.skip == ("1.png",) and "1.png" not in shown.form.crops
    shown["Next"].click()
    assert not shown["Leave this photo out"].value
    shown["Previous"].click()
    shown["Leave this photo out"].value = False
    assert shown.form.config == checkup.config and "pixels" in shown.outcome.value


def test_the_next_day_it_is_as_it_was(shown, checkup, monkeypatch, tmp_path):
    shown["Size"].value = 40
    shown["Next"].click()
    shown["Leave this photo out"].value = True
    assert shown.form.model.memory == tmp_path / "project" / "forms" / "crops.toml"
    again = Shown(crop_form(checkup), monkeypatch)
    assert again.form.crops == shown.form.crops and again.standing()[0] == 40
    assert again.form.config.skip == ("1.png",)
    assert crop_form(checkup, "others").crops == checkup.crops


def test_what_cannot_be_kept_is_told_and_stays(shown, monkeypatch):
    def refuse(*_):
        raise Problem("The disk is <full>")

    monkeypatch.setattr("sdnb.settings.write_atomically", refuse)
    shown["Size"].value = 10
    assert 'role="alert"' in shown.outcome.value and "&lt;full&gt;" in shown.outcome.value
    assert shown["Size"].value == 10 == shown.form.model.standing["size"]


def test_two_displays_of_one_form_agree(shown, monkeypatch):
    other = Shown(shown.form, monkeypatch)
    other["Next"].click()
    other["Left-right"].value = 13
    assert "2 of 3" in shown.place.value
    assert shown.standing() == other.standing() == [100, 13, None]
    assert shown.after.value == other.after.value


def test_without_widgets_it_is_text(checkup, monkeypatch, capsys):
    form = crop_form(checkup)
    form.model.leave_out = True
    text = "0.png: left out.\n1.png: 256 × 256 pixels.\n2 & <b>.png: 256 × 256 pixels."
    assert repr(form) == text
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.delitem(sys.modules, "sdnb.notebook.views", raising=False)
    form._ipython_display_()
    assert capsys.readouterr().out == text + "\n"
