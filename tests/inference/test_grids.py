"""X/Y/Z grids: each cell is what make_images draws by hand, and none is drawn twice."""

import numpy as np
import pytest
from PIL import Image

from sdnb.adapters import load_embedding, load_lora, unload_embeddings, unload_lora
from sdnb.adapters.loading import use_loras
from sdnb.errors import Problem
from sdnb.inference import Axis, grids, make_images, read_infotext, xyz_plot
from sdnb.inference.config import ImageConfig
from tests.inference.trained import save_lora, save_word

WISH = ImageConfig(prompts=("photo of ravo",), first_seed=3, steps=2)


@pytest.fixture
def counted(monkeypatch):
    """The prompts that are drawn, call by call."""
    calls = []

    def drawn(model, prompts, *rest, **how):
        calls.append(list(prompts))
        return make_images(model, prompts, *rest, **how)

    monkeypatch.setattr(grids, "make_images", drawn)
    return calls


@pytest.fixture
def loras(tiny, config, tmp_path):
    files = [tmp_path / f"run_{name}" / "lora.safetensors" for name in "ab"]
    for seed, file in enumerate(files):
        save_lora(tiny, config, file, seed=seed)
    return files


def pixels(grid) -> np.ndarray:
    return np.stack([Image.open(path) for path in grid.paths])


def same(some, others) -> bool:
    """Within one grey level of 255: drawn together in another number, sums have another order."""
    return np.abs(np.subtract(some, others, dtype=int)).max() <= 1


def test_settings_on_three_axes(tiny, tmp_path):
    z = Axis("sampler", ("DPM++ 2M", "Euler a"))
    made = xyz_plot(tiny, WISH, tmp_path, Axis("seed", (5, 6, 7)), Axis("guidance", (1, 6.5)), z=z)
    expected = [
        make_images(tiny, "photo of ravo", [seed], steps=2, guidance=guidance, sampler=sampler)[0]
        for sampler in z.values
        for guidance in (1, 6.5)
        for seed in (5, 6, 7)
    ]
    assert same(pixels(made), expected)
    assert [read_infotext(path) for path in made.paths] == list(made.recipes)
    told = [(recipe.sampler, recipe.guidance, recipe.seed) for recipe in made.recipes]
    assert told == [(s, g, n) for s in z.values for g in (1, 6.5) for n in (5, 6, 7)]
    assert len(made.sheets) == 2
    whole = [np.array(Image.open(path)) for path in tmp_path.glob("sheet_*.png")]
    for index, sheet in enumerate(made.sheets):
        assert any(np.array_equal(sheet, other) for other in whole)
        for cell in pixels(made)[index * 6 :][:6]:
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
    made = xyz_plot(
        tiny, wish, tmp_path, Axis("replace", ("red", "blue", "")), Axis("steps", (1, 3))
    )
    expected = [
        make_images(tiny, f"a {w} hat, {w}", [3], steps=steps, negative=f"no {w}")[0]
        for steps in (1, 3)
        for w in ("red", "blue", "")
    ]
    assert same(pixels(made), expected)
    assert made.recipes[1].prompt == "a blue hat, blue"


def test_weights_multiply_those_of_the_prompt(tiny, tmp_path, loras):
    wish = WISH.replace(prompts=("a man <lora:lora:0.5:0.8>",), folder=loras[0].parent)
    made = xyz_plot(tiny, wish, tmp_path, Axis("weight", (0, 0.5)))
    expected = make_images(tiny, "a man", [3], steps=2)
    use_loras(tiny, [(loras[0], 0.4, 0.25)])
    expected += make_images(tiny, "a man", [3], steps=2)
    assert same(pixels(made), expected) and not same(expected[0], expected[1])
    assert made.recipes[1].prompt == "a man <lora:lora:0.25:0.4>"


def test_checkpoints_of_loras(tiny, tmp_path, loras):
    """Of two runs that call their files alike, beside one that the prompt calls."""
    wish = WISH.replace(prompts=("a man <lora:third:-0.5>",), folder=tmp_path)
    third = loras[0].rename(tmp_path / "third.safetensors")
    loras[0].write_bytes(third.read_bytes())
    axis = Axis("checkpoint", loras)
    made = xyz_plot(tiny, wish, tmp_path / "out", Axis("weight", (1, 0.5)), axis)
    expected = []
    for file in loras:
        for weight in (1, 0.5):
            use_loras(tiny, [(third, -0.5 * weight, -0.5 * weight), (file, weight, weight)])
            expected += make_images(tiny, "a man", [3], steps=2)
    assert same(pixels(made), expected) and not same(expected[1], expected[3])
    assert axis.labels == ["run_a/lora", "run_b/lora"]
    assert made.recipes[3].prompt == "a man <lora:third:-0.25> <lora:lora:0.5>"
    assert made.recipes[3].more["Checkpoint"] == "run_b/lora.safetensors"


