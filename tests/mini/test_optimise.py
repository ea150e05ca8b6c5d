"""The training of the mini model resumes to the very same weights."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
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


TOGETHER = """
import sys, torch
from torch import nn
from pathlib import Path
from sdnb.mini.recipe import optimise as loop
loop.DEVICE, loop.STATE = "cpu", Path(sys.argv[1])
torch.manual_seed(loop.RANK)  # they begin apart
net = nn.Linear(3, 1)
def loss_of(step):
    return (net(torch.randn(8, 3)) - 1).square().mean()
loop.optimise("tiny", {"net": net}, loss_of, 6, 0.1)
print(loop.RANK, *net.weight.flatten().tolist())
"""


def test_two_processes_follow_the_mean_of_their_gradients(tmp_path):
    """As one process with both batches: within float's rounding. Two Pythons have to start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    together = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, tmp_path],
            env={**os.environ, **env, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [process.communicate()[0].splitlines()[-1].split() for process in together]
    first, second = ([float(number) for number in line[1:]] for line in said)
    assert first == second

    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(net.parameters(), 0.1, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(6):
        optimizer.param_groups[0]["lr"] = 0.1 * loop._rise_and_fall(step, 6)
        optimizer.zero_grad()
        for rank in (0, 1):
            here = np.random.SeedSequence([*b"tiny", step, *([rank] if rank else [])])
            torch.manual_seed(int(here.generate_state(1)[0]))
            ((net(torch.randn(8, 3)) - 1).square().mean() / 2).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    assert first == pytest.approx(net.weight.flatten().tolist(), rel=1e-4)
