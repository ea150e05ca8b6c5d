"""X/Y/Z grids: one image made again and again, with one, two or three things changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from sdnb.dataset.contact_sheet import image_grid
from sdnb.errors import Problem, nearest
from sdnb.files import make_writable_folder, write_atomically
from sdnb.inference.config import ImageConfig
from sdnb.inference.images import make_each
from sdnb.inference.infotext import generation_info, save_with_infotext
from sdnb.inference.prompt_files import file_hashes
from sdnb.inference.prompts import read_prompt, scale_loras
from sdnb.models.base import Model

FIELDS = {"seed": "first_seed", "steps": "steps", "guidance": "guidance", "sampler": "sampler"}
KINDS = ("replace", "weight", *FIELDS)  # in the order in which they are applied
TYPES = {"replace": str, "weight": (int, float)}


@dataclass(frozen=True)
class Axis:
    """What changes along one side of a grid, and the values it takes.

    "seed", "steps", "guidance" and "sampler" are the settings of those names. "replace" puts each
    value in place of the first one, in the prompt and the negative prompt. "weight" multiplies the
    weights of all LoRAs that the prompt calls.
    """

    kind: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if self.kind not in KINDS:
            raise Problem(f"A grid has no axis {self.kind!r}", do=nearest(self.kind, KINDS))
        if not self.values:
            raise Problem(f"The axis {self.kind!r} has no values", do="Give it at least one")
        for value in self.values:
            if not isinstance(value, TYPES.get(self.kind, object)):
                raise Problem(f"{value!r} is no value for the axis {self.kind!r}", do="Change it")

    @property
    def labels(self) -> list[str]:
        """What stands beside the cells, for each value."""
        named = "" if self.kind in ("replace", "sampler") else f"{self.kind} "
        return [f"{named}{value}" for value in self.values]

    def change(self, config: ImageConfig, value: Any) -> ImageConfig:
        """The settings, of one prompt, with one of the values. Raises Problem where it cannot be
        one, and where a word to replace or a LoRA to weigh is not in the prompt."""
        if self.kind in FIELDS:
            return config.replace(**{FIELDS[self.kind]: value})
        (prompt,), negative = config.prompts, config.negative
        if self.kind == "weight":
            if not read_prompt(prompt).loras:
                do = "Call one in the prompt: <lora:name:1>"
                raise Problem("There is no LoRA to weigh", do=do)
            return config.replace(prompts=(scale_loras(prompt, value),))
        first = self.values[0]
        if not first or first not in prompt + negative:
            do = "Begin the axis with words that are"
            raise Problem(f"{first!r} is not in the prompt", do=do)
        prompt, negative = (text.replace(first, value) for text in (prompt, negative))
        return config.replace(prompts=(prompt,), negative=negative)


def xyz_plot(
    model: Model,
    config: ImageConfig,
    folder: Path | str,
    x: Axis,
    y: Axis | None = None,
    z: Axis | None = None,
) -> list[Image.Image]:
    """Make the prompt of `config` with its first seed, once for each choice of values along the
    axes. Returns a labelled sheet for each value of z, or the one.

    Writes the cells to `folder` as cell_X_Y_Z.png (or cell_X_Y.png, cell_X.png), counted from 1,
    each with the text that says how it was made, and the sheets as sheet_Z.png, over those of an
    earlier grid. Afterwards the model is as it was.

    Raises Problem where there is more than one prompt, or the same axis twice, where a replaced
    word or a LoRA to weigh is not in the prompt, and as `generate` does.
    """
    axes = [axis for axis in (z, y, x) if axis]
    kinds = [axis.kind for axis in axes if axis.kind != "replace"]
    if len(config.prompts) != 1 or len(set(kinds)) < len(kinds):
        do = 'Give one prompt; others come by Axis("replace", ...)'
        raise Problem("A grid has one prompt and every axis once", do=do)
    folder = make_writable_folder(folder)
    choices = [*product(*(enumerate(axis.values, 1) for axis in axes))]
    cells = [_cell(config, axes, [value for _, value in choice]) for choice in choices]
    images = {}
    for place, image in make_each(model, cells):
        name = "_".join(str(number) for number, _ in reversed(choices[place]))
        info = generation_info(cells[place], model.info, **file_hashes(model, cells[place]))
        save_with_infotext(image, folder / f"cell_{name}.png", info)
        images[place] = image
    sheets = _sheets([images[place] for place in sorted(images)], x, y, z)
    for number, sheet in enumerate(sheets, 1):
        write_atomically(folder / f"sheet_{number}.png", sheet.save)
    return sheets


def _cell(config: ImageConfig, axes: Sequence[Axis], values: Sequence[Any]) -> ImageConfig:
    """The settings with one value of each axis. Raises Problem as `Axis.change` does."""
    config = config.replace(seeds=1)
    for axis, value in sorted(zip(axes, values), key=lambda pair: KINDS.index(pair[0].kind)):
        config = axis.change(config, value)
    return config


def _sheets(
    images: list[Image.Image], x: Axis, y: Axis | None, z: Axis | None
) -> list[Image.Image]:
    rows, layers = (axis.labels if axis else [""] for axis in (y, z))
    sheets, size = [], len(x.values) * len(rows)
    for index, layer in enumerate(layers):
        labels = [", ".join(filter(None, (layer, row))) for row in rows] if y or z else ()
        some = images[index * size :][:size]
        sheets.append(image_grid(some, len(x.values), labels, x.labels))
    return sheets
