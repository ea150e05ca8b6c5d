"""Crops to move, without widgets: where they stand, what becomes of the photo, what is kept."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdnb.dataset.checkup import Checkup, PhotoCheck, check_photos
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.crop_chooser import CropChooser
from sdnb.dataset.crops import Box
from sdnb.errors import Problem
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON

MIDDLE = Box(0.375, 0.25, 0.625, 0.75)  # of a wide photo, a square of 320 pixels
FACE = Box(0.4375, 0.375, 0.5625, 0.625)  # in its middle, a quarter of it


def photo(name: str, size=(1280, 640), crop=MIDDLE, face: Box | None = FACE) -> PhotoCheck:
    statistics = SimpleNamespace(path=Path(name), size=size, subject=face)
    return PhotoCheck(statistics, 0, (), crop)


def chooser(*photos: PhotoCheck, memory: Path | None = None, **settings) -> CropChooser:
    config = PhotoConfig(**{"size": 256, **settings})
    return CropChooser(Checkup(config, photos or (photo("a.jpg"),), ()), memory)


def box(model: CropChooser) -> list[float]:
    return model.crop.rounded()


def share(model: CropChooser) -> float | None:
    """What the face fills of the crop, as the learner wants it."""
    return replace(model.photo, crop=model.crop).share_cropped


def test_the_proposed_crop_stands_somewhere():
    model = chooser()
    assert model.crop == MIDDLE and share(model) == pytest.approx(0.25)
    # 320 pixels, between 64 and 640; the room beside it is the same on both sides
    assert model.standing == {"size": 44, "left_right": 50, "up_down": 50}


@pytest.mark.parametrize(
    ("told", "left_top_right_bottom"),
    [
        ({"left_right": 0}, [0, 0.25, 0.25, 0.75]),
        ({"left_right": 100, "up_down": 100}, [0.75, 0.5, 1, 1]),
        ({"up_down": 50, "left_right": 20}, [0.15, 0.25, 0.4, 0.75]),
        ({"size": 100}, [0.25, 0, 0.75, 1]),
        ({"size": 0}, [0.475, 0.45, 0.525, 0.55]),  # 64 pixels
        ({"size": 100, "left_right": 0}, [0, 0, 0.5, 1]),
        ({"size": 900, "up_down": -5, "left_right": 300}, [0.5, 0, 1, 1]),
    ],
)
def test_a_square_moves_within_the_photo(told, left_top_right_bottom):
    model = chooser()
    model.move(**told)
    assert box(model) == pytest.approx(left_top_right_bottom)
    left, top, right, bottom = model.crop.pixels(1280, 640)
    assert right - left == bottom - top


def test_buckets_keep_the_photos_shape():
    model = chooser(photo("a.jpg", crop=Box(0, 0, 0.5, 0.5)), shape="buckets")
    model.move(size=0)
    assert box(model) == pytest.approx([0.2, 0.2, 0.3, 0.3])  # 128 x 64 pixels around the middle
    model.move(size=100)
    assert box(model) == [0, 0, 1, 1]
    assert model.standing == {"size": 100, "left_right": None, "up_down": None}


def test_where_there_is_no_room_there_is_nothing_to_tell():
    largest = chooser(photo("a.jpg", crop=Box(0, 0, 0.5, 1)))
    assert largest.standing == {"size": 100, "left_right": 0, "up_down": None}
    tiny = chooser(photo("a.jpg", size=(60, 120), crop=Box(0, 0.25, 1, 0.75)))
    assert tiny.standing == {"size": None, "left_right": None, "up_down": 50}
    tiny.move(size=0)
    assert tiny.crop == Box(0, 0.25, 1, 0.75)


@pytest.mark.parametrize("size", [(1280, 640), (641, 4000), (1001, 1000), (100, 100)])
@pytest.mark.parametrize("shape", ["square", "buckets"])
def test_what_is_told_is_where_it_stands(size, shape):
    """Else a slider would run away from the finger that moves it."""
    model = chooser(photo("a.jpg", size, Box(0.4, 0.4, 0.6, 0.6)), shape=shape)
    for percent in range(100):
        for name in model.standing:
            model.move(**{name: percent})
            assert model.standing[name] == percent


def test_made_larger_and_smaller_again_it_is_where_it_was():
    model = chooser()
    model.move(left_right=0)
    before, size = box(model), model.standing["size"]
    model.move(size=size)
    model.move(size=100)
    assert box(model) == [0, 0, 0.5, 1]
    model.move(size=size)
    assert box(model) == pytest.approx(before, abs=0.01)  # a percent


def test_the_share_and_the_outcome_follow():
    model = chooser()
    assert model.outcome(model.photo) == "320 × 320 pixels; the head fills 25% of it"
    model.move(size=100)
    assert share(model) == pytest.approx(1 / 16)
    model.move(size=100 * (192 - 64) / (640 - 64))
    assert share(model) == pytest.approx(160**2 / 192**2)
    words = "192 × 192 pixels where 256 a side are wanted; the head fills 69% of it"
    assert model.outcome(model.photo) == words
    model.move(left_right=0)
    assert share(model) == 0
    nobody = chooser(photo("a.jpg", face=None))
    assert share(nobody) is None and nobody.outcome(nobody.photo) == "320 × 320 pixels"


def test_each_photo_has_its_own_crop():
    model, told = chooser(photo("a.jpg"), photo("b.jpg")), []
    model.watchers.append(lambda: told.append(model.index))
    model.show(1)
    model.move(left_right=0)
    model.show(1)
    assert model.crops == {"a.jpg": MIDDLE, "b.jpg": Box(0, 0.25, 0.25, 0.75)}
    model.as_proposed()
    model.show(-9)
    assert told == [1, 1, 1, 1, 0] and set(model.crops.values()) == {MIDDLE}


def test_left_out_photos_are_skipped():
    model = chooser(photo("a.jpg"), photo("b.jpg"), skip=("c.jpg",))
    model.leave_out = True
    model.leave_out = True
    assert model.leave_out and list(model.crops) == ["b.jpg"]
    assert model.config.skip == ("c.jpg", "a.jpg")
    assert model.outcome(model.photo) == "left out"
    model.leave_out = False
    assert not model.leave_out and model.config == model.checkup.config


def test_the_memory_holds_what_was_changed(tmp_path):
    memory = tmp_path / "forms" / "crops.toml"
    first = chooser(photo("a.jpg"), photo("b.jpg"), memory=memory)
    assert not memory.exists()
    first.move(size=30, left_right=7)
    first.show(1)
    first.leave_out = True
    again = chooser(photo("a.jpg"), photo("b.jpg"), memory=memory)
    assert again.index == 0 and again.crops == first.crops and again.config.skip == ("b.jpg",)
    again.as_proposed()
    moved_on = chooser(photo("a.jpg", crop=FACE), memory=memory)
    assert moved_on.crop == FACE  # what was not changed follows a new proposal


def test_photos_that_are_not_here_today_are_remembered_and_not_told(tmp_path):
    memory = tmp_path / "crops.toml"
    first = chooser(photo("a.jpg"), photo("b.jpg"), memory=memory)
    first.leave_out = True
    first.show(1)
    first.move(left_right=0)
    other = chooser(photo("c.jpg"), memory=memory)
    assert other.crops == {"c.jpg": MIDDLE} and other.config.skip == ()
    other.leave_out = True
    again = chooser(photo("a.jpg"), photo("b.jpg"), memory=memory)
    assert again.crops == {"b.jpg": Box(0, 0.25, 0.25, 0.75)}


def test_a_crop_suits_a_photo_of_another_size_and_shape(tmp_path):
    first = chooser(memory=tmp_path / "crops.toml")
    first.move(size=100, left_right=0)
    tall = chooser(photo("a.jpg", (300, 600), Box()), memory=tmp_path / "crops.toml")
    assert box(tall) == [0, 0.25, 1, 0.75]


@pytest.mark.parametrize(
    "memory",
    [
        "no TOML",
        b"\xff".decode("latin1"),
        'left_out = "a.jpg"',
        "other = 1",
        '[moved]\n"a.jpg" = [1.0, 2.0]',
        '[moved]\n"a.jpg" = [nan, 0.5, 0.5]',
    ],
)
def test_a_broken_memory_is_left_aside(memory, tmp_path):
    (tmp_path / "crops.toml").write_text(memory, encoding="latin1")
    model = chooser(memory=tmp_path / "crops.toml")
    assert model.crops == {"a.jpg": MIDDLE} and model.config.skip == ()
    model.move(left_right=0)
    assert chooser(memory=tmp_path / "crops.toml").crop == model.crop


def test_a_memory_out_of_bounds_is_pushed_back(tmp_path):
    (tmp_path / "crops.toml").write_text('[moved]\n"a.jpg" = [7, -7, 1e300]')
    assert box(chooser(memory=tmp_path / "crops.toml")) == [0.5, 0, 1, 1]


def test_what_cannot_be_kept_is_told_and_done(tmp_path):
    (tmp_path / "file").write_text("")
    model = chooser(memory=tmp_path / "file" / "crops.toml")
    with pytest.raises(Problem, match="cannot be written"):
        model.move(left_right=0)
    assert model.standing["left_right"] == 0


def test_no_photo_at_all_is_a_problem():
    with pytest.raises(Problem, match=r"There is no photo to crop .* a\.jpg is broken"):
        CropChooser(Checkup(PhotoConfig(), (), (), {"a.jpg": "a.jpg is broken."}))


def test_it_takes_what_the_doctor_says(tmp_path):
    for number, scene in enumerate(photos_of(SAMPLE_PERSON, 3, seed=1, share=0.1)):
        draw_scene(scene, 256).save(tmp_path / f"{number}.png")
    checkup = check_photos(PhotoConfig(photos=tmp_path, size=128), progress=False)
    model = CropChooser(checkup)
    assert model.crops == checkup.crops and model.config == checkup.config
    assert share(model) == model.photo.share_cropped
    model.move(size=100)
    assert model.crop == Box() and share(model) == model.photo.share
