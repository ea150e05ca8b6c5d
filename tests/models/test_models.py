import json
import re
import shutil
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdnb.errors import Problem
from sdnb.models.base import MODELS, find_model
from sdnb.models.families import MINI_FOLDER
from sdnb.models.loading import load_model


def test_a_folder_loads_in_fp32_whatever_it_was_saved_in(tiny_folder, tmp_path):
    model = load_model(tiny_folder)
    model.unet.half().save_pretrained(tmp_path / "half" / "unet")
    model.text_encoder.half().save_pretrained(tmp_path / "half" / "text_encoder")
    shutil.copytree(
        tiny_folder,
        tmp_path / "half",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("*.safetensors"),
    )
    shutil.copytree(tiny_folder / "vae", tmp_path / "half" / "vae", dirs_exist_ok=True)
    again = load_model(tmp_path / "half")
    for module in (again.unet, again.text_encoder, again.vae):
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_what_the_folder_says_of_itself(tiny):
    assert (tiny.info.resolution, tiny.info.family.name) == (64, "mini")
    assert tiny.latent_shape == (4, 8, 8)
    assert tiny.scheduler.config.prediction_type == "epsilon"


def test_a_model_is_on_its_machine_and_knows_its_precision(tiny_folder, cpu, monkeypatch):
    """The mini family takes fp32 unless a machine is handed in; others what the machine does."""
    bf16 = replace(cpu, precision="bf16")
    monkeypatch.setattr("sdnb.models.loading.find_machine", find := Mock(return_value=cpu))
    assert load_model(tiny_folder, machine=bf16).precision == "bf16" and not find.called
    assert load_model(tiny_folder).precision == "fp32"
    assert load_model(tiny_folder, machine=replace(cpu, device="meta")).device.type == "meta"
    tiny = load_model(tiny_folder, machine=cpu)
    monkeypatch.setattr("sdnb.models.loading._read_model", lambda info, dtype: tiny)
    load_model("sd15")
    assert [call.args for call in find.call_args_list] == [("fp32",), ("auto",)]


def test_every_family_has_a_guidance():
    assert [info.guidance for info in MODELS.values()] == [4.0, 4.0, 7.0, 7.0, 7.0]


def test_what_was_made_from_the_mini_draws_squares_only(tmp_path):
    copy = shutil.copytree(MINI_FOLDER, tmp_path / "mine")
    assert find_model(str(copy)).bucket_step == find_model("mini").bucket_step == 0


def test_text_embeddings_equal_the_pipelines(tiny):
    prompts = ["a man", "x " * 200]
    pipe = tiny.pipeline()
    expected, _ = pipe.encode_prompt(prompts, "cpu", 1, do_classifier_free_guidance=False)
    embeddings = tiny.text_embeddings(prompts)
    assert embeddings.shape == (2, 77, 32)
    assert torch.equal(embeddings, expected)


def test_the_pipeline_shares_the_modules(tiny):
    pipe = tiny.pipeline()
    assert pipe.unet is tiny.unet and pipe.vae is tiny.vae


def test_a_wrong_name_is_a_problem():
    with pytest.raises(Problem, match=r"no such base model.*mini, cartoon, sd15"):
        load_model("sd51")


@pytest.mark.parametrize(("channels", "kind"), [(9, "for inpainting"), (8, "InstructPix2Pix")])
def test_a_folder_that_reads_more_than_a_picture_is_refused_by_name(
    tiny_folder, tmp_path, channels, kind
):
    shutil.copytree(tiny_folder, tmp_path / "wide")
    path = tmp_path / "wide" / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"in_channels": channels}))
    with pytest.raises(Problem, match=kind):
        find_model(tmp_path / "wide")


def test_a_folder_that_is_no_model_is_a_problem(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(Problem, match="not a Stable Diffusion"):
        find_model(tmp_path)


ODD = [None, True, 0, -1, 1.5, 10**9, 10**400, "64", [64], {}, [[]] * 5000]
DEEP = "[" * 9000


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("model_index", "_class_name"),
        ("unet/config", "sample_size"),
        ("unet/config", "cross_attention_dim"),
        ("unet/config", "in_channels"),
        ("unet/config", "block_out_channels"),
        ("vae/config", "block_out_channels"),
    ],
)
def test_a_folder_that_says_odd_things_of_itself(tiny_folder, tmp_path, file, key, odd):
    """Refused, or what is found is of the right kinds: some odd values are lists as they may be."""
    folder = shutil.copytree(tiny_folder, tmp_path / "odd")
    path = folder / f"{file}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: odd}))
    try:
        found = find_model(folder)
    except Problem as problem:
        assert problem.where == folder
    else:
        assert (odd == "64" and key == "_class_name") or key == "block_out_channels"
        assert 0 < found.resolution <= 16384 and type(found.resolution) is int


@pytest.mark.parametrize("file", ["model_index", "unet/config", "scheduler/scheduler_config"])
@pytest.mark.parametrize("content", [DEEP, "[]", "3", "null", '"x"', "\xff"])
def test_a_folder_whose_files_are_something_else(tiny_folder, tmp_path, file, content):
    folder = shutil.copytree(tiny_folder, tmp_path / "odd")
    (folder / f"{file}.json").write_text(content, encoding="latin-1")
    with pytest.raises(Problem, match="not a Stable Diffusion model"):
        find_model(folder)


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b"])
def test_a_name_that_no_disk_can_hold_is_no_model(name):
    with pytest.raises(Problem, match="There is no such base model"):
        find_model(name)


def test_a_text_encoder_of_another_width_is_a_problem(tiny_folder, tmp_path):
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = shutil.copytree(tiny_folder, tmp_path / "odd")
    config = CLIPTextConfig.from_pretrained(folder / "text_encoder")
    config.hidden_size = 64
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    with pytest.raises(Problem, match=r"The UNet takes 32 numbers a token, .* makes 64"):
        load_model(folder)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_folder_is_a_problem(tiny_folder, tmp_path, damage):
    shutil.copytree(tiny_folder, tmp_path / "bad")
    weights = tmp_path / "bad" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000]) if damage == "cut" else weights.unlink()
    with pytest.raises(Problem, match="could not be loaded"):
        load_model(tmp_path / "bad")


def test_the_hub_out_of_reach_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(Problem, match="could not be loaded"):
        load_model("sd21")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_folder_that_lacks_a_tensor_is_refused(tiny_folder, tmp_path, part):
    """The libraries would draw it by chance, or leave it on the meta device."""
    folder = shutil.copytree(tiny_folder, tmp_path / "base")
    (file,) = (folder / part).glob("*.safetensors")
    tensors = load_file(file)
    lost = sorted(tensors)[len(tensors) // 2]
    save_file({name: t for name, t in tensors.items() if name != lost}, file, {"format": "pt"})
    with pytest.raises(Problem, match=rf"lacks {part}\.{re.escape(lost)} .*base"):
        load_model(folder)
    save_file({name: t for name, t in tensors.items() if "bias" not in name}, file)
    with pytest.raises(Problem, match=r"and \d+ more of its tensors"):
        load_model(folder)
