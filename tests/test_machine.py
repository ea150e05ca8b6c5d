import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from sdnb import machine
from sdnb.errors import Problem
from sdnb.models.base import default_base


@pytest.fixture
def gpu(monkeypatch):
    """Pretend to have a GPU of some compute capability; bf16 emulation always claims support."""

    def pretend(major, minor):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *a, **k: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d=None: (major, minor))
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda d=None: SimpleNamespace(name="pretended", total_memory=15 * 2**30),
        )

    return pretend


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((7, 5), "fp16"),
        ((8, 0), "bf16"),
        ((8, 9), "bf16"),
        ((9, 0), "bf16"),
        ((6, 1), "fp16"),
    ],
)
def test_a_gpu_takes_bf16_from_capability_8(gpu, capability, precision):
    gpu(*capability)
    found = machine.find_machine()
    assert (found.device, found.precision, found.memory_gib) == ("cuda", precision, 15.0)


def test_bf16_on_a_t4_is_a_problem(gpu):
    gpu(7, 5)
    with pytest.raises(Problem, match="cannot calculate in bf16"):
        machine.find_machine("bf16")


@pytest.mark.parametrize(
    ("avx512", "amx", "onednn", "precision"),
    [
        (True, False, True, "bf16"),
        (False, True, True, "bf16"),
        (True, True, False, "fp32"),
        (False, False, True, "fp32"),
    ],
)
def test_a_cpu_takes_bf16_where_both_libraries_say_yes(monkeypatch, avx512, amx, onednn, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(
        torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: onednn)
    )
    assert machine.find_machine().precision == precision
    assert machine.find_machine("fp32").precision == "fp32"
    with pytest.raises(Problem):
        machine.find_machine("fp16")


@pytest.fixture
def mac(monkeypatch):
    """Pretend to have Apple Silicon: what find_machine decides is tested, and nothing is run."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    memory = SimpleNamespace(total=24 * 2**30)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: memory)


def test_a_mac_calculates_in_fp32_on_its_gpu(mac):
    found = machine.find_machine()
    assert (found.device, found.precision) == ("mps", "fp32")
    assert found.memory_gib == 16.0  # of one memory, which all else is in too
    assert "has not been tried" in found.why
    assert machine.find_machine("fp32").device == "mps"
    for precision in ("fp16", "bf16"):
        with pytest.raises(Problem, match=f"cannot calculate in {precision}.*Apple Silicon"):
            machine.find_machine(precision)


def test_a_cuda_gpu_comes_before_a_macs(mac, gpu):
    gpu(8, 0)
    assert machine.find_machine().device == "cuda"


def test_a_macs_own_photos_stay_with_the_mini_for_now(mac, monkeypatch):
    monkeypatch.delenv("SDNB_PROFILE", raising=False)
    assert default_base() == "mini"


ADAPTER = """
import sys, torch
from peft import LoraConfig, inject_adapter_in_model
if sys.argv[1] == "mended":
    from sdnb.machine import mend_peft
    mend_peft()
layers = torch.nn.Sequential(torch.nn.Linear(4, 4))
inject_adapter_in_model(LoraConfig(target_modules=["0"]), layers)
"""


@pytest.fixture
def old_torchao(tmp_path):
    """The variables that put Colab's torchao 0.10.0 on the path of a new process: what is installed
    where this is Colab's set, else an empty package of that name and version."""
    if importlib.util.find_spec("torchao") is None:
        (tmp_path / "torchao").mkdir()
        (tmp_path / "torchao" / "__init__.py").write_text("")
        facts = tmp_path / "torchao-0.10.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torchao\nVersion: 0.10.0\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path}


@pytest.mark.parametrize(("how", "works"), [("plain", False), ("mended", True)])
def test_peft_works_beside_an_old_torchao(old_torchao, tmp_path, how, works):
    command = [sys.executable, "-c", ADAPTER, how]
    done = subprocess.run(command, cwd=tmp_path, env=old_torchao, capture_output=True, text=True)
    assert (done.returncode == 0) is works, done.stderr
    assert works or "incompatible version of torchao" in done.stderr
