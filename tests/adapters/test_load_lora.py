import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sdnb.adapters import load_lora, unload_lora
from sdnb.errors import Problem
from sdnb.inference import make_images
from sdnb.models.loading import load_model
from sdnb.training.methods.lora import Lora


@pytest.fixture
def saved(tiny, config, tmp_path):
    """A LoRA file (alpha half the rank) and the picture its own model makes with it."""
    torch.manual_seed(1)
    for group in Lora().prepare(tiny, config):
        for parameter in group["params"]:
            parameter.data.normal_(std=0.3)
    Lora().save(tiny, config, tmp_path / "lora.safetensors")
    return tmp_path / "lora.safetensors", picture(tiny)


def picture(model):
    return np.array(make_images(model, "a man", [0], steps=3)[0], int)


def test_a_saved_lora_in_a_fresh_model_gives_the_same_picture(saved, tiny_folder):
    file, expected = saved
    fresh = load_model(tiny_folder)
    base = picture(fresh)
    assert np.abs(base - expected).max() > 10
    load_lora(fresh, file)
    assert np.array_equal(picture(fresh), expected)
    load_lora(fresh, file, weight=0.0)  # replaces, does not add
    assert np.array_equal(picture(fresh), base)
    load_lora(fresh, file)
    unload_lora(fresh)
    assert np.array_equal(picture(fresh), base)


def test_diffusers_reads_the_file_as_we_do(saved, tiny_folder):
    file, expected = saved
    fresh = load_model(tiny_folder)
    fresh.pipeline().load_lora_weights(file.parent, weight_name=file.name)
    assert np.array_equal(picture(fresh), expected)


@pytest.mark.parametrize("te", ["lora_te", "lora_te1"])
def test_kohya_names_with_a_text_encoder(saved, tiny_folder, tmp_path, te):
    """The names kohya writes: lora_te_text_model_..., and a tensor `alpha` for each layer.

    diffusers 0.39 alone raises IndexError for them (on Colab's versions: `make test-colab`)."""
    file, expected = saved
    kohya = {}
    for name, tensor in load_file(file).items():
        part, *path, matrix, _ = name.split(".")  # unet.mid_block. ... .lora_A.weight
        side = {"lora_A": "lora_down", "lora_B": "lora_up"}[matrix]
        stem = {"unet": "lora_unet", "text_encoder": f"{te}_text_model"}[part]
        stem = "_".join([stem, *path])
        kohya[f"{stem}.{side}.weight"] = tensor
        kohya[f"{stem}.alpha"] = torch.tensor(2.0)
    save_file(kohya, tmp_path / "kohya.safetensors")
    fresh = load_model(tiny_folder)
    load_lora(fresh, tmp_path / "kohya.safetensors")
    assert np.array_equal(picture(fresh), expected)


def test_a_file_of_eight_bit_numbers(saved, tiny_folder, tmp_path):
    """e4m3: three bits behind the point, so within a sixteenth of the same matrices."""
    small = {name: t.to(torch.float8_e4m3fn) for name, t in load_file(saved[0]).items()}
    with safe_open(saved[0], "pt") as file:
        save_file(small, tmp_path / "small.safetensors", file.metadata())
    model = load_model(tiny_folder)
    load_lora(model, tmp_path / "small.safetensors")
    loaded = [p for n, p in model.unet.named_parameters() if "lora_" in n]
    assert loaded and all(p.dtype == torch.float32 for p in loaded)
    rounded = sorted(t.float().norm().item() for n, t in small.items() if n.startswith("unet"))
    assert sorted(p.norm().item() for p in loaded) == pytest.approx(rounded, rel=1e-6)


@pytest.mark.parametrize("content", [None, b"", b"not a lora", "other names", "other shapes"])
def test_a_file_that_is_no_lora_for_this_model_is_a_problem(saved, tiny_folder, tmp_path, content):
    file, bad = saved[0], tmp_path / "bad.safetensors"
    if content == "other names":
        save_file({"weight": torch.ones(2)}, bad)
    elif content == "other shapes":
        save_file({name: torch.ones(4, 4) for name in load_file(file)}, bad)
    elif content is not None:
        bad.write_bytes(content)
    fresh = load_model(tiny_folder)
    base = picture(fresh)
    with pytest.raises(Problem):
        load_lora(fresh, bad)
    assert np.array_equal(picture(fresh), base)
    load_lora(fresh, file)  # a failed load does not stand in the way of the next
    assert not np.array_equal(picture(fresh), base)
