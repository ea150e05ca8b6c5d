"""The committed sample photos are the ones that the code draws."""

import json
from pathlib import Path

from PIL import Image, ImageOps

from sdnb.mini import samples
from sdnb.mini.scenes import Person

FOLDER = Path(__file__).parents[2] / "data_sample"


def test_drawn_again_byte_for_byte(tmp_path):
    """With the pinned Pillow and NumPy; other versions may compress differently."""
    samples.write(tmp_path)
    ours = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.*")}
    theirs = {
        p.relative_to(FOLDER): p.read_bytes() for p in FOLDER.rglob("*.*") if p.parent != FOLDER
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
