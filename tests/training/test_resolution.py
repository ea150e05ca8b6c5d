"""A training at other pixels than the base's own: photos, class images, previews, plan."""

import pytest
from PIL import Image

from sdnb.errors import Problem
from sdnb.machine import Machine
from sdnb.models.base import find_model
from sdnb.models.conditioning import for_unet
from sdnb.models.loading import load_model
from sdnb.training.config import LoraConfig, TrainConfig
from sdnb.training.memory import T4, plan
from sdnb.training.prior_preservation import class_images
from sdnb.training.run import estimate, photos_for, prepare, train

LARGER = 96  # the tiny model's own is 64, in steps of 16


@pytest.fixture
def larger(config):
    return config.replace(resolution=LARGER, views_per_photo=1)


@pytest.mark.parametrize("resolution", [None, 0, 64])
def test_without_one_it_is_the_bases_own(config, resolution):
    photos = photos_for(config.replace(resolution=resolution))
    assert {photo.image.size for photo in photos} == {(64, 64)}


def test_photos_and_latents_have_it(larger, tiny, cpu):
    photos = photos_for(larger)
    assert {photo.image.size for photo in photos} == {(LARGER, LARGER)}
    _, batches, _ = prepare(larger, photos, tiny, cpu)
    assert set(batches.instance.shapes) == {(4, LARGER // 8, LARGER // 8)}
    assert tiny.info.resolution == 64  # the model that was handed in draws as before


def test_buckets_have_its_area(larger, photos_folder, tmp_path):
    for index, size in enumerate([(300, 200), (200, 300), (200, 200)]):
        Image.new("RGB", size, (80, 90, 100)).save(tmp_path / f"{index}.png")
    photos = photos_for(larger.replace(photos=tmp_path, buckets=True))
    wide, high, square = (photo.image.size for photo in photos)
    assert square == (LARGER, LARGER) and wide == high[::-1] == (112, 80)


def test_the_run_draws_and_holds_out_at_it(larger, photos_folder, cpu, tmp_path, monkeypatch):
    shapes, drawn = [], []
    from sdnb.training import run as module

    encode, make = module.encode_examples, module.make_images

    def encoding(model, photos, captions, config):
        shapes.append({photo.image.size for photo in photos})
        return encode(model, photos, captions, config)

    def making(*arguments, **named):
        images = make(*arguments, steps=1, **named)
        drawn.extend(image.size for image in images)
        return images

    monkeypatch.setattr(module, "encode_examples", encoding)
    monkeypatch.setattr(module, "make_images", making)
    config = larger.replace(preview_every=2, held_out=photos_folder)
    assert train(config, tmp_path / "run", cpu, progress=False).finished
    assert shapes == [{(LARGER, LARGER)}] * 2  # the photos, and those held out
    assert drawn and set(drawn) == {(LARGER, LARGER)}


def test_class_images_are_as_large_as_the_photos(larger, tiny, photos_folder, tmp_path, cpu):
    prior = larger.replace(prior_weight=1.0, prior_images=2)
    photos = photos_for(prior)
    for config in (prior, prior.replace(prior_folder=photos_folder)):
        images = class_images(config, photos, tiny)
        assert {photo.image.size for photo in images} == {(LARGER, LARGER)}
    _, batches, _ = prepare(prior, photos, tiny, cpu)  # on a base that was loaded for its own size
    assert batches.prior.shapes[0] == batches.instance.shapes[0]


def test_sdxl_is_told_the_size(tmp_path):
    from sdnb.training.memory import _forward, empty_model

    told = []
    import sdnb.training.loss as loss

    def telling(unet, embeddings, size):
        told.append(size)
        return for_unet(unet, embeddings, size)

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(loss, "for_unet", telling)
        _forward(empty_model("sdxl"), LoraConfig(base="sdxl", resolution=768, batch_size=1))
    assert told == [(768, 768)]


@pytest.mark.parametrize(
    ("base", "resolution", "told"),
    [
        ("sdxl", 700, "multiple of 64 from 512 to 2048"),
        ("sdxl", 448, "multiple of 64 from 512 to 2048"),
        ("sd15", 1088, "multiple of 64 from 256 to 1024"),
        ("mini", 256, "its own are 128. Leave resolution empty"),
        ("cartoon", 64, "its own are 128. Leave resolution empty"),
    ],
)
def test_what_a_base_cannot_draw_is_refused_before_anything(base, resolution, told, config, cpu):
    wrong = LoraConfig(base=base, resolution=resolution, photos=config.photos)
    for deed in (photos_for, lambda c: plan(c, 20, T4), lambda c: train(c, "never", cpu)):
        with pytest.raises(Problem, match="cannot be trained at") as caught:
            deed(wrong)
        assert told.rstrip(".") in str(caught.value)


def test_bounds_are_the_settings_own():
    for wrong in (-64, 4096, 768.5):
        with pytest.raises(Problem, match="'resolution' cannot be"):
            LoraConfig(resolution=wrong)
    assert TrainConfig.model_fields["resolution"].default is None
    assert find_model("mini").at(128) is find_model("mini")
    assert find_model("sdxl").at(768).at(768).resolution == 768


def test_a_plan_follows_it(config, cpu, tmp_path):
    sd15 = LoraConfig(base="sd15", batch_size=1)
    assert plan(sd15.replace(resolution=512), 20, T4).terms == plan(sd15, 20, T4).terms
    terms = [plan(sd15.replace(resolution=side), 20, T4).terms for side in (512, 768)]
    kept = [each["gradients, activations"] for each in terms]
    assert 2 < kept[1] / kept[0] <= 2.3  # the pixels are 2.25 as many
    assert terms[0]["weights of the base"] == terms[1]["weights of the base"]
    assert estimate(config.replace(resolution=LARGER), cpu).memory > estimate(config, cpu).memory


def test_large_sdxl_weights_are_loaded_as_the_gpu_calculates(tiny_folder, monkeypatch):
    """In fp32 they would fill a T4 before the first picture; other bases stay as they are."""
    import torch

    from sdnb.models import loading

    asked = []

    class Loaded:
        def to(self, device):
            return self

    def reading(info, dtype=torch.float32):
        asked.append(dtype)
        return Loaded()

    monkeypatch.setattr(loading, "_read_model", reading)
    for base, machine in (
        ("sdxl", T4),
        ("sd15", T4),
        ("sdxl", Machine("cpu", "bf16", "", 2, 30.0, "", False)),
        ("sdxl", Machine("mps", "fp32", "", 8, 21.0, "", False)),
    ):
        load_model(base, machine=machine)
    load_model("sdxl", torch.float32, T4)
    assert asked == [torch.float16] + [torch.float32] * 4
