"""Pictures as files, and the same pictures drawn from what the files say."""

import numpy as np
import pytest
from PIL import Image

from sdnb.errors import Problem
from sdnb.inference import config_from_infotext, generate, make_image_files, read_infotext
from sdnb.inference.config import ImageConfig
from sdnb.models.loading import load_model
from tests.inference.trained import save_lora, save_word


@pytest.fixture
def wish(tiny, config, tmp_path):
    folder = tmp_path / "trained"
    save_lora(tiny, config, folder / "one.safetensors", seed=1)
    save_word(folder / "ravo.safetensors", seed=2)
    return ImageConfig(
        prompts=("a man <lora:one:0.7>", "photo of ravo, \\(b\\) "),
        first_seed=3,
        seeds=2,
        negative="dark",
        steps=3,
        guidance=3.5,
        sampler="Euler a",
        width=64,
        height=48,
        clip_skip=1,
        folder=folder,
    )


def check(paths, wish, model) -> None:
    """Picture to text to settings to picture: within one grey level of 255, as batches differ; on a
    GPU, where each batch size sums in an order of its own, within four (two were seen)."""
    names = ["01_00003.png", "01_00004.png", "02_00003.png", "02_00004.png"]
    assert [path.name for path in paths] == names
    for index, path in enumerate(paths):
        info = read_infotext(path)
        assert (info.prompt, info.seed) == (wish.prompts[index // 2], 3 + index % 2)
        assert (info.model, info.clip_skip) == (model.info.name, 1)
        told = config_from_infotext(info).replace(folder=wish.folder)
        (again,) = generate(model, told)
        assert again.size == info.size == wish.size(model.info.resolution)
        apart = np.abs(np.subtract(Image.open(path), again, dtype=int))
        assert apart.max() <= (4 if model.device.type == "cuda" else 1)


def test_a_file_says_how_to_draw_it_again(tiny, tiny_folder, wish, tmp_path):
    paths = make_image_files(tmp_path / "out", wish, str(tiny_folder))
    check(paths, wish, tiny)
    made = config_from_infotext(read_infotext(paths[3])).replace(folder=wish.folder)
    assert made == wish.replace(prompts=wish.prompts[1:], first_seed=4, seeds=1)


def test_so_it_does_with_weights_and_the_samples(wish, tmp_path):
    """What comes with the package is found without a folder."""
    prompts = ("photo of (ravo:1.2) BREAK [hat] <lora:person_lora:0.7>", "a person_embedding")
    wish = wish.replace(prompts=prompts, folder=None, width=None, height=None)
    check(make_image_files(tmp_path / "out", wish), wish, load_model("mini"))


def test_files_named_aside_are_told_too(tiny_folder, wish, tmp_path):
    named = {"lora": wish.folder / "one.safetensors", "embedding": wish.folder / "ravo.safetensors"}
    plain = wish.replace(prompts=("a man, ravo",), folder=None, seeds=1)
    (path,) = make_image_files(tmp_path / "out", plain, str(tiny_folder), **named)
    told = read_infotext(path).more
    assert (told["LoRA"], told["Embedding"]) == ("one.safetensors", "ravo.safetensors")


def test_nothing_is_written_where_something_is_missing(tiny_folder, wish, tmp_path):
    for change, words in (
        ({"prompts": ("a", "b <lora:two:1>")}, "no LoRA called 'two'"),
        ({"width": 60}, "multiple of 16"),
        ({"folder": tmp_path / "absent"}, "no such folder"),
    ):
        with pytest.raises(Problem, match=words):
            make_image_files(tmp_path / "out", wish.replace(**change), str(tiny_folder))
    assert not [*(tmp_path / "out").iterdir()]
