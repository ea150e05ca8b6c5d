from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

from sdnb.dataset.contact_sheet import image_grid
from sdnb.errors import Problem
from sdnb.inference import generate, make_images
from sdnb.inference.config import ImageConfig
from sdnb.inference.prompt_weights import token_chunks, weighted_embeddings
from sdnb.inference.prompts import read_prompt
from sdnb.models.base import Model, ModelInfo
from sdnb.models.families import SDXL
from sdnb.models.loading import load_model
from sdnb.models.single_file import clip_tokenizer
from tests.families import tiny_parts

ONE = {"prompts": ("a man",), "first_seed": 7, "seeds": 1, "steps": 2}


def furthest(some, others) -> int:
    """The largest difference between pixels, of 255."""
    pairs = zip(some, others, strict=True)
    return max(np.abs(np.subtract(one, other, dtype=int)).max() for one, other in pairs)


def test_a_seed_gives_the_same_picture_in_any_batch(tiny):
    prompts, seeds = ["a man", "b", "c"], [3, 4, 5]
    together = make_images(tiny, prompts, seeds, steps=3)
    split = make_images(tiny, prompts, seeds, steps=3, batch=2)
    alone = make_images(tiny, "b", [4], steps=3)
    for one, other in zip([*together, together[1]], [*split, *alone], strict=True):
        # other batch sizes sum in another order: one grey level in 255
        assert np.abs(np.array(one, int) - np.array(other, int)).max() <= 1
    assert np.abs(np.array(together[0], int) - np.array(together[1], int)).max() > 10


def test_a_picture_config_is_every_prompt_with_every_seed(tiny):
    config = ImageConfig(
        prompts=("a man", "b"), first_seed=3, seeds=2, steps=2, guidance=2.0, negative="c"
    )
    expected = make_images(
        tiny, ["a man", "a man", "b", "b"], [3, 4, 3, 4], steps=2, guidance=2.0, negative="c"
    )
    made = generate(tiny, config)
    assert len(made) == 4 and all(map(np.array_equal, made, expected))


def test_the_model_knows_guidance_and_precision(tiny):
    """The tiny model is of the mini family."""
    plain = make_images(tiny, "a man", [7], steps=2)
    assert furthest(plain, make_images(tiny, "a man", [7], steps=2, guidance=4.0)) == 0
    assert furthest(plain, generate(tiny, ImageConfig(**ONE, guidance=4.0))) == 0
    assert furthest(plain, generate(tiny, ImageConfig(**ONE))) == 0
    asked = make_images(tiny, "a man", [7], steps=2, precision="bf16")
    tiny.precision = "bf16"
    assert furthest(make_images(tiny, "a man", [7], steps=2), asked) == 0 < furthest(plain, asked)
    assert furthest(make_images(tiny, "a man", [7], steps=2, precision="fp32"), plain) == 0


def test_the_pipeline_alone_gives_the_same_picture(tiny):
    noise = torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(7))
    expected = tiny.pipeline()(
        "a man", num_inference_steps=3, guidance_scale=2.0, height=64, width=64, latents=noise[None]
    ).images[0]
    assert np.array_equal(make_images(tiny, "a man", [7], steps=3, guidance=2.0)[0], expected)


def test_a_picture_of_any_length_is_the_same_in_any_batch():
    """Prompts of one, two and three chunks of 75 tokens, and a negative prompt of two. Within one
    grey level of 255, as above."""
    model = load_model("mini")
    prompts = ["a man", "a man BREAK a mug", "red " * 200, "a (man:1.3)", "a hat"]
    for negative in ("", "blue BREAK dark"):
        how = {"steps": 2, "negative": negative}
        together = make_images(model, prompts, range(5), **how)
        alone = [make_images(model, p, [i], **how)[0] for i, p in enumerate(prompts)]
        assert furthest(together, alone) <= 1
    assert all(furthest([one], [other]) > 10 for one, other in pairwise(together))


def test_plain_prompts_are_told_the_unet_as_before(tiny, monkeypatch):
    """To the bit, as the text encoder itself reads them; brackets of a negative prompt or another
    prompt's length change nothing for them."""
    seen = []
    monkeypatch.setattr(tiny.unet, "forward", spy(tiny.unet.forward, seen))
    make_images(tiny, ["a man", "b", "a man BREAK b"], [0, 1, 2], steps=1, negative="c")
    expected = tiny.text_embeddings(["c", "c"]), tiny.text_embeddings(["a man", "b"])
    assert torch.equal(seen[0], torch.cat(expected))
    assert seen[1].shape == (2, 154, 32)


def spy(forward, seen: list):
    """The same function, which notes what the UNet is told."""

    def noting(*arguments, encoder_hidden_states, **more):
        seen.append(encoder_hidden_states)
        return forward(*arguments, encoder_hidden_states=encoder_hidden_states, **more)

    return noting


def test_a_negative_prompt_of_two_parts_is_what_the_pipeline_makes_of_it():
    """Exactly; the shorter of the two is filled up with an empty part."""
    model, negative = load_model("mini"), "(blue:1.4) BREAK hat"
    (made,) = make_images(model, "a man", [7], steps=3, guidance=3.0, negative=negative)
    chunked = [token_chunks(model, read_prompt(text)) for text in ("a man BREAK ", negative)]
    told = [weighted_embeddings(model, [chunks], length=2) for chunks in chunked]
    noise = torch.randn((4, 16, 16), generator=torch.Generator().manual_seed(7))
    expected = model.pipeline()(
        prompt_embeds=told[0],
        negative_prompt_embeds=told[1],
        num_inference_steps=3,
        guidance_scale=3.0,
        height=128,
        width=128,
        latents=noise[None],
    ).images
    assert furthest([made], expected) == 0
    plain = make_images(model, "a man", [7], steps=3, guidance=3.0, negative="blue BREAK hat")
    assert furthest([made], plain) > 10


