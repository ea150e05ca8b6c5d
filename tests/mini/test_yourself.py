"""A person by a form, photographed."""

import pytest
from PIL import Image

from sdnb.errors import Problem
from sdnb.mini.subjects import SAMPLE_PERSON
from sdnb.mini.yourself import MARK, PersonConfig, draw_photos


def few(**changes) -> PersonConfig:
    return PersonConfig(photos=3, **changes)


def test_the_photos_show_whom_the_form_says(tmp_path):
    config = few(glasses=True, head_share=0.3, place="beach")
    assert config.person.hair_colour == "red" and config.person != SAMPLE_PERSON
    assert {scene.subject for scene in config.scenes()} == {config.person}
    draw_photos(config, tmp_path, "tavi")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted([f"0{n}.{end}" for n in (1, 2, 3) for end in ("jpg", "txt")] + [MARK])
    assert Image.open(tmp_path / "01.jpg").size == (512, 512)
    for number, scene in enumerate(config.scenes(), 1):
        words = (tmp_path / f"0{number}.txt").read_text()
        assert words.startswith("photo of tavi wearing round glasses")
        assert words.endswith("at the beach") and scene.share == 0.3


def test_captions_can_keep_silent_about_the_glasses(tmp_path):
    draw_photos(few(glasses=True, named=False), tmp_path)
    assert "glasses" not in "".join(path.read_text() for path in tmp_path.glob("*.txt"))


def test_another_visit_takes_the_place_of_the_first_and_of_nothing_else(tmp_path):
    draw_photos(PersonConfig(photos=5), tmp_path)
    draw_photos(few(), tmp_path)
    assert len(list(tmp_path.glob("*.jpg"))) == 3
    (tmp_path / "me.jpg").write_bytes(b"mine")
    with pytest.raises(Problem, match="files of yours"):
        draw_photos(few(), tmp_path)
    assert len(list(tmp_path.glob("*.jpg"))) == 4
    other = tmp_path / "holiday"
    other.mkdir()
    (other / "01.jpg").write_bytes(b"mine")
    with pytest.raises(Problem, match="files of yours"):
        draw_photos(few(), other)
    assert (other / "01.jpg").read_bytes() == b"mine"


def test_the_preview_is_the_first_photo():
    config = few(seed=3)
    assert config.preview().tobytes() == config.preview().tobytes()
    assert config.preview().tobytes() != few(seed=4).preview().tobytes()
