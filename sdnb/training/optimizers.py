"""What turns gradients into updates: four optimizers by name, and the learning rate's course."""

import importlib.util

import torch
from diffusers.optimization import get_scheduler

from sdnb.errors import Problem
from sdnb.training.config import TrainConfig

LARGE = 50_000_000  # trainable parameters from which the optimizer's own memory matters


def choose_optimizer(config: TrainConfig, parameters: int) -> tuple[str, str]:
    """The optimizer that will be used for so many trainable `parameters`, and a sentence where it
    is not the one asked for: 8-bit AdamW needs bitsandbytes, which Colab and most CPUs lack."""
    name = config.optimizer
    if name == "adamw8bit" and not _installed("bitsandbytes"):
        name = "adafactor" if parameters > LARGE else "adamw"
        return name, f"bitsandbytes is not installed, so {name} takes the place of 8-bit AdamW."
    if name == "prodigy" and not _installed("prodigyopt"):
        do = 'Install it with `pip install prodigyopt`, or set optimizer = "adamw"'
        raise Problem("The optimizer prodigy needs the package prodigyopt", do=do)
    return name, ""


def make_optimizer(groups: list[dict], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer over `groups`, each with its own `lr`."""
    parameters = sum(p.numel() for group in groups for p in group["params"])
    name, _ = choose_optimizer(config, parameters)
    decay = config.weight_decay
    if name == "adafactor":
        from transformers import Adafactor  # torch's scales every rate by its weights' size

        own = {"scale_parameter": False, "relative_step": False}
        # its one rate is no group's, but the polynomial schedule asks for it
        return Adafactor(groups, lr=config.learning_rate, weight_decay=decay, **own)
    if name == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(groups, weight_decay=decay)
    if name == "prodigy":
        from prodigyopt import Prodigy

        if len({group["lr"] for group in groups}) > 1:
            do = "Set text_encoder_learning_rate to the value of learning_rate"
            raise Problem("Prodigy finds one learning rate for all parts", do=do)
        return Prodigy(groups, weight_decay=decay, use_bias_correction=True, safeguard_warmup=True)
    return torch.optim.AdamW(groups, weight_decay=decay, fused=True)


@torch.no_grad()
def hold_norms(optimizer: torch.optim.Optimizer, *_) -> None:
    """After a step: shorten what has grown beyond its group's norm `longest`, row by row, where it
    has one. So do diffusers' `retract_embeddings` (train_dreambooth_lora_sd15_advanced.py) and
    cloneofsimo/lora with new words, but by degrees."""
    for group in optimizer.param_groups:
        for rows in group["params"] if "longest" in group else ():
            rows.renorm_(2, 0, group["longest"])


def make_schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """diffusers' schedules; its plain "constant" would ignore the warm-up."""
    name = {"constant": "constant_with_warmup"}.get(config.lr_schedule, config.lr_schedule)
    return get_scheduler(
        name, optimizer, num_warmup_steps=config.warmup_steps, num_training_steps=total_steps
    )


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
