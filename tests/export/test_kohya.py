"""LoRAs in the formats of others: what they calculate from the file is what was trained.

fp16 keeps a number to within 2^-11 of itself, so a product of n factors to within about n * 2^-11:
that is `tolerance` below, of the whole change of a layer (its Frobenius norm). A wrong alpha would
be off by a factor.
"""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

import pytest
import torch
from peft import set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file

from sdnb.adapters import load_lora
from sdnb.adapters.layers import tuner_layers
from sdnb.errors import Problem
from sdnb.export import to_kohya
from sdnb.models.base import quiet
from sdnb.models.families import SD1, SD2, SD2_V
from sdnb.models.loading import load_model
from sdnb.models.original_keys import kohya_name, unet_names
from sdnb.training.methods.lora import Lora

CONVOLUTIONS = {"layers": "attention+feedforward+convolution"}
LORAS = {  # settings, over rank 4, alpha 2 and a text encoder part
    "plain": {},
    "alpha above rank, UNet alone": {"alpha": 8.0, "train_text_encoder": False},
    "rsLoRA": {"rank_stabilised": True, **CONVOLUTIONS},
    "LoCon": {**CONVOLUTIONS, "convolution_rank": 2, "convolution_alpha": 1.5},
}
RELATIVES = {
    "LoHa": {"kind": "loha", **CONVOLUTIONS, "convolution_rank": 2},
    "LoKr, split": {"kind": "lokr", "rank": 2, **CONVOLUTIONS},
    "LoKr, whole": {"kind": "lokr", "rank": 16, "alpha": 4.0, **CONVOLUTIONS},
}
EVERY = LORAS | RELATIVES


def trained(model, config, file, std=0.3):
    """Save matrices as after a training, and give the changes that they make, by part and module
    (in text encoders without "text_model.")."""
    torch.manual_seed(1)
    for group in Lora().prepare(model, config):
        for parameter in group["params"]:
            parameter.data.normal_(std=std)
    Lora().save(model, config, file)
    return changes(model)


def changes(model):
    """What the adapters in the model add to the weights."""
    found = {}
    for part, module in {"unet": model.unet, **model.encoders}.items():
        names = {layer: name for name, layer in module.named_modules()}
        for layer in tuner_layers(module):
            change = sum(layer.get_delta_weight(name) for name in layer.active_adapters)
            found[part, names[layer].removeprefix("text_model.")] = change.detach().clone()
    return found


def in_web_ui(tensors, stem, shape):
    """A layer's change as AUTOMATIC1111's web UI and ComfyUI calculate it (network_lora.py,
    network_hada.py, network_lokr.py; weight_adapter/): without a look at any header."""
    own = {n.removeprefix(f"{stem}."): t.float() for n, t in tensors.items() if f"{stem}." in n}
    alpha, dim = own.pop("alpha").item(), None
    if "lora_up.weight" in own:
        up, down = own["lora_up.weight"], own["lora_down.weight"]
        change, dim = up.flatten(1) @ down.flatten(1), down.shape[0]
    elif "hada_w1_a" in own:
        first = own["hada_w1_a"] @ own["hada_w1_b"]
        change, dim = first * (own["hada_w2_a"] @ own["hada_w2_b"]), own["hada_w1_b"].shape[0]
    else:
        first, second = own["lokr_w1"], own.get("lokr_w2")
        if second is None:
            second, dim = own["lokr_w2_a"] @ own["lokr_w2_b"], own["lokr_w2_b"].shape[0]
        if second.ndim == 4:
            first = first[..., None, None]
        change = torch.kron(first, second)
    return change.reshape(shape) * (alpha / dim if dim else 1)


