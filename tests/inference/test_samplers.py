"""Samplers by name: against diffusers' own pipeline, and where the answer is known."""

from dataclasses import replace
from inspect import signature
from typing import get_args

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler

from sdnb.errors import Problem
from sdnb.inference import make_images
from sdnb.inference.config import ImageConfig
from sdnb.inference.samplers import SAMPLERS, make_sampler


def test_the_settings_know_the_same_names():
    assert get_args(ImageConfig.model_fields["sampler"].annotation) == tuple(SAMPLERS)


def test_an_unknown_name_is_told_with_the_nearest(tiny):
    with pytest.raises(Problem, match="Did you mean 'DPM\\+\\+ 2M Karras'"):
        make_sampler("DPM++ 2M karras", tiny.scheduler.config)
    with pytest.raises(Problem, match=r"Choose from DPM\+\+ 2M, "):
        make_sampler("", tiny.scheduler.config)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_picture_is_the_same_in_any_batch(tiny, name):
    """New noise on the way comes from each picture's own seed. Within one grey level of 255."""
    together = make_images(tiny, "a man", [3, 4, 5], steps=4, sampler=name)
    alone = [make_images(tiny, "a man", [s], steps=4, sampler=name)[0] for s in (3, 4, 5)]
    assert np.abs(np.subtract(together, alone, dtype=int)).max() <= 1
    assert np.abs(np.subtract(together[0], together[1], dtype=int)).max() > 10


@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_on_the_way_is_drawn_in_fp32(tiny, name, monkeypatch):
    """Whatever the UNet answers in: torch's streams of 16 bits are others on some machines."""
    sampler, drawn, randn = make_sampler(name, tiny.scheduler.config), [], torch.randn

    def noting(*shape, dtype=None, **more):
        drawn.append(dtype)
        return randn(*shape, dtype=dtype, **more)

    monkeypatch.setattr(torch, "randn", noting)
    sampler.set_timesteps(4)
    x, time = torch.ones(1, 4, 8, 8), sampler.timesteps[0]
    takes = {"generator": torch.Generator()} if accepts_generator(sampler) else {}
    sampler.scale_model_input(x, time)
    stepped = sampler.step(torch.zeros_like(x).half(), time, x, **takes).prev_sample
    assert torch.isfinite(stepped).all()
    assert drawn == [torch.float32] * name.startswith(("Euler a", "DPM++ 2M SDE"))


def accepts_generator(sampler) -> bool:
    return "generator" in signature(sampler.step).parameters


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_where_only_one_picture_is_known_it_is_drawn(tiny, name, prediction):
    """A model that knows one picture c predicts the noise (x - a c) / s, or the velocity
    a noise - s c, with a² + s² = 1 at each time. From any noise every sampler has to end at c,
    which is between -1 and 1: within 0.001, or where the sampler stops at the first trained time,
    with s = 0.029, within 0.029 of the noise's largest value."""
    sampler = make_sampler(name, {**tiny.scheduler.config, "prediction_type": prediction})
    sampler.set_timesteps(30)
    known = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(known.shape, generator=generator) * sampler.init_noise_sigma
    log_odds = (1 / sampler.alphas_cumprod - 1).log().double().numpy()  # of s² against a²
    takes = {"generator": generator} if accepts_generator(sampler) else {}
    for time in sampler.timesteps:
        seen = sampler.scale_model_input(x, time)
        odds = np.exp(np.interp(float(time), np.arange(len(log_odds)), log_odds))
        a, s = (1 / (1 + odds)) ** 0.5, (odds / (1 + odds)) ** 0.5
        noise = (seen - a * known) / s
        told = noise if prediction == "epsilon" else a * noise - s * known
        x = sampler.step(told, time, x, **takes).prev_sample
    assert (x - known).abs().max() < (0.029 * 4 if name in ("DDIM", "PLMS") else 0.001)


NOISED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        (
            "DDIM",
            DDIMScheduler(**NOISED, steps_offset=1, clip_sample=False, set_alpha_to_one=False),
        ),
        ("Euler", EulerDiscreteScheduler(**NOISED, steps_offset=1, timestep_spacing="leading")),
    ],
)
def test_diffusers_own_pipeline_draws_the_same(tiny, name, scheduler):
    """Exactly, with the scheduler written out."""
    pipe = tiny.pipeline()
    pipe.scheduler = scheduler
    noise = torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(7))
    expected = pipe(
        "a man", num_inference_steps=5, guidance_scale=3.0, height=64, width=64, latents=noise[None]
    ).images[0]
    (made,) = make_images(tiny, "a man", [7], steps=5, guidance=3.0, sampler=name)
    assert np.array_equal(made, expected)


ZERO = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_base_of_zero_terminal_snr(tiny, name):
    """Sampled from noise alone, in trailing steps, with guidance rescaled: as diffusers' pipeline
    does it (within one grey level). Samplers that cannot are refused by name."""
    tiny.info = replace(tiny.info, family=tiny.info.family.predicting(True, zero_snr=True))
    settings = tiny.info.family.scheduler
    tiny.scheduler = type(tiny.scheduler).from_config(tiny.scheduler.config, **settings)
    if name in ("Heun", "LMS", "PLMS"):
        with pytest.raises(Problem, match=f"The sampler {name} cannot begin with noise alone"):
            make_images(tiny, "a man", [3], steps=4, sampler=name)
        return
    ours = make_images(tiny, "a man", [3], steps=4, sampler=name, guidance=5.0)
    pipe = tiny.pipeline()
    pipe.scheduler = make_sampler(name, tiny.scheduler.config)
    assert pipe.scheduler.config.timestep_spacing == "trailing"
    assert int(pipe.scheduler.config.num_train_timesteps) - 1 == _first_timestep(pipe.scheduler)
    noise = torch.randn(
        1, *tiny.latent_shape, generator=(drawn := torch.Generator().manual_seed(3))
    )
    theirs = pipe(
        "a man",
        latents=noise,
        generator=drawn,
        num_inference_steps=4,
        guidance_scale=5.0,
        guidance_rescale=0.7,
    ).images
    assert np.abs(np.subtract(ours, theirs, dtype=int)).max() <= 1


def _first_timestep(sampler):
    sampler.set_timesteps(4)
    return int(sampler.timesteps[0])
