import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from sdnb.errors import Problem
from sdnb.evaluation.report import SIDE, Report, report_of, thumbnail, write_report
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


@pytest.fixture(scope="module")
def report(run):
    pictures = [(HOSTILE, Image.new("RGB", (900, 600), "red"))]
    return report_of(run, SCORES, pictures, seconds=90.0)


def test_what_a_run_tells(report, run):
    assert (report.method, report.base, report.steps, report.finished) == ("lora", "tiny", 9, True)
    assert report.photo_count == 6 == len(report.photos)
    assert report.files[0] == ("lora.safetensors", run.weights.stat().st_size)
    assert [name for name, _ in report.files[1:]] == [path.name for path in run.checkpoints]
    assert report.seconds_per_step == 10.0  # 90 s / 9 steps
    assert report.machine == {"name": "test", "device": "cpu", "precision": "fp32"}
    assert report.settings["rank"] == 4


def test_the_numbers_hold_no_picture_caption_or_path(report, run, tmp_path):
    text = write_report(report, tmp_path / "page.html").with_suffix(".json").read_text()
    data = json.loads(text)
    assert data["sdnb_report"] == 1 and data["photos"] == 6
    assert (data["seconds"], data["seconds_per_step"]) == (90, 10)
    assert data["file_bytes"] == run.weights.stat().st_size
    assert data["scores"] == {"likeness": {"judge": {"mean": 0.6214, "spread": 0.0301, "n": 4}}}
    assert data["settings"]["trigger"] == "ravo" and "photos" not in data["settings"]
    for private in ("secret", "number 2", "script", "image/", "tiny_folder", str(tmp_path)):
        assert private not in text
    assert "/" not in text  # no path at all


def test_a_page_needs_nothing_and_runs_nothing(report, tmp_path):
    page = write_report(report, tmp_path / "page.html")
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


def test_the_page_tells_the_costs_and_scores(report, tmp_path):
    texts = Read(write_report(report, tmp_path / "page")).texts
    for told in ("0.621 ± 0.030", "90 s", "10 s", "lora.safetensors", "Rank", "cosine"):
        assert told in texts, told
    assert "A LoRA for tiny, learned from 6 photos as “ravo” on test in fp32." in texts
    assert (tmp_path / "page.html").exists()  # the ending is added


def test_without_photos_there_is_no_caption_either(report, tmp_path):
    plain = replace(report, images=())
    page = write_report(plain, tmp_path / "page.html", photos=False)
    read = Read(page)
    assert "img" not in read.elements and HOSTILE not in read.texts
    assert "a secret" not in " ".join(read.texts)
    assert "secret place" not in " ".join(read.texts)


def test_thumbnails_tell_nothing_more_than_they_show(report):
    for _, picture in report.photos:
        assert not picture.info and max(picture.size) <= SIDE
    assert report.images[0][1].size == (320, 213)  # 900 x 600
    assert thumbnail(Image.new("L", (40, 20))).mode == "RGB"


def test_pictures_of_one_prompt_stand_in_a_row_and_photos_do_not(report, tmp_path):
    red = Image.new("RGB", (8, 8), "red")
    pairs = (("a", red), ("a", red), ("b", red))
    page = write_report(replace(report, images=pairs, photos=pairs), tmp_path / "page.html")
    figures = re.findall("<figure>(.*?)</figure>", page.read_text(), re.DOTALL)
    assert [figure.count("<img") for figure in figures] == [2, 1, 1, 1, 1]
    captions = re.findall("<figcaption>(.*?)</figcaption>", page.read_text())
    assert captions == ["a", "b", "a", "a", "b"]


def test_what_is_not_known_is_left_out(run, tmp_path, monkeypatch):
    gone = replace(run, config=run.config.replace(photos=tmp_path / "gone"), history=())
    (tmp_path / "machine.json").write_text("{")
    unknown = report_of(replace(gone, folder=tmp_path))
    assert (unknown.photo_count, unknown.photos, unknown.machine) == (None, (), {})
    assert unknown.seconds_per_step is None and not unknown.finished
    page = write_report(unknown, tmp_path / "page.html")
    data = json.loads(page.with_suffix(".json").read_text())
    assert data["seconds"] is data["file_bytes"] is data["photos"] is None and data["scores"] == {}
    assert "A LoRA for tiny, learned as “ravo”; not finished yet." in Read(page).texts


def test_a_name_that_is_no_text_is_written_all_the_same(report, tmp_path):
    odd = replace(report, name="run \udcff")
    assert "run ?" in Read(write_report(odd, tmp_path / "page.html")).texts


def test_a_full_disk_keeps_the_old_page(report, tmp_path, monkeypatch):
    page = write_report(report, tmp_path / "page.html")
    before = page.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Problem, match="disk is full"):
        write_report(replace(report, name="other"), page)
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "page.json"]


def test_settings_stand_beside_their_defaults(report, tmp_path):
    settings = {"rank": 4, "seed": 1234567, "validate_every": 50}  # of which 50 is the default
    changed = replace(report, settings=settings, machine={})
    html = write_report(changed, tmp_path / "page.html").read_text()
    rows = re.findall("<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", html)
    assert rows == [("Rank", "4", "8"), ("Seed", "1234567", "0")]
    assert "A LoRA for tiny, learned from 6 photos." in html


def test_a_report_may_be_made_by_hand(tmp_path):
    report = Report("mine", "dreambooth", "sd15", {}, {}, True, 100, files=(("model", 10),))
    data = json.loads(write_report(report, tmp_path / "a").with_suffix(".json").read_text())
    assert data["file_bytes"] == 10 and data["machine"] == {}