def assert_same(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    for at, change in ours.items():
        off = (change - theirs[at]).norm() / change.norm()
        assert change.norm() > 0 and off < tolerance, (at, off)


@pytest.fixture(scope="module", params=EVERY)
def saved(request, tiny_folder, config, tmp_path_factory):
    """The case, what training saved, and the changes that it makes."""
    file = tmp_path_factory.mktemp("run") / "lora.safetensors"
    changed = trained(load_model(tiny_folder), config.replace(**EVERY[request.param]), file)
    return request.param, file, changed


def test_the_web_uis_calculate_what_was_trained(saved, tiny, tmp_path):
    case, file, ours = saved
    tensors = load_file(to_kohya(tiny, file, tmp_path / "ravo.safetensors"))
    assert {key.split(".")[0] for key in tensors} == {kohya_name(*at) for at in ours}
    assert {t.dtype for n, t in tensors.items() if not n.endswith(".alpha")} == {torch.float16}
    assert ("lokr_w2_a" in str(tensors.keys())) == ("split" in case)
    theirs = {at: in_web_ui(tensors, kohya_name(*at), one.shape) for at, one in ours.items()}
    assert_same(ours, theirs, (4 if case == "LoHa" else 3) * 2**-11)


@pytest.mark.parametrize("saved", [*LORAS, "LoHa"], indirect=True)
def test_we_read_it_back(saved, tiny, tmp_path):
    _, file, ours = saved
    for precision, tolerance in (("fp16", 4 * 2**-11), ("fp32", 1e-6)):
        path = to_kohya(tiny, file, tmp_path / "ravo.safetensors", precision=precision)
        load_lora(tiny, path)
        assert_same(ours, changes(tiny), tolerance)


@pytest.mark.parametrize("saved", RELATIVES, indirect=True)
def test_peft_reads_the_relatives_back(saved, tiny, config, tmp_path):
    case, file, ours = saved
    tensors = load_file(to_kohya(tiny, file, tmp_path / "ravo.safetensors"))
    settings = config.replace(**RELATIVES[case])
    if case == "LoKr, whole":  # the scale is in the matrices
        settings = settings.replace(alpha=settings.rank)
    Lora().prepare(tiny, settings)
    for part, module in {"unet": tiny.unet, **tiny.encoders}.items():
        modules = {kohya_name(part, name): name for name, _ in module.named_modules()}
        own = {tuple(name.split(".", 1)): tensor.float() for name, tensor in tensors.items()}
        own = {f"{modules[at]}.{end}": t for (at, end), t in own.items() if at in modules}
        own = {name: tensor for name, tensor in own.items() if not name.endswith(".alpha")}
        assert not set_peft_model_state_dict(module, own).unexpected_keys
    assert_same(ours, changes(tiny), 4 * 2**-11)


def load_by_diffusers(pipe, path):
    """Up to 0.41 diffusers cannot place names with the text_model that transformers dropped in 5.6:
    there they are given without it (diffusers issue 13984)."""
    tensors = load_file(path)
    old = tuple(map(int, version("diffusers").split(".")[:2])) < (0, 42)
    if old and not hasattr(pipe.text_encoder, "text_model"):
        for te in ("lora_te_", "lora_te1_"):
            tensors = {name.replace(f"{te}text_model_", te): t for name, t in tensors.items()}
    with quiet(warnings=False):
        pipe.load_lora_weights(tensors)


@pytest.mark.parametrize("saved", LORAS, indirect=True)
def test_diffusers_reads_both_formats_back(saved, tiny, tmp_path):
    _, file, ours = saved
    path, pipe = to_kohya(tiny, file, tmp_path / "ravo.safetensors"), tiny.pipeline()
    load_by_diffusers(pipe, path)
    assert_same(ours, changes(tiny), 2 * 2**-11)
    pipe.unload_lora_weights()
    with quiet(warnings=False):
        pipe.load_lora_weights(file.parent, weight_name=file.name)
    assert_same(ours, changes(tiny), 1e-6)


@pytest.mark.parametrize("case", ["LoCon", "LoHa"])
def test_sdxl(make_xl, config, tmp_path, case):
    """By the original's names of blocks, with both text encoders."""
    model, file = make_xl(), tmp_path / "lora.safetensors"
    ours = trained(model, config.replace(**EVERY[case]), file)
    Lora().remove(model)
    path = to_kohya(model, file, tmp_path / "ravo.safetensors")
    tensors, sgm = load_file(path), unet_names(model.unet)
    assert {key.split(".")[0] for key in tensors} == {kohya_name(*at, sgm) for at in ours}
    assert "lora_te2_text_model_encoder_layers_2_mlp_fc2.alpha" in tensors
    assert "lora_unet_output_blocks_5_1_transformer_blocks_1_attn2_to_k.alpha" in tensors
    theirs = {at: in_web_ui(tensors, kohya_name(*at, sgm), t.shape) for at, t in ours.items()}
    assert_same(ours, theirs, 4 * 2**-11)
    if case == "LoCon":
        load_by_diffusers(model.pipeline(), path)
        assert_same(ours, changes(model), 2 * 2**-11)
        model.pipeline().unload_lora_weights()
    load_lora(model, path)
    assert_same(ours, changes(model), 4 * 2**-11)


def header(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def test_the_header(tiny, config, tmp_path):
    file = tmp_path / "lora.safetensors"
    settings = config.replace(**LORAS["LoCon"])
    trained(tiny, settings, file)
    more = {"modelspec.author": "me", "modelspec.trigger_phrase": "ravo"}
    path = to_kohya(tiny, file, tmp_path / "my ravo.safetensors", metadata=more)
    told = header(path)
    assert json.loads(told.pop("ss_network_args")) == {"conv_dim": "2", "conv_alpha": "1.5"}
    content = path.read_bytes()
    assert content[8:10] == b'{"'  # where the web UIs look whether there is a header
    start = 8 + int.from_bytes(content[:8], "little")
    digest = hashlib.sha256(content[start:]).hexdigest()
    assert told.pop("sshs_model_hash") == digest
    assert told.pop("modelspec.hash_sha256") == f"0x{digest}"
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    assert told.pop("modelspec.date") == f"{written:%Y-%m-%d}"
    assert told == {  # and so nothing of captions, folders or this machine
        "ss_output_name": "my ravo",
        "ss_resolution": "(64, 64)",
        "ss_v2": "False",
        "ss_base_model_version": "sd_v1",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_network_alpha": "2",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": "my ravo",
        "modelspec.resolution": "64x64",
        "modelspec.prediction_type": "epsilon",
        **more,
    }
    again = to_kohya(tiny, file, tmp_path / "b" / "my ravo.safetensors")
    assert again.read_bytes()[-1000:] == content[-1000:]
    assert str(tmp_path) not in str(header(again))


def test_the_bases_name_only_where_asked(tiny, config, tmp_path):
    file = tmp_path / "lora.safetensors"
    trained(tiny, config, file)
    tiny.info = replace(tiny.info, name="/home/me/bases/my base")
    path = to_kohya(tiny, file, tmp_path / "ravo.safetensors", name_base=True)
    assert header(path)["ss_sd_model_name"] == "my base"
    assert "/home" not in str(header(path))


EQUAL = r"""
import sys, torch
from pathlib import Path
from sdnb.models.saving import SHA256, save_tensors
facts = {"format": "pt", "b": "ü\x7f\n", "hash": SHA256, **{str(i): "x" for i in range(9)}}
save_tensors({"a": torch.arange(5), "h": torch.ones(2).half()}, Path(sys.argv[1]), facts)
"""


def test_equal_contents_are_equal_files_in_every_process(tmp_path):
    """safetensors alone writes the metadata in another order each time."""
    files = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for file in files:
        subprocess.run([sys.executable, "-c", EQUAL, str(file)], check=True)
    assert len({file.read_bytes() for file in files}) == 1
    facts = header(files[0])
    assert facts["b"] == "ü\x7f\n"
    keys = re.findall(r'"(\w+)":"', files[0].read_bytes().decode(errors="ignore").partition("}")[0])
    assert len(keys) == len(facts) and keys == sorted(keys)
    assert load_file(files[0])["a"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("family", "prediction", "version_", "architecture"),
    [
        (SD1, "epsilon", "sd_v1", "stable-diffusion-v1/lora"),
        (SD2, "epsilon", "sd_v2", "stable-diffusion-v2-512/lora"),
        (SD2_V, "v", "sd_v2_v", "stable-diffusion-v2-768-v/lora"),
    ],
)
def test_the_family_in_the_header(
    tiny, config, tmp_path, family, prediction, version_, architecture
):
    file = tmp_path / "lora.safetensors"
    trained(tiny, config, file)
    tiny.info = replace(tiny.info, family=family, licence="CreativeML OpenRAIL-M")
    told = header(to_kohya(tiny, file, tmp_path / "ravo.safetensors"))
    assert told["ss_v2"] == str(family.name == "sd2")
    assert told["ss_base_model_version"] == version_
    assert told["modelspec.architecture"] == architecture
    assert told["modelspec.prediction_type"] == prediction
    assert told["modelspec.license"] == "CreativeML OpenRAIL-M"


def test_sdxl_and_the_relatives_in_the_header(make_xl, config, tmp_path):
    model, file = make_xl(), tmp_path / "lora.safetensors"
    trained(model, config.replace(kind="loha", train_text_encoder=False), file)
    told = header(to_kohya(model, file, tmp_path / "ravo.safetensors"))
    assert told["ss_base_model_version"] == "sdxl_base_v1-0"
    assert told["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert told["ss_network_module"] == "lycoris.kohya"
    assert json.loads(told["ss_network_args"]) == {"algo": "loha"}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("ravo.pt", "ending"),
        ("ravo", "ending"),
        ("ravo:1.safetensors", "':'"),
        ("lora.safetensors", "overwrite"),
    ],
)
def test_a_name_that_cannot_be(tiny, config, tmp_path, name, complaint):
    file = tmp_path / "lora.safetensors"
    trained(tiny, config, file)
    before = file.read_bytes()
    with pytest.raises(Problem, match=complaint):
        to_kohya(tiny, file, tmp_path / name)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def test_what_fits_no_fp16_is_a_problem(tiny, config, tmp_path):
    file, path = tmp_path / "lora.safetensors", tmp_path / "ravo.safetensors"
    trained(tiny, config, file, std=1e5)
    with pytest.raises(Problem, match="cannot be saved in fp16"):
        to_kohya(tiny, file, path)
    assert not path.exists()
    to_kohya(tiny, file, path, precision="fp32")
    with pytest.raises(Problem, match="no precision 'fp8'"):
        to_kohya(tiny, file, path, precision="fp8")


def test_another_base_is_a_problem(tiny, make_xl, config, tmp_path):
    file = tmp_path / "lora.safetensors"
    trained(tiny, config, file)
    with pytest.raises(Problem, match="base model"):
        to_kohya(make_xl(), file, tmp_path / "ravo.safetensors")
