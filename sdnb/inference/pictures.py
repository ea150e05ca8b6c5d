"""Pictures from prompts with fixed seeds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from sdnb.errors import Problem
from sdnb.inference.config import ImageConfig
from sdnb.inference.names import called, find_embeddings, find_lora
from sdnb.inference.prompts import LoraCall, Prompt, read_prompt, without_calls
from sdnb.inference.samplers import DEFAULT, make_sampler
from sdnb.inference.weights import chunks_of, weighed_embeddings
from sdnb.machine import DTYPES
from sdnb.models.base import Model
from sdnb.models.conditioning import for_pipeline
from sdnb.trials import trial

AREA = 512 * 512  # pixels: the VAE's share at a time, and an eighth of the UNet's


def make_images(
    model: Model,
    prompts: str | Sequence[str],
    seeds: Sequence[int],
    steps: int = 20,
    guidance: float = 4.0,
    negative: str = "",
    size: int | tuple[int, int] | None = None,
    batch: int | None = None,
    precision: str = "fp32",
    clip_skip: int = 0,
    sampler: str = DEFAULT,
) -> list[Image.Image]:
    """One picture for each (prompt, seed) pair; a single prompt serves every seed.

    Prompts are read as in the web UIs, see `prompts`. `size` is pixels a side, or width and height
    (default: the model's resolution), `guidance` the scale of classifier-free guidance (1 switches
    it off), `sampler` a name from SAMPLERS. `batch` is how many are drawn together (default: what
    has the area of eight of 512 pixels, sixteen at most). `clip_skip` leaves out the text encoder's
    last layers; `precision` other than fp32 calculates under autocast.

    Each picture's noise comes from its own seed alone, on the CPU: it is the same in any batch and
    on any device. Draws on no other chance, changes no weight, and leaves every module in the mode
    it was in. Raises Problem for a size, sampler or prompt that cannot be.
    """
    prompts = [prompts] * len(seeds) if isinstance(prompts, str) else list(prompts)
    if len(prompts) != len(seeds):
        raise Problem(
            f"There are {len(prompts)} prompts and {len(seeds)} seeds",
            do="Give one seed for each prompt",
        )
    width, height = _sides(model, size)
    against = plain_prompt(negative)
    pairs = [_evened(model, plain_prompt(prompt), against) for prompt in trial().few(prompts)]
    pipe = model.to(model.device).pipeline()  # all parts beside the UNet again
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = make_sampler(sampler, model.scheduler.config)
    how = {"num_inference_steps": trial().capped(steps), "guidance_scale": guidance}
    together = batch or _fitting(8 * AREA, width, height)
    pictures: dict[int, Image.Image] = {}
    with _evaluating(model), torch.inference_mode():
        for places in _batches([chunks for chunks, _ in pairs], together):
            noise = _noise(model, [seeds[place] for place in places], width, height)
            some = zip(*(pairs[place][1] for place in places), strict=True)
            with autocast(model.device.type, precision):
                told = [weighed_embeddings(model, each, clip_skip) for each in some]
                latents = pipe(**for_pipeline(model.unet, *told), **noise, **how).images
            decoded = _decoded(pipe, latents, _fitting(AREA, width, height))
            pictures |= dict(zip(places, decoded, strict=True))
    return [pictures[place % len(pairs)] for place in range(len(prompts))]


def generate(model: Model, config: ImageConfig, precision: str = "fp32") -> list[Image.Image]:
    """Every prompt of `config` with every of its seeds: a row of `config.seeds` pictures for each
    prompt.

    A prompt that calls LoRAs is drawn with these alone. They and the embeddings that prompts name
    are looked for in `config.folder`; afterwards the model is as it was. Prints what may be
    mistaken in the prompts. Raises Problem as `make_images` does, and where a file that is called
    is missing or does not suit the model.
    """
    for remark in remarks(config):
        print(remark)
    return draw(model, config, precision)


def draw(model: Model, config: ImageConfig, precision: str = "fp32") -> list[Image.Image]:
    """As `generate`, but prints nothing."""
    words = words_of(config)
    groups: dict[tuple[LoraCall, ...], list[int]] = {}
    for index, prompt in enumerate(config.prompts):
        groups.setdefault(tuple(sorted(set(read_prompt(prompt).loras))), []).append(index)
    loras = {
        calls: [
            (find_lora(call.name, config.folder), call.unet, call.text_encoder) for call in calls
        ]
        for calls in groups
    }
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    rows: dict[int, list[Image.Image]] = {}
    for calls, places in groups.items():
        with called(model, loras[calls], words):
            made = make_images(
                model,
                [without_calls(config.prompts[place]) for place in places for _ in seeds],
                [seed for _ in places for seed in seeds],
                **how_of(config, model),
                precision=precision,
            )
        rows |= {place: made[i * len(seeds) :][: len(seeds)] for i, place in enumerate(places)}
    return [picture for place in range(len(config.prompts)) for picture in rows[place]]


def words_of(config: ImageConfig) -> list[tuple[Path, str]]:
    """The embeddings that the prompts name, each with its word."""
    files = find_embeddings(" ".join([*config.prompts, config.negative]), config.folder)
    return [(file, file.stem) for file in files]


def how_of(config: ImageConfig, model: Model) -> dict[str, Any]:
    """The settings of `config` that are `make_images`' arguments too."""
    names = ("steps", "guidance", "negative", "clip_skip", "sampler")
    how = {name: getattr(config, name) for name in names}
    return how | {"size": config.size(model.info.resolution)}


