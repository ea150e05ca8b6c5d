"""A learner's own photos in JupyterLab: crops are moved, a person is drawn, captions mended."""

import json
import shutil

import pytest

from sdnb.dataset.samples import sample_photos

# What the forms do without a browser: tests/notebook/.
pytestmark = pytest.mark.thorough

CROPS, PREPARE, STUDIO = "crops = sdnb.notebook.crop_form", "import json", "you = sdnb.form"
EDITOR = "editor = sdnb.notebook.caption_editor"


def slider(form, name: str):
    return form.locator(".widget-slider", has_text=name).get_by_role("slider")


def test_a_crop_is_moved_and_a_photo_left_out(open_notebook):
    page = open_notebook("01_dataset.ipynb", "JupyterLab Light")
    for source in (
        "import pandas",
        "bad = sdnb.mini.spoiled_photos",
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
    page.run("def advise")
    form = page.run(EDITOR)
    first = tmp_path / "project" / "lesson 02" / "photos" / "person_01.txt"
    written = first.read_text()
    phrase = form.get_by_label("Phrase")
    phrase.fill("a man with short black hair")
    form.get_by_role("button", name="Remove everywhere").click()
    form.get_by_text("20 captions", exact=False).first.wait_for()
    assert "hair" not in first.read_text() and "round glasses" in first.read_text()
    form.get_by_role("button", name="Next").click()
    form.get_by_text("2 of 20", exact=False).wait_for()
    form.get_by_label("Phrase").fill("round glasses")
    form.get_by_label("Phrase").press("Tab")
    form.get_by_role("button", name="5 ✓").wait_for()  # in the gallery
    form.get_by_role("button", name="5 ✓").click()
    form.get_by_text("5 of 20", exact=False).wait_for()
    page.shoot("captions")
    form.get_by_role("button", name="Undo", exact=True).click()
    page.until(lambda: first.read_text() == written, "it is undone")
    caption = form.get_by_label("Caption", exact=True)
    page.until(lambda: "hair" in caption.input_value(), "the form shows it too")
    caption.fill("photo of ravo with an umbrella")
    caption.press("Tab")
    files = sorted(first.parent.glob("*.txt"))
    page.until(lambda: "umbrella" in "".join(f.read_text() for f in files), "it is kept")
    assert json.loads((first.parent / ".captions.json").read_text())["person_01.jpg"]
    assert page.errors == []


@pytest.mark.parametrize("width", [1280, 800, 600])
def test_the_portrait_is_in_sight_and_not_stretched(open_notebook, width):
    """Beside the first lines of its form, and above them where a window is narrow."""
    page = open_notebook("01_dataset.ipynb", "JupyterLab Light")
    page.view.set_viewport_size({"width": width, "height": 900})
    page.run("import pandas")
    form = page.run(STUDIO)
    portrait, first = form.locator("img"), form.get_by_label("Man or woman")
    page.until(lambda: portrait.evaluate("e => e.complete && e.naturalWidth"), "it is drawn")
    shape = "e => [e.clientWidth, e.clientHeight, e.naturalWidth, e.naturalHeight]"
    wide, high, drawn_wide, drawn_high = portrait.evaluate(shape)
    assert wide / high == pytest.approx(drawn_wide / drawn_high, rel=0.02) and wide >= 150
    first.scroll_into_view_if_needed()
    page.shoot(f"portrait-{width}")
    seen, line = portrait.bounding_box(), first.bounding_box()
    cell = form.locator(".jp-OutputArea").first.bounding_box()
    assert seen["x"] + seen["width"] <= cell["x"] + cell["width"]
    if width == 1280:
        assert abs(seen["y"] - line["y"]) < 10 and seen["x"] >= line["x"] + line["width"]
    else:
        assert 0 <= line["y"] - (seen["y"] + seen["height"]) < 30
    assert page.errors == []


def test_the_words_of_a_project_are_filled_in(open_notebook, tmp_path):
    """What is typed in the first form of 01's "Your turn" stands in 02."""
    for name in ("photos", "dataset"):
        shutil.copytree(sample_photos(), tmp_path / "project" / name)
    page = open_notebook("01_dataset.ipynb", "JupyterLab Light")
    form = page.run("SOURCE = None")
    form.get_by_label("Trigger word").fill("minka")
    form.get_by_label("Class word").fill("cat")
    form.get_by_label("Subject").select_option("object")
    page.shoot("subject")
    form = page.run("mine = sdnb.Project().photos if found")
    assert form.get_by_label("Photos held out").input_value() == "3"
    page = open_notebook("02_captioning.ipynb", "JupyterLab Light")
    form = page.run("own = any(sdnb.Project().dataset")
    assert form.get_by_label("In front").input_value() == "photo of minka cat"
    page.shoot("captions-settings")
    assert page.errors == []
