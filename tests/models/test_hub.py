"""Base models from a Hub: a stand-in on loopback, asked by huggingface_hub itself."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time

import huggingface_hub
import pytest
import torch
from diffusers import DDPMScheduler, DiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import constants, hf_api, snapshot_download
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
    http_backoff,
)
from safetensors.torch import load_file, save_file

from sdnb.errors import Problem
from sdnb.models.base import find_model, quiet
from sdnb.models.loading import load_model, load_tokenizer, reload, take_weights
from sdnb.models.single_file import clip_tokenizer
from sdnb.training.memory import plan
from sdnb.training.run import train
from tests.families import tiny_parts
from tests.stand_in_hub import StandIn

UNET, TEXT = "unet/diffusion_pytorch_model", "text_encoder/model"
VAE = "vae/diffusion_pytorch_model"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in that this process asks, with a cache of its own."""
    with StandIn() as stand_in:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", stand_in.endpoint)
        monkeypatch.setattr(hf_api.api, "endpoint", stand_in.endpoint)
        template = stand_in.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between two tries
        huggingface_hub.close_session()
        yield stand_in
        huggingface_hub.close_session()


@pytest.fixture
def repo(tiny_folder, tmp_path):
    """The tiny model as a repository, with all that such repositories hold beside it."""
    folder = shutil.copytree(tiny_folder, tmp_path / "repo")
    for name in ("safety_checker/model.safetensors", f"{UNET}.bin", "flax_model.msgpack"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not for us")
    (folder / "v1-5-pruned.safetensors").write_bytes(b"nor this")
    (folder / f"{UNET}.non_ema.safetensors").write_bytes(b"nor this")
    return folder


def halved(folder, *stems, keep=True):
    """Write the fp16 variant of these files, marked by a factor; of three, where told."""
    for stem in stems:
        tensors = load_file(folder / f"{stem}.safetensors")
        halves = {name: (2 * t).half() for name, t in tensors.items() if t.is_floating_point()}
        save_file(tensors | halves, folder / f"{stem}.fp16.safetensors", {"format": "pt"})
        if not keep:
            (folder / f"{stem}.safetensors").unlink()


def first(module):
    return next(module.parameters()).flatten()[0].item()


def weights(hub):
    return {name for name in hub.fetched() if name.endswith(("safetensors", "bin", "msgpack"))}


def test_a_base_is_found_loaded_and_read_again(hub, repo, cpu, tiny, capsys):
    hub.repos["anna/tiny"] = repo
    info = find_model("anna/tiny")
    assert (info.name, info.sources, info.resolution) == ("anna/tiny", ("anna/tiny",), 64)
    assert not weights(hub) and capsys.readouterr().out == ""
    model = load_model(info, machine=cpu)
    plain = {f"{stem}.safetensors" for stem in (UNET, TEXT, VAE)}
    size = sum((repo / name).stat().st_size for name in plain) / 1e6
    told = capsys.readouterr().out
    assert told == f"The base model anna/tiny is fetched once: {size:.3g} MB\n"
    assert weights(hub) == plain
    assert torch.equal(model.text_embeddings(["a man"]), tiny.text_embeddings(["a man"]))
    with torch.no_grad():
        next(model.unet.parameters()).add_(1)
    reload(model)
    assert first(model.unet) == first(tiny.unet)
    take_weights(model, "anna/tiny")
    tokens = load_tokenizer("anna/tiny")("a man").input_ids
    assert tokens == tiny.tokenizer("a man").input_ids
    assert capsys.readouterr().out == "" and max(hub.sent.values()) < 1e7


def test_halves_are_fetched_where_there_are_some(hub, repo, cpu, tiny):
    """Of every part by itself."""
    halved(repo, UNET, TEXT)
    hub.repos["anna/tiny"] = repo
    model = load_model("anna/tiny", machine=cpu)
    assert weights(hub) == {
        f"{UNET}.fp16.safetensors",
        f"{TEXT}.fp16.safetensors",
        f"{VAE}.safetensors",
    }
    assert first(model.unet) == pytest.approx(2 * first(tiny.unet), rel=1e-3)
    assert first(model.text_encoder) == pytest.approx(2 * first(tiny.text_encoder), rel=1e-3)
    assert first(model.vae) == first(tiny.vae)
    assert model.unet.dtype == torch.float32


@pytest.mark.parametrize("kept", ["plain", "by diffusers", "fp16"])
def test_offline_what_is_in_the_cache_is_loaded(hub, repo, cpu, tiny, monkeypatch, kept, capsys):
    """Also where it holds the plain variant, from before the other was looked for."""
    halved(repo, UNET, TEXT, VAE)
    hub.repos["anna/tiny"] = repo
    if kept == "plain":
        snapshot_download("anna/tiny", ignore_patterns="*fp16*")
    elif kept == "by diffusers":  # which the package left the fetching to
        DiffusionPipeline.download("anna/tiny", use_safetensors=True)
    else:
        load_model("anna/tiny", machine=cpu)
    before = dict(hub.sent)
    capsys.readouterr()
    online = load_model("anna/tiny", machine=cpu)
    hub.repos["anna/tiny@new"] = shutil.copytree(repo, repo.parent / "new")  # the same weights
    newer = load_model("anna/tiny@new", machine=cpu)
    assert hub.sent == before  # nothing came a second time, or in another variant
    hub.__exit__()  # it does not answer
    huggingface_hub.close_session()  # nor on a connection that is open
    cut_off = load_model("anna/tiny", machine=cpu)
    with pytest.raises(Problem, match=r"cannot be reached.*\(anna/other\)"):
        find_model("anna/other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = load_model("anna/tiny", machine=cpu)
    factor = 2 if kept == "fp16" else 1
    for model in (online, newer, cut_off, offline):
        assert first(model.unet) == pytest.approx(factor * first(tiny.unet), rel=1e-3)
    assert capsys.readouterr().out == ""
    with pytest.raises(Problem, match=r"set to stay offline \(anna/other\)"):
        find_model("anna/other")


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_shards(hub, repo, cpu, tiny, variant):
    shutil.rmtree(repo / "unet")
    tiny.unet.save_pretrained(repo / "unet", max_shard_size="200KB", variant=variant)
    shards = {f"unet/{path.name}" for path in (repo / "unet").glob("*.safetensors")}
    assert len(shards) > 1
    hub.repos["anna/tiny"] = repo
    model = load_model("anna/tiny", machine=cpu)
    assert {name for name in weights(hub) if name.startswith("unet")} == shards
    for name, weight in tiny.unet.state_dict().items():
        assert torch.equal(weight, model.unet.state_dict()[name])


def test_an_sdxl_in_halves(hub, tmp_path, cpu, capsys):
    words = {"tokenizer": clip_tokenizer(), "tokenizer_2": clip_tokenizer("!")}
    parts, noise = tiny_parts("sdxl"), DDPMScheduler(prediction_type="v_prediction")
    pipeline = StableDiffusionXLPipeline(**parts, **words, scheduler=noise, add_watermarker=False)
    pipeline.save_pretrained(tmp_path / "xl")
    halved(tmp_path / "xl", UNET, VAE, TEXT, "text_encoder_2/model", keep=False)
    (tmp_path / "xl" / "text_encoder_2" / "model.onnx").write_bytes(b"not for us")
    hub.repos["anna/xl"] = tmp_path / "xl"
    model = load_model("anna/xl", machine=cpu)
    assert (model.info.family.name, model.info.family.v_prediction) == ("sdxl", True)
    assert model.scheduler.config.prediction_type == "v_prediction"
    for name, part in parts.items():
        loaded, given = first(getattr(model, name)), first(part)
        assert loaded == pytest.approx(2 * given, rel=1e-3)
    assert weights(hub) == {
        f"{stem}.fp16.safetensors" for stem in (UNET, VAE, TEXT, "text_encoder_2/model")
    }
    assert load_tokenizer("anna/xl").pad_token == "<|endoftext|>"
    assert model.tokenizer_2.pad_token == "!"


def test_half_of_the_shards_are_no_variant_in_the_cache(hub, repo, cpu, tiny):
    halved(repo, UNET, keep=False)
    tiny.unet.save_pretrained(repo / "unet", max_shard_size="200KB")
    hub.repos["anna/tiny"] = repo
    snapshot_download("anna/tiny", allow_patterns=["*.index.json", "unet/*-0000*-of-*"])
    model = load_model("anna/tiny", machine=cpu)
    assert first(model.unet) == pytest.approx(2 * first(tiny.unet), rel=1e-3)
    assert f"{UNET}-00010-of-00018.safetensors" not in weights(hub)


def test_a_folder_of_halves_alone_is_loaded(repo, cpu, tiny):
    halved(repo, UNET, TEXT, VAE, keep=False)
    assert first(load_model(repo, machine=cpu).unet) == pytest.approx(
        2 * first(tiny.unet), rel=1e-3
    )


@pytest.mark.parametrize("then", [None, (503, "")])
def test_a_download_that_broke_off_goes_on(hub, repo, cpu, then, monkeypatch, capsys):
    """In the middle of the file while huggingface_hub tries again by itself; when it is asked for
    another time, with the files that did not come whole."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    hub.repos["anna/tiny"] = repo
    name = f"{UNET}.safetensors"
    hub.cut[name] = then
    if then:
        with pytest.raises(Problem, match="does not work at the moment"):
            load_model("anna/tiny", machine=cpu)
        before = hub.sent.pop(name)
        others = dict(hub.sent)
        hub.refused.clear()
    load_model("anna/tiny", machine=cpu)
    size = (repo / name).stat().st_size
    assert not hub.cut and size <= hub.sent[name] < size + 100_000  # hardly a byte came twice
    if then:
        assert before == size // 2 and others == {n: s for n, s in hub.sent.items() if n != name}
        told = capsys.readouterr().out.splitlines()[1]
        assert told == f"The base model anna/tiny is fetched once: {size / 1e6:.3g} MB"


def test_a_revision_and_a_new_name(hub, repo, tiny_folder):
    index = repo / "scheduler" / "scheduler_config.json"
    index.write_text(
        json.dumps(json.loads(index.read_text()) | {"prediction_type": "v_prediction"})
    )
    hub.repos |= {"anna/new": tiny_folder, "anna/new@v": repo, "anna/old": "anna/new"}
    assert find_model("anna/new@v").family.v_prediction
    assert not find_model("anna/old").family.v_prediction
    with pytest.raises(Problem, match=r"not that revision.*\(anna/new@w\)"):
        find_model("anna/new@w")


def test_a_path_wins(hub, tiny_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_folder, tmp_path / "anna" / "tiny")
    monkeypatch.chdir(tmp_path)
    assert find_model("anna/tiny").name == "tiny" and not hub.asked


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, "GatedRepo"), "only to those it knows"),
        ((403, "GatedRepo"), "only to those it knows"),
        ((403, ""), "only to those it knows"),
        ((401, "RepoNotFound"), "no such model, or shows it to its owner alone"),
        ((404, "RepoNotFound"), "no such model"),
        ((429, ""), "too many requests"),
        ((500, ""), "does not work at the moment"),
        ((503, ""), "does not work at the moment"),
        ((522, ""), "does not work at the moment"),
    ],
)
def test_what_the_hub_answers_is_said(hub, repo, answer, sentence):
    hub.repos["anna/tiny"] = answer
    with pytest.raises(Problem, match=rf"{sentence}.*\(anna/tiny\)"):
        find_model("anna/tiny")
    hub.repos["anna/tiny"] = repo
    hub.refused["json"] = answer  # as the Hub does of a gated model, whose files all can list
    if answer[1] != "RepoNotFound":
        with pytest.raises(Problem, match=sentence):
            find_model("anna/tiny")


def test_a_base_of_the_table_comes_from_its_second_source(hub, repo, cpu, capsys):
    hub.repos["CompVis/stable-diffusion-v1-4"] = repo
    assert load_model("sd15", machine=cpu).info.name == "sd15"
    assert "The base model sd15 is fetched once" in capsys.readouterr().out
    with pytest.raises(Problem, match=r"sd21 could not be loaded.*no such model"):
        load_model("sd21")


def write_index(folder, **values):
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("index", "kind"),
    [
        ({"_class_name": "FluxPipeline"}, "a FLUX model"),
        ({"_class_name": "Flux2Pipeline"}, "a FLUX model"),
        ({"_class_name": "StableDiffusion3Pipeline"}, "a Stable Diffusion 3"),
        ({"_class_name": "StableDiffusionXLInpaintPipeline"}, "a model for inpainting"),
        ({"_class_name": "StableDiffusionInstructPix2PixPipeline"}, "for editing pictures"),
        (
            {"_class_name": "StableDiffusionXLImg2ImgPipeline", "text_encoder": [None, None]},
            "the refiner of SDXL",
        ),
        ({"_class_name": "PixArtAlphaPipeline"}, "a model for PixArtAlphaPipeline"),
    ],
)
def test_what_is_no_base_is_called_by_its_name(hub, repo, index, kind):
    write_index(repo, **index)
    if "Flux" in index["_class_name"]:
        shutil.rmtree(repo / "unet")
    hub.repos["anna/other"] = repo
    for name in ("anna/other", repo):
        with pytest.raises(Problem, match=rf"This is .*{kind}.*\({name}\)"):
            find_model(name)
    assert not weights(hub)


@pytest.mark.parametrize(
    ("noise", "kind"),
    [
        ({"_class_name": "EDMDPMSolverMultistepScheduler"}, "EDM"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "FlowMatch"),
        ({"prediction_type": "sample"}, "sample"),
    ],
)
def test_another_noise_is_refused(repo, noise, kind):
    path = repo / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | noise))
    with pytest.raises(Problem, match=f"noise.*{kind}"):
        find_model(repo)


def test_a_repository_without_a_folder_of_the_model(hub, tmp_path, repo):
    single = tmp_path / "single"
    single.mkdir()
    (single / "README.md").write_text("words")
    hub.repos["anna/words"] = single
    with pytest.raises(Problem, match="no base model in the diffusers layout"):
        find_model("anna/words")
    hub.repos["anna/single"] = shutil.copytree(single, tmp_path / "second")
    (tmp_path / "second" / "dream.safetensors").write_bytes(bytes(100))
    with pytest.raises(Problem, match=r"no base model.*single files.*path: dream\.safetensors"):
        find_model("anna/single")
    (repo / f"{UNET}.safetensors").unlink()
    hub.repos["anna/pickle"] = repo
    with pytest.raises(Problem, match=r"no \.safetensors with the weights of its unet"):
        find_model("anna/pickle")
    with pytest.raises(Problem, match="There is no such base model"):
        find_model("anna/dream.safetensors")
    assert not weights(hub)


def test_a_full_disk_is_said_before(hub, repo, monkeypatch):
    hub.repos["anna/tiny"] = repo
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 50_000))
    with pytest.raises(Problem, match=r"takes .* MB of disk, and 50 kB are free.*HF_HOME"):
        load_model("anna/tiny")
    assert not weights(hub)


def test_nothing_of_a_run_is_there_for_what_is_no_base(hub, repo, config, cpu, tmp_path):
    write_index(repo, _class_name="FluxPipeline")
    hub.repos["anna/flux"] = repo
    for base, sentence in {"anna/flux": "FLUX", str(repo): "FLUX", "anna/none": "no such"}.items():
        with pytest.raises(Problem, match=sentence):
            train(config.replace(base=base), tmp_path / "run", cpu)
        with pytest.raises(Problem, match=sentence):
            plan(config.replace(base=base), 5, cpu)
        assert not (tmp_path / "run").exists()
    assert not weights(hub)


def test_a_run_on_a_base_of_the_hub(hub, repo, config, cpu, tmp_path):
    """As on the same base in a folder; its plan counts the parts that the repository describes."""
    hub.repos["anna/tiny"] = repo
    on_hub = config.replace(base="anna/tiny")
    assert plan(on_hub, 5, cpu) == plan(config, 5, cpu) and not weights(hub)
    first_run = train(on_hub, tmp_path / "run", cpu, progress=False)
    assert first_run.finished
    assert first_run.history == train(config, tmp_path / "other", cpu, progress=False).history


def test_a_silent_hub_is_tried_again_in_our_words(hub):
    told, handler = [], logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logger = logging.getLogger("huggingface_hub.utils._http")
    logger.addHandler(handler)
    try:
        with pytest.raises((HTTPError, OSError)):  # nobody listens there
            http_backoff("HEAD", "http://127.0.0.1:9/", max_retries=2, base_wait_time=0)
    finally:
        logger.removeHandler(handler)
    words = "The Hugging Face Hub does not answer. Trying again"
    assert told == [f"{words}: 1 of 2", f"{words}: 2 of 2"]


@pytest.mark.parametrize("hidden", [False, True])
def test_reading_is_quiet_and_downloads_are_as_they_were(hidden):
    disable_progress_bars() if hidden else enable_progress_bars()
    try:
        with quiet():
            assert are_progress_bars_disabled() is hidden
        assert are_progress_bars_disabled() is hidden
    finally:
        enable_progress_bars()


CODE = """
import sys, sdnb
from sdnb.training.config import LoraConfig
model = sdnb.load_model("anna/tiny")
print(model.info.resolution)
print(sdnb.plan(LoraConfig(base="anna/tiny", photos=sys.argv[1]), 5, sdnb.find_machine()).disk > 0)
"""


@pytest.mark.long
def test_in_a_process_of_its_own(repo, tmp_path, photos_folder):
    """With nothing replaced but what the environment says; its progress is shown."""
    with StandIn({"anna/tiny": repo}) as hub:
        say = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
        }
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(photos_folder)],
            env=os.environ | say | {"TQDM_POSITION": "-1"},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["64", "True"] and "fetched once" in done.stdout
    assert "Fetching 3 files" in done.stderr and "100%" in done.stderr
    assert "Loading" not in done.stderr
