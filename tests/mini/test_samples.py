"""The committed sample photos are the ones that the code draws."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from sdnb.adapters import load_embedding, load_lora
from sdnb.dataset.samples import sample_photos, sample_trained
from sdnb.errors import Problem
from sdnb.inference import make_images
from sdnb.mini.recipe import samples
from sdnb.mini.scenes import Person
from sdnb.models.loading import load_model

FOLDER = Path(__file__).parents[2] / "data_sample"


def test_drawn_again_byte_for_byte(tmp_path):
    """With the pinned Pillow and NumPy; other versions may compress differently."""
    samples.write(tmp_path)
    ours = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.*")}
    theirs = {
        p.relative_to(FOLDER): p.read_bytes()
        for name in samples.sets()
        for p in (FOLDER / name).rglob("*.*")
    }
    assert ours == theirs


def test_sets_sizes_and_turns():
    for name, count in (("person", 20), ("product", 15), ("style", 15)):
        photos = sorted((FOLDER / name).glob("*.jpg"))
        truth = json.loads((FOLDER / name / "truth.json").read_text())
        assert len(photos) == count and set(truth) == {photo.name for photo in photos}
        assert all(photo.with_suffix(".txt").read_text().strip() for photo in photos)
        shapes, turned = set(), 0
        for photo in photos:
            with Image.open(photo) as image:
                turned += image.getexif().get(samples.ORIENTATION, 1) != 1
                width, height = ImageOps.exif_transpose(image).size
                shapes.add(width > height)
                assert 512 <= min(width, height) and max(width, height) <= 900
        assert turned >= 2 and shapes == {True, False}


def test_the_person_wears_glasses_in_every_photo():
    truth = json.loads((FOLDER / "person" / "truth.json").read_text())
    assert {scene["glasses"] for scene in truth.values()} == {"round"}
    assert len({Person(**scene["subject"]) for scene in truth.values()}) == 1
    assert all("round glasses" in p.read_text() for p in (FOLDER / "person").glob("*.txt"))


def test_the_styles_captions_say_that_it_is_drawn():
    """Else the style would fall upon photos."""
    captions = [path.read_text() for path in (FOLDER / "style").glob("*.txt")]
    assert all(caption.startswith("cartoon in ravo style of a ") for caption in captions)


@pytest.mark.parametrize("name", ["person_lora", "product_lora", "style_lora"])
def test_what_was_trained_can_be_put_to_use(name):
    """A LoRA moves the mini model's picture of the special word."""
    model = load_model("mini")
    before = make_images(model, "photo of ravo", [1], steps=2)[0]
    load_lora(model, sample_trained(name))
    after = make_images(model, "photo of ravo", [1], steps=2)[0]
    assert np.abs(np.subtract(before, after, dtype=float)).mean() > 1


def test_the_trained_word_can_be_put_to_use():
    model = load_model("mini")
    assert load_embedding(model, sample_trained("person_embedding")) == "ravo"
    assert len(model.token_ids(["ravo"])[0].unique()) == 3 + 2  # its vectors, begin, end


def test_what_there_is_not_is_a_problem():
    for find in (sample_photos, sample_trained):
        with pytest.raises(Problem, match="nobody"):
            find("nobody")
