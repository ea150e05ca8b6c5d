"""Whole models as files of others, and LoRAs baked into them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

from sdnb.adapters import load_lora, merge_lora
from sdnb.adapters.layers import tuner_layers
from sdnb.errors import Problem
from sdnb.export import to_checkpoint, to_kohya
from sdnb.inference import make_images
from sdnb.models.base import quiet
from sdnb.models.loading import load_model
from sdnb.training.methods.lora import Lora
from sdnb.training.methods.textual_inversion import TextualInversion

CONVOLUTIONS = "attention+feedforward+convolution"


def states(model):
    """All weights by part and name (in text encoders without "text_model.")."""
    return {
        (part, name.removeprefix("text_model.")): tensor.detach().clone()
        for part, module in {"unet": model.unet, "vae": model.vae, **model.encoders}.items()
        for name, tensor in module.state_dict().items()
    }


def read_single_file(path, model, folder):
    """What diffusers makes of the file with the configuration in `folder`, as a Model."""
    with quiet():
        pipe = StableDiffusionPipeline.from_single_file(
            str(path), config=str(folder), local_files_only=True
        )
    parts = {name: getattr(pipe, name).float() for name in ("unet", "vae", "text_encoder")}
    return replace(model, **parts, moved=False)


def train(model, config, std=0.1):
    torch.manual_seed(1)
    for group in Lora().prepare(model, config):
        for parameter in group["params"]:
            parameter.data.normal_(std=std)


def test_diffusers_reads_every_number_of_the_file(tiny, tiny_folder, tmp_path):
    before = states(tiny)
    path = to_checkpoint(tiny, tmp_path / "ravo.safetensors")
    assert all(torch.equal(tensor, before[at]) for at, tensor in states(tiny).items())
    tensors = load_file(path)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert len(tensors) == len(before)
    assert "cond_stage_model.transformer.text_model.final_layer_norm.bias" in tensors
    read = states(read_single_file(path, tiny, tiny_folder))
    assert read.keys() == before.keys()
    for at, tensor in before.items():
        assert torch.equal(tensor.half().float(), read[at]), at
    with safe_open(path, "pt") as file:
        told = file.metadata()
    assert told["modelspec.architecture"] == "stable-diffusion-v1"
    assert told["modelspec.title"] == "ravo"


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": CONVOLUTIONS, "train_text_encoder": True},
        {"rank_stabilised": True},
        {"kind": "loha", "layers": CONVOLUTIONS},
        {"kind": "lokr", "layers": CONVOLUTIONS},
    ],
    ids=["LoCon", "rsLoRA", "LoHa", "LoKr"],
)
def test_merging_adds_the_change_and_leaves_plain_modules(tiny, config, settings):
    before, config = states(tiny), config.replace(**settings)
    train(tiny, config)
    expected = dict(before)
    for part, module in {"unet": tiny.unet, **tiny.encoders}.items():
        names = {layer: name.removeprefix("text_model.") for name, layer in module.named_modules()}
        for layer in tuner_layers(module):
            at = part, f"{names[layer]}.weight"
            expected[at] = before[at] + 0.5 * layer.get_delta_weight("default").detach()
    merge_lora(tiny, weight=0.5)
    after = states(tiny)
    assert tiny.moved and not any(tuner_layers(part) for part in tiny.modules)
    assert after.keys() == before.keys()
    for at, tensor in after.items():
        torch.testing.assert_close(tensor, expected[at], rtol=1e-6, atol=1e-6)
    assert sum(not torch.equal(after[at], before[at]) for at in before) > 30


@pytest.mark.parametrize(
    ("settings", "std"), [({"layers": CONVOLUTIONS}, 0.1), ({"kind": "loha"}, 0.5)]
)
def test_one_picture(tiny_folder, config, tmp_path, settings, std):
    """The LoRA as it was trained; its file beside the base; both baked into one file. The files
    hold fp16: at most two of 255 levels apart, where the LoRA moves the picture by dozens."""

    def base():
        model = load_model(tiny_folder)
        core = getattr(model.text_encoder, "text_model", model.text_encoder)
        core.final_layer_norm.bias.data.fill_(0.1)  # as any trained one, its states' mean is not 0
        return model

    def picture(model):
        return np.array(make_images(model, "photo of ravo man", [1], steps=3)[0], int)

    model, fresh = base(), base()
    config, before = config.replace(**settings), picture(model)
    train(model, config, std)
    live = picture(model)
    assert np.abs(live - before).max() > 30
    Lora().save(model, config, tmp_path / "lora.safetensors")
    path = to_kohya(model, tmp_path / "lora.safetensors", tmp_path / "ravo.safetensors")
    load_lora(fresh, path)
    assert np.abs(picture(fresh) - live).max() <= 2
    merge_lora(fresh)
    assert np.abs(picture(fresh) - live).max() <= 2
    whole = to_checkpoint(fresh, tmp_path / "whole.safetensors")
    assert np.abs(picture(read_single_file(whole, fresh, tiny_folder)) - live).max() <= 2


def test_nothing_to_merge_is_a_problem(tiny):
    with pytest.raises(Problem, match="no LoRA"):
        merge_lora(tiny)


def test_a_sum_that_is_no_number_is_a_problem(tiny, config):
    train(tiny, config, std=1e30)
    with pytest.raises(Problem, match="too large"):
        merge_lora(tiny)
    assert tiny.moved and not tuner_layers(tiny.unet)


def test_sdxl_as_a_folder(make_xl, tmp_path):
    xl = make_xl()
    before = states(xl)
    path = to_checkpoint(xl, tmp_path / "ravo.safetensors")
    assert path == tmp_path / "ravo" and list(tmp_path.iterdir()) == [path]
    again = load_model(path)
    assert again.info.family.name == "sdxl"
    assert again.scheduler.config.prediction_type == "v_prediction"
    after = states(again)
    assert after.keys() == before.keys()
    assert all(torch.equal(before[at].half().float(), after[at]) for at in before)
    assert load_file(path / "text_encoder_2" / "model.safetensors").popitem()[1].dtype == (
        torch.float16
    )
    assert {tensor.dtype for tensor in states(xl).values()} == {torch.float32}
    to_checkpoint(xl, path)  # an earlier export is replaced


def test_the_family_decides(tiny, tmp_path):
    assert to_checkpoint(tiny, tmp_path / "ravo") == tmp_path / "ravo.safetensors"
    assert to_checkpoint(tiny, tmp_path / "v1.5.safetensors") == tmp_path / "v1.5.safetensors"


def test_photos_are_not_overwritten(make_xl, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    with pytest.raises(Problem, match="something else"):
        to_checkpoint(make_xl(), tmp_path)
    assert (tmp_path / "photo.jpg").exists()


def test_a_model_that_is_not_plain_is_a_problem(tiny, config, configs, tmp_path):
    path = tmp_path / "ravo.safetensors"
    train(tiny, config)
    with pytest.raises(Problem, match="merge_lora"):
        to_checkpoint(tiny, path)
    Lora().remove(tiny)
    TextualInversion().prepare(tiny, configs["textual_inversion"])
    with pytest.raises(Problem, match="unload_embeddings"):
        to_checkpoint(tiny, path)
    TextualInversion().remove(tiny)
    tiny.unet.conv_in.weight.data[0, 0, 0, 0] = 1e5
    with pytest.raises(Problem, match="cannot be saved in fp16"):
        to_checkpoint(tiny, path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("zero", [False, True])
def test_what_the_model_predicts_is_written_and_read_back(tmp_path, config, zero):
    """By the keys that ComfyUI looks for, by ModelSpec, and beside a LoRA."""
    model = load_model("mini")
    model.info = replace(model.info, family=model.info.family.predicting(True, zero))
    path = to_checkpoint(model, tmp_path / "v.safetensors")
    with safe_open(path, "pt") as file:
        assert file.metadata()["modelspec.prediction_type"] == "v"
        assert {"v_pred", "ztsnr"} & set(file.keys()) == (
            {"v_pred", "ztsnr"} if zero else {"v_pred"}
        )
    read = load_model(path)
    assert (read.info.family.v_prediction, read.info.family.zero_snr) == (True, zero)
    Lora().prepare(model, config)
    Lora().save(model, config, tmp_path / "lora.safetensors")
    with safe_open(
        to_kohya(model, tmp_path / "lora.safetensors", tmp_path / "k.safetensors"), "pt"
    ) as file:
        told = file.metadata()
    assert told["modelspec.prediction_type"] == "v"
    assert told.get("ss_zero_terminal_snr", "False") == str(zero)
