"""The toy's photos are whole, and their captions follow the course's manner."""

import pytest
from PIL import Image

import sdnb

TOY = sdnb.sample_photos("toy")
PHOTOS = [TOY / f"toy_{number:02}.jpg" for number in range(1, 21)]
LIMIT = 2_500_000  # bytes of all photos: everybody who installs the package loads them


def test_twenty_photos_each_with_its_caption():
    assert sorted(TOY.glob("*.jpg")) == PHOTOS
    assert sorted(TOY.glob("*.txt")) == [photo.with_suffix(".txt") for photo in PHOTOS]
    assert sum(photo.stat().st_size for photo in PHOTOS) < LIMIT


def test_three_shapes_of_512_to_768_pixels():
    sizes = []
    for photo in PHOTOS:
        with Image.open(photo) as image:
            image.load()
            assert image.mode == "RGB" and min(image.size) >= 512 and max(image.size) <= 768
            sizes.append(image.size)
    assert {(wide > high) - (wide < high) for wide, high in sizes} == {-1, 0, 1}


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.stem)
def test_captions_carry_the_trigger_and_leave_the_toy_to_it(photo):
    caption = photo.with_suffix(".txt").read_text()
    start, *named = caption.strip().split(", ")
    assert start == "photo of ravo toy" and len(named) >= 3  # place, light, view
    assert not {"bird", "robot", "teal", "beak", "wing", "star"} & set(caption.split())


def test_captions_differ():
    assert len({photo.with_suffix(".txt").read_text() for photo in PHOTOS}) == len(PHOTOS)


@pytest.mark.one_set
def test_the_photo_doctor_can_use_them_all():
    """It guesses where a thing is, so a remark on its share is no fault."""
    found = sdnb.dataset.check_photos(
        sdnb.PhotoConfig(photos=TOY, subject="object"), progress=False
    )
    assert not found.unreadable and all(photo.grade < 2 for photo in found.photos)
    remarks = " ".join(remark for photo in found.photos for remark in photo.remarks)
    for fault in ("small", "dark", "bright", "blurred", "same picture"):
        assert fault not in remarks
    assert found.advice == ("20 photos: a good number.",)
