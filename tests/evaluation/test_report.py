import io
import json
import re
import shutil
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from sdnb.errors import Problem
from sdnb.evaluation import report as module
from sdnb.evaluation.report import SIDE, thumbnail, write_report
from sdnb.evaluation.scores import Number, Scores
from sdnb.training.run import train

HOSTILE = '<script>alert("1")</script> & <img src=http://example.org/x onerror=alert(1)>'
SCORES = Scores({"likeness": {"judge": Number(0.6214, 0.0301, 4)}})


class Read(HTMLParser):
    """All elements, attributes and texts of a page."""

    def __init__(self, path) -> None:
        super().__init__()
        self.elements, self.attributes, self.texts = [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def run(config, photos_folder, cpu, tmp_path_factory):
    """A run whose photos have a hostile caption, and say where they were taken."""
    folder = tmp_path_factory.mktemp("report")
    photos = shutil.copytree(photos_folder, folder / "secret place")
    (photos / "1.txt").write_text(HOSTILE)
    exif = Image.Exif()
    exif[0x010E] = "taken at home"  # ImageDescription
    picture = Image.open(photos / "1.png")
    picture.save(photos / "9.jpg", exif=exif, comment=b"taken at home")
    changed = config.replace(photos=photos, keep_checkpoints=5, preview_prompts=("a secret",))
    return train(changed, folder / "my <b>run", cpu, progress=False)


def write(run, path, scores=SCORES, images=None, **how):
    pictures = [(HOSTILE, Image.new("RGB", (900, 600), "red"))] if images is None else images
    return write_report(run, path, scores, pictures, 90.0, **how)


def numbers(page) -> dict:
    return json.loads(page.with_suffix(".json").read_text())


def test_what_a_run_tells(run, tmp_path):
    page = write(run, tmp_path / "page.html")
    data = numbers(page)
    assert [data[name] for name in ("name", "method", "base")] == ["my <b>run", "lora", "tiny"]
    assert (data["steps"], data["finished"], data["photos"]) == (9, True, 6)
    assert data["seconds_per_step"] == 10.0  # 90 s / 9 steps
    assert data["machine"] == {"name": "test", "device": "cpu", "precision": "fp32"}
    assert data["settings"]["rank"] == 4
    files = re.findall(r"<tr><td>(\S+)</td><td>\S+ kB</td></tr>", page.read_text())
    assert files == ["lora.safetensors", *(path.name for path in run.checkpoints)]


def test_the_numbers_hold_no_picture_caption_or_path(run, tmp_path):
    text = write(run, tmp_path / "page.html").with_suffix(".json").read_text()
    data = json.loads(text)
    assert data["sdnb_report"] == 1 and data["photos"] == 6
    assert (data["seconds"], data["seconds_per_step"]) == (90, 10)
    assert data["file_bytes"] == run.weights.stat().st_size
    assert data["scores"] == {"likeness": {"judge": {"mean": 0.6214, "spread": 0.0301, "n": 4}}}
    assert data["settings"]["trigger"] == "ravo" and "photos" not in data["settings"]
    for private in ("secret", "number 2", "script", "image/", "tiny_folder", str(tmp_path)):
        assert private not in text
    assert "/" not in text  # no path at all


def test_a_page_needs_nothing_and_runs_nothing(run, tmp_path):
    page = write(run, tmp_path / "page.html")
    read = Read(page)
    assert not {"script", "link", "iframe", "object", "b"} & set(read.elements)
    sources = [value for name, value in read.attributes if name == "src"]
    assert len(sources) == 7 and all(s.startswith("data:image/jpeg;base64,") for s in sources)
    assert not [name for name, _ in read.attributes if name.startswith("on") or name == "href"]
    policies = [value for name, value in read.attributes if name == "content"]
    assert any(value.startswith("default-src 'none'") for value in policies)
    assert read.texts.count(HOSTILE) == 2  # a caption and a prompt, whole, as text
    assert read.texts.count("my <b>run") == 2
    assert ("alt", HOSTILE) in read.attributes


def test_the_page_tells_the_costs_and_scores(run, tmp_path):
    texts = Read(write(run, tmp_path / "page")).texts
    for told in ("0.621 ± 0.030", "90 s", "10 s", "lora.safetensors", "Rank", "cosine"):
        assert told in texts, told
    assert "A LoRA for tiny, learned from 6 photos as “ravo” on test in fp32." in texts
    assert (tmp_path / "page.html").exists()  # the ending is added


def test_without_photos_there_is_no_caption_either(run, tmp_path):
    page = write(run, tmp_path / "page.html", images=(), photos=False)
    read = Read(page)
    assert "img" not in read.elements and HOSTILE not in read.texts
    assert "a secret" not in " ".join(read.texts)
    assert "secret place" not in " ".join(read.texts)


def test_thumbnails_tell_nothing_more_than_they_show(run, tmp_path):
    sources = re.findall('base64,([^"]*)', write(run, tmp_path / "page.html").read_text())
    shown = [Image.open(io.BytesIO(b64decode(source))) for source in sources]
    assert shown[0].size == (320, 213)  # 900 x 600
    for picture in shown:
        assert not picture.getexif() and "comment" not in picture.info
        assert max(picture.size) <= SIDE
    assert thumbnail(Image.new("L", (40, 20))).mode == "RGB"


def test_pictures_of_one_prompt_stand_in_a_row_and_photos_do_not(run, tmp_path):
    red = Image.new("RGB", (8, 8), "red")
    pairs = (("a", red), ("a", red), ("b", red))
    html = write(run, tmp_path / "page.html", images=pairs).read_text()
    figures = re.findall("<figure>(.*?)</figure>", html, re.DOTALL)
    assert [figure.count("<img") for figure in figures] == [2, 1, *[1] * 6]
    assert re.findall("<figcaption>(.*?)</figcaption>", html)[:2] == ["a", "b"]
    assert 'class="grid rows"' in html
    assert 'class="grid rows"' not in write(run, tmp_path / "b.html", images=pairs[1:]).read_text()


def test_of_many_photos_the_first_are_shown(run, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHOWN", 4)
    html = write(run, tmp_path / "page.html", images=()).read_text()
    assert html.count("<img") == 4 and "… and 2 more." in html


def test_what_is_not_known_is_left_out(run, tmp_path, monkeypatch):
    gone = replace(run, config=run.config.replace(photos=tmp_path / "gone"), history=())
    (tmp_path / "machine.json").write_text("{")
    page = write_report(replace(gone, folder=tmp_path), tmp_path / "page.html")
    data = numbers(page)
    assert data["seconds"] is data["seconds_per_step"] is data["file_bytes"] is None
    assert data["photos"] is None and data["machine"] == data["scores"] == {}
    assert "A LoRA for tiny, learned as “ravo”; not finished yet." in Read(page).texts


def test_a_name_that_is_no_text_is_written_all_the_same(run, tmp_path):
    odd = replace(run, folder=tmp_path / "run \udcff")
    assert "run ?" in Read(write(odd, tmp_path / "page.html")).texts


def test_a_full_disk_keeps_the_old_page(run, tmp_path, monkeypatch):
    page = write(run, tmp_path / "page.html")
    before = page.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Problem, match="disk is full"):
        write(run, page, scores=None)
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "page.json"]


