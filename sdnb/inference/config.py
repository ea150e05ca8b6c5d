"""The settings of images from prompts."""

from itertools import product
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from sdnb.settings import Settings


class ImageConfig(Settings):
    """Pictures from prompts: what to draw, how often, and how."""

    basics = ("prompts", "first_seed", "seeds")

    prompts: tuple[str, ...] = Field(("photo of a man",), min_length=1, title="Prompts")
    """What to draw, one prompt a line; plain words in the order of a caption are safe, and what a
    prompt leaves out is left to the seed."""
    first_seed: int = Field(0, ge=0, le=2**32 - 1, title="First seed")
    """The seed of the first picture, the next ones count on from it; any number is good, and the
    same number gives the same picture again."""
    seeds: int = Field(4, ge=1, le=64, title="Seeds")
    """Pictures for each prompt; 4 to 8 are safe, with one you see luck instead of the model, with
    many you wait."""
    negative: str = Field("", title="Negative prompt")
    """What the pictures shall not show; empty is safe, a few words steer away from them, a long
    list makes pictures stiff."""
    steps: int = Field(20, ge=1, le=150, title="Steps")
    """Rounds of taking noise away; 15 to 30 is safe, with fewer pictures stay blurred, more cost
    time and change little."""
    guidance: float | None = Field(None, ge=1, le=30, title="Guidance")
    """How strongly the prompt is obeyed; empty is safe and takes the base model's own, else 5 to 9,
    or 3 to 5 for the mini, at 1 the words hardly count, high and colours burn."""
    sampler: Literal[
        "DPM++ 2M",
        "DPM++ 2M Karras",
        "DPM++ 2M SDE",
        "DPM++ 2M SDE Karras",
        "UniPC",
        "Euler",
        "Euler a",
        "Heun",
        "LMS",
        "DDIM",
        "PLMS",
    ] = Field("DPM++ 2M", title="Sampler")
    """The way from noise to picture; DPM++ 2M is safe, Euler and DDIM need more steps, Heun twice
    the time, and with SDE or a, which add new noise, every number of steps gives another
    picture."""
    width: int | None = Field(None, ge=32, le=4096, title="Width")
    """Pixels across; empty is safe and takes the base model's own, much smaller and things fall
    apart, much larger and they appear twice."""
    height: int | None = Field(None, ge=32, le=4096, title="Height")
    """Pixels from top to bottom; empty is safe and takes the base model's own, much smaller and
    things fall apart, much larger and they appear twice."""
    clip_skip: int = Field(0, ge=0, le=11, title="Clip skip")
    """How many of the text encoder's last layers are left out; what the base was trained with is
    right, 0 for nearly every one, 1 (called 2 in other programs) for some anime models, more and
    words lose their meaning."""
    folder: Path | None = Field(None, title="Folder of LoRAs and embeddings")
    """Where the files lie that prompts call by name, <lora:name:0.8> or an embedding's name as a
    word; empty knows only the samples that come with the course."""

    lora_hashes: str = Field("", title="Hashes of LoRAs")
    """What the text in a picture says under "Lora hashes", as name: hash, name: hash; empty is
    safe, with it a LoRA that has another name by now is found by what is in it."""

    def size(self, resolution: int) -> tuple[int, int]:
        """Width and height in pixels for a base model of this resolution."""
        return self.width or resolution, self.height or resolution

    def each_image(self) -> list[Self]:
        """The settings of each image alone: one prompt and one seed, prompt by prompt."""
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        return [
            self.model_copy(update={"prompts": (prompt,), "first_seed": seed, "seeds": 1})
            for prompt, seed in product(self.prompts, seeds)
        ]
