"""Pictures from prompts with fixed seeds."""

from collections.abc import Sequence
from contextlib import contextmanager, nullcontext

import torch
from PIL import Image

from sdnb.config import PictureConfig
from sdnb.models import Model
from sdnb.problems import Problem


def make_pictures(
    model: Model,
    prompts: str | Sequence[str],
    seeds: Sequence[int],
    steps: int = 20,
    guidance: float = 4.0,
    negative: str = "",
    size: int | None = None,
    batch: int = 8,
    precision: str = "fp32",
    clip_skip: int = 0,
) -> list[Image.Image]:
    """One picture for each (prompt, seed) pair; a single prompt serves every seed.

    `size` is pixels a side (default: the model's resolution), `guidance` the scale of
    classifier-free guidance (1 switches it off). Each picture's first noise comes from its own
    seed alone, on the CPU: it is the same in any batch and on any device. Draws on no other
    chance, changes no weight, and leaves every module in the mode it was in. `precision` other
    than fp32 calculates under autocast. `clip_skip` leaves out the text encoder's last layers.
    """
    prompts = [prompts] * len(seeds) if isinstance(prompts, str) else list(prompts)
    if len(prompts) != len(seeds):
        raise Problem(
            f"There are {len(prompts)} prompts and {len(seeds)} seeds",
            do="Give one seed for each prompt",
        )
    size = size or model.info.resolution
    if size % model.vae_factor:
        raise Problem(
            f"A picture cannot be {size} pixels wide", do=f"Choose a multiple of {model.vae_factor}"
        )
    pipe = model.to(model.device).pipeline()  # all parts beside the UNet again
    pipe.set_progress_bar_config(disable=True)
    pictures = []
    with _evaluating(model), torch.inference_mode(), autocast(model.device.type, precision):
        for start in range(0, len(prompts), batch):
            some = prompts[start : start + batch]
            pictures += pipe(
                prompt_embeds=model.text_embeddings(some, clip_skip),
                negative_prompt_embeds=model.text_embeddings([negative] * len(some), clip_skip),
                num_inference_steps=steps,
                guidance_scale=guidance,
                height=size,
                width=size,
                latents=_noise(model, seeds[start : start + batch], size),
            ).images
    return pictures


def generate(model: Model, config: PictureConfig, precision: str = "fp32") -> list[Image.Image]:
    """Every prompt of `config` with every of its seeds: a row of `config.seeds` pictures for each
    prompt."""
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    return make_pictures(
        model,
        [prompt for prompt in config.prompts for _ in seeds],
        [seed for _ in config.prompts for seed in seeds],
        steps=config.steps,
        guidance=config.guidance,
        negative=config.negative,
        precision=precision,
    )


def autocast(device: str, precision: str):
    """A context that calculates in `precision`; for fp32 one that does nothing."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device, {"fp16": torch.float16, "bf16": torch.bfloat16}[precision])


@contextmanager
def _evaluating(model: Model):
    """Evaluation mode, and afterwards every module's own mode again."""
    modules = [m for part in (model.text_encoder, model.vae, model.unet) for m in part.modules()]
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def _noise(model: Model, seeds: Sequence[int], size: int) -> torch.Tensor:
    """(n, 4, h, w) standard normal noise, each row from its own seed."""
    side = size // model.vae_factor
    shape = (model.unet.config.in_channels, side, side)
    rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(model.device, model.unet.dtype)
