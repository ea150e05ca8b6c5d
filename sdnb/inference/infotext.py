"""The text inside a PNG: how an image was made, as the web UIs write it and read it back.

AUTOMATIC1111's format (modules/infotext_utils.py): the prompt, the negative prompt after its mark,
and a last line of "Steps: 20, Sampler: ..., Seed: 1, Size: 128x128", behind which extensions write
more. In a PNG it stands under the key "parameters".
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, PngImagePlugin

from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.inference.config import ImageConfig
from sdnb.inference.samplers import KARRAS, known_sampler
from sdnb.models.base import ModelInfo

KEY, NEGATIVE, LONGEST = "parameters", "Negative prompt:", 100_000
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
FEWEST = 3  # pairs: with less of them a line is a part of the prompt
BEHIND = "Text behind"  # the key of what stands behind the line of settings
SETTINGS = {  # by the web UIs' names
    "Steps": ("steps", int),
    "Sampler": ("sampler", str),
    "CFG scale": ("guidance", float),
    "Seed": ("seed", int),
    "Model": ("model", str),
}
SCHEDULE, UNIFORM = "Schedule type", "Uniform"  # how a sampler's steps are spaced
# what "Automatic" means to the web UIs (modules/sd_samplers_kdiffusion.py), where not uniform
AUTOMATIC = {"DPM++ 2M": "Karras", "DPM++ 2M SDE": "Exponential"}
# what ImageConfig says too, or what changes no image
USED = {SCHEDULE, "Lora hashes", "TI hashes", "Model hash", "Version"}


@dataclass(frozen=True)
class GenerationInfo:
    """How one image was made. `size` is width and height in pixels, `clip_skip` counts from 0 as
    diffusers does (the web UIs' "Clip skip" is one more), `more` is what else the text says. `rng`
    says what drew the noise; it is empty where a text does not say it, which means the GPU."""

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
    rng: str = field(default="CPU", compare=False)


def generation_info(config: ImageConfig, info: ModelInfo, **more: str) -> GenerationInfo:
    """How `generate` makes the image of `config`, which has one prompt and one seed, with this base
    model. The spacing of the steps stands apart from the sampler, because newer web UIs would
    otherwise take DPM++ 2M as Karras spaces it."""
    return GenerationInfo(
        prompt=config.prompts[0],
        negative=config.negative,
        steps=config.steps,
        sampler=config.sampler.removesuffix(KARRAS),
        guidance=config.guidance or info.guidance,
        seed=config.first_seed,
        size=config.size(info.resolution),
        model=info.name,
        clip_skip=config.clip_skip,
        more={SCHEDULE: "Karras" if config.sampler.endswith(KARRAS) else UNIFORM, **more},
    )


def config_from_infotext(info: GenerationInfo) -> ImageConfig:
    """The settings that make one image like this one; the text does not name their `folder`. Prints
    what the text says and the settings cannot. Raises Problem where the sampler is unknown, or a
    setting is out of its bounds."""
    unused = [f"{key}: {value}" for key, value in info.more.items() if key not in USED]
    unused += [] if info.rng else ["noise from the GPU, as no RNG is named"]
    if unused:
        print(f"Not used of the picture's text, so it may come out otherwise: {', '.join(unused)}.")
    spaced = info.more.get(SCHEDULE, UNIFORM)
    if spaced == "Automatic":
        spaced = AUTOMATIC.get(info.sampler, UNIFORM)
    return ImageConfig(
        prompts=(info.prompt,),
        negative=info.negative,
        steps=info.steps,
        sampler=known_sampler(info.sampler + (f" {spaced}" if spaced != UNIFORM else "")),
        guidance=info.guidance,
        first_seed=info.seed,
        seeds=1,
        width=info.size[0],
        height=info.size[1],
        clip_skip=info.clip_skip,
        lora_hashes=info.more.get("Lora hashes", ""),
    )


def write_infotext(info: GenerationInfo) -> str:
    """The text as the web UIs write it. RNG says that the noise comes from the CPU; without it they
    would take it from the GPU and make another image. What stood behind the settings does again."""
    pairs = {
        "Steps": info.steps,
        "Sampler": info.sampler,
        "CFG scale": f"{info.guidance:.10g}",
        "Seed": info.seed,
        "Size": "{}x{}".format(*info.size),
        "Model": info.model,
        "Clip skip": info.clip_skip + 1 if info.clip_skip else "",
        "RNG": info.rng,
        **info.more,
    }
    behind = [pairs.pop(BEHIND)] if BEHIND in pairs else []
    last = ", ".join(f"{key}: {_quoted(str(value))}" for key, value in pairs.items() if value != "")
    negative = [f"{NEGATIVE} {info.negative}"] if info.negative else []
    return "\n".join([info.prompt, *negative, last, *behind])


def parse_infotext(text: str, path: Path | str | None = None) -> GenerationInfo:
    """What such a text says; what it does not say is as in `GenerationInfo`. Raises Problem, which
    names the `path` of the PNG, for a text without settings, with ones that cannot be, and of more
    than 100,000 characters."""
    if len(text) > LONGEST:
        raise Problem("The text in the picture is far too long to be settings", path)
    lines = text.strip().replace("\r\n", "\n").split("\n")
    pairs = [dict(PAIR.findall(line)) for line in lines]
    full = [place for place, found in enumerate(pairs) if len(found) >= FEWEST]
    if not full:
        raise Problem("The text in the picture holds no settings", path, "Choose another picture")
    last = max(full, key=lambda place: ("Steps" in pairs[place], place))
    found = {key.strip(): _unquoted(value.strip()) for key, value in pairs[last].items()}
    if lines[last + 1 :]:
        found[BEHIND] = "\n".join(lines[last + 1 :])
    lines = lines[:last]
    start = next((i for i, line in enumerate(lines) if line.startswith(NEGATIVE)), last)
    rng = found.pop("RNG", "")
    try:
        width, height = found.pop("Size", "512x512").split("x")
        settings = {name: kind(found.pop(k)) for k, (name, kind) in SETTINGS.items() if k in found}
        return GenerationInfo(
            prompt="\n".join(lines[:start]),
            negative="\n".join(lines[start:]).removeprefix(NEGATIVE).removeprefix(" "),
            size=(int(width), int(height)),
            clip_skip=int(found.pop("Clip skip", 1)) - 1,
            more=found | ({"RNG": rng} if rng not in ("", "CPU") else {}),
            rng=rng,
            **settings,
        )
    except ValueError as error:
        what = "The settings in the picture cannot be read"
        raise Problem(what, path, "Choose another picture") from error


def save_with_infotext(image: Image.Image, path: Path | str, info: GenerationInfo) -> None:
    """Write a PNG with the text that says how it was made."""
    text = PngImagePlugin.PngInfo()
    text.add_text(KEY, write_infotext(info))
    write_atomically(path, lambda aside: image.save(aside, "PNG", pnginfo=text))


def read_infotext(path: Path | str) -> GenerationInfo:
    """What the text inside a PNG says. Raises Problem where there is none, or no image."""
    try:
        with Image.open(path) as image:
            image.load()  # texts may stand behind the pixels
            text = image.info.get(KEY)
    except (OSError, SyntaxError, ValueError) as error:
        raise Problem("The picture cannot be read", path, "Choose another one") from error
    if not isinstance(text, str):
        raise Problem("The picture does not say how it was made", path, "Choose another one")
    return parse_infotext(text, path)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r"[,:\n]", value) else value


def _unquoted(value: str) -> str:
    with suppress(ValueError):
        if value.startswith('"'):
            return json.loads(value)
    return value
