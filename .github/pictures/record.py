"""Records the README's moving picture: a form, a training watched, pictures before and after.

    python .github/pictures/record.py     # minutes; needs Chromium, as the browser tests do

It is JupyterLab as a learner sees it; only most of the waiting is left out.
"""

import io
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "browser"))
from conftest import FLAGS, Lab, Page, find_chromium  # noqa: E402

FORM = """\
import sdnb

asks = ["photo of ravo, in the city", "photo of ravo wearing a red cap, in the snow"]
preset = sdnb.preset("person_mini").replace(photos=sdnb.sample_photos(), preview_prompts=asks)
settings = sdnb.form(preset.replace(preview_every=20), "readme")
settings"""
TRAIN = "run = sdnb.train(settings.config)"
DRAW = """\
model, seeds = sdnb.load_model("mini"), [1, 2, 3, 4, 5]
ask = "photo of ravo, at the beach"
pictures = sdnb.make_images(model, ask, seeds)
sdnb.load_lora(model, run.weights)
pictures += sdnb.make_images(model, ask, seeds)
sdnb.image_grid(pictures, len(seeds), ["before", "after"])"""
WIDTH, HEIGHT, COLOURS = 880, 660, 96
TOP = "e => e.scrollIntoView()"
SHORT, LONG = 220, 2500  # milliseconds that a frame stands


class Camera:
    def __init__(self, page: Page) -> None:
        self.page, self.frames = page, []

    def shoot(self, stands: int = SHORT) -> None:
        """One more frame, unless nothing has changed: then the last one stands longer."""
        shot = self.page.view.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
        frame = Image.open(io.BytesIO(shot)).convert("RGB")
        if self.frames and self.frames[-1][0].tobytes() == frame.tobytes():
            self.frames[-1][1] += stands
        else:
            self.frames.append([frame, stands])

    def type(self, text: str) -> None:
        for letter in text:
            self.page.view.keyboard.type(letter)
            self.shoot()

    def save(self, path: Path) -> None:
        """As a GIF: all frames in the colours of the last, which has most of them."""
        palette = self.frames[-1][0].quantize(COLOURS)
        first, *others = [frame.quantize(palette=palette, dither=0) for frame, _ in self.frames]
        times = [stands for _, stands in self.frames]
        first.save(path, save_all=True, append_images=others, duration=times, loop=0)


def record(page: Page) -> Camera:
    camera, view = Camera(page), page.view
    view.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    view.keyboard.press("Control+b")  # the file browser
    form = page.run("import sdnb")
    form.get_by_label("Trigger word").evaluate(TOP)
    camera.shoot(LONG)
    form.get_by_label("Views per photo").focus()
    for text in ("-5", "60"):
        view.keyboard.press("Control+a")
        camera.type(text)
        view.wait_for_timeout(1000)  # until the form has answered
        camera.shoot(LONG)

    page.start(TRAIN)
    cell = page.cell(TRAIN)
    bar = cell.get_by_role("progressbar")
    page.until(bar.count, "there is a bar")
    while "done in" not in bar.inner_text():
        cell.evaluate(TOP)
        camera.shoot()
        view.wait_for_timeout(1500)
    page.wait(TRAIN).evaluate(TOP)
    camera.shoot(LONG)

    sheet = page.run("model, seeds").locator("img")
    sheet.evaluate("e => e.scrollIntoView({block: 'end'})")
    view.wait_for_timeout(500)
    camera.shoot(2 * LONG)
    return camera


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        lab = Lab(Path(folder), "JupyterLab Light")
        try:
            path = Path(folder) / "notebooks" / "05_lora.ipynb"
            book = nbformat.read(path, as_version=4)
            book.cells = [nbformat.v4.new_code_cell(source) for source in (FORM, TRAIN, DRAW)]
            nbformat.write(book, path)
            lab.wait()
            camera = record(Page(browser, lab, "05_lora.ipynb", Path(folder)))
        finally:
            lab.close()
            browser.close()
    camera.save(HERE / "training.gif")


if __name__ == "__main__":
    main()
