"""The one loop that every stage of the mini model's training runs in. Its state lies outside the
repository. Under `torchrun` each GPU takes a batch of its own, and the gradients' mean is followed.
"""

import copy
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn

from sdnb.machine import find_machine

STATE = Path(os.environ.get("SDNB_STATE", Path.home() / ".cache" / "sdnb-mini"))
MACHINE = find_machine()
DEVICE = MACHINE.device
SAVE_SECONDS = 60
RANK, WORLD = (int(os.environ.get(name, value)) for name, value in (("RANK", 0), ("WORLD_SIZE", 1)))
if WORLD > 1:
    if DEVICE == "cuda":
        torch.cuda.set_device(RANK)
    distributed.init_process_group("nccl" if DEVICE == "cuda" else "gloo")


def autocast():
    """bf16 on a GPU that has it. Not on a CPU: attention in bf16 is ten times slower there."""
    bf16 = DEVICE == "cuda" and MACHINE.precision == "bf16"
    return torch.autocast(DEVICE, torch.bfloat16, enabled=bf16)


def seed_step(stage: str, step: int) -> None:
    """Chance is a function of (stage, step): a resumed stage draws what the straight one would
    have. Every further GPU has its own."""
    here = [*stage.encode(), step, *([RANK] if RANK else [])]
    torch.manual_seed(int(np.random.SeedSequence(here).generate_state(1)[0]))


def average_gradients(module: nn.Module) -> None:
    """Over all GPUs; nothing to do where there is one."""
    if WORLD > 1:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(flat)
        means = flat.div_(WORLD).split([g.numel() for g in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))


def optimise(
    stage: str,
    modules: dict[str, nn.Module],
    loss_of: Callable[[int], torch.Tensor],
    steps: int,
    rate: float,
    ema: float = 0.0,
) -> dict[str, nn.Module]:
    """AdamW with warm-up and cosine, an exponential average of the weights, state saved by the
    clock. Returns the averaged modules (or the modules themselves where `ema` is 0)."""
    every = nn.ModuleDict(modules).to(DEVICE, memory_format=torch.channels_last)
    for tensor in every.state_dict().values() if WORLD > 1 else ():  # all begin alike
        distributed.broadcast(tensor, 0)
    average = copy.deepcopy(every).requires_grad_(False) if ema else every
    optimizer = torch.optim.AdamW(
        every.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    moving = {"modules": every, "average": average, "optimizer": optimizer}
    start, losses, begun = _load_state(stage, moving), [], time.time()
    saved = begun
    every.train()
    for step in range(start, steps):
        seed_step(stage, step)
        for group in optimizer.param_groups:
            group["lr"] = rate * _rise_and_fall(step, steps)
        loss = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(every)
        nn.utils.clip_grad_norm_(every.parameters(), 1.0)
        optimizer.step()
        if ema:
            decay = min(ema, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(every.parameters()), 1 - decay)
        losses.append(loss.detach())
        last = step + 1 == steps
        if RANK == 0 and (last or (step + 1) % 250 == 0):
            mean = float(torch.stack(losses[-250:]).mean())
            pace = (time.time() - begun) / (step + 1 - start)
            print(f"{stage} {step + 1}/{steps} loss {mean:.4f} {pace:.3f} s/step", flush=True)
        if RANK == 0 and (last or time.time() - saved > SAVE_SECONDS):
            _save_state(stage, moving, step + 1)
            saved = time.time()
    for name, buffer in average.named_buffers():
        buffer.copy_(every.get_buffer(name))
    return {name: average[name].eval() for name in modules}


def _rise_and_fall(step: int, steps: int) -> float:
    """The learning rate's course: 200 steps up, then a cosine down to a hundredth."""
    return min(1, (step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _load_state(stage: str, moving: dict) -> int:
    """Take an earlier run of the stage up again; returns the steps it has done."""
    path = STATE / f"{stage}.pt"
    if not path.exists():
        return 0
    state = torch.load(path, map_location=DEVICE, weights_only=True)
    for name, part in moving.items():
        part.load_state_dict(state[name])
    return state["step"]


def _save_state(stage: str, moving: dict, step: int) -> None:
    path = STATE / f"{stage}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    torch.save({**{name: part.state_dict() for name, part in moving.items()}, "step": step}, aside)
    aside.replace(path)
