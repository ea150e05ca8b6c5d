"""A learner's own photos in JupyterLab: crops are moved, a person is drawn, captions mended."""

import json

import pytest

# What the forms do without a browser: tests/notebook/.
pytestmark = pytest.mark.thorough

CROPS, PREPARE, STUDIO = "crops = sdnb.notebook.crop_form", "import json", "you = sdnb.form"
EDITOR = "editor = sdnb.notebook.caption_editor"


def slider(form, name: str):
    return form.locator(".widget-slider", has_text=name).get_by_role("slider")


def test_a_crop_is_moved_and_a_photo_left_out(open_notebook):
    page = open_notebook("01_dataset.ipynb", "JupyterLab Light")
    for source in (
        "from dataclasses import replace",
        "scenes = photos_of",
        "config = sdnb.PhotoConfig",
    ):
        page.run(source)
    page.run("checkup.sheet(").locator("img").scroll_into_view_if_needed()
    page.shoot("doctor")
    form = page.run(CROPS)
    form.get_by_text("1 of 12").wait_for()
    form.get_by_role("button", name="Next").click()
    form.get_by_text("2 of 12").wait_for()
    after = lambda: form.locator("img").nth(1).get_attribute("src")  # noqa: E731
    before = after()
    slider(form, "Size").focus()
    for _ in range(5):
        page.view.keyboard.press("ArrowRight")
    page.until(lambda: after() != before, "the crop has grown")
    page.shoot("crop")
    form.get_by_role("button", name="Next").click()
    form.get_by_label("Leave this photo out").check()
    form.get_by_text("left out", exact=False).first.wait_for()
    page.shoot("crop-left-out")
    done = page.run(PREPARE)
    assert "11 photos were prepared" in done.inner_text()
    form = page.run(STUDIO)
    portrait = lambda: form.locator("img").get_attribute("src")  # noqa: E731
    before = portrait()
    slider(form, "Head's share").focus()
    for _ in range(6):
        page.view.keyboard.press("ArrowLeft")
    page.until(lambda: portrait() != before, "the portrait follows")
    shape = "e => [e.clientWidth / e.clientHeight, e.naturalWidth / e.naturalHeight]"
    shown, stored = form.locator("img").evaluate(shape)
    assert abs(shown / stored - 1) < 0.02  # not stretched to the height of the lines beside it
    form.locator("img").scroll_into_view_if_needed()
    page.shoot("studio")
    assert page.errors == []


def test_captions_are_mended_everywhere_and_back(open_notebook, tmp_path):
    page = open_notebook("02_captioning.ipynb", "JupyterLab Dark")
    for source in ("import shutil", 'config = sdnb.CaptionConfig(prefix="photo of ravo")'):
        page.run(source)
    page.run("from functools import partial")
    form = page.run(EDITOR)
    first = tmp_path / "project" / "lesson 02" / "photos" / "person_01.txt"
    written = first.read_text()
    phrase = form.get_by_label("Phrase")
    phrase.fill("a person with short black hair")
    form.get_by_role("button", name="Remove everywhere").click()
    form.get_by_text("20 captions", exact=False).first.wait_for()
    assert "hair" not in first.read_text() and "round glasses" in first.read_text()
    form.get_by_role("button", name="Next").click()
    form.get_by_text("2 of 20", exact=False).wait_for()
    page.shoot("captions")
    form.get_by_role("button", name="Undo").click()
    page.until(lambda: first.read_text() == written, "it is undone")
    caption = form.get_by_label("Caption", exact=True)
    page.until(lambda: "hair" in caption.input_value(), "the form shows it too")
    caption.fill("photo of ravo with an umbrella")
    caption.press("Tab")
    files = sorted(first.parent.glob("*.txt"))
    page.until(lambda: "umbrella" in "".join(f.read_text() for f in files), "it is kept")
    assert json.loads((first.parent / ".captions.json").read_text())["person_01.jpg"]
    assert page.errors == []