def remarks(config: ImageConfig) -> list[str]:
    """What the writer of the prompts may not have meant, a sentence each."""
    texts = (*config.prompts, config.negative)
    return list(dict.fromkeys(said for text in texts for said in read_prompt(text).remarks))


def autocast(device: str, precision: str):
    """A context that calculates in `precision`; for fp32 one that does nothing."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device, DTYPES[precision])


def plain_prompt(text: str) -> Prompt:
    """The prompt of a picture that is drawn with what is in the model. Raises Problem where it
    calls a LoRA."""
    prompt = read_prompt(text)
    if prompt.loras:
        raise Problem(
            f"{prompt.loras[0]} asks for a file, and no folder is known here",
            do="Use load_lora first, or generate with a folder, and call LoRAs in prompts only",
        )
    return prompt


def _sides(model: Model, size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Width and height in pixels, which the VAE and the UNet can halve as often as they do."""
    size = size or model.info.resolution
    width, height = (size, size) if isinstance(size, int) else size
    step = model.info.bucket_step or model.vae_factor
    if width % step or height % step or min(width, height) < step:
        raise Problem(
            f"A picture cannot be {width} × {height} pixels large",
            do=f"Choose a multiple of {step} for either side",
        )
    if width != height and not model.info.bucket_step:
        raise Problem(
            f"The model {model.info.name} draws squares only", do="Make width and height alike"
        )
    return width, height


def _evened(model: Model, *prompts: Prompt) -> tuple[int, list[Prompt]]:
    """How many chunks the longest of them has, and all of them filled up to as many with empty
    parts."""
    lengths = [len(chunks_of(model, prompt)) for prompt in prompts]
    longest = max(lengths)
    return longest, [
        replace(prompt, parts=prompt.parts + ((),) * (longest - length))
        for prompt, length in zip(prompts, lengths, strict=True)
    ]


def _batches(lengths: Sequence[int], batch: int) -> Iterator[list[int]]:
    """Places of pictures to draw together: `batch` at most, and all of one length. Filled up to a
    neighbour's length, which the UNet notices, a picture would depend on its neighbours."""
    for length in dict.fromkeys(lengths):
        places = [place for place, own in enumerate(lengths) if own == length]
        for start in range(0, len(places), batch):
            yield places[start : start + batch]


def _noise(model: Model, seeds: Sequence[int], width: int, height: int) -> dict[str, Any]:
    """The pipeline's `latents` (n, 4, h, w), standard normal, and its `generator`: for each picture
    its own, which has drawn them and draws what a sampler adds on the way. Latents come back."""
    factor = model.vae_factor
    shape = (model.unet.config.in_channels, height // factor, width // factor)
    generators = [torch.Generator().manual_seed(trial().moved(seed)) for seed in seeds]
    rows = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    latents = rows.to(model.device, model.unet.dtype)
    return {"latents": latents, "generator": generators, "output_type": "latent"}


def _fitting(area: int, width: int, height: int) -> int:
    """How many pictures have no more than `area` pixels together: one at least, sixteen at most."""
    return min(max(area // (width * height), 1), 16)


def _decoded(pipe: DiffusionPipeline, latents: torch.Tensor, together: int) -> list[Image.Image]:
    """The pictures of latents (n, 4, h, w). Outside autocast, for SDXL's VAE overflows in 16 bits,
    and few at a time, for at full size it needs more memory than the UNet."""
    scaled = latents.to(pipe.vae.device, pipe.vae.dtype) / pipe.vae.config.scaling_factor
    pixels = torch.cat([pipe.vae.decode(some).sample for some in scaled.split(together)])
    return pipe.image_processor.postprocess(pixels, output_type="pil")


@contextmanager
def _evaluating(model: Model):
    """Evaluation mode, and afterwards every module's own mode again."""
    modules = [module for part in model.modules for module in part.modules()]
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