def test_width_and_height(tiny):
    """Against the pipeline, with noise of that shape: exactly the same."""
    (made,) = make_images(tiny, "a man", [7], steps=2, guidance=2.0, size=(96, 48))
    noise = torch.randn((4, 6, 12), generator=torch.Generator().manual_seed(7))
    expected = tiny.pipeline()(
        "a man", num_inference_steps=2, guidance_scale=2.0, height=48, width=96, latents=noise[None]
    ).images
    assert made.size == (96, 48) and furthest([made], expected) == 0


def test_the_mini_draws_squares_only():
    model = load_model("mini")
    assert make_images(model, "a man", [0], steps=1, size=72)[0].size == (72, 72)
    with pytest.raises(Problem, match="squares only"):
        make_images(model, "a man", [0], size=(128, 64))


def test_sdxl_is_what_its_own_pipeline_draws():
    """In 16 bits too, where the VAE stays fp32: the same but for 2 % of rounding."""
    parts = tiny_parts("sdxl")
    schedule = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    info = ModelInfo("xl", SDXL, 64, (), bucket_step=32)
    names = ("text_encoder", "vae", "unet")
    tokenizers = clip_tokenizer(), clip_tokenizer("!")
    model = Model(tokenizers[0], *(parts[name] for name in names), schedule, info, tokenizers[1])
    model.text_encoder_2 = parts["text_encoder_2"]
    made = make_images(model, ["a man", "a cat"], [7, 8], steps=2, guidance=2.0, negative="b")
    pipe = model.pipeline()
    for prompt, seed, picture in zip(["a man", "a cat"], [7, 8], made, strict=True):
        noise = torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(seed))
        expected = pipe(
            prompt,
            negative_prompt="b",
            num_inference_steps=2,
            guidance_scale=2.0,
            height=64,
            width=64,
            latents=noise[None],
        ).images
        assert furthest([picture], expected) <= 1
    half = make_images(model, "a man", [7], steps=2, guidance=2.0, negative="b", precision="bf16")
    assert np.abs(np.subtract(half[0], made[0], dtype=float)).mean() < 0.02 * 255


def test_nothing_is_left_changed(tiny):
    tiny.unet.train()
    tiny.vae.eval()
    stream = torch.get_rng_state()
    images = make_images(tiny, ["a", "b"], [0, 1], steps=1, size=32, guidance=1.0, precision="bf16")
    assert [image.size for image in images] == [(32, 32)] * 2
    assert tiny.unet.training and tiny.unet.mid_block.training and not tiny.vae.training
    assert torch.equal(stream, torch.get_rng_state())
    assert {p.dtype for p in tiny.unet.parameters()} == {torch.float32}


def test_wrong_requests_are_problems(tiny):
    with pytest.raises(Problem, match="2 prompts and 1 seeds"):
        make_images(tiny, ["a", "b"], [0])
    for size in (60, 24, (64, 40), -64):  # the tiny UNet halves once what the VAE has left
        with pytest.raises(Problem, match="multiple of 16"):
            make_images(tiny, "a", [0], size=size)
    with pytest.raises(Problem, match="Did you mean 'Euler a'"):
        make_images(tiny, "a", [0], sampler="euler a")
    with pytest.raises(Problem, match="asks for a file"):
        make_images(tiny, "a <lora:x:0.5>", [0])
    with pytest.raises(Problem, match="10000 characters"):
        make_images(tiny, "a" * 10_000, [0])
    with pytest.raises(Problem, match="no images"):
        image_grid([], 2)


def test_a_grid_places_pictures_row_by_row_beside_their_labels():
    colours = ["red", "lime", "blue"]
    sheet = image_grid(
        [Image.new("RGB", (64, 64), c) for c in colours],
        2,
        ["one", "two"],
        ["left", "a longer label that needs several lines"],
    )
    pixels = np.array(sheet)
    corners = []
    for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255]):
        ys, xs = np.where((pixels == colour).all(axis=2))
        assert len(ys) == 64 * 64  # whole, and no label drawn over it
        corners.append((ys.min(), xs.min()))
    (y1, x1), (y2, x2), (y3, x3) = corners
    assert y1 == y2 < y3 and x1 == x3 < x2
    assert (pixels[y1 : y1 + 64, :x1] < 128).any() and (pixels[:y1, x1:] < 128).any()


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_an_image_whose_numbers_overflowed_is_said(tiny, capsys, number):
    """As fp16 makes them with some merged models; it would be black without a word."""
    decode = tiny.vae.decode

    def overflowing(latents):
        decoded = decode(latents)
        decoded.sample[0] = number
        return decoded

    tiny.vae.decode = overflowing
    images = make_images(tiny, "a man", [0, 1], steps=1)
    assert "1 of 2 images are black: their numbers overflowed" in capsys.readouterr().out
    assert np.array(images[0]).max() == 0 and np.array(images[1]).max() > 0
