"""What a run will take, before it begins: memory as arithmetic, term by term, and the files' size.

The modules are built without weights (on torch's "meta" device), so that the plan of a model costs
a second and needs no download. Bytes are counted for the calculation in 16 bits on a GPU, and in
fp32 where the machine calculates so.
"""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import psutil
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from sdnb.adapters.layers import tuner_layers
from sdnb.errors import Problem
from sdnb.machine import (
    GIB,
    T4 as T4,  # lessons plan for it
    Machine,
)
from sdnb.models.base import Model, find_model, quiet, trains
from sdnb.models.conditioning import for_unet
from sdnb.models.families import MINI_FOLDER
from sdnb.training.config import TrainConfig, steps
from sdnb.training.methods import base_dtype, method_of
from sdnb.training.optimizers import choose_optimizer

CONTEXT = 0.5 * GIB  # what CUDA itself takes (driver, cuBLAS, cuDNN)
PYTHON = 0.5 * GIB  # the interpreter with torch, diffusers and transformers
WORKSPACE = 0.2 * GIB  # of the kernels: what a step took beyond the sum, measured on an H100
NORMS = 1.3  # autocast keeps norms in fp32: their activations are twice as large
AGAIN = 0.1  # of the activations: the largest part that checkpointing calculates again at once


@dataclass(frozen=True)
class Plan:
    """`terms` are bytes on the device at the peak, by name; `numbers` how many of them train."""

    steps: int
    numbers: int
    terms: dict[str, float]
    file: float  # bytes of what will be saved
    checkpoint: float  # bytes of one saving on the way
    ram: float  # bytes of main memory at the peak
    disk: float  # bytes of all that is on the disk at the peak
    pace: float | None = None  # seconds a step, where it was tried

    @property
    def memory(self) -> float:
        """GiB on the device at the peak."""
        return sum(self.terms.values()) / GIB

    @property
    def minutes(self) -> float | None:
        """Of training alone, at the pace that was tried."""
        return self.pace and self.steps * self.pace / 60

    @property
    def sizes(self) -> tuple[str, str]:
        """Memory and file, for people."""
        return _size(sum(self.terms.values())), _size(self.file)

    def __str__(self) -> str:
        lines = [f"{value / GIB:8.2f} GiB  {name}" for name, value in self.terms.items()]
        lines += [f"{self.memory:8.2f} GiB  in all"]
        minutes = f", {self.minutes:.1f} minutes" if self.pace else ""
        lines += [f"{self.steps} steps{minutes}; {self.numbers:,} numbers train"]
        lines += [f"file {_size(self.file)}, each saving on the way {_size(self.checkpoint)}"]
        lines += [f"{_size(self.ram)} of main memory, {_size(self.disk)} of disk"]
        return "\n".join(lines)


