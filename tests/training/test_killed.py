"""A run killed at any point, as by a power cut, continues to bit-identical weights.

The points are before and after each flush and rename of every file that a run writes, each
deletion, and between the steps. `make test-all` takes every one of them for LoRA, and for the other
methods, which are saved by the same code, every third; `make test` takes some of LoRA's. The run
dies in a process of its own, without a last word. Planning is left out: it writes nothing, and
would take half of the time.
"""

import os
import shutil
import traceback
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

from sdnb.training.run import train
from sdnb.training.run_folder import Run

KILLED = 9

pytestmark = [pytest.mark.one_set, pytest.mark.long]


def weights(run: Run) -> dict[str, torch.Tensor]:
    files = sorted(run.weights.rglob("*.safetensors")) or [run.weights]
    return {f"{file.name}/{k}": v for file in files for k, v in load_file(file).items()}


@contextmanager
def counted(reached):
    """Call `reached` before and after everything that changes the disk for good."""
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}

    def watched(function):
        def call(*arguments, **more):
            reached()
            result = function(*arguments, **more)
            reached()
            return result

        return call

    try:
        for name, function in real.items():
            setattr(os, name, watched(function))
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def run_in_a_child(config, folder, cpu, die_at: int) -> int:
    """Train in a forked process that ends at once at its `die_at`-th point; how it ended."""
    pid = os.fork()
    if pid == 0:
        points = iter(range(die_at))

        def reached(*_):
            if next(points, None) is None:
                os._exit(KILLED)

        try:
            with counted(reached):
                train(config, folder, cpu, progress=False, on_step=reached)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    ("method", "stride"),
    [
        ("lora", 11),  # which shares no divisor with the points of a step
        pytest.param("lora", 1, marks=pytest.mark.thorough),
        pytest.param("dreambooth", 3, marks=pytest.mark.thorough),
        pytest.param("textual_inversion", 3, marks=pytest.mark.thorough),
    ],
)
def test_killed_anywhere_it_continues_to_the_same_weights(
    configs, cpu, tmp_path, monkeypatch, method, stride
):
    if torch.cuda.is_initialized():
        pytest.skip("a process that has used its GPU cannot be forked")
    monkeypatch.setattr("sdnb.training.run.refuse_what_cannot_fit", lambda *_: None)
    config = configs[method].replace(views_per_photo=2, save_every=2)  # five steps
    straight = train(config, tmp_path / "straight", cpu, progress=False)
    expected, point = weights(straight), 0
    while run_in_a_child(config, tmp_path / "run", cpu, point) == KILLED:
        again = train(config, tmp_path / "run", cpu, progress=False)
        assert again.finished and again.history == straight.history, point
        found = weights(again)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected), point
        train(config, tmp_path / "run", cpu)  # a visit to the finished run
        left = {path.name for path in again.folder.iterdir()}
        assert left == {path.name for path in straight.folder.iterdir()}, point
        shutil.rmtree(tmp_path / "run")
        point += stride
    print(f"{method}: killed at the first {point} points")
    assert point > 30
