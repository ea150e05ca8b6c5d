"""The loop, the same for every method. Progress, files and stopping live in the caller."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, GradientState
from torch import nn

from sdnb.errors import Problem
from sdnb.machine import Machine
from sdnb.training.batches import Batch, Batches
from sdnb.training.config import TrainConfig
from sdnb.training.fused_backward import FusedBackwardPass, refuse_partners
from sdnb.training.optimizers import hold_norms, make_optimizer, make_schedule

LOWER = "Lower the learning rate and train again in another folder"
KEPT = "what was saved before is still there"
Loss = Callable[[nn.Module, Batch], torch.Tensor]


@dataclass(frozen=True)
class Step:
    """What one optimizer step leaves behind. Losses are means over the step's samples, without
    the prior weight; `loss` is what was minimised: instance_loss + prior_weight * prior_loss."""

    index: int  # steps done, from 1
    loss: float
    instance_loss: float
    prior_loss: float  # 0 without prior preservation
    learning_rate: float


@dataclass
class TrainState:
    """Everything that changes in a run, and nothing else: what a checkpoint has to hold."""

    denoiser: nn.Module
    parameters: dict[str, nn.Parameter]  # those that train, fp32
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    accelerator: Accelerator
    max_grad_norm: float
    total_steps: int
    fused_backward: FusedBackwardPass | None = None
    step: int = 0

    @property
    def steps_left(self) -> int:
        return self.total_steps - self.step

    @property
    def scaler(self):
        """What keeps the loss in fp16's range, and has a state to save; None elsewhere."""
        return self.fused_backward or self.accelerator.scaler

    def update(self, loss: torch.Tensor) -> None:
        """The backward pass, and the optimizer's step after it (or, by choice, fused with it)."""
        if self.fused_backward:
            return self.fused_backward.backward(loss)
        self.accelerator.backward(loss)
        if self.accelerator.sync_gradients and self.max_grad_norm:
            self.accelerator.clip_grad_norm_(self.parameters.values(), self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def any_process(self, yes: bool) -> bool:
        """Whether one of the processes that train together says yes: all must stop as one."""
        if self.accelerator.num_processes == 1:
            return yes
        said = torch.tensor(float(yes), device=self.accelerator.device)
        return self.accelerator.reduce(said, "sum").item() > 0


def new_accelerator(
    machine: Machine, gradient_accumulation: int = 1, unused: bool = False
) -> Accelerator:
    """A fresh Accelerator. Its state is one per process and would else keep the precision and
    accumulation of the run before; so only the latest run of a process may be continued.

    `unused`: some of what trains gets no gradient, which several processes take for a mistake
    unless they know; knowing it for nothing, they warn and search in vain at each step."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    return Accelerator(
        cpu=machine.device == "cpu",
        mixed_precision="no" if machine.precision == "fp32" else machine.precision,
        gradient_accumulation_steps=gradient_accumulation,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=unused)],
    )


def leave() -> None:
    """Part from the other processes, so that the first to end does not look like a crash."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def start(
    denoiser: nn.Module,
    groups: list[dict],
    config: TrainConfig,
    accelerator: Accelerator,
    total_steps: int,
) -> TrainState:
    """The state before the first step. `groups` are the optimizer's parameter groups; what they
    hold must be fp32, whatever the calculation's precision: updates are too small for 16 bits.
    Raises Problem for an optimizer that is not installed, and for settings that exclude each
    other."""
    optimizer, fused_backward = make_optimizer(groups, config), None
    optimizer.register_step_post_hook(hold_norms)
    schedule = make_schedule(optimizer, config, total_steps)
    parameters = {n: p for n, p in denoiser.named_parameters() if p.requires_grad}
    denoiser.train()
    # the schedule is not prepared: accelerate would step it once per process
    if getattr(config, "fused_backward_pass", False):
        refuse_partners(config, accelerator.num_processes)
        # nor the optimizer: accelerate's wrapper would wait for a step of its own
        fused_backward = FusedBackwardPass(optimizer, accelerator.mixed_precision == "fp16")
        denoiser = accelerator.prepare(denoiser)
    else:
        denoiser, optimizer = accelerator.prepare(denoiser, optimizer)
    return TrainState(
        denoiser=denoiser,
        parameters=parameters,
        optimizer=optimizer,
        schedule=schedule,
        accelerator=accelerator,
        max_grad_norm=config.max_grad_norm,
        total_steps=total_steps,
        fused_backward=fused_backward,
    )


def fit(state: TrainState, batches: Batches, loss: Loss) -> Iterator[Step]:
    """Train from `state.step` to `state.total_steps`, yielding a Step after each update.

    Between two yields the state is whole: it may be saved, or the generator dropped. Raises
    Problem where the loss is not a number, before any weight has seen it.
    """
    accelerator = state.accelerator
    while state.steps_left:
        learning_rate = state.schedule.get_last_lr()[0]
        losses = torch.zeros(3, device=accelerator.device)
        for micro_batch in range(accelerator.gradient_accumulation_steps):
            place = micro_batch * accelerator.num_processes + accelerator.process_index
            batch = batches.at(state.step, place)
            with accelerator.accumulate(state.denoiser):
                each = loss(state.denoiser, batch)
                total, parts = _weighted(each, batch)
                if not torch.isfinite(total):
                    raise diagnose(each, batch, batches, state)
                state.update(total)
            losses += parts / accelerator.gradient_accumulation_steps
        state.schedule.step()
        state.step += 1
        yield Step(state.step, *accelerator.reduce(losses, "mean").tolist(), learning_rate)


def _weighted(losses: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss to minimise, and (3,) loss, instance loss and prior loss to report.

    Weights of 1 for n instance and lambda n / k for k class samples, divided by n, make
    mean(instance) + lambda * mean(prior) (DreamBooth, arXiv 2208.12242, eq. 2).
    """
    instances = (~batch.is_prior).sum()
    total = (batch.weights * losses).sum() / instances
    prior = torch.where(batch.is_prior, losses, 0).sum() / batch.is_prior.sum().clamp(min=1)
    instance = torch.where(batch.is_prior, 0, losses).sum() / instances
    return total, torch.stack([total, instance, prior]).detach()


def diagnose(losses: torch.Tensor, batch: Batch, batches: Batches, state: TrainState) -> Problem:
    """Why some of `losses` (n,) are NaN or infinite, as a Problem that names the likeliest cause:
    weights that are lost already, a photo whose latents are, a precision too narrow, the base
    where nothing has been learned yet, or else a learning rate too high."""
    at = f"At step {state.step + 1} the loss was no longer a number"
    if not finite(state.parameters):
        grown = f"{at}, because the weights have grown beyond all bounds"
        return Problem(grown, do=f"{LOWER}; {KEPT}")
    bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
    names = ", ".join(dict.fromkeys(batches.name_of(batch, i) for i in bad))
    if any(not torch.isfinite(batch.latents[i]).all() for i in bad):
        encoded = f"{at}, because a photo cannot be encoded"
        return Problem(encoded, names, "Remove it and train again")
    if state.accelerator.mixed_precision == "fp16":
        narrow = 'Set precision = "fp32", or lower the learning rate'
        return Problem(f"{at}: a value was too large for fp16", names, f"{narrow}; {KEPT}")
    if not state.step:
        first = f"{at}, before anything was learned; the base model is the likeliest cause"
        return Problem(first, names, "Choose another base model, or download this one again")
    return Problem(f"{at}; the learning rate is the likeliest cause", names, f"{LOWER}; {KEPT}")


def finite(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether every number of the weights is one: neither NaN nor infinite."""
    return all(torch.isfinite(weight).all() for weight in weights.values())
