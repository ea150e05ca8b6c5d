"""The plan of a run: arithmetic on paper, and what was measured on a GPU that played a T4."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sdnb.errors import Problem
from sdnb.machine import Machine
from sdnb.models.families import CONFIGS
from sdnb.training.config import DreamboothConfig, LoraConfig, TextualInversionConfig, preset
from sdnb.training.memory import (
    CONTEXT,
    GIB,
    _ladder,
    empty_model,
    optimizer_bytes,
    plan,
    refuse_what_cannot_fit,
)

T4 = Machine("cuda", "fp16", "for tests", 2, 14.56, "Tesla T4", True)
SLIM = {"gradient_checkpointing": True, "optimizer": "adafactor"}


def test_the_models_are_counted_without_their_weights():
    """diffusers' and transformers' own numbers of Stable Diffusion 1.5, 2.1 and XL, in millions."""
    for base, unet, text in (
        ("sd15", 859.52, 123.06),
        ("sd21", 865.91, 340.39),
        ("sdxl", 2567.46, 123.06 + 694.66),
    ):
        model = empty_model(base)
        counts = [
            sum(p.numel() for part in parts for p in part.parameters()) / 1e6
            for parts in ([model.unet], model.encoders.values())
        ]
        assert counts == [pytest.approx(unet, abs=0.01), pytest.approx(text, abs=0.01)]
        assert all(p.device.type == "meta" for p in model.unet.parameters())


def test_an_optimizers_memory_on_paper():
    conv, small = torch.Size((320, 640, 3, 3)), torch.Size((320,))
    assert optimizer_bytes("adamw", conv) == 8 * 320 * 640 * 9
    assert optimizer_bytes("adamw8bit", conv) == 2 * 320 * 640 * 9
    assert optimizer_bytes("adamw8bit", small) == 8 * 320  # small tensors stay in fp32
    # a row of 3 for each of 320 x 640 x 3 rows, a column of 3 for each of 320 x 640
    assert optimizer_bytes("adafactor", conv) == 4 * (320 * 640 * 3 + 320 * 640 * 3)
    assert optimizer_bytes("adafactor", torch.Size((1280, 320))) == 4 * (1280 + 320)


@pytest.mark.one_set
@pytest.mark.parametrize(
    ("config", "measured"),
    [  # GiB that torch allocated at the peak: tests/benchmarks/full_size.py on an H100
        (LoraConfig(rank=16, alpha=16, batch_size=1), 2.83),
        (LoraConfig(rank=16, alpha=16, batch_size=4), 6.09),
        (LoraConfig(rank=16, alpha=16, batch_size=4, gradient_checkpointing=True), 2.75),
        (LoraConfig(rank=16, alpha=16, batch_size=1, train_text_encoder=True), 3.15),
        (TextualInversionConfig(batch_size=1), 2.91),
        (DreamboothConfig(batch_size=1, **SLIM), 8.53),
        (DreamboothConfig(batch_size=1, train_text_encoder=True, **SLIM), 9.46),
        (DreamboothConfig(batch_size=1, optimizer="adafactor"), 8.57),
        # colab/verify_t4.py --bases: convolutions, text encoders, a batch of 3
        (preset("edg_lora_opti_t4"), 6.4),
        (preset("edg_locon_opti_t4"), 6.7),
        (preset("edg_loha_opti_t4"), 9.2),
    ],
)
def test_the_plan_is_within_a_twentieth_of_what_was_measured(config, measured, monkeypatch):
    monkeypatch.setattr("sdnb.training.optimizers._installed", lambda package: False)
    foreseen = plan(config.replace(base="sd15"), 20, T4).memory - CONTEXT / GIB
    assert foreseen == pytest.approx(measured, rel=0.05)


def test_steps_and_files_on_paper(config):
    found = plan(LoraConfig(rank=16, alpha=16, base="sd15", views_per_photo=100), 20, T4)
    assert found.steps == 500 and found.trainable == 3_188_736
    assert found.file == 4 * 3_188_736 and found.checkpoint == 3 * 4 * 3_188_736
    assert f"{found.memory:.2f} GiB  in all" in str(found) and "500 steps" in str(found)
    whole = plan(DreamboothConfig(base="sd15"), 20, T4)
    assert whole.file / 1e9 == pytest.approx(2.13, abs=0.01)  # UNet, text encoder, VAE in fp16
    assert plan(config, 5, T4).trainable > 0  # a folder's own configuration


@pytest.mark.one_set
def test_what_cannot_fit_is_refused_with_what_does():
    greedy = DreamboothConfig(base="sd15", batch_size=4, train_text_encoder=True)
    with pytest.raises(Problem, match=r"needs \d\d\.\d GiB .* Tesla T4 has 14\.6 GiB") as caught:
        refuse_what_cannot_fit(greedy, 20, T4)
    assert "gradient_checkpointing = true" in caught.value.do and "it then takes" in caught.value.do
    refuse_what_cannot_fit(LoraConfig(base="sd15"), 20, T4)
    tiny = Machine("cuda", "fp16", "", 2, 1.0, "a small card", False)
    with pytest.raises(Problem, match="small card") as caught:
        refuse_what_cannot_fit(greedy, 20, tiny)
    assert "smaller base" in caught.value.do
    refuse_what_cannot_fit(greedy, 20, Machine("cpu", "fp32", "", 2, 1.0, "", False))


def test_the_advice_can_be_typed_as_it_is(monkeypatch):
    """Lower-case words as TOML has them, and no other optimizer at Prodigy's rate of 1."""
    monkeypatch.setattr("sdnb.training.optimizers._installed", lambda package: True)
    greedy = DreamboothConfig(base="sd15", optimizer="prodigy", train_text_encoder=True)
    changes = list(_ladder(greedy.replace(learning_rate=1, text_encoder_learning_rate=1)))
    others = [c for c in changes if "optimizer" in c]
    assert others and all(c["learning_rate"] == 2e-6 for c in others)
    assert all(c["text_encoder_learning_rate"] == 1e-6 for c in others)
    card = Machine("cuda", "fp16", "", 2, 8.5, "a card", False)
    text = DreamboothConfig(base="sd15", batch_size=1, train_text_encoder=True, **SLIM)
    with pytest.raises(Problem) as caught:
        refuse_what_cannot_fit(text, 20, card)
    assert "train_text_encoder = false" in caught.value.do and "False" not in caught.value.do


