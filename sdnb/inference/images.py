"""Images from prompts with fixed seeds, in memory and as files."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from sdnb.adapters.loading import load_lora
from sdnb.adapters.words import is_known, load_embedding
from sdnb.errors import Problem
from sdnb.files import make_writable_folder
from sdnb.inference.config import ImageConfig
from sdnb.inference.infotext import generation_info, save_with_infotext
from sdnb.inference.prompt_files import called_loras, file_hashes, find_embeddings, loaded
from sdnb.inference.prompt_weights import Chunk, token_chunks, weighted_embeddings
from sdnb.inference.prompts import plain_prompt, read_prompt, without_calls
from sdnb.inference.samplers import DEFAULT, make_sampler
from sdnb.machine import DTYPES
from sdnb.models.base import Model
from sdnb.models.conditioning import for_pipeline
from sdnb.models.loading import load_model
from sdnb.trials import trial

SETTINGS = {"steps", "guidance", "negative", "clip_skip", "sampler"}  # make_images' names too
RESCALE = 0.7  # of guidance, where it would overexpose images (arXiv 2305.08891, section 3.4)
OVERFLOWED = 'Set precision = "fp32", lower the weight of a LoRA, or choose another base model.'
AREA = 512 * 512  # pixels: what the VAE decodes at a time, and an eighth of the UNet's batch


def make_images(
    model: Model,
    prompts: str | Sequence[str],
    seeds: Sequence[int],
    steps: int = 20,
    guidance: float | None = None,
    negative: str = "",
    size: int | tuple[int, int] | None = None,
    batch: int | None = None,
    precision: str | None = None,
    clip_skip: int = 0,
    sampler: str = DEFAULT,
    quiet: bool = False,
) -> list[Image.Image]:
    """One image for each (prompt, seed) pair; a single prompt serves every seed.

    Prompts are read as in the web UIs, see `prompts`; what may be mistaken in them is printed,
    unless `quiet`. `guidance` is the scale of classifier-free guidance (1 switches it off),
    `precision` "fp32", or "fp16" or "bf16" under autocast; by default both are the model's own.
    `size` is pixels a side, or width and height (default: the model's resolution), `sampler` a name
    from SAMPLERS. `batch` is how many are made together (default: the area of eight of 512 pixels a
    side, sixteen at most). `clip_skip` leaves out the text encoder's last layers. Each image's
    noise comes from its own seed alone, on the CPU: the same in any batch and on any device. Uses
    no other random numbers, changes no weight, and leaves every module in its mode. Raises Problem
    for a size, sampler or prompt that cannot be.
    """
    prompts = _one_for_each(prompts, seeds)
    width, height = _sides(model, size)
    unwanted, *wanted = _in_chunks(model, [negative, *trial().few(prompts)], quiet)
    lengths = [max(len(unwanted), len(chunks)) for chunks in wanted]
    pipe = _pipeline(model, sampler)
    arguments = {
        "num_inference_steps": trial().capped(steps),
        "guidance_scale": model.info.guidance if guidance is None else guidance,
        "output_type": "latent",
        "guidance_rescale": RESCALE if model.info.family.zero_snr else 0.0,
    }
    images: dict[int, Image.Image] = {}
    with _evaluating(model), torch.inference_mode():
        for places in _batches(lengths, batch or _fitting(8 * AREA, width, height)):
            both = [wanted[place] for place in places], [unwanted] * len(places)
            noise = _noise(model, [seeds[place] for place in places], width, height)
            with autocast(model.device.type, precision or model.precision):
                length = lengths[places[0]]
                texts = [weighted_embeddings(model, each, length, clip_skip) for each in both]
                latents = pipe(**for_pipeline(model.unet, *texts), **noise, **arguments).images
            decoded = decode(pipe, latents, _fitting(AREA, width, height))
            images |= zip(places, decoded, strict=True)
    return [images[place % len(images)] for place in range(len(prompts))]


def generate(model: Model, config: ImageConfig) -> list[Image.Image]:
    """Every prompt of `config` with every of its seeds: a row of `config.seeds` images for each
    prompt.

    A prompt that calls LoRAs is made with these alone. They and the embeddings that prompts name
    are looked for in `config.folder`; afterwards the model is as it was. Prints what may be
    mistaken in the prompts. Raises Problem as `make_images` does, and where a file that is called
    is missing or does not suit the model.
    """
    return [image for _, image in sorted(make_each(model, config.each_image()))]


def make_each(model: Model, configs: Sequence[ImageConfig]) -> Iterator[tuple[int, Image.Image]]:
    """Make an image for each of several settings of one prompt and one seed; yields its place among
    them and the image. Those that differ in nothing else and call the same LoRAs are made together.

    Every file that is called is looked for before the first image. Between the images the model is
    as it was. Prints remarks once, and raises Problem, as `generate` does.
    """
    _say(remark for config in configs for remark in remarks(config))
    folder, hashes = configs[0].folder, configs[0].lora_hashes
    prompts = [config.prompts[0] for config in configs]
    embeddings = find_embeddings(" ".join([*prompts, *(c.negative for c in configs)]), folder)
    loras = {prompt: called_loras(prompt, folder, hashes) for prompt in dict.fromkeys(prompts)}
    _say(
        f"The LoRA {call.name!r} was found by its hash: it is called {file.stem!r} now."
        for prompt, called in loras.items()
        for call, (file, *_) in zip(sorted(read_prompt(prompt).loras), called, strict=True)
        if file.stem != call.name
    )
    together = defaultdict(list)
    for place, config in enumerate(configs):
        shared = config.replace(prompts=("",), first_seed=0)
        together[loras[prompts[place]], shared].append(place)
    for (called, shared), places in together.items():
        with loaded(model, called, embeddings):
            images = make_images(
                model,
                [without_calls(prompts[place]) for place in places],
                [configs[place].first_seed for place in places],
                size=shared.size(model.info.resolution),
                quiet=True,
                **shared.model_dump(include=SETTINGS),
            )
        yield from zip(places, images, strict=True)
        embeddings = [file for file in embeddings if not is_known(model, file.stem)]  # said once


def make_image_files(
    folder: Path,
    config: ImageConfig,
    base: str = "mini",
    lora: Path | None = None,
    embedding: Path | None = None,
) -> list[Path]:
    """Make the images that `config` asks for as PROMPT_SEED.png in `folder`, prompts counted from
    1, each with the text that says how it was made. `lora` is for the prompts that call none,
    `embedding` teaches a word; the text then names their files. Raises Problem where one of the
    files cannot be used."""
    folder = make_writable_folder(folder)
    model = load_model(base)
    if embedding:
        load_embedding(model, embedding)
    if lora:
        load_lora(model, lora)
    files = {"LoRA": lora, "Embedding": embedding}
    named = {kind: Path(file).name for kind, file in files.items() if file}
    configs, paths = config.each_image(), []
    for place, image in sorted(make_each(model, configs)):
        one = configs[place]
        paths.append(folder / f"{place // config.seeds + 1:02}_{one.first_seed:05}.png")
        more = file_hashes(model, one) | named
        save_with_infotext(image, paths[-1], generation_info(one, model.info, **more))
    return paths


def remarks(config: ImageConfig) -> list[str]:
    """What the writer of the prompts may not have meant, a sentence each."""
    texts = (*config.prompts, config.negative)
    return list(dict.fromkeys(remark for text in texts for remark in read_prompt(text).remarks))


def _say(remarks: Iterable[str]) -> None:
    for remark in dict.fromkeys(remarks):
        print(remark)


def autocast(device: str, precision: str):
    """A context that calculates in `precision`; for fp32 one that does nothing."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device, DTYPES[precision])


def _one_for_each(prompts: str | Sequence[str], seeds: Sequence[int]) -> list[str]:
    """A prompt for each seed."""
    prompts = [prompts] * len(seeds) if isinstance(prompts, str) else list(prompts)
    if len(prompts) != len(seeds):
        what = f"There are {len(prompts)} prompts and {len(seeds)} seeds"
        raise Problem(what, do="Give one seed for each prompt")
    return prompts


def _in_chunks(model: Model, texts: list[str], quiet: bool) -> list[list[Chunk]]:
    """The tokens of each text; prints what may be mistaken in them."""
    prompts = [plain_prompt(text) for text in texts]
    _say(remark for prompt in prompts for remark in prompt.remarks if not quiet)
    return [token_chunks(model, prompt) for prompt in prompts]


def _sides(model: Model, size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Width and height in pixels, which the VAE and the UNet can halve as often as they do."""
    size = size or model.info.resolution
    width, height = (size, size) if isinstance(size, int) else size
    step = model.info.bucket_step or model.vae_factor
    if width % step or height % step or min(width, height) < step:
        what = f"A picture cannot be {width} × {height} pixels large"
        raise Problem(what, do=f"Choose a multiple of {step} for either side")
    if width != height and not model.info.bucket_step:
        what = f"The model {model.info.name} draws squares only"
        raise Problem(what, do="Make width and height alike")
    return width, height


def _pipeline(model: Model, sampler: str) -> DiffusionPipeline:
    """The model's pipeline with this sampler, all parts on one device."""
    pipe = model.to(model.device).pipeline()  # a training may have parked parts of it
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = make_sampler(sampler, model.scheduler.config)
    return pipe


def _batches(lengths: Sequence[int], batch: int) -> Iterator[list[int]]:
    """Places of images to make together: `batch` at most, and all of one length. Filled up to a
    neighbour's length, which the UNet notices, an image would depend on its neighbours."""
    for length in dict.fromkeys(lengths):
        places = [place for place, own in enumerate(lengths) if own == length]
        for start in range(0, len(places), batch):
            yield places[start : start + batch]


def _noise(model: Model, seeds: Sequence[int], width: int, height: int) -> dict[str, Any]:
    """The pipeline's `latents` (n, 4, h, w), standard normal, and its `generator`: for each image
    its own, on the CPU, for its latents and for what a sampler adds on the way."""
    factor = model.vae_factor
    shape = (model.unet.config.in_channels, height // factor, width // factor)
    generators = [torch.Generator().manual_seed(trial().moved(seed)) for seed in seeds]
    rows = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    return {"latents": rows.to(model.device, model.unet.dtype), "generator": generators}


def _fitting(area: int, width: int, height: int) -> int:
    """How many images have no more than `area` pixels together: one at least, sixteen at most."""
    return min(max(area // (width * height), 1), 16)


def decode(pipe: DiffusionPipeline, latents: torch.Tensor, together: int) -> list[Image.Image]:
    """The images of latents (n, 4, h, w). Outside autocast, because SDXL's VAE overflows in 16
    bits, and few at a time, because at full size it needs more memory than the UNet."""
    scaled = latents.to(pipe.vae.device, pipe.vae.dtype) / pipe.vae.config.scaling_factor
    pixels = torch.cat([pipe.vae.decode(some).sample for some in scaled.split(together)])
    lost = [image for image in pixels if not torch.isfinite(image).all()]
    for image in lost:
        image.fill_(-1.0)
    if lost:  # shown black, without a word it would be a riddle
        count = f"{len(lost)} of {len(pixels)} images are black"
        print(f"{count}: their numbers overflowed. {OVERFLOWED}")
    return pipe.image_processor.postprocess(pixels, output_type="pil")


@contextmanager
def _evaluating(model: Model):
    """Evaluation mode, and afterwards every module's own mode again."""
    modes = {module: module.training for part in model.modules for module in part.modules()}
    for part in model.modules:
        part.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
