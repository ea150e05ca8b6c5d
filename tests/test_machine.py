import importlib.metadata
import importlib.util
from types import SimpleNamespace

import pytest
import torch

from sdnb import machine
from sdnb.problems import Problem


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


def test_peft_works_beside_an_old_torchao(monkeypatch, tiny, config):
    from peft.import_utils import is_torchao_available

    import sdnb.training.lora as lora

    find, version = importlib.util.find_spec, importlib.metadata.version
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: True if name == "torchao" else find(name, *a)
    )
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.10.0" if name == "torchao" else version(name)
    )
    is_torchao_available.cache_clear()
    with pytest.raises(ImportError):  # else this test proves nothing
        is_torchao_available()
    try:
        assert lora.prepare(tiny, config)
    finally:
        for module in __import__("sys").modules.values():
            if getattr(module, "__name__", "").startswith("peft") and hasattr(
                module, "is_torchao_available"
            ):
                module.is_torchao_available = is_torchao_available
