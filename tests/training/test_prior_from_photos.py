"""Prior preservation without class images: the photos, told as others of the class, shall be
predicted as the base does by these words."""

import pytest
import torch

from sdnb.adapters.layers import detach
from sdnb.dataset.photos import read_photos
from sdnb.models.base import find_model
from sdnb.training import fit, prepare
from sdnb.training.memory import plan
from sdnb.training.methods import restore


@pytest.fixture
def own_prior(config):
    return config.replace(prior_weight=0.5, train_text_encoder=True, batch_size=4)


@pytest.fixture
def photos(photos_folder, tiny):
    return read_photos(photos_folder, tiny.info.resolution)


def test_the_target_is_what_the_base_predicts_by_the_words_without_the_trigger(
    own_prior, photos, tiny, cpu
):
    """Against the base itself, called as such; after some steps, so that the LoRA is not zero."""
    run = fit(*(prepared := prepare(own_prior, photos, tiny, cpu)))
    for _ in range(3):
        next(run)
    state, batches, loss = prepared
    batch = batches.at(3, 0)
    assert batch.is_prior.tolist() == [False] * 4 + [True]
    noisy = loss.scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
    prediction = state.denoiser(noisy, batch.timesteps, batch.texts)
    each = loss(state.denoiser, batch)
    restore(tiny)
    words = photos[batch.rows[4]].caption.replace("ravo man", "a man")
    assert "ravo" not in words
    with torch.no_grad():
        base = tiny.unet(noisy[4:], batch.timesteps[4:], tiny.text_embeddings([words])).sample
    assert not torch.allclose(prediction[4:], base, atol=1e-4)  # it has learned something
    expected = (prediction[4] - base[0]).square().mean()
    torch.testing.assert_close(each[4], expected, rtol=1e-4, atol=1e-6)


def test_before_the_first_step_the_base_says_what_it_says(own_prior, photos, tiny, cpu):
    """A fresh LoRA is zero, so nothing is lost yet; then something is."""
    steps = list(fit(*prepare(own_prior.replace(views_per_photo=4), photos, tiny, cpu)))
    assert steps[0].prior_loss == pytest.approx(0, abs=1e-9)
    assert steps[0].loss == pytest.approx(steps[0].instance_loss)
    last = steps[-1]
    assert last.prior_loss > 1e-7
    assert last.loss == pytest.approx(last.instance_loss + 0.5 * last.prior_loss, rel=1e-5)
    restore(tiny)


def test_the_matrices_are_back_where_they_were(own_prior, photos, tiny, cpu):
    state, batches, loss = prepare(own_prior, photos, tiny, cpu)
    loss(state.denoiser, batches.at(0, 0)).sum().backward()
    assert all(p.grad is not None for n, p in state.parameters.items() if "lora_B" in n)
    assert detach(tiny.unet).layers
    restore(tiny)


def test_no_image_is_made(own_prior, photos, tiny, cpu, monkeypatch):
    monkeypatch.setattr("sdnb.training.prior_preservation.make_images", None)
    _, batches, _ = prepare(own_prior, photos, tiny, cpu)
    assert batches.prior.names == batches.instance.names
    restore(tiny)


def test_a_dropped_caption_is_a_photos_never_the_classs(own_prior, photos, tiny, cpu):
    _, batches, _ = prepare(own_prior.replace(caption_dropout=1.0), photos, tiny, cpu)
    batch, nothing = batches.at(0, 0), batches.prior.texts[-1][0]
    assert all(torch.equal(text, nothing) for text in batch.texts[:4])
    assert not torch.equal(batch.texts[4], nothing)
    restore(tiny)


def test_photos_of_many_shapes_may_stand_for_the_class(own_prior, photos_folder, tiny, cpu):
    """In buckets a batch has one shape; the class sample is one of the batch's photos."""
    photos = read_photos(photos_folder, tiny.info.resolution, 8)
    _, batches, _ = prepare(own_prior.replace(batch_size=2), photos, tiny, cpu)
    for step in range(4):
        batch = batches.at(step, 0)
        assert batch.rows[2] == batch.rows[0]
    restore(tiny)


def test_the_plan_counts_one_sample_more_not_twice_as_many(config, cpu):
    base = find_model("mini")
    memory = {
        name: plan(config.replace(batch_size=4, **settings), 20, cpu, base).memory
        for name, settings in {
            "off": {},
            "photos": {"prior_weight": 1.0},
            "images": {"prior_weight": 1.0, "prior_images": 40},
        }.items()
    }
    assert memory["off"] < memory["photos"] < memory["images"]
    one, four = (memory[name] - memory["off"] for name in ("photos", "images"))
    assert four == pytest.approx(4 * one, rel=0.05)
