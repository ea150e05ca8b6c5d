"""What a run will take, before it begins: memory as arithmetic, term by term, and the files' size.

The modules are built without weights (on torch's "meta" device), so that the plan of a model costs
a second and needs no download. Bytes are counted for the calculation in 16 bits on a GPU, and in
fp32 where the machine calculates so.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from pathlib import Path

import psutil
import tomli_w
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTokenizer

from sdnb.adapters.layers import tuner_layers
from sdnb.errors import Problem, bytes_in_words
from sdnb.machine import DTYPES, GIB, T4 as T4, Machine  # lessons plan for a T4
from sdnb.models.base import ENCODERS, NETWORKS, Model, ModelInfo, find_model, quiet, trains
from sdnb.models.conditioning import refuse_clip_skip
from sdnb.models.families import MINI, MINI_FOLDER
from sdnb.training.config import ASIDE, TrainConfig, steps
from sdnb.training.fused_backward import refuse_partners
from sdnb.training.loss import Denoiser
from sdnb.training.methods import base_dtype, method_of
from sdnb.training.optimizers import choose_optimizer

CONTEXT = 0.5 * GIB  # what CUDA itself takes (driver, cuBLAS, cuDNN)
PYTHON = 0.5 * GIB  # the interpreter with torch, diffusers and transformers
# of main memory with a GPU, measured on an H200 within 0.2 GiB for six runs: CUDA's libraries
# while the model is read, and all that has come by the time that something is saved
LIBRARIES, LATER = 0.8 * GIB, 1.5 * GIB
WORKSPACE = 0.2 * GIB  # of the kernels: what a step took beyond the sum, measured on an H100
OVERLAP = 0.1  # of the smaller of gradients and activations: one grows as the other shrinks
ATTENTION = functional.scaled_dot_product_attention
WIDE = {functional.group_norm, functional.layer_norm, functional.softmax}  # autocast: in fp32
PRODUCTS = {functional.linear, functional.conv2d, torch.bmm, torch.baddbmm, torch.matmul}
CAST = WIDE | PRODUCTS | {ATTENTION, torch.Tensor.matmul, torch.Tensor.__matmul__}
T4_SPEED = 7e12  # operations a second: users report 2.7 s for a picture of SDXL's 1024 pixels
CORES_SPEED = 5e10  # two cores without a GPU: 0.16 s for a step of the mini's LoRA
CHOICES = (("sd15", None), ("sdxl", 768), ("sdxl", None))  # base and resolution, to compare
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
    others: str = ""  # then, `compare_bases`

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
        lines += [*self.remarks, *([f"\n{self.others}"] if self.others else [])]
        return "\n".join(lines)


def plan(config: TrainConfig, photos: int, machine: Machine, base: ModelInfo | None = None) -> Plan:
    """The plan of a run with so many photos on `machine`. `base` is the base model, where it was
    found already. Raises Problem for a base that is not known, and for settings that exclude one
    another or ask the base for more than it has."""
    info, method = find_model(base or config.base).at(config.resolution), method_of(config)
    dtype, gpu = base_dtype(config, machine), machine.device == "cuda"
    model = empty_model(info, dtype)
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
    terms = {
        "weights of the base": dtype.itemsize * (unet + text - idle),
        "weights that are added": 4 * trainable if method.half_base else 0,
        f"optimizer ({optimizer})": states,
        "gradients, activations": _of_the_backward_pass(config, model, trained, machine),
    }
    if gpu:
        terms |= {"work space": WORKSPACE, "CUDA itself": CONTEXT}
    terms = {name: size for name, size in terms.items() if size}
    loaded = dtype.itemsize * (unet + text) + 4 * vae  # the VAE is always fp32
    file = 4 * trainable if method.half_base else 2 * (unet + text + vae)
    checkpoint = 4 * trainable + states
    # from a copy beside what is parked
    saving = LATER + dtype.itemsize * idle + 4 * vae + max(file, checkpoint)
    peak = LIBRARIES + max(loaded, saving) if gpu else sum(terms.values()) + 4 * (idle + vae)
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
    """Bytes of gradients and activations. One shrinks as the other grows: the larger counts.
    Gradient checkpointing keeps what goes into each block. Beside that stand first autocast's
    copies of all that trains, to the end of the forward pass, and then what one block at a time
    keeps when it is calculated again."""
    counts = [prod(shape) for shape in trained]
    beside = [2 * sum(counts) if machine.precision != "fp32" else 0]

    def block(module: Callable, *inputs: torch.Tensor) -> torch.Tensor:
        beside.append(_kept(partial(module, *inputs)))
        return checkpoint(module, *inputs, use_reentrant=False)

    if config.gradient_checkpointing:
        model.unet.enable_gradient_checkpointing(block)
    with _Autocast(machine):
        kept = _kept(partial(_forward, model, config))
    kept += max(beside) if config.gradient_checkpointing else 0
    # a fused backward pass never holds more than one gradient, of the largest tensor
    fused = getattr(config, "fused_backward_pass", False)
    gradients = 4 * (max(counts) if fused else sum(counts))
    return max(gradients, kept) + OVERLAP * min(gradients, kept)


def compare_bases(
    config: TrainConfig, photos: int, machine: Machine, seconds_per_step: float | None = None
) -> str:
    """The same training on other bases and at other resolutions: a table of GiB, and of minutes as
    the speed was tried, or else on a T4. SDXL is planned with gradient checkpointing. Empty for a
    method that not every family can learn by, and for the mini."""
    if config.method != "lora" or find_model(config.base).family.name == MINI.name:
        return ""
    pace = seconds_per_step and seconds_per_step / _work(config)
    rows = {"": f"   GiB  {'minutes' if pace else 'minutes on a T4'}"}
    for base, resolution in ((config.base, config.resolution), *CHOICES):
        info = find_model(base).at(resolution)
        other = config.replace(base=base, resolution=resolution, **ASIDE)
        if info.family.two_encoders:
            other = other.replace(gradient_checkpointing=True)
        memory = _memory(other, machine)
        minutes = steps(config, photos) * _work(other) * (pace or 1 / T4_SPEED) / 60
        rows[f"{info.name}, {info.resolution} pixels"] = f"{memory:6.1f}{minutes:9.0f}"
    return "\n".join(f"{name:24}{row}" for name, row in rows.items())


def rough_minutes(config: TrainConfig, photos: int, machine: Machine) -> str:
    """How long the training takes on two cores, for the mini, or else on a T4, in a sentence; empty
    for the mini on a GPU, which hardly works. Without previews, class images and reading."""
    small = find_model(config.base).family.name == MINI.name
    if small and machine.device != "cpu":
        return ""
    speed, where = (CORES_SPEED, "two idle cores") if small else (T4_SPEED, "a T4")
    minutes = steps(config, photos) * _work(config.replace(**ASIDE)) / speed / 60
    about = f"about {minutes:.0f} minute{'s' * (minutes >= 1.5)}"
    return f"Training takes {about if minutes >= 0.5 else 'less than a minute'} on {where}."


@lru_cache
def _memory(config: TrainConfig, machine: Machine) -> float:
    return plan(config, 1, machine).memory


@lru_cache
def _work(config: TrainConfig) -> float:
    """Floating-point operations of one step: the forward pass, about as many for the
    gradients of what lies between frozen weights, and once more with checkpointing."""
    with FlopCounterMode(display=False) as counter:
        _forward(empty_model(config.base), config)
    passes = config.gradient_accumulation * (2 + config.gradient_checkpointing)
    return passes * counter.get_total_flops()


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


def _kept(calculate: Callable) -> int:
    """Bytes of all that autograd keeps of it."""
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        base = tensor if tensor._base is None else tensor._base
        if not isinstance(base, nn.Parameter):
            kept[id(base)] = base  # held, so that no id is given out twice
        return tensor

    with saved_tensors_hooks(keep, lambda t: t):
        calculate()
    return sum(base.nbytes for base in kept.values())


def _forward(model: Model, config: TrainConfig) -> None:
    """One step's forward pass, without data."""
    unet, of_the_class = model.unet, config.batch_size * bool(config.prior_weight)
    samples = config.batch_size + (1 if config.prior_from_photos else of_the_class)
    side = config.resolution // model.vae_factor if config.resolution else unet.config.sample_size
    encoders, denoiser = model.encoders.values(), Denoiser(model, config.clip_skip).train()
    for layer in tuner_layers(denoiser):
        layer.eval()  # peft's LoHa and LoKr draw numbers in training, which "meta" cannot read
    with torch.device("meta"):
        noisy = torch.empty(samples, unet.config.in_channels, side, side)
        texts = torch.empty(samples, 77 + len(encoders) - 1, unet.config.cross_attention_dim)
        if any(map(trains, encoders)):
            texts = torch.empty((samples, len(encoders), 77), dtype=torch.long).squeeze(1)
        denoiser(noisy, torch.zeros(samples, dtype=torch.long), texts)