def plan(config: TrainConfig, photos: int, machine: Machine) -> Plan:
    """The plan of a run with so many photos. Raises Problem for a base that is not known."""
    model, method = empty_model(config.base), method_of(config)
    sizes = [_numbers(model.unet), sum(map(_numbers, model.encoders.values()))]
    with torch.device("meta"):
        groups = method.prepare(model, config)
    trained = [p.shape for group in groups for p in group["params"]]
    numbers = sum(map(prod, trained))
    encodes = any(map(trains, model.encoders.values()))
    optimizer, _ = choose_optimizer(config, numbers)
    states = sum(optimizer_bytes(optimizer, shape) for shape in trained)
    narrow = machine.precision != "fp32"
    width = base_dtype(config, machine).itemsize
    samples = config.batch_size * (1 + bool(config.prior_weight))
    kept = activations(model, samples, config, narrow)
    # with the step in the way back never more than one gradient is there, of the largest tensor
    one = getattr(config, "fused_backward_pass", False)
    gradients = 4 * (max(map(prod, trained)) if one else numbers)
    if narrow and not method.half_base:
        kept += 2 * numbers  # autocast's copies of weights that train, kept like activations
    terms = {
        "weights of the base": width * sum(sizes[: 1 + encodes]),
        "weights that are added": 4 * numbers if method.half_base else 0,
        f"optimizer ({optimizer})": states,
        # on the way back the one shrinks as the other grows: the larger counts
        "gradients, activations": max(gradients, kept) + AGAIN * min(gradients, kept),
        **({"work space": WORKSPACE, "CUDA itself": CONTEXT} if machine.device == "cuda" else {}),
    }
    terms = {name: size for name, size in terms.items() if size}
    sizes.append(_numbers(model.vae))
    loaded = width * sum(sizes[:2]) + 4 * sizes[2]  # the VAE is always fp32
    file = 4 * numbers if method.half_base else 2 * sum(sizes)
    checkpoint = 4 * numbers + states
    ram = PYTHON + max(loaded, file)
    if machine.device != "cuda":
        parked = 4 * sum(sizes[1 + encodes :])
        ram = PYTHON + parked + sum(terms.values())
    disk = file + (config.keep_checkpoints + 1) * checkpoint  # one is written beside the others
    return Plan(steps(config, photos), numbers, terms, file, checkpoint, ram, disk)


def optimizer_bytes(name: str, shape: torch.Size) -> float:
    """Bytes an optimizer keeps for one trained tensor. AdamW: two moments in fp32. 8-bit AdamW: one
    byte each from 4096 numbers on (bitsandbytes' min_8bit_size). Adafactor: a row and a column of
    the last two dimensions (arXiv 1804.04235). Prodigy: four tensors."""
    numbers = prod(shape)
    if name == "adafactor":
        factored = prod(shape[:-1]) + prod(shape[:-2]) * shape[-1] if len(shape) > 1 else numbers
        return 4 * factored
    if name == "adamw8bit":
        return 2 * numbers if numbers >= 4096 else 8 * numbers
    return {"adamw": 8, "prodigy": 16}[name] * numbers


def activations(model: Model, samples: int, config: TrainConfig, narrow: bool) -> float:
    """Bytes that `samples` leave behind on the way through the UNet for the way back. Gradient
    checkpointing keeps less and calculates a part of the rest again."""
    unet = model.unet.train()
    for layer in tuner_layers(unet):
        layer.eval()  # peft's LoHa and LoKr throw dice in training, which "meta" cannot read
    whole = (NORMS if narrow else 1.0) * _kept(unet, samples, narrow)
    if not config.gradient_checkpointing:
        return whole
    unet.enable_gradient_checkpointing()
    few = _kept(unet, samples, narrow)
    unet.disable_gradient_checkpointing()
    return few + AGAIN * whole


def _kept(unet: UNet2DConditionModel, samples: int, narrow: bool) -> int:
    """Bytes of all that autograd keeps in one walk through `unet`, without numbers."""
    side, dtype = unet.config.sample_size, torch.float16 if narrow else torch.float32
    kept: dict[int, torch.Tensor] = {}
    with quiet(warnings=False):  # of a list of modules for fp32, which is empty
        unet = unet.to(dtype)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        base = tensor if tensor._base is None else tensor._base
        if not isinstance(base, nn.Parameter):
            kept[id(base)] = base  # held, so that no id is given out twice
        return tensor

    with torch.device("meta"), _lean_attention(), saved_tensors_hooks(keep, lambda t: t):
        noisy = torch.empty(samples, unet.config.in_channels, side, side, dtype=dtype)
        texts = torch.empty(samples, 78, unet.config.cross_attention_dim, dtype=dtype)
        texts.requires_grad_(True)  # else nothing is kept before the first trained layer
        states, added = for_unet(unet, texts, (8 * side, 8 * side))
        states = states[:, :77]  # only SDXL's last row was taken off: see `conditioning`
        unet(noisy, torch.zeros(samples, dtype=torch.long), states, added_cond_kwargs=added)
    return sum(base.numel() * base.element_size() for base in kept.values())


