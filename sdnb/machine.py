"""Where am I: device, precision, memory, Colab or not. Platform traps are handled here only."""

import os
import platform
import sys
from dataclasses import dataclass

import psutil
import torch

from sdnb.errors import Problem

GIB = 2**30  # bytes
MAC_SHARE = 2 / 3  # of a Mac's memory, which its GPU may take (Metal's recommended working set)
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate")  # what a run stands on


@dataclass(frozen=True)
class Machine:
    """The machine and the fixed rule by which its device and precision were chosen."""

    device: str  # "cuda", "mps" (Apple Silicon) or "cpu"
    precision: str  # "fp32", "fp16" or "bf16": of the calculation; trained weights stay fp32
    why: str
    cores: int
    memory_gib: float  # of the device
    name: str
    colab: bool


T4 = Machine("cuda", "fp16", "the free GPU of Colab", 2, 14.56, "a T4", True)  # to plan for


def find_machine(precision: str = "auto") -> Machine:
    """Look at this machine and choose. Asking for what it cannot do raises a Problem.

    A GPU calculates in bf16 from compute capability 8.0 and in fp16 below; that of a Mac with Apple
    Silicon in fp32, until 16 bits are shown to be better there; a CPU in bf16 where the processor
    has instructions for it, else in fp32. `torch.cuda.is_bf16_supported()` is not asked: it says
    yes on a T4, which only emulates bf16, slowly.
    """
    if torch.cuda.is_available():
        device, properties = "cuda", torch.cuda.get_device_properties(0)
        name, memory = properties.name, properties.total_memory
        major, minor = torch.cuda.get_device_capability(0)
        best = "bf16" if (major, minor) >= (8, 0) else "fp16"
        possible = ("fp32", "fp16", best)
        why = f"{name} has compute capability {major}.{minor}; bf16 needs 8.0"
    elif torch.backends.mps.is_available():
        device, name, best = "mps", _processor(), "fp32"
        memory, possible = MAC_SHARE * psutil.virtual_memory().total, (best,)
        why = "the GPU of Apple Silicon (mps), on which the course has not been tried yet"
    else:
        device, name, memory = "cpu", _processor(), psutil.virtual_memory().total
        best = "bf16" if cpu_has_bf16() else "fp32"
        possible = ("fp32", best)
        why = f"no GPU, and the processor {'has' if best == 'bf16' else 'lacks'} bf16 instructions"
    if precision == "auto":
        precision = best
    elif precision not in possible:
        what = f"This machine cannot calculate in {precision} ({why})"
        raise Problem(what, do='Set precision = "auto"')
    else:
        why += f"; {precision} was asked for"
    return Machine(device, precision, why, _cores(), round(memory / GIB, 1), name, on_colab())


def on_colab() -> bool:
    """Whether this is a Colab runtime, in a cell or in a command that a cell has started."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def find_rank() -> int:
    """This process's number among those that train together (torchrun, accelerate launch); 0 where
    it is alone. On GPUs each process takes a card of its own."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    return int(os.environ.get("RANK", 0))


def cpu_has_bf16() -> bool:
    """Both ATen and oneDNN must say yes: limiting one by its variable leaves the other as it is."""
    queries = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    aten = any(getattr(torch.cpu, query, bool)() for query in queries)
    try:
        return aten and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a torch built without oneDNN
        return False


def mend_peft() -> None:
    """Make peft work beside an old torchao, as on Colab. Call before adapters are added.

    peft asks `is_torchao_available()` for every layer, and from 0.19 the question raises
    ImportError where torchao is older than 0.16 instead of answering no.
    """
    import peft  # noqa: F401  (loads the modules mended below)
    from peft.import_utils import is_torchao_available

    try:
        is_torchao_available()
    except ImportError:
        for name, module in list(sys.modules.items()):
            if name.startswith("peft") and hasattr(module, "is_torchao_available"):
                module.is_torchao_available = lambda: False


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _processor() -> str:
    return platform.processor() or platform.machine()
