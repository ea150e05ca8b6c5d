"""What a run will take, before it begins: memory as arithmetic, term by term, and the files' size.

The modules are built without weights (on torch's "meta" device), so that the plan of a model costs
a second and needs no download. Bytes are counted for the calculation in 16 bits on a GPU, and in
fp32 where the machine calculates so.
"""

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import psutil
import tomli_w
import torch
from diffusers import UNet2DConditionModel
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import CLIPTokenizer

from sdnb.adapters.layers import tuner_layers
from sdnb.errors import Problem, bytes_in_words
from sdnb.machine import (
    GIB,
    T4 as T4,  # lessons plan for it
    Machine,
)
from sdnb.models.base import ENCODERS, NETWORKS, Model, ModelInfo, find_model, quiet, trains
from sdnb.models.conditioning import for_unet, refuse_clip_skip
from sdnb.models.families import MINI_FOLDER
from sdnb.training.config import TrainConfig, steps
from sdnb.training.fused_backward import refuse_partners
from sdnb.training.methods import base_dtype, method_of
from sdnb.training.optimizers import choose_optimizer

CONTEXT = 0.5 * GIB  # what CUDA itself takes (driver, cuBLAS, cuDNN)
PYTHON = 0.5 * GIB  # the interpreter with torch, diffusers and transformers
WORKSPACE = 0.2 * GIB  # of the kernels: what a step took beyond the sum, measured on an H100
NORMS = 1.3  # autocast keeps norms in fp32: their activations are twice as large
AGAIN = 0.1  # of the activations: the largest part that checkpointing calculates again at once
SMALLER = 'Choose method = "lora", or a smaller base model'

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
    remarks: tuple[str, ...] = ()  # of what the run would pass over, where its photos were read

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
        return "\n".join([*lines, *self.remarks])


def plan(config: TrainConfig, photos: int, machine: Machine, base: ModelInfo | None = None) -> Plan:
    """The plan of a run with so many photos on `machine`. `base` is the base model, where it was
    found already. Raises Problem for a base that is not known."""
    model, method = empty_model(base or config.base), method_of(config)
    refuse_clip_skip(tuple(model.encoders.values()), config.clip_skip)
    if getattr(config, "fused_backward_pass", False):
        refuse_partners(config, processes=1)
    unet, vae = model.unet.num_parameters(), model.vae.num_parameters()
    text = sum(encoder.num_parameters() for encoder in model.encoders.values())
    with torch.device("meta"):
        groups = method.prepare(model, config)
    trained = [p.shape for group in groups for p in group["params"]]
    trainable = sum(map(prod, trained))
    optimizer, _ = choose_optimizer(config, trainable)
    states = sum(optimizer_bytes(optimizer, shape) for shape in trained)
    idle = 0 if any(map(trains, model.encoders.values())) else text  # parked in main memory
    width, gpu = base_dtype(config, machine).itemsize, machine.device == "cuda"
    terms = {
        "weights of the base": width * (unet + text - idle),
        "weights that are added": 4 * trainable if method.half_base else 0,
        f"optimizer ({optimizer})": states,
        "gradients, activations": _of_the_backward_pass(config, model, trained, machine),
    }
    if gpu:
        terms |= {"work space": WORKSPACE, "CUDA itself": CONTEXT}
    terms = {name: size for name, size in terms.items() if size}
    loaded = width * (unet + text) + 4 * vae  # the VAE is always fp32
    file = 4 * trainable if method.half_base else 2 * (unet + text + vae)
    checkpoint = 4 * trainable + states
    peak = max(loaded, file) if gpu else sum(terms.values()) + 4 * (idle + vae)
    return Plan(
        steps=steps(config, photos),
        trainable=trainable,
        terms=terms,
        file=file,
        checkpoint=checkpoint,
        ram=PYTHON + peak,
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

    with torch.device("meta"), _FlashAttention(), saved_tensors_hooks(keep, lambda t: t):
        noisy = torch.empty(samples, unet.config.in_channels, side, side, dtype=dtype)
        texts = torch.empty(samples, 78, unet.config.cross_attention_dim, dtype=dtype)
        texts.requires_grad_(True)  # else nothing is kept before the first trained layer
        states, added = for_unet(unet, texts, (8 * side, 8 * side))
        states = states[:, :77]  # only SDXL's last row was taken off: see `conditioning`
        unet(noisy, torch.zeros(samples, dtype=torch.long), states, added_cond_kwargs=added)
    return sum(base.nbytes for base in kept.values())


class _FlashAttention(TorchFunctionMode):
    """Attention keeps what it keeps on a GPU. Without data torch would take the plain one, which
    keeps the weight of every pair of places."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is functional.scaled_dot_product_attention:
            return _KeepInputsAndOutput.apply(*args[:3])
        return function(*args, **(kwargs or {}))


class _KeepInputsAndOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value):
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out


def empty_model(base: str | ModelInfo) -> Model:
    """The base model without weights, for counting only."""
    info = find_model(base)
    folder = info.folder or info.family.configs
    with torch.device("meta"):
        parts = {
            name: network.from_config(network.load_config(folder / name))
            for name, network in NETWORKS.items()
        }
        parts |= {
            name: encoder(encoder.config_class.from_pretrained(folder / name))
            for name, encoder in ENCODERS.items()
            if (folder / name).is_dir()
        }
    tokenizer = CLIPTokenizer.from_pretrained(MINI_FOLDER / "tokenizer")
    return Model(tokenizer=tokenizer, scheduler=None, info=info, **parts)


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
            do=SMALLER,
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
            lines = tomli_w.dumps(changes).splitlines()
            return f"Set {', '.join(lines)}: it then takes {fitting:.1f} GiB"
    return SMALLER


def _ladder(config: TrainConfig) -> Iterator[dict[str, object]]:
    """Changes that save memory, the mildest first, each with those before it."""
    fields, rates = type(config).model_fields, {}
    if config.optimizer == "prodigy":  # its rates are 1, and another optimizer's are not
        rates = {n: field.default for n, field in fields.items() if n.endswith("learning_rate")}
    changes: dict[str, object] = {}
    for further in (
        {"gradient_checkpointing": True},
        {"batch_size": 1},
        {"optimizer": "adamw8bit", **rates},
        {"optimizer": "adafactor", **rates},
        {"train_text_encoder": False},
        {"max_grad_norm": 0, "gradient_accumulation": 1, "fused_backward_pass": True},
    ):
        if further.keys() <= fields.keys() and config.replace(**further) != config:
            changes = {**changes, **further}
            yield changes
