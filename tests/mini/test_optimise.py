"""The training of the mini model resumes to the very same weights."""

import torch
from torch import nn

from sdnb.mini.recipe import optimise as loop


def run(tmp_path, monkeypatch, name, lengths):
    """A tiny regression for each of `lengths` in turn, stopped and taken up again; its weights."""
    monkeypatch.setattr(loop, "STATE", tmp_path / name)
    monkeypatch.setattr(loop, "DEVICE", "cpu")
    for stop in lengths:
        torch.manual_seed(0)
        net = nn.Linear(3, 1)

        def loss_of(step, stop=stop, net=net):
            if step == stop:
                raise KeyboardInterrupt
            return (net(torch.randn(8, 3)) - 1).square().mean()

        monkeypatch.setattr(loop, "SAVE_SECONDS", -1)  # after every step
        try:
            result = loop.optimise("tiny", {"net": net}, loss_of, 6, 0.1, ema=0.9)
        except KeyboardInterrupt:
            continue
    return result["net"].weight


def test_interrupted_equals_straight(tmp_path, monkeypatch):
    straight = run(tmp_path, monkeypatch, "a", [6])
    resumed = run(tmp_path, monkeypatch, "b", [2, 5, 6])
    assert torch.equal(straight, resumed)
