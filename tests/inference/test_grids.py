"""X/Y/Z grids: each cell is what make_images makes by hand."""

import numpy as np
import pytest
from PIL import Image

from sdnb.adapters.loading import use_loras
from sdnb.errors import Problem
from sdnb.inference import Axis, make_images, read_infotext, xyz_plot
from sdnb.inference.config import ImageConfig
from tests.inference.trained import save_lora

WISH = ImageConfig(prompts=("photo of ravo",), first_seed=3, steps=2)


def cells(folder) -> list:
    """The files of the cells, along x first, then y, then z."""
    return sorted(folder.glob("cell_*.png"), key=lambda path: path.stem.split("_")[:0:-1])


def pixels(folder) -> np.ndarray:
    return np.stack([Image.open(path) for path in cells(folder)])


def infos(folder) -> list:
    return [read_infotext(path) for path in cells(folder)]


def same(some, others) -> bool:
    """Within one grey level of 255: drawn together in another number, sums have another order."""
    return np.abs(np.subtract(some, others, dtype=int)).max() <= 1


def test_settings_on_three_axes(tiny, tmp_path):
    z = Axis("sampler", ("DPM++ 2M", "Euler a"))
    axes = Axis("seed", (5, 6, 7)), Axis("guidance", (1, 6.5)), z
    sheets = xyz_plot(tiny, WISH, tmp_path, *axes)
    expected = [
        make_images(tiny, "photo of ravo", [seed], steps=2, guidance=guidance, sampler=sampler)[0]
        for sampler in z.values
        for guidance in (1, 6.5)
        for seed in (5, 6, 7)
    ]
    assert same(pixels(tmp_path), expected)
    told = [(info.sampler, info.guidance, info.seed) for info in infos(tmp_path)]
    assert told == [(s, g, n) for s in z.values for g in (1, 6.5) for n in (5, 6, 7)]
    assert len(sheets) == 2
    for index, sheet in enumerate(sheets):
        assert np.array_equal(sheet, Image.open(tmp_path / f"sheet_{index + 1}.png"))
        for cell in pixels(tmp_path)[index * 6 :][:6]:
            assert holds(sheet, cell)


def holds(sheet, cell) -> bool:
    """Whether the picture is on the sheet, pixel by pixel."""
    sheet = np.array(sheet)
    rows, columns = np.where((sheet == cell[0, 0]).all(-1))
    return any(
        np.array_equal(sheet[row : row + 64, column : column + 64], cell)
        for row, column in zip(rows, columns, strict=True)
    )


def test_words_and_steps(tiny, tmp_path):
    wish = WISH.replace(prompts=("a red hat, red",), negative="no red")
    xyz_plot(tiny, wish, tmp_path, Axis("replace", ("red", "blue", "")), Axis("steps", (1, 3)))
    expected = [
        make_images(tiny, f"a {w} hat, {w}", [3], steps=steps, negative=f"no {w}")[0]
        for steps in (1, 3)
        for w in ("red", "blue", "")
    ]
    assert same(pixels(tmp_path), expected)
    assert infos(tmp_path)[1].prompt == "a blue hat, blue"


def test_weights_multiply_those_of_the_prompt(tiny, config, tmp_path):
    file = tmp_path / "trained" / "one.safetensors"
    save_lora(tiny, config, file, seed=0)
    wish = WISH.replace(prompts=("a man <lora:one:0.5:0.8>",), folder=file.parent)
    xyz_plot(tiny, wish, tmp_path, Axis("weight", (0, 0.5)))
    expected = make_images(tiny, "a man", [3], steps=2)
    use_loras(tiny, [(file, 0.4, 0.25)])
    expected += make_images(tiny, "a man", [3], steps=2)
    assert same(pixels(tmp_path), expected) and not same(expected[0], expected[1])
    assert infos(tmp_path)[1].prompt == "a man <lora:one:0.25:0.4>"


def test_an_earlier_grid_is_replaced(tiny, tmp_path):
    for seeds in ((1, 2), (3, 4)):
        xyz_plot(tiny, WISH, tmp_path, Axis("seed", seeds))
        assert [info.seed for info in infos(tmp_path)] == list(seeds)


@pytest.mark.parametrize(
    ("axes", "change", "words"),
    [
        ([("seed", (1,))], {"prompts": ("a", "b")}, "one prompt"),
        ([("seed", (1,)), ("seed", (2,))], {}, "every axis once"),
        ([("seed", (-1,))], {}, "'first_seed' cannot be -1"),
        ([("sampler", ("Euler", "Eular"))], {}, "'sampler' cannot be 'Eular'"),
        ([("weight", (1,))], {}, "no LoRA to weigh"),
        ([("weight", (float("nan"),))], {"prompts": ("<lora:person_lora:1>",)}, "no number"),
        ([("weight", ("1",))], {}, "'1' is no value"),
        ([("replace", ("hat", "cap"))], {}, "'hat' is not in the prompt"),
        ([("replace", ("a", "<lora:b:1>"))], {"prompts": ("a",)}, "no LoRA called 'b'"),
        ([("seeds", (1,))], {}, "Did you mean 'seed'"),
        ([("seed", ())], {}, "no values"),
    ],
)
def test_what_cannot_be_drawn_is_told_before(tiny, tmp_path, axes, change, words):
    with pytest.raises(Problem, match=words):
        xyz_plot(tiny, WISH.replace(**change), tmp_path, *(Axis(*axis) for axis in axes))
    assert not cells(tmp_path)