@pytest.mark.one_set
@pytest.mark.parametrize(
    ("config", "measured"),
    [  # GiB of a whole process, two steps at 64 pixels: tests/benchmarks/full_size_cpu.py
        (LoraConfig(rank=16, alpha=16), 4.42),
        (TextualInversionConfig(), 4.40),
        (DreamboothConfig(optimizer="adafactor"), 8.91),
        (DreamboothConfig(), 13.46),
    ],
)
def test_main_memory_is_within_a_tenth_of_what_was_measured(
    config, measured, monkeypatch, tmp_path
):
    shutil.copytree(CONFIGS / "sd1", tmp_path / "sd1")
    unet = tmp_path / "sd1" / "unet" / "config.json"
    unet.write_text(unet.read_text().replace('"sample_size": 64', '"sample_size": 8'))
    monkeypatch.setattr("sdnb.models.families.CONFIGS", tmp_path)
    machine = Machine("cpu", "fp32", "for tests", 2, 24.0, "some processor", False)
    found = plan(config.replace(base="sd15", batch_size=1, precision="fp32"), 3, machine)
    assert found.ram / GIB == pytest.approx(measured, rel=0.1)


def test_what_needs_more_memory_or_disk_than_there_is_is_refused(monkeypatch, tmp_path):
    dreambooth = DreamboothConfig(base="sd15", batch_size=1, **SLIM)
    few = SimpleNamespace(total=4 * GIB)
    monkeypatch.setattr("sdnb.training.memory.psutil.virtual_memory", lambda: few)
    with pytest.raises(Problem, match="main memory"):
        refuse_what_cannot_fit(dreambooth, 20, T4)
    refuse_what_cannot_fit(LoraConfig(base="sd15", batch_size=1), 20, T4)
    full = SimpleNamespace(free=3 * GIB)
    monkeypatch.setattr("sdnb.training.memory.shutil.disk_usage", lambda folder: full)
    with pytest.raises(Problem, match="of disk, and 3"):
        refuse_what_cannot_fit(dreambooth, 20, T4, tmp_path)


def test_a_mac_is_planned_for_as_one_memory(monkeypatch):
    """Weights that a GPU would park in main memory are in the same one; what is planned to take
    more than its share is refused, as on a GPU."""
    config = LoraConfig(base="sd15", batch_size=1)
    cpu = plan(config, 20, Machine("cpu", "fp32", "", 8, 24.0, "a Mac", False))
    mac = Machine("mps", "fp32", "", 8, 16.0, "a Mac", False)
    found = plan(config, 20, mac)
    assert "CUDA itself" not in found.terms
    parked = [each.ram - sum(each.terms.values()) for each in (found, cpu)]
    assert parked[0] == pytest.approx(parked[1])
    assert found.memory > 1.2 * cpu.memory  # torch's attention there keeps all of its weights
    few = SimpleNamespace(total=24 * GIB)
    monkeypatch.setattr("sdnb.training.memory.psutil.virtual_memory", lambda: few)
    assert refuse_what_cannot_fit(config, 20, mac).memory < 16
    with pytest.raises(Problem, match=r"a Mac has 5\.3 GiB") as caught:
        refuse_what_cannot_fit(config, 20, replace(mac, memory_gib=5.3))
    assert "gradient_checkpointing = true" in caught.value.do


def test_minutes_are_steps_times_the_pace():
    config = LoraConfig(base="sd15", batch_size=2, views_per_photo=60)
    found = replace(plan(config, 20, T4), seconds_per_step=0.5)
    assert found.minutes == 60 * 20 / 2 * 0.5 / 60
    assert "600 steps, 5.0 minutes" in str(found)


def test_disk_is_the_result_and_the_savings():
    config = LoraConfig(base="sd15", rank=16, alpha=16, keep_checkpoints=3)
    found = plan(config, 20, T4)
    weights = 4 * 3_188_736  # 128 layers of rank 16 in Stable Diffusion 1.5, fp32
    assert found.file == weights and found.disk == weights + 4 * 3 * weights  # + AdamW's moments


@pytest.mark.parametrize(
    ("name", "measured"),
    [
        ("person_sdxl_t4", 7.99),  # while the model is read
        ("person_t4", 3.46),
        ("textual_inversion_person_t4", 3.45),
        ("dreambooth_person_t4", 8.38),  # while a checkpoint is written
    ],
)
def test_main_memory_is_what_was_measured(name, measured):
    """GiB at the peak (VmHWM) of a process on an H200 that played a T4, with random weights:
    tests/benchmarks/whole_run.py and colab/verify_t4.py --bases. Within a quarter of a GiB."""
    config = preset(name)
    if name.startswith("dreambooth"):
        config = config.replace(optimizer="adafactor")  # there was no bitsandbytes
    assert plan(config, 20, T4).ram / GIB == pytest.approx(measured, abs=0.25)
