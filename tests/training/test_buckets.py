"""Photos in their own shapes: the bucket of each, batches of one shape, and a run on them."""

import math
from collections import Counter

import pytest
import torch
from PIL import Image

from sdnb.dataset.photos import bucket, read_photos
from sdnb.errors import Problem
from sdnb.models.base import find_model
from sdnb.training.batches import example_at
from sdnb.training.loop import fit
from sdnb.training.run import photos_for, prepare, train


@pytest.mark.parametrize(
    "size", [(900, 900), (4000, 3000), (3024, 4032), (1920, 1080), (500, 2000)]
)
@pytest.mark.parametrize(("resolution", "step"), [(512, 64), (768, 64), (64, 16)])
def test_a_bucket_fits_the_model_and_is_the_nearest_there_is(size, resolution, step):
    wide, high = bucket(*size, resolution, step)
    assert wide % step == high % step == 0 and wide * high <= resolution**2
    assert resolution // 2 <= min(wide, high) and max(wide, high) <= 2 * resolution
    # by brute force: no other pair of sides of nearly the whole area is nearer to the photo's shape
    sides = range(resolution // 2, 2 * resolution + 1, step)
    whole = [(w, h) for w in sides for h in sides if w * h <= resolution**2 < w * (h + step)]
    apart = [abs(math.log(w / h * size[1] / size[0])) for w, h in whole]
    assert abs(math.log(wide / high * size[1] / size[0])) == pytest.approx(min(apart))


def test_a_square_stays_square():
    assert bucket(1000, 1000, 512, 64) == (512, 512)


def test_batches_have_one_shape_and_every_photo_its_share():
    shapes = [(4, 8, 8)] * 5 + [(4, 6, 10)] * 2 + [(4, 10, 6)]
    for batch_size in (1, 3, 4):
        shown = [example_at(7, i, shapes, batch_size) for i in range(8 * batch_size * 4)]
        for start in range(0, len(shown), batch_size):
            assert len({shapes[row] for row in shown[start : start + batch_size]}) == 1
        assert set(Counter(shown).values()) == {4 * batch_size}  # 4 cycles of 8 batches


@pytest.fixture
def mixed_config(configs, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for i, size in enumerate([(100, 100), (160, 90), (160, 90), (90, 160), (100, 100)]):
        Image.effect_noise(size, 60).convert("RGB").save(folder / f"{i}.png")
    return configs["lora"].replace(photos=folder, buckets=True, views_per_photo=4)


def test_the_step_is_the_vaes_factor_times_the_unets(tiny_folder):
    assert find_model(tiny_folder).bucket_step == 8 * 2
    assert find_model("sd15").bucket_step == 64


def test_a_run_on_photos_of_three_shapes(mixed_config, tiny, cpu, tmp_path):
    photos = photos_for(mixed_config)
    assert {photo.image.size for photo in photos} == {(64, 64), (80, 48), (48, 80)}
    parts = prepare(mixed_config, photos, tiny, cpu)
    assert all(math.isfinite(step.loss) for step in fit(*parts))
    seen = [tuple(parts[1].at(step, 0).latents.shape) for step in range(10)]
    assert set(seen) == {(2, 4, 8, 8), (2, 4, 6, 10), (2, 4, 10, 6)}
    assert train(mixed_config, tmp_path / "run", cpu, progress=False).finished


def test_the_mini_model_crops_square(configs, mixed_config):
    photos = photos_for(mixed_config.replace(base="mini"))
    assert {photo.image.size for photo in photos} == {(128, 128)}


def test_without_buckets_all_are_square(mixed_config):
    sizes = {photo.image.size for photo in read_photos(mixed_config.photos, 64)}
    assert sizes == {(64, 64)}


def test_class_images_and_buckets_are_a_problem(mixed_config, tiny, cpu):
    asked = mixed_config.replace(prior_weight=1.0, prior_images=2)
    with pytest.raises(Problem, match="Class images are square"):
        prepare(asked, photos_for(asked), tiny, cpu)


def test_two_shapes_never_meet_in_torch_stack(mixed_config, tiny, cpu):
    """Each sample is its photo's own latents."""
    _, batches, _ = prepare(mixed_config, photos_for(mixed_config), tiny, cpu)
    for step in range(10):
        batch = batches.at(step, 0)
        for row, latents in zip(batch.rows.tolist(), batch.latents):
            assert torch.equal(latents, batches.instance.latents[row][0])
