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
from functools import partial
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
from sdnb.errors import Problem, bytes_in_words
from sdnb.machine import (
    GIB,
    T4 as T4,  # lessons plan for it
    Machine,
)
from sdnb.models.base import Model, ModelInfo, find_model, quiet, trains
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

_in_words = partial(bytes_in_words, binary=True)


@dataclass(frozen=True)
class Plan:
    """What a run will take. `terms` are bytes on the device at the peak, by name."""

    steps: int
    trainable: int  # parameters
    terms: dict[str, float]
    file: float  # bytes of what will be saved
    checkpoint: float  # bytes of one saved on the way
    ram: float  # bytes of main memory at the peak
    disk: float  # bytes of all that is on the disk at the peak
    seconds_per_step: float | None = None  # where it was tried

    @property
    def memory(self) -> float:
        """GiB on the device at the peak."""
        return sum(self.terms.values()) / GIB

    @property
    def minutes(self) -> float | None:
        """Of training alone, at the speed that was tried."""
        return self.seconds_per_step and self.steps * self.seconds_per_step / 60

    @property
    def sizes(self) -> tuple[str, str]:
        """Memory and file, for people."""
        return _in_words(sum(self.terms.values())), _in_words(self.file)

    def __str__(self) -> str:
        lines = [f"{value / GIB:8.2f} GiB  {name}" for name, value in self.terms.items()]
        lines += [f"{self.memory:8.2f} GiB  in all"]
        minutes = f", {self.minutes:.1f} minutes" if self.minutes else ""
        lines += [f"{self.steps} steps{minutes}; {self.trainable:,} trainable parameters"]
        lines += [f"file {_in_words(self.file)}, each checkpoint {_in_words(self.checkpoint)}"]
        lines += [f"{_in_words(self.ram)} of main memory, {_in_words(self.disk)} of disk"]
        return "\n".join(lines)


def plan(config: TrainConfig, photos: int, machine: Machine, base: ModelInfo | None = None) -> Plan:
    """The plan of a run with so many photos on `machine`. `base` is the base model, where it was
    found already. Raises Problem for a base that is not known."""
    model, method = empty_model(base or config.base), method_of(config)
    unet, text, vae = (
        sum(map(_parameters, parts))
        for parts in ((model.unet,), model.encoders.values(), (model.vae,))
    )
    with torch.device("meta"):
        groups = method.prepare(model, config)
    trained = [p.shape for group in groups for p in group["params"]]
    trainable = sum(map(prod, trained))
    optimizer, _ = choose_optimizer(config, trainable)
    states = sum(optimizer_bytes(optimizer, shape) for shape in trained)
    idle = 0 if any(map(trains, model.encoders.values())) else text  # parked in main memory
    width = base_dtype(config, machine).itemsize
    terms = {
        "weights of the base": width * (unet + text - idle),
        "weights that are added": 4 * trainable if method.half_base else 0,
        f"optimizer ({optimizer})": states,
        "gradients, activations": _of_the_backward_pass(config, model, trained, machine),
    }
    if machine.device == "cuda":
        terms |= {"work space": WORKSPACE, "CUDA itself": CONTEXT}
    terms = {name: size for name, size in terms.items() if size}
    loaded = width * (unet + text) + 4 * vae  # the VAE is always fp32
    file = 4 * trainable if method.half_base else 2 * (unet + text + vae)
    checkpoint = 4 * trainable + states
    on_the_way = max(loaded, file) if machine.device == "cuda" else sum(terms.values())
    parked = 0 if machine.device == "cuda" else 4 * (idle + vae)
    return Plan(
        steps=steps(config, photos),
        trainable=trainable,
        terms=terms,
        file=file,
        checkpoint=checkpoint,
        ram=PYTHON + on_the_way + parked,
        disk=file + (config.keep_checkpoints + 1) * checkpoint,  # one is written beside the others
    )


def _of_the_backward_pass(
    config: TrainConfig, model: Model, trained: list[torch.Size], machine: Machine
) -> float:
    """Bytes of gradients and activations. One shrinks as the other grows: the larger counts."""
    narrow, counts = machine.precision != "fp32", [prod(shape) for shape in trained]
    samples = config.batch_size * (1 + bool(config.prior_weight))
    kept = activations(model, samples, config, narrow)
    if narrow and not method_of(config).half_base:
        kept += 2 * sum(counts)  # autocast's copies of weights that train, kept like activations
    # a fused backward pass never holds more than one gradient, of the largest tensor
    fused = getattr(config, "fused_backward_pass", False)
    gradients = 4 * (max(counts) if fused else sum(counts))
    return max(gradients, kept) + AGAIN * min(gradients, kept)


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
    """Bytes that a forward pass of `samples` keeps for the backward pass. Gradient checkpointing
    keeps less and calculates a part of the rest again."""
    unet = model.unet.train()
    for layer in tuner_layers(unet):
        layer.eval()  # peft's LoHa and LoKr draw numbers in training, which "meta" cannot read
    whole = (NORMS if narrow else 1.0) * _kept(unet, samples, narrow)
    if not config.gradient_checkpointing:
        return whole
    unet.enable_gradient_checkpointing()
    few = _kept(unet, samples, narrow)
    unet.disable_gradient_checkpointing()
    return few + AGAIN * whole


def _kept(unet: UNet2DConditionModel, samples: int, narrow: bool) -> int:
    """Bytes of all that autograd keeps in one forward pass of `unet`, without data."""
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
    """Without data torch takes the plain attention, which would keep every pair of places."""
    real = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = lambda q, k, v, *_, **__: _Attention.apply(q, k, v)
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = real


def empty_model(base: str | ModelInfo) -> Model:
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
    return Model(
        tokenizer=words,
        text_encoder=encoder,
        vae=vae,
        unet=unet,
        scheduler=None,
        info=info,
        text_encoder_2=encoder_2,
    )


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def refuse_what_cannot_fit(
    config: TrainConfig,
    photos: int,
    machine: Machine,
    folder: Path | None = None,
    base: ModelInfo | None = None,
) -> Plan:
    """The plan of a run that fits. Raises a Problem, with the nearest settings that do fit, for one
    that the GPU's memory, the machine's own or the disk under `folder` cannot hold. Without a GPU
    memory is not refused: the machine may swap."""
    needed = plan(config, photos, machine, base)
    free = shutil.disk_usage(folder).free if folder else math.inf
    if needed.disk > free:
        raise Problem(
            f"This run needs {_in_words(needed.disk)} of disk, and {_in_words(free)} are free",
            folder,
            "Make room, keep fewer checkpoints, or choose another folder",
        )
    if machine.device != "cuda":
        return needed
    ram = psutil.virtual_memory().total
    if needed.ram > ram:
        raise Problem(
            f"This run needs {_in_words(needed.ram)} of main memory, but has {_in_words(ram)}",
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
