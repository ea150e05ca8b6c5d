"""The text inside a PNG: how a picture was made, as the web UIs write it and read it back.

AUTOMATIC1111's format (modules/infotext_utils.py): the prompt, the negative prompt after its mark,
and a last line of "Steps: 20, Sampler: ..., Seed: 1, Size: 128x128". In a PNG it stands under the
key "parameters".
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, PngImagePlugin

from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.inference.config import ImageConfig
from sdnb.inference.samplers import KARRAS, known_sampler
from sdnb.models.base import ModelInfo

KEY, NEGATIVE, LONGEST = "parameters", "Negative prompt: ", 100_000
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
FEWEST = 3  # pairs: with less of them the last line is a part of the prompt
SCHEDULE, UNIFORM = "Schedule type", "Uniform"  # how a sampler's steps are spaced
# what "Automatic" means to the web UIs (modules/sd_samplers_kdiffusion.py), where not uniform
AUTOMATIC = {"DPM++ 2M": "Karras", "DPM++ 2M SDE": "Exponential"}


@dataclass(frozen=True)
class Recipe:
    """How one picture was made. `size` is width and height in pixels, `clip_skip` counts from 0 as
    diffusers does (the web UIs' "Clip skip" is one more), `more` is what else the text says."""

    prompt: str
    negative: str = ""
    steps: int = 20
    sampler: str = "DPM++ 2M"
    guidance: float = 7.0
    seed: int = 0
    size: tuple[int, int] = (512, 512)
    model: str = ""
    clip_skip: int = 0
    more: dict[str, str] = field(default_factory=dict)


def recipe_of(config: ImageConfig, info: ModelInfo, prompt: str, seed: int) -> Recipe:
    """How `generate` draws one of the pictures of `config`. The spacing of the steps is told apart
    from the sampler, for without it newer web UIs would take DPM++ 2M as Karras spaces it."""
    return Recipe(
        prompt,
        config.negative,
        config.steps,
        config.sampler.removesuffix(KARRAS),
        config.guidance,
        seed,
        config.size(info.resolution),
        info.name,
        config.clip_skip,
        {SCHEDULE: "Karras" if config.sampler.endswith(KARRAS) else UNIFORM},
    )


def config_from_infotext(recipe: Recipe) -> ImageConfig:
    """The settings that draw one picture like this one; `folder` is not told in a recipe. Raises
    Problem where the sampler is unknown, or a setting is out of its bounds."""
    spaced = recipe.more.get(SCHEDULE, UNIFORM)
    if spaced == "Automatic":
        spaced = AUTOMATIC.get(recipe.sampler, UNIFORM)
    return ImageConfig(
        prompts=(recipe.prompt,),
        negative=recipe.negative,
        steps=recipe.steps,
        sampler=known_sampler(recipe.sampler + (f" {spaced}" if spaced != UNIFORM else "")),
        guidance=recipe.guidance,
        first_seed=recipe.seed,
        seeds=1,
        width=recipe.size[0],
        height=recipe.size[1],
        clip_skip=recipe.clip_skip,
    )


def write_text(recipe: Recipe) -> str:
    """The recipe as the web UIs write it. RNG says that the noise comes from the CPU, without which
    they would take it from the GPU and draw another picture."""
    pairs = {
        "Steps": recipe.steps,
        "Sampler": recipe.sampler,
        "CFG scale": f"{recipe.guidance:.10g}",
        "Seed": recipe.seed,
        "Size": "{}x{}".format(*recipe.size),
        "Model": recipe.model,
        "Clip skip": recipe.clip_skip + 1 if recipe.clip_skip else "",
        "RNG": "CPU",
        **recipe.more,
    }
    last = ", ".join(f"{key}: {_quoted(str(value))}" for key, value in pairs.items() if value != "")
    negative = [NEGATIVE + recipe.negative] if recipe.negative else []
    return "\n".join([recipe.prompt, *negative, last])


def read_text(text: str) -> Recipe:
    """A recipe from such a text; what it does not say is as in `Recipe`. Raises Problem for a text
    without settings, with ones that cannot be, and of more than 100,000 characters."""
    if len(text) > LONGEST:
        raise Problem("The text in the picture is far too long to be settings")
    *lines, last = text.strip().split("\n")
    found = {key.strip(): _plain(value.strip()) for key, value in PAIR.findall(last)}
    if len(found) < FEWEST:
        raise Problem("The text in the picture holds no settings", do="Choose another picture")
    start = next((i for i, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[start:]).removeprefix(NEGATIVE)
    plain = Recipe("")
    try:
        wide, high = found.pop("Size", "512x512").split("x")
        return Recipe(
            "\n".join(lines[:start]),
            negative,
            int(found.pop("Steps", plain.steps)),
            found.pop("Sampler", plain.sampler),
            float(found.pop("CFG scale", plain.guidance)),
            int(found.pop("Seed", plain.seed)),
            (int(wide), int(high)),
            found.pop("Model", ""),
            int(found.pop("Clip skip", 1)) - 1,
            {key: value for key, value in found.items() if key != "RNG"},
        )
    except ValueError as error:
        raise Problem(
            "The settings in the picture cannot be read", do="Choose another picture"
        ) from error


def save_with_infotext(picture: Image.Image, path: Path | str, recipe: Recipe) -> None:
    """Write a PNG that tells how it was made."""
    told = PngImagePlugin.PngInfo()
    told.add_text(KEY, write_text(recipe))
    write_atomically(path, lambda aside: picture.save(aside, "PNG", pnginfo=told))


def read_infotext(path: Path | str) -> Recipe:
    """The recipe inside a PNG. Raises Problem where there is none, or no picture."""
    try:
        with Image.open(path) as picture:
            picture.load()  # texts may stand behind the pixels
            text = picture.info.get(KEY)
    except (OSError, SyntaxError, ValueError) as error:
        raise Problem("The picture cannot be read", path, "Choose another one") from error
    if not isinstance(text, str):
        raise Problem("The picture does not say how it was made", path, "Choose another one")
    try:
        return read_text(text)
    except Problem as problem:
        raise Problem(problem.what, path, problem.do) from problem


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r"[,:\n]", value) else value


def _plain(value: str) -> str:
    if value[:1] == value[-1:] == '"':
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