class _Attention(torch.autograd.Function):
    """What the memory-saving attention of every GPU keeps: its inputs and its output."""

    @staticmethod
    def forward(ctx, query, key, value):
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out


@contextmanager
def _lean_attention():
    """Without numbers torch takes the plain attention, which would keep every pair of places."""
    real = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = lambda q, k, v, *_, **__: _Attention.apply(q, k, v)
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = real


def empty_model(base: str) -> Model:
    """The base model without weights, for counting only."""
    info = find_model(base)
    folder = Path(info.sources[0])
    if not (folder / "unet").is_dir():  # on the Hub, or a single file
        folder = info.family.configs
    second = folder / "text_encoder_2"
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
        encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
        encoder_2 = None
        if second.is_dir():
            encoder_2 = CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(second))
    words = CLIPTokenizer.from_pretrained(MINI_FOLDER / "tokenizer")
    return Model(words, encoder, vae, unet, None, info, None, encoder_2)


def _numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _size(size: float) -> str:
    if size > GIB:
        return f"{size / GIB:.1f} GiB"
    return f"{size / 2**20:.1f} MiB" if size > 2**19 else f"{size / 1024:.0f} KiB"


def refuse_what_cannot_fit(
    config: TrainConfig, photos: int, machine: Machine, folder: Path | None = None
) -> Plan:
    """The plan of a run that fits. Raises a Problem, with the nearest settings that do fit, for one
    that the GPU's memory, the machine's own or the disk under `folder` cannot hold. Without a GPU
    memory is not refused: the machine may swap."""
    needed = plan(config, photos, machine)
    free = shutil.disk_usage(folder).free if folder else math.inf
    if needed.disk > free:
        raise Problem(
            f"This run needs {_size(needed.disk)} of disk, and {_size(free)} are free",
            folder,
            "Make room, keep fewer checkpoints, or choose another folder",
        )
    if machine.device != "cuda":
        return needed
    ram = psutil.virtual_memory().total
    if needed.ram > ram:
        raise Problem(
            f"This run needs {_size(needed.ram)} of main memory, and there are {_size(ram)}",
            do='Choose method = "lora", or a smaller base model',
        )
    if needed.memory > machine.memory_gib:
        raise Problem(
            f"This run needs {needed.memory:.1f} GiB of GPU memory, and {machine.name} has "
            f"{machine.memory_gib:.1f} GiB",
            do=_what_would_fit(config, photos, machine),
        )
    return needed


def _what_would_fit(config: TrainConfig, photos: int, machine: Machine) -> str:
    for changes in _ladder(config):
        fitting = plan(config.replace(**changes), photos, machine).memory
        if fitting <= machine.memory_gib:
            words = ", ".join(f"{name} = {value!r}" for name, value in changes.items())
            words = words.replace("True", "true").replace("False", "false")  # as TOML has them
            return f"Set {words}: it then takes {fitting:.1f} GiB"
    return 'Choose method = "lora", or a smaller base model'


def _ladder(config: TrainConfig) -> Iterator[dict[str, object]]:
    """Changes that save memory, the mildest first, each with those before it."""
    changes: dict[str, object] = {}
    for name, value in (
        ("gradient_checkpointing", True),
        ("batch_size", 1),
        ("optimizer", "adamw8bit"),
        ("optimizer", "adafactor"),
        ("train_text_encoder", False),
    ):
        if getattr(config, name, value) != value:
            changes = {**changes, name: value}
            if config.optimizer == "prodigy" and name == "optimizer":  # whose rates are 1
                rates = {"learning_rate", "text_encoder_learning_rate"} & set(
                    type(config).model_fields
                )
                changes |= {rate: getattr(type(config)(), rate) for rate in sorted(rates)}
            yield changes
    if hasattr(config, "fused_backward_pass"):
        alone = {"max_grad_norm": 0, "gradient_accumulation": 1, "fused_backward_pass": True}
        yield {**changes, **alone}
