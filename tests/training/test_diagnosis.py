"""A loss that is no number: the cause that is named, and the last good checkpoint kept."""

from types import SimpleNamespace

import pytest
import torch

from sdnb.errors import Problem
from sdnb.training import run as run_module
from sdnb.training.batches import Batch, Batches, Examples
from sdnb.training.loop import diagnose
from sdnb.training.run import train


@pytest.fixture
def some():
    """A batch of two of three photos, and the batches it is from."""
    examples = Examples(
        torch.zeros(3, 1, 4, 2, 2), torch.zeros(4, 1, 1), ("a.jpg", "b.jpg", "c.jpg")
    )
    batches = Batches(examples, None, 0.0, 0.0, 0, 2, 2, 1000)
    return batches.at(0, 0), batches


def told(some, latents=None, weight=1.0, precision="no") -> Problem:
    batch, batches = some
    if latents is not None:
        batch = Batch(**vars(batch) | {"latents": latents})
    losses = torch.tensor([1.0, float("nan")])
    state = SimpleNamespace(
        parameters={"weight": torch.tensor(weight)},
        step=6,
        accelerator=SimpleNamespace(mixed_precision=precision),
    )
    return diagnose(losses, batch, batches, state)


def test_the_photo_is_named(some):
    name = some[1].instance.names[int(some[0].rows[1])]
    problem = told(some)
    assert problem.where == name and "At step 7" in problem.what
    assert "learning rate is the likeliest cause" in problem.what


def test_a_photo_that_cannot_be_encoded_is_the_cause(some):
    latents = some[0].latents.clone()
    latents[1, 0, 0, 0] = float("inf")
    assert "cannot be encoded" in told(some, latents).what and "Remove it" in told(some, latents).do


def test_a_narrow_precision_is_the_cause_on_a_t4(some):
    assert "too large for fp16" in told(some, precision="fp16").what


def test_lost_weights_are_the_cause_before_all_else(some):
    problem = told(some, weight=float("nan"), precision="fp16")
    assert "weights have grown" in problem.what and problem.where is None


def test_weights_that_are_lost_are_never_saved(configs, cpu, tmp_path, monkeypatch):
    """One weight becomes NaN in step 3: that state must not replace the good one of step 2."""
    start, states = run_module.start, []

    def remember(*arguments):
        states.append(start(*arguments))
        return states[-1]

    def spoil(step):
        if step.index == 3:
            next(iter(states[0].parameters.values())).data.fill_(float("nan"))

    monkeypatch.setattr(run_module, "start", remember)
    config = configs["dreambooth"].replace(save_every=1)
    with pytest.raises(Problem, match="At step 3 the weights were no longer numbers"):
        train(config, tmp_path / "run", cpu, progress=False, on_step=spoil)
    kept = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert kept == ["step_000002.safetensors"]
