"""The fused backward pass equals the ordinary one, and keeps one gradient at a time."""

import pytest
import torch
from torch import nn

from sdnb.dataset import read_photos
from sdnb.errors import Problem
from sdnb.training.checkpoints import load_checkpoint, save_checkpoint
from sdnb.training.fused_backward import FIRST, PATIENCE, FusedBackwardPass
from sdnb.training.loop import fit
from sdnb.training.methods import restore
from sdnb.training.run import prepare

STEPS = 4


@pytest.fixture
def start(tiny, configs, cpu):
    """Makes a fresh run of DreamBooth on the tiny model: (state, batches, loss)."""
    photos = read_photos(configs["dreambooth"].photos, 64)

    def make(**changes):
        changes = {"max_grad_norm": 0, "train_text_encoder": True, **changes}
        return prepare(configs["dreambooth"].replace(**changes), photos, tiny, cpu)

    yield make
    restore(tiny)


def go(run, steps=STEPS) -> list[float]:
    return [step.loss for _, step in zip(range(steps), fit(*run))]


def weights(run) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in run[0].parameters.items()}


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_equals_the_ordinary_step(start, optimizer, checkpointing):
    """To 1e-6 of each weight's length: the same arithmetic, one tensor at a time. Rates change from
    step to step, so that a step at another's rate would show."""
    how = {"optimizer": optimizer, "lr_schedule": "linear", "warmup_steps": 2}
    how["gradient_checkpointing"] = checkpointing
    plain = start(**how)
    before, losses, after = weights(plain), go(plain), weights(plain)
    inside = start(**how, fused_backward_pass=True)
    assert go(inside) == pytest.approx(losses, rel=1e-5)
    for name, weight in weights(inside).items():
        assert not torch.equal(before[name], after[name]) or "embedding" in name, name
        moved = (after[name] - before[name]).norm()
        assert (weight - after[name]).norm() <= 1e-6 * after[name].norm() + 1e-3 * moved, name


def test_one_gradient_at_a_time_and_none_afterwards(start):
    run = start(fused_backward_pass=True)
    parameters, seen = list(run[0].parameters.values()), []
    run[0].optimizer.register_step_pre_hook(
        lambda *_: seen.append(sum(p.grad is not None for p in parameters))
    )
    go(run, 1)
    assert set(seen) == {1} and len(seen) > 0.9 * len(parameters)
    assert all(p.grad is None for p in parameters)


def test_an_interrupted_run_continues_bit_for_bit(start, tmp_path):
    whole = start(fused_backward_pass=True)
    go(whole)
    expected = weights(whole)
    half = start(fused_backward_pass=True)
    go(half, 2)
    half[0].fused_backward.steps_since = 5
    path = save_checkpoint(half[0], tmp_path)
    rest = start(fused_backward_pass=True)
    load_checkpoint(rest[0], path)
    assert rest[0].fused_backward.steps_since == 5
    go(rest, 2)
    rest = weights(rest)
    assert all(torch.equal(rest[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"gradient_accumulation": 2}, "gradient_accumulation = 1"),
        ({"max_grad_norm": 1.0}, "max_grad_norm = 0"),
    ],
)
def test_what_needs_all_gradients_is_refused(start, changes, word):
    with pytest.raises(Problem, match=word):
        start(fused_backward_pass=True, **changes)


class TestLossScale:
    """With weights 2 and 3, gradients 5 and 7, and a rate of 1/2, on paper."""

    def setup_method(self):
        self.far, self.near = (nn.Parameter(torch.tensor(x)) for x in (2.0, 3.0))
        optimizer = torch.optim.SGD([self.far, self.near], lr=0.5)
        self.step = FusedBackwardPass(optimizer, scaled=True)

    def loss(self, factor=1.0):
        return 5 * self.far * factor + 7 * self.near

    def test_gradients_are_divided_again(self):
        assert self.step.scale == FIRST
        self.step.backward(self.loss())
        assert (self.far.item(), self.near.item()) == (-0.5, -0.5)
        assert self.step.scale == FIRST

    def test_a_gradient_that_overflowed_counts_as_zero_and_halves_the_scale(self):
        self.step.backward(self.loss(torch.inf))
        assert (self.far.item(), self.near.item()) == (2.0, -0.5)
        assert self.step.scale == FIRST / 2

    def test_the_scale_doubles_after_many_good_steps(self):
        self.step.steps_since = PATIENCE - 1
        self.step.backward(self.loss())
        assert self.step.state_dict() == {"scale": 2 * FIRST, "steps_since": 0}
