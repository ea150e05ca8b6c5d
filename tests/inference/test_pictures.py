import numpy as np
import pytest
import torch
from PIL import Image

from sdnb.config import PictureConfig
from sdnb.inference import generate, make_pictures
from sdnb.problems import Problem
from sdnb.sheet import grid


def test_a_seed_gives_the_same_picture_in_any_batch(tiny):
    prompts, seeds = ["a man", "b", "c"], [3, 4, 5]
    together = make_pictures(tiny, prompts, seeds, steps=3)
    split = make_pictures(tiny, prompts, seeds, steps=3, batch=2)
    alone = make_pictures(tiny, "b", [4], steps=3)
    for one, other in zip([*together, together[1]], [*split, *alone], strict=True):
        # other batch sizes sum in another order: one grey level in 255
        assert np.abs(np.array(one, int) - np.array(other, int)).max() <= 1
    assert np.abs(np.array(together[0], int) - np.array(together[1], int)).max() > 10


def test_a_picture_config_is_every_prompt_with_every_seed(tiny):
    config = PictureConfig(
        prompts=("a man", "b"), first_seed=3, seeds=2, steps=2, guidance=2.0, negative="c"
    )
    expected = make_pictures(
        tiny, ["a man", "a man", "b", "b"], [3, 4, 3, 4], steps=2, guidance=2.0, negative="c"
    )
    made = generate(tiny, config)
    assert len(made) == 4 and all(map(np.array_equal, made, expected))


def test_the_pipeline_alone_gives_the_same_picture(tiny):
    noise = torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(7))
    expected = tiny.pipeline()(
        "a man", num_inference_steps=3, guidance_scale=2.0, height=64, width=64, latents=noise[None]
    ).images[0]
    assert np.array_equal(make_pictures(tiny, "a man", [7], steps=3, guidance=2.0)[0], expected)


def test_nothing_is_left_changed(tiny):
    tiny.unet.train()
    tiny.vae.eval()
    stream = torch.get_rng_state()
    images = make_pictures(
        tiny, ["a", "b"], [0, 1], steps=1, size=32, guidance=1.0, precision="bf16"
    )
    assert [image.size for image in images] == [(32, 32)] * 2
    assert tiny.unet.training and tiny.unet.mid_block.training and not tiny.vae.training
    assert torch.equal(stream, torch.get_rng_state())
    assert {p.dtype for p in tiny.unet.parameters()} == {torch.float32}


def test_wrong_requests_are_problems(tiny):
    with pytest.raises(Problem, match="2 prompts and 1 seeds"):
        make_pictures(tiny, ["a", "b"], [0])
    with pytest.raises(Problem, match="multiple of 8"):
        make_pictures(tiny, "a", [0], size=60)
    with pytest.raises(Problem, match="no pictures"):
        grid([], 2)


def test_a_grid_places_pictures_row_by_row_beside_their_labels():
    colours = ["red", "lime", "blue"]
    sheet = grid(
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
