"""SDXL: two text encoders, a pooled embedding and the picture's size beside the prompt."""

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file

from sdnb.adapters import load_embedding, load_lora
from sdnb.errors import Problem
from sdnb.inference import make_images
from sdnb.inference.prompt_weights import token_chunks, weighted_embeddings
from sdnb.inference.prompts import read_prompt
from sdnb.models.base import quiet
from sdnb.models.conditioning import for_pipeline, for_unet
from sdnb.models.loading import load_model
from sdnb.models.single_file import clip_tokenizer
from sdnb.training.config import DreamboothConfig, LoraConfig, TextualInversionConfig
from sdnb.training.loop import fit
from sdnb.training.memory import plan
from sdnb.training.run import photos_for, prepare, train
from tests.families import tiny_parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from diffusers import DDPMScheduler

    path = tmp_path_factory.mktemp("models") / "tiny_xl"
    schedule = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    words = {"tokenizer": clip_tokenizer(), "tokenizer_2": clip_tokenizer("!")}
    with quiet():
        StableDiffusionXLPipeline(
            **tiny_parts("sdxl"), **words, scheduler=schedule, add_watermarker=False
        ).save_pretrained(path)
    return path


@pytest.fixture
def config(folder, photos_folder):
    return LoraConfig(
        photos=photos_folder,
        base=str(folder),
        views_per_photo=4,
        batch_size=2,
        learning_rate=1e-2,
        rank=4,
        layers="transformer",
        train_text_encoder=True,
        text_encoder_learning_rate=1e-2,
    )


def test_the_unet_is_told_what_diffusers_own_pipeline_tells_it(folder):
    model, prompts = load_model(folder), ["photo of a man", "a mug"]
    told = for_pipeline(model.unet, model.text_embeddings(prompts), model.text_embeddings([""] * 2))
    states, _, pooled, _ = model.pipeline().encode_prompt(
        prompts, do_classifier_free_guidance=False
    )
    assert torch.equal(told["prompt_embeds"], states)
    assert torch.equal(told["pooled_prompt_embeds"], pooled)
    weighed = weighted_embeddings(model, [token_chunks(model, read_prompt(p)) for p in prompts])
    torch.testing.assert_close(weighed, model.text_embeddings(prompts), rtol=1e-5, atol=1e-6)
    long = weighted_embeddings(model, [token_chunks(model, read_prompt("mug " * 80))], length=2)
    assert long.shape == (1, 2 * 77 + 1, 40)


def test_sizes_follow_the_latents(folder):
    model = load_model(folder)
    told = model.text_embeddings(["a mug"])
    _, added = for_unet(model.unet, told, (64, 96))
    assert added["time_ids"].tolist() == [[64, 96, 0, 0, 64, 96]]
    assert added["text_embeds"].shape == (1, 24)


def test_a_lora_learns_on_unet_and_both_encoders(config, folder, cpu, tmp_path):
    model = load_model(folder)
    state, batches, loss = prepare(config, photos_for(config), model, cpu)
    before = {name: p.detach().clone() for name, p in state.parameters.items()}
    for _ in fit(state, batches, loss):
        pass
    for part in ("unet.", "text_encoder.", "text_encoder_2."):
        moved = [n for n, p in state.parameters.items() if not torch.equal(p, before[n])]
        assert any(name.startswith(part) for name in moved), part


def test_the_file_is_read_by_diffusers_and_by_us_alike(config, folder, tmp_path):
    run = train(config, tmp_path / "run")
    ours, theirs = load_model(folder), load_model(folder).pipeline()
    base = make_images(ours, "photo of ravo man", [1], steps=2)
    load_lora(ours, run.weights)
    with quiet(warnings=False):
        theirs.load_lora_weights(run.weights.parent, weight_name=run.weights.name)
    theirs.set_progress_bar_config(disable=True)
    for part in ("unet", "text_encoder", "text_encoder_2"):
        mine = dict(getattr(ours, part).named_modules())
        for name, layer in getattr(theirs, part).named_modules():
            if hasattr(layer, "get_delta_weight"):
                (adapter,) = layer.lora_A
                (own,) = mine[name].lora_A
                torch.testing.assert_close(
                    mine[name].get_delta_weight(own), layer.get_delta_weight(adapter)
                )
    assert make_images(ours, "photo of ravo man", [1], steps=2) != base


@pytest.mark.parametrize("kind", [DreamboothConfig, TextualInversionConfig])
def test_other_methods_are_refused_by_name(kind, folder, cpu):
    with pytest.raises(Problem, match="cannot be trained on SDXL"):
        plan(kind(base=str(folder)), 5, cpu)


def test_a_plan_counts_both_encoders(config, cpu):
    whole = plan(config, 5, cpu)
    alone = plan(config.replace(train_text_encoder=False), 5, cpu)
    assert whole.trainable > alone.trainable
    assert plan(LoraConfig(base="sdxl"), 20, cpu).trainable > 0


def test_an_embedding_of_one_part_is_refused(folder, tmp_path):
    """One of SD 1 has the first encoder's width, and would break the second."""
    model = load_model(folder)
    width = model.text_encoder.config.hidden_size
    save_file({"ravo": torch.zeros(1, width)}, tmp_path / "ravo.safetensors")
    with pytest.raises(Problem, match="two parts"):
        load_embedding(model, tmp_path / "ravo.safetensors")
    assert "ravo" not in model.tokenizer.get_added_vocab()