def test_checkpoints_of_words(tiny, tmp_path):
    """Each teaches the word that it names; afterwards the model knows none."""
    files = [tmp_path / f"ravo-{steps}.safetensors" for steps in (50, 100)]
    for seed, file in enumerate(files):
        save_word(file, seed, word="ravo")
    made = xyz_plot(tiny, WISH, tmp_path / "out", Axis("checkpoint", files))
    expected = []
    for file in files:
        load_embedding(tiny, file)
        expected += make_images(tiny, "photo of ravo", [3], steps=2)
        unload_embeddings(tiny)
    assert same(pixels(made), expected) and not same(*expected)
    assert Axis("checkpoint", files).labels == ["ravo-50", "ravo-100"]


def test_only_what_is_missing_is_drawn(tiny, tmp_path, counted):
    def drawn(*seeds, **change) -> int:
        counted.clear()
        xyz_plot(tiny, WISH.replace(**change), tmp_path, Axis("seed", seeds))
        return sum(map(len, counted))

    assert (drawn(1, 2, 3), drawn(1, 2, 3), drawn(3, 4, 2)) == (3, 0, 1)
    assert drawn(5, 5) == 1
    assert (drawn(1, 2, steps=3), drawn(1, 2, steps=3, seeds=1)) == (2, 0)
    broken, half, empty, *_ = sorted(tmp_path.glob("[!s]*.png"))
    broken.write_bytes(b"no picture")
    half.write_bytes(half.read_bytes()[:-200])
    Image.new("RGB", (64, 64)).save(empty)  # a picture without a recipe
    assert drawn(1, 2, 3) + drawn(3, 4, 2) + drawn(5) + drawn(1, 2, steps=3) == 3


def test_an_interrupted_grid_goes_on(tiny, tmp_path, counted, monkeypatch):
    axis, before = Axis("seed", range(20)), grids.make_images

    def interrupted(*asked, **how):
        if len(counted) == 2:
            raise KeyboardInterrupt
        return before(*asked, **how)

    monkeypatch.setattr(grids, "make_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        xyz_plot(tiny, WISH, tmp_path, axis)
    assert len([*tmp_path.iterdir()]) == 16
    monkeypatch.setattr(grids, "make_images", before)
    counted.clear()
    made = xyz_plot(tiny, WISH, tmp_path, axis)
    assert [len(prompts) for prompts in counted] == [4]
    assert same(pixels(made), make_images(tiny, "photo of ravo", range(20), steps=2))


def test_another_model_or_file_is_another_cell(tiny, tmp_path, loras, counted):
    """What was loaded or trained, at which weight, and what is in a file of the same name."""

    def drawn() -> bool:
        counted.clear()
        wish = WISH.replace(prompts=("a ravo <lora:lora:1>",), folder=loras[0].parent)
        xyz_plot(tiny, wish, tmp_path / "out", Axis("steps", (1,)))
        return bool(counted)

    assert (drawn(), drawn()) == (True, False)
    load_lora(tiny, loras[1], 0.5)
    assert (drawn(), drawn()) == (True, False)
    load_lora(tiny, loras[1], 0.6)
    assert drawn()
    unload_lora(tiny)
    assert not drawn()
    save_word(tmp_path / "word.safetensors", seed=1, word="ravo")
    load_embedding(tiny, tmp_path / "word.safetensors")
    assert drawn()
    unload_embeddings(tiny)
    assert not drawn()
    tiny.unet.conv_in.weight.data[0, 0, 0, 0] += 1e-6
    assert (drawn(), drawn()) == (True, False)
    loras[0].write_bytes(loras[1].read_bytes())
    assert (drawn(), drawn()) == (True, False)


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
        ([("checkpoint", ("absent.safetensors",))], {}, "no such file"),
        ([("seeds", (1,))], {}, "Did you mean 'seed'"),
        ([("seed", ())], {}, "no values"),
    ],
)
def test_what_cannot_be_drawn_is_told_before(tiny, tmp_path, counted, axes, change, words):
    with pytest.raises(Problem, match=words):
        xyz_plot(tiny, WISH.replace(**change), tmp_path, *(Axis(*axis) for axis in axes))
    assert not counted