def test_settings_stand_beside_their_defaults(run, tmp_path):
    changed = replace(run, config=run.config.replace(seed=1234567))
    html = write(changed, tmp_path / "page.html").read_text()
    rows = re.findall("<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", html)
    assert ("Rank", "4", "8") in rows and ("Seed", "1234567", "0") in rows
    assert all(here != usual for _, here, usual in rows)


def test_photos_that_have_changed_since_are_not_shown(run, tmp_path):
    """They are not what it was trained on."""
    photos = shutil.copytree(run.config.photos, tmp_path / "photos")
    moved = replace(run, config=run.config.replace(photos=photos))
    sentence = "The photos it learned from are gone, or have changed since."
    page = write_report(moved, tmp_path / "page.html")
    assert numbers(page)["photos"] == 6 and sentence not in page.read_text()
    next(photos.glob("*.txt")).write_text("other words")
    page = write_report(moved, tmp_path / "page.html")
    assert numbers(page)["photos"] is None and sentence in page.read_text()
    assert "other words" not in page.read_text()


def test_a_name_with_control_characters(run, tmp_path):
    shutil.copytree(run.folder, odd := tmp_path / "run \x1b[31m\x07")
    page = write_report(replace(run, folder=odd), tmp_path / "page.html").read_text()
    assert "run [31m" in page and not {"\x1b", "\x07"} & set(page)


@pytest.mark.parametrize("facts", ["{}", "[1]", "[" * 9000, "3", '{"name": {"a": "b"}}', "null"])
def test_a_machine_that_is_none(run, tmp_path, facts):
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "machine.json").write_text(facts)
    page = write_report(replace(run, folder=tmp_path / "run"), tmp_path / "page.html")
    assert numbers(page)["machine"] == {}
