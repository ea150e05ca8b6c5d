"""A learner at work in JupyterLab: forms, training, the stop button, going on."""

import re

import pytest

FORM_00, DRAW_00 = "asks = (", "mine = sdnb.inference.generate"
FORM_05, TRAIN_05 = "asks = (", "config = settings.config"


def type_over(page, text: str) -> None:
    """Replace what the focused field holds, by the keyboard alone."""
    page.view.keyboard.press("Control+a")
    page.view.keyboard.type(text)


@pytest.mark.thorough  # the training below fills in a form too
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_form_is_filled_by_the_keyboard_and_its_pictures_drawn(open_notebook, theme):
    page = open_notebook("00_start_here.ipynb", f"JupyterLab {theme}")
    page.run("import sdnb")
    form = page.run(FORM_00)
    form.get_by_label("Prompts").focus()
    type_over(page, "photo of a woman wearing a blue beanie, in the city")
    page.view.keyboard.press("Tab")
    type_over(page, "5")
    page.view.keyboard.press("Tab")
    type_over(page, "999")
    alert = form.get_by_role("alert").filter(has_text="Seeds cannot be '999'")
    alert.wait_for()
    page.shoot(f"form-problem-{theme.lower()}")
    type_over(page, "3")
    alert.wait_for(state="detached")
    form.get_by_role("status").filter(has_text="1 × 3 = 3 pictures.").wait_for()
    page.shoot(f"form-{theme.lower()}")
    if theme == "Light":  # pictures have no theme
        picture = page.run(DRAW_00).locator("img")
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("e => e.naturalWidth > 3 * 128")
        page.shoot("pictures")
    assert page.errors == []


@pytest.mark.long
def test_a_training_is_watched_stopped_and_continued(open_notebook):
    page = open_notebook("05_lora.ipynb", "JupyterLab Dark")
    for source in (
        "import matplotlib",
        "torch.manual_seed(0)",
        "from sdnb.training import method_of",
    ):
        page.run(source)
    form = page.run(FORM_05)
    form.get_by_label("Views per photo").focus()
    type_over(page, "12")
    form.get_by_text("More settings").click()
    preview = form.get_by_label("Preview every")
    preview.focus()
    type_over(page, "-5")
    alert = form.get_by_role("alert").filter(has_text="Preview every cannot be '-5'")
    alert.wait_for()
    type_over(page, "12")
    alert.wait_for(state="detached")
    form.get_by_role("status").filter(has_text="60 steps").wait_for()
    form.get_by_label("Your settings").fill("a dozen views")
    form.get_by_role("button", name="Save", exact=True).click()
    form.get_by_role("status").filter(has_text="a dozen views.toml").wait_for()
    form.get_by_label("Views per photo").focus()
    type_over(page, "50")
    form.get_by_role("status").filter(has_text="250 steps").wait_for()
    form.get_by_role("button", name="Load", exact=True).click()
    form.get_by_role("status").filter(has_text="60 steps").wait_for()
    page.shoot("training-form")

    page.start(TRAIN_05)
    cell = page.cell(TRAIN_05)
    bar = cell.get_by_role("progressbar")
    step = lambda: int(bar.get_attribute("aria-valuenow"))  # noqa: E731
    page.until(lambda: bar.count() == 1, "there is a bar")
    first = page.until(step, "the bar moves")
    page.until(lambda: step() > first + 5, "it moves on")
    early = page.until(lambda: cell.locator("img").count() and picture(cell), "a preview is there")
    page.until(lambda: picture(cell) != early, "at step 12 the strip grows")
    page.shoot("training")
    last = picture(cell)
    page.view.get_by_title("Interrupt the kernel").click()
    page.wait(TRAIN_05)
    kept = step()
    assert kept % 12 == 0 or picture(cell) != last  # what is learned by now
    assert 12 <= kept < 60 and "the same again continues it" in cell.inner_text()
    page.shoot("stopped")

    page.start(TRAIN_05)
    page.until(lambda: "about" in bar.inner_text(), "it goes on")
    assert step() >= kept
    page.wait(TRAIN_05)
    assert step() == 60 and re.search(r"step 60 of 60.*done in", bar.inner_text())
    assert "lora.safetensors" in cell.inner_text()
    page.shoot("finished")
    assert page.errors == []


def picture(cell) -> str:
    return cell.locator("img").last.get_attribute("src")
