"""X/Y/Z grids: one picture drawn again and again, with one, two or three things changed.

Every cell is a file of its own, named by all that decides it: a grid that was interrupted, or is
asked for again with more values, draws only what is missing.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from itertools import product
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sdnb.adapters.layers import tuner_layers
from sdnb.dataset.contact_sheet import image_grid
from sdnb.errors import Problem, nearest
from sdnb.files import make_writable_folder, write_atomically
from sdnb.inference.config import ImageConfig
from sdnb.inference.infotext import Recipe, read_infotext, recipe_of, save_with_infotext, write_text
from sdnb.inference.names import called, find_lora, is_embedding
from sdnb.inference.pictures import how_of, make_images, words_of
from sdnb.inference.prompts import LoraCall, read_prompt, weigh_calls, without_calls
from sdnb.models.base import Model
from sdnb.trials import trial

FIELDS = {"seed": "first_seed", "steps": "steps", "guidance": "guidance", "sampler": "sampler"}
KINDS = ("replace", "checkpoint", "weight", *FIELDS)  # in the order in which they are applied
TYPES = {"replace": str, "checkpoint": (str, Path), "weight": (int, float)}
WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes
BATCH = 8  # pictures at a time: what an interruption can cost


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
        if self.kind == "checkpoint":
            paths = [Path(value) for value in self.values]
            alike = len({path.stem for path in paths}) < len(paths)  # lora.safetensors of two runs
            return [f"{path.parent.name}/{path.stem}" if alike else path.stem for path in paths]
        named = "" if self.kind in ("replace", "sampler") else f"{self.kind} "
        return [f"{named}{value}" for value in self.values]


@dataclass(frozen=True)
class Grid:
    """What was drawn: a labelled sheet for each value of z, or the one; and cell by cell, along x
    first, then y, then z, the files and how they were made."""

    sheets: tuple[Image.Image, ...]
    paths: tuple[Path, ...]
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True)
class _Cell:
    """One picture to come: its settings, and the files that work on it."""

    config: ImageConfig
    loras: tuple[tuple[Path, float, float], ...]
    words: tuple[tuple[Path, str | None], ...]
    recipe: Recipe

    @property
    def together(self) -> tuple:
        """What cells that are drawn together have in common."""
        config = self.config
        settings = (config.negative, config.steps, config.guidance, config.sampler)
        return self.loras, self.words, settings


def xyz_plot(
    model: Model,
    config: ImageConfig,
    folder: Path | str,
    x: Axis,
    y: Axis | None = None,
    z: Axis | None = None,
    precision: str = "fp32",
) -> Grid:
    """Draw the prompt of `config` with its first seed, once for each choice of values along the
    axes, into `folder`: a PNG with its recipe for each cell, and the sheets. Cells that are there
    and whole are not drawn again. Afterwards the model is as it was.

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
    choices = product(*([(axis, value) for value in axis.values] for axis in axes))
    cells = [_cell(model, config, choice) for choice in choices]
    names = _names(model, cells, precision)
    paths = [folder / f"{name}.png" for name in names]
    missing = {path: cell for path, cell in zip(paths, cells, strict=True) if not _kept(path)}
    _draw(model, missing, precision)
    sheets = _sheets(paths, x, y, z)
    size = len(paths) // len(sheets)
    for index, sheet in enumerate(sheets):
        some = "".join(names[index * size :][:size])
        path = folder / f"sheet_{sha256(some.encode()).hexdigest()[:16]}.png"
        write_atomically(path, lambda aside, sheet=sheet: sheet.save(aside, "PNG"))
    return Grid(tuple(sheets), tuple(paths), tuple(cell.recipe for cell in cells))


def _cell(model: Model, config: ImageConfig, choice: Iterable[tuple[Axis, Any]]) -> _Cell:
    config, file = config.replace(seeds=1), None
    for axis, value in sorted(choice, key=lambda pair: KINDS.index(pair[0].kind)):
        if axis.kind == "checkpoint":
            file = Path(value)
        config = _changed(config, axis, value)
    calls = read_prompt(config.prompts[0]).loras
    own = file if file and not is_embedding(file) else None
    loras = [
        (own if own and call is calls[-1] else find_lora(call.name, config.folder), call)
        for call in calls
    ]
    words: list[tuple[Path, str | None]] = [(file, None)] if file and not own else []
    recipe = recipe_of(config, model.info, config.prompts[0], config.first_seed)
    if file:
        recipe = replace(
            recipe, more={**recipe.more, "Checkpoint": f"{file.parent.name}/{file.name}"}
        )
    return _Cell(
        config,
        tuple((path, call.unet, call.text_encoder) for path, call in loras),
        (*words, *words_of(config)),
        recipe,
    )


