import copy
from typing import get_args

import pytest
import torch
from PIL import ImageOps

from sdnb.dataset.photos import read_photos
from sdnb.errors import Problem
from sdnb.models.loading import load_model
from sdnb.training.checkpoints import load_checkpoint, save_checkpoint
from sdnb.training.config import TrainConfig
from sdnb.training.latents import WORDINGS, encode_examples, encode_images, wordings
from sdnb.training.loop import fit
from sdnb.training.run import prepare


@pytest.fixture
def ready(config, cpu, tiny_folder):
    """Prepare a fresh tiny model with some settings changed: (state, batches, loss), model."""

    def make(**changes):
        changed, model = config.replace(**changes), load_model(tiny_folder)
        return prepare(changed, read_photos(config.photos, 64), model, cpu), model

    return make


def weights(state):
    return {name: p.detach().clone() for name, p in state.parameters.items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_only_adapter_tensors_move(ready):
    parts, model = ready()
    modules = {"unet": model.unet, "text_encoder": model.text_encoder, "vae": model.vae}
    before = {
        (part, name): tensor.clone()
        for part, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    list(fit(*parts))
    moved = {
        (part, name)
        for part, module in modules.items()
        for name, tensor in module.state_dict().items()
        if not torch.equal(tensor, before[part, name])
    }
    adapters = {key for key in before if "lora_" in key[1]}
    assert moved == adapters
    # two blocks of 4 + 4 projections in the UNet, one in the middle; two text layers of 4
    assert {part for part, _ in moved} == {"unet", "text_encoder"}


def test_two_runs_with_one_seed_are_identical(ready):
    results = []
    for chance in (1, 2):
        torch.manual_seed(chance)  # the global stream must not matter
        parts, _ = ready(prior_weight=0.5, prior_images=3, caption_dropout=0.2, snr_gamma=5.0)
        results.append((list(fit(*parts)), weights(parts[0])))
    assert results[0][0] == results[1][0]
    assert same(results[0][1], results[1][1])
    other, _ = ready(seed=1)
    list(fit(*other))
    assert not same(results[0][1], weights(other[0]))


def test_accumulation_two_by_two_equals_a_batch_of_four(ready):
    gradients, finals, steps = [], [], []
    for batch_size, accumulation in ((4, 1), (2, 2)):
        parts, _ = ready(
            batch_size=batch_size,
            gradient_accumulation=accumulation,
            prior_weight=0.5,
            prior_images=3,
            warmup_steps=0,
            max_grad_norm=1000,
        )
        seen = []
        parts[0].optimizer.optimizer.register_step_pre_hook(
            lambda optimizer, *_, seen=seen: seen.append(
                torch.cat(
                    [p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]
                )
            )
        )
        steps.append(list(fit(*parts)))
        gradients.append(seen)
        finals.append(torch.cat([p.flatten() for p in weights(parts[0]).values()]))
    assert len(gradients[0]) == len(gradients[1]) == 4  # 5 photos x 3 views in fours
    first, second = gradients[0][0], gradients[1][0]
    assert (first - second).norm() < 1e-5 * first.norm()
    assert (finals[0] - finals[1]).norm() < 1e-4 * finals[0].norm()
    assert steps[0][0].loss == pytest.approx(steps[1][0].loss, rel=1e-5)


def test_a_restored_run_continues_bit_for_bit(ready, tmp_path):
    stop = 5
    straight, _ = ready()
    expected = list(fit(*straight))
    first, _ = ready()
    for step in fit(*first):
        if step.index == stop:
            break
    path = save_checkpoint(first[0], tmp_path)
    second, _ = ready()
    load_checkpoint(second[0], path)
    assert list(fit(*second)) == expected[stop:]
    assert same(weights(straight[0]), weights(second[0]))


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_damaged_checkpoint_is_a_problem(ready, tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(Problem, match="cannot be continued"):
        load_checkpoint(ready()[0][0], tmp_path / "a.safetensors")


def test_a_checkpoint_of_another_rank_is_a_problem(ready, tmp_path):
    first, _ = ready()
    next(fit(*first))
    path = save_checkpoint(first[0], tmp_path)
    with pytest.raises(Problem, match="cannot be continued"):
        load_checkpoint(ready(rank=3)[0][0], path)


def test_a_loss_that_is_no_number_stops_before_any_weight_moves(ready):
    (state, batches, loss), _ = ready()
    before = weights(state)
    with pytest.raises(Problem, match="no longer a number"):
        next(fit(state, batches, lambda *inputs: loss(*inputs) * float("nan")))
    assert same(before, weights(state))
    assert all(p.grad is None for p in state.parameters.values())


def test_the_learning_rate_warms_up_and_falls(ready):
    constant = [step.learning_rate for step in fit(*ready(lr_schedule="constant")[0])]
    assert constant == [0, 0.005] + [0.01] * 6
    cosine = [step.learning_rate for step in fit(*ready()[0])]
    assert cosine[2] == 0.01 and cosine[2:] == sorted(cosine[2:], reverse=True)


def test_latents_are_the_posteriors_mode_and_texts_end_with_the_empty_one(tiny, config):
    photo = read_photos(config.photos, 64)[0]
    examples = encode_examples(tiny.to("cpu"), [photo], ["a man"], config)
    pixels = tiny.pipeline().image_processor.preprocess(photo.image)
    with torch.no_grad():
        mean = tiny.vae.encode(pixels).latent_dist.mean
    torch.testing.assert_close(
        examples.latents[0], mean * tiny.vae.config.scaling_factor, rtol=1e-4, atol=1e-5
    )
    # the parameters of this model ask for gradients, so ids were kept
    assert torch.equal(examples.texts[:, 0], tiny.token_ids(["a man", ""]))
    tiny.text_encoder.requires_grad_(False)
    embedded = encode_examples(tiny, [photo], ["a man"], config).texts[:, 0]
    torch.testing.assert_close(embedded, tiny.text_embeddings(["a man", ""]))
    assert examples.names == (photo.path.name,)


def test_mirrored_photos_and_shuffled_captions_are_kept_ready(tiny, config):
    photo = read_photos(config.photos, 64)[0]
    tiny.to("cpu").text_encoder.requires_grad_(False)
    both = config.replace(flip=True, shuffle_captions=True, keep_tokens=1)
    examples = encode_examples(tiny, [photo], ["ravo, a, b, c"], both)
    assert len(examples.latents[0]) == 2 and examples.texts.shape[:2] == (2, WORDINGS)
    mirrored = encode_images(tiny, [ImageOps.mirror(photo.image)])
    assert torch.equal(examples.latents[0][1:], mirrored)
    said = wordings("ravo, a, b, c", both)
    assert {text.split(", ")[0] for text in said} == {"ravo"}
    assert len(set(said)) > 3 and {tuple(sorted(text.split(", "))) for text in said} == {
        ("a", "b", "c", "ravo")
    }
    assert wordings("ravo, a", config) == ["ravo, a"]


@pytest.mark.parametrize("skip", [0, 1])
def test_clip_skip_leaves_out_the_last_layers(tiny, skip):
    """Against the layers walked by hand."""
    core = getattr(tiny.text_encoder, "text_model", tiny.text_encoder)
    ids = tiny.token_ids(["photo of ravo"])
    shorter = copy.deepcopy(tiny.text_encoder)
    inner = getattr(shorter, "text_model", shorter)
    inner.encoder.layers = inner.encoder.layers[: len(core.encoder.layers) - skip]
    with torch.no_grad():
        expected = shorter(ids)[0]
    torch.testing.assert_close(tiny.text_embeddings(["photo of ravo"], skip), expected)


@pytest.mark.parametrize("schedule", get_args(TrainConfig.model_fields["lr_schedule"].annotation))
def test_every_schedule_goes_with_adafactor(ready, schedule):
    parts, _ = ready(optimizer="adafactor", lr_schedule=schedule, views_per_photo=1)
    rates = [step.learning_rate for step in fit(*parts)]
    assert len(rates) == 3 and max(rates) == 1e-2 and rates[0] == 0  # two steps of warm-up
