"""What a run is made from is known by its content, wherever it lies."""

import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import sdnb.training.run as run_module
from sdnb.errors import Problem
from sdnb.training.prior_preservation import class_images
from sdnb.training.run import train
from sdnb.training.run_folder import Run, claim, fingerprints, open_run, read_inputs


@pytest.fixture(scope="module")
def lora(config, cpu, tmp_path_factory):
    """The file of a finished run, to go on from."""
    short = config.replace(views_per_photo=1)
    return train(short, tmp_path_factory.mktemp("lora") / "run", cpu, progress=False).weights


@pytest.fixture
def rich(config, lora, photos_folder, tiny_folder, tmp_path):
    """Settings that name one of each input, all copies of their own."""
    shutil.copytree(tiny_folder, tmp_path / "base")
    for name in ("photos", "held_out", "prior_folder"):
        shutil.copytree(photos_folder, tmp_path / name)
    shutil.copy(lora, tmp_path / "init.safetensors")
    return config.replace(
        photos=tmp_path / "photos",
        base=str(tmp_path / "base"),
        held_out=tmp_path / "held_out",
        prior_folder=tmp_path / "prior_folder",
        prior_weight=0.5,
        init_weights=tmp_path / "init.safetensors",
        views_per_photo=1,
    )


def add_one(file):
    """Another content of the same size, at the same time as before."""
    seen, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


CHANGES = {
    "photos": lambda at: add_one(at / "photos" / "0.png"),
    "held_out": lambda at: (at / "held_out" / "1.txt").write_text("other words"),
    "prior_folder": lambda at: shutil.copy(at / "photos" / "0.png", at / "prior_folder" / "9.png"),
    "init_weights": lambda at: add_one(at / "init.safetensors"),
    "base": lambda at: add_one(at / "base" / "vae" / "diffusion_pytorch_model.safetensors"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_content_is_another_run(rich, tmp_path, monkeypatch, name):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    before, found = fingerprints(rich), open_run(rich).folder
    claim(open_run(rich, tmp_path / "run"))
    assert before.keys() == CHANGES.keys() and open_run(rich).folder == found
    CHANGES[name](tmp_path)
    after = fingerprints(rich)
    assert [key for key in after if after[key] != before[key]] == [name]
    assert open_run(rich).folder != found
    with pytest.raises(Problem, match=f"files of {name} have changed since this run began"):
        open_run(rich, tmp_path / "run")


@pytest.mark.parametrize("name", CHANGES)
def test_the_same_content_elsewhere_is_the_same_run(rich, tmp_path, monkeypatch, name):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    found = open_run(rich).folder.name.rpartition("-")[2]
    claim(open_run(rich, tmp_path / "run"))
    old = tmp_path / "init.safetensors" if name == "init_weights" else tmp_path / name
    new = old.rename(tmp_path / f"moved {old.name}")
    moved = rich.replace(**{name: str(new)})
    assert open_run(moved).folder.name.rpartition("-")[2] == found
    assert open_run(moved, tmp_path / "run").config == moved
    without = rich.replace(**{name: None}) if name in ("held_out", "init_weights") else None
    if without:
        with pytest.raises(Problem, match="other settings"):
            open_run(without, tmp_path / "run")


def test_a_base_of_the_table_is_its_name(config):
    assert fingerprints(config.replace(base="mini")).keys() == {"photos"}


def test_only_what_is_read_of_a_base_counts(rich, tmp_path):
    before = fingerprints(rich)
    (tmp_path / "base" / "README.md").write_text("about")
    (tmp_path / "base" / "other.safetensors").write_text("not read")
    assert fingerprints(rich) == before


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_while_the_model_loads_is_not_mixed_in(rich, cpu, tmp_path, monkeypatch, name):
    real = run_module.load_model

    def slow(*arguments):
        model = real(*arguments)
        CHANGES[name](tmp_path)
        return model

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "load_model", slow)
        with pytest.raises(Problem, match=f"files of {name} have changed"):
            train(rich, tmp_path / "run", cpu, progress=False)
    assert not (tmp_path / "run").exists()  # so that the same folder serves the new ones
    run = train(rich, tmp_path / "run", cpu, progress=False)
    assert run.finished and read_inputs(run) == fingerprints(rich)


def test_initial_weights_that_change_before_they_are_read(rich, cpu, tmp_path, monkeypatch):
    real = run_module.prepare

    def late(*arguments):
        CHANGES["init_weights"](tmp_path)
        return real(*arguments)

    monkeypatch.setattr(run_module, "prepare", late)
    with pytest.raises(Problem, match="files of init_weights have changed"):
        train(rich, tmp_path / "run", cpu, progress=False)
    assert not Run(tmp_path / "run", rich).finished


def test_an_input_that_cannot_be_read_is_a_problem(rich, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "a.png")

    monkeypatch.setattr("sdnb.training.run_folder.fingerprint", refuse)
    with pytest.raises(Problem, match=r"photos cannot be read: Permission denied \(a.png\)"):
        open_run(rich, tmp_path / "run")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_class_images_are_called_so(rich, cpu, tmp_path, tiny, count):
    for path in sorted((tmp_path / "prior_folder").glob("*.png"))[count:]:
        path.unlink()
    with pytest.raises(Problem, match=f"There are {count} class images") as told:
        class_images(rich, [], tiny)
    assert "training" not in str(told.value) and told.value.where == rich.prior_folder
    with pytest.raises(Problem, match="class images"):
        train(rich, tmp_path / "run", cpu, progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_base_that_holds_no_numbers_is_named(rich, cpu, tmp_path, part, value):
    file = tmp_path / "base" / f"{part}.safetensors"
    tensors = load_file(file)
    name = sorted(name for name, tensor in tensors.items() if tensor.is_floating_point())[-1]
    tensors[name].view(-1)[0] = value
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(Problem, match="is not a number throughout") as told:
        train(rich, tmp_path / "run", cpu, progress=False)
    assert told.value.where == str(tmp_path / "base") and "learning rate" not in str(told.value)


def test_the_first_loss_cannot_be_the_learning_rates_fault(rich, cpu, tiny):
    from sdnb.training.loop import fit
    from sdnb.training.run import photos_for, prepare

    state, batches, loss = prepare(rich, photos_for(rich), tiny, cpu)
    with torch.no_grad():  # finite, but too large to be calculated with
        tiny.unet.conv_in.weight.fill_(1e38)
    with pytest.raises(Problem, match="the base model is the likeliest cause"):
        next(fit(state, batches, loss))


def test_what_is_no_base_is_refused_before_there_is_a_run_folder(config, tmp_path):
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2, 2)}, tmp_path / "lora.safetensors")
    with pytest.raises(Problem, match="This file is a LoRA"):
        train(config.replace(base=str(tmp_path / "lora.safetensors")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