def _changed(config: ImageConfig, axis: Axis, value: Any) -> ImageConfig:
    """The settings with one value of one axis."""
    if axis.kind in FIELDS:
        return config.replace(**{FIELDS[axis.kind]: value})
    (prompt,), negative = config.prompts, config.negative
    if axis.kind == "checkpoint":
        call = "" if is_embedding(value) else f" {LoraCall(Path(value).stem)}"
        return config.replace(prompts=(prompt + call,))
    if axis.kind == "weight":
        if not read_prompt(prompt).loras:
            raise Problem("There is no LoRA to weigh", do="Call one in the prompt: <lora:name:1>")
        return config.replace(prompts=(weigh_calls(prompt, value),))
    first = axis.values[0]
    if not first or first not in prompt + negative:
        raise Problem(f"{first!r} is not in the prompt", do="Begin the axis with words that are")
    return config.replace(
        prompts=(prompt.replace(first, value),), negative=negative.replace(first, value)
    )


def _names(model: Model, cells: Sequence[_Cell], precision: str) -> list[str]:
    """For each cell a name made from all that decides its picture: the recipe, the content of the
    files, the model itself and the precision."""
    base = _fingerprint(model)
    content = {}
    for path in {path for cell in cells for path, *_ in (*cell.loras, *cell.words)}:
        with path.open("rb") as file:
            content[path] = file_digest(file, "sha256").hexdigest()
    names = []
    for cell in cells:
        files = [[content[path], *rest] for path, *rest in (*cell.loras, *cell.words)]
        told = json.dumps([write_text(cell.recipe), files, base, precision, trial().mark])
        names.append(sha256(told.encode()).hexdigest()[:16])
    return names


def _fingerprint(model: Model) -> str:
    """A hash of the model as it stands, with what was trained or loaded in it: of each tensor the
    sum of its bit patterns, a whole number and therefore the same in any order of summing."""
    found: list[Any] = [sorted(model.tokenizer.get_added_vocab())]
    for part in model.modules:
        for name, tensor in part.state_dict().items():
            bits = tensor.contiguous().view(WHOLE[tensor.element_size()])
            found.append([name, bits.sum(dtype=torch.int64).item()])
        found += [[layer.active_adapters, layer.scaling] for layer in tuner_layers(part)]
    return sha256(json.dumps(found).encode()).hexdigest()


def _kept(path: Path) -> bool:
    """Whether the cell is there and whole."""
    try:
        read_infotext(path)
    except Problem:
        return False
    return True


def _draw(model: Model, missing: dict[Path, _Cell], precision: str) -> None:
    groups: dict[tuple, list[Path]] = {}
    for path, cell in missing.items():
        groups.setdefault(cell.together, []).append(path)
    for paths in groups.values():
        first = missing[paths[0]]
        with called(model, first.loras, first.words):
            for start in range(0, len(paths), BATCH):
                some = {path: missing[path] for path in paths[start : start + BATCH]}
                pictures = make_images(
                    model,
                    [without_calls(cell.config.prompts[0]) for cell in some.values()],
                    [cell.config.first_seed for cell in some.values()],
                    **how_of(first.config, model),
                    precision=precision,
                )
                for (path, cell), picture in zip(some.items(), pictures, strict=True):
                    save_with_infotext(picture, path, cell.recipe)


def _sheets(paths: Sequence[Path], x: Axis, y: Axis | None, z: Axis | None) -> list[Image.Image]:
    rows, layers = (axis.labels if axis else [""] for axis in (y, z))
    sheets, size = [], len(x.values) * len(rows)
    for index, layer in enumerate(layers):
        labels = [", ".join(filter(None, (layer, row))) for row in rows] if y or z else ()
        images = [_opened(path) for path in paths[index * size :][:size]]
        sheets.append(image_grid(images, len(x.values), labels, x.labels))
    return sheets


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
