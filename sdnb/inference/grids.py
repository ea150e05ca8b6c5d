"""X/Y/Z grids: one image made again and again, with one, two or three things changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

from PIL import Image

from sdnb.dataset.contact_sheet import image_grid
from sdnb.errors import Problem, nearest
from sdnb.files import make_writable_folder, write_atomically
from sdnb.inference.config import ImageConfig
from sdnb.inference.images import image_arguments, make_images
from sdnb.inference.infotext import GenerationInfo, generation_info, save_with_infotext
from sdnb.inference.prompt_files import called_embeddings, is_embedding, loaded, lora_files
from sdnb.inference.prompts import LoraCall, read_prompt, scale_loras, without_calls
from sdnb.models.base import Model

FIELDS = {"seed": "first_seed", "steps": "steps", "guidance": "guidance", "sampler": "sampler"}
KINDS = ("replace", "checkpoint", "weight", *FIELDS)  # in the order in which they are applied
TYPES = {"replace": str, "checkpoint": (str, Path), "weight": (int, float)}


@dataclass(frozen=True)
class Axis:
    """What changes along one side of a grid, and the values it takes.

    "seed", "steps", "guidance" and "sampler" are the settings of those names. "replace" puts each
    value in place of the first one, in the prompt and the negative prompt. "checkpoint" values are
    files of LoRAs or embeddings, as of several moments of a training. "weight" multiplies the
    weights of all LoRAs, those called in the prompt and those of a checkpoint axis.
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
        if self.kind == "checkpoint":
            paths = [Path(value) for value in self.values]
            alike = len({path.stem for path in paths}) < len(paths)  # lora.safetensors of two runs
            return [f"{path.parent.name}/{path.stem}" if alike else path.stem for path in paths]
        named = "" if self.kind in ("replace", "sampler") else f"{self.kind} "
        return [f"{named}{value}" for value in self.values]


@dataclass(frozen=True)
class _Cell:
    """One image to come: its settings, the files that work on it as `loaded` takes them, and the
    text for its PNG."""

    config: ImageConfig
    loras: Sequence[tuple[Path, float, float]]
    embeddings: Sequence[tuple[Path, str | None]]
    info: GenerationInfo

    @property
    def shared(self) -> tuple:
        """What neighbours have in common that are made together: all but prompt and seed."""
        return self.loras, self.embeddings, self.config.replace(prompts=("",), first_seed=0)


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
        raise Problem(
            "A grid has one prompt and every axis once",
            do='Give one prompt; others come by Axis("replace", ...)',
        )
    folder = make_writable_folder(folder)
    cells = {}
    for place in product(*(range(len(axis.values)) for axis in axes)):
        name = "_".join(str(index + 1) for index in reversed(place))
        choice = [(axis, axis.values[index]) for axis, index in zip(axes, place, strict=True)]
        cells[folder / f"cell_{name}.png"] = _cell(model, config, choice)
    images = []
    for _, neighbours in groupby(cells.items(), key=lambda item: item[1].shared):
        images += _make(model, dict(neighbours))
    sheets = _sheets(images, x, y, z)
    for number, sheet in enumerate(sheets, 1):
        write_atomically(
            folder / f"sheet_{number}.png", lambda aside, sheet=sheet: sheet.save(aside, "PNG")
        )
    return sheets


def _cell(model: Model, config: ImageConfig, choice: Iterable[tuple[Axis, Any]]) -> _Cell:
    """The cell with one value of each axis. Raises Problem where it cannot be made."""
    config, file = config.replace(seeds=1), None
    for axis, value in sorted(choice, key=lambda pair: KINDS.index(pair[0].kind)):
        if axis.kind == "checkpoint":
            file = Path(value)
        config = _changed(config, axis, value)
    (prompt,) = config.prompts
    info = generation_info(config, model.info, prompt, config.first_seed)
    calls, embeddings, own = read_prompt(prompt).loras, called_embeddings(config), []
    if file:
        name = f"{file.parent.name}/{file.name}"
        info = replace(info, more={**info.more, "Checkpoint": name})
        if is_embedding(file):
            embeddings = [(file, None), *embeddings]
        else:
            *calls, call = calls  # the checkpoint's own is the last, see `_changed`
            own = [(file, call.unet, call.text_encoder)]
    return _Cell(config, [*lora_files(calls, config.folder), *own], embeddings, info)


def _changed(config: ImageConfig, axis: Axis, value: Any) -> ImageConfig:
    """The settings with one value of one axis. A LoRA of a checkpoint axis is called last."""
    if axis.kind in FIELDS:
        return config.replace(**{FIELDS[axis.kind]: value})
    (prompt,), negative = config.prompts, config.negative
    if axis.kind == "checkpoint":
        call = "" if is_embedding(value) else f" {LoraCall(Path(value).stem)}"
        return config.replace(prompts=(prompt + call,))
    if axis.kind == "weight":
        if not read_prompt(prompt).loras:
            raise Problem("There is no LoRA to weigh", do="Call one in the prompt: <lora:name:1>")
        return config.replace(prompts=(scale_loras(prompt, value),))
    first = axis.values[0]
    if not first or first not in prompt + negative:
        raise Problem(f"{first!r} is not in the prompt", do="Begin the axis with words that are")
    return config.replace(
        prompts=(prompt.replace(first, value),), negative=negative.replace(first, value)
    )


def _make(model: Model, cells: dict[Path, _Cell]) -> list[Image.Image]:
    """The images of cells that are made together, written to their files too."""
    first, *_ = cells.values()
    with loaded(model, first.loras, first.embeddings):
        images = make_images(
            model,
            [without_calls(cell.info.prompt) for cell in cells.values()],
            [cell.info.seed for cell in cells.values()],
            **image_arguments(first.config, model),
        )
    for (path, cell), image in zip(cells.items(), images, strict=True):
        save_with_infotext(image, path, cell.info)
    return images


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