class _Autocast(TorchFunctionMode):
    """What a GPU does, and torch does not without data. Autocast casts what goes into a product
    to 16 bits and what goes into a norm to fp32, and autograd keeps these copies (torch's lists,
    "CUDA Ops that can autocast"). Attention forgets its weights, but on a Mac; torch would take
    the plain one, which keeps the weight of every pair of places."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.flash, self.narrow = machine.device != "mps", DTYPES[machine.precision]

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in CAST:
            to = torch.float32 if function in WIDE else self.narrow
            args, kwargs = tree_map_only(torch.Tensor, lambda t: t.to(to), (args, kwargs))
        if function is ATTENTION and self.flash:
            return _KeepInputsAndOutput.apply(*args[:3])
        return function(*args, **(kwargs or {}))


class _KeepInputsAndOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value):
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out


def empty_model(base: str | ModelInfo, dtype: torch.dtype = torch.float32) -> Model:
    """The base model without weights, frozen, for counting only."""
    info = find_model(base)
    folder = info.folder or info.family.configs
    parts: dict[str, nn.Module] = {}
    with torch.device("meta"), quiet(warnings=False):  # of a list for fp32, which is empty
        for name, network in NETWORKS.items():
            parts[name] = network.from_config(network.load_config(folder / name))
        for name, encoder in ENCODERS.items():
            if (folder / name).is_dir():
                parts[name] = encoder(encoder.config_class.from_pretrained(folder / name))
        for part in parts.values():
            part.requires_grad_(False).to(dtype)
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
    memory is not refused: the machine may swap. A Mac's GPU takes it from the machine's own."""
    needed = plan(config, photos, machine, base)
    free = shutil.disk_usage(folder).free if folder else math.inf
    if needed.disk > free:
        what = f"This run needs {_in_words(needed.disk)} of disk, and {_in_words(free)} are free"
        do = "Make room, keep fewer checkpoints, or choose another folder"
        raise Problem(what, folder, do)
    if machine.device == "cpu":
        return needed
    ram = psutil.virtual_memory().total
    if needed.ram > ram:
        what = f"This run needs {_in_words(needed.ram)} of main memory, but has {_in_words(ram)}"
        raise Problem(what, do=SMALLER)
    if needed.memory > (room := machine.memory_gib):
        what = f"This run needs {needed.memory:.1f} GiB of GPU memory, and {machine.name} has "
        raise Problem(f"{what}{room:.1f} GiB", do=_what_would_fit(config, photos, machine))
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
