"""Two processes that train together, against one with the same batch. By torchrun: on a CPU
`accelerate launch` would quietly start a single one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sdnb.machine import find_machine
from sdnb.training.loop import fit
from sdnb.training.run import photos_for, prepare

pytestmark = [pytest.mark.one_set, pytest.mark.long]

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def launch(words: list, tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SDNB_PROJECT": str(tmp_path)}
    environment["CUDA_VISIBLE_DEVICES"] = ""  # two processes would want two GPUs
    command = [*TORCHRUN, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "find_unused_parameters" not in done.stderr  # only where something is unused


def gradients_and_weights(config, machine) -> dict[str, torch.Tensor]:
    """Of a run in memory: the first step's gradients and the last step's weights."""
    from sdnb.models.loading import load_model

    parts = prepare(config, photos_for(config), load_model(config.base), machine)
    found = {}

    def note(optimizer, *_):
        every = [p.grad for group in optimizer.param_groups for p in group["params"]]
        there = [gradient.flatten() for gradient in every if gradient is not None]
        found.setdefault("gradients", torch.cat(there))

    parts[0].optimizer.optimizer.register_step_pre_hook(note)
    found["losses"] = torch.tensor([step.loss for step in fit(*parts)])
    found["weights"] = torch.cat([p.detach().flatten() for p in parts[0].parameters.values()])
    found["processes"] = torch.tensor(parts[0].accelerator.num_processes)
    return found


def for_equality(configs):
    """With clip skip a layer of the text encoder gets no gradient, which must not stop them."""
    return {
        method: config.replace(warmup_steps=0, max_grad_norm=1000.0, clip_skip=method == "lora")
        for method, config in configs.items()
    }


def test_two_processes_equal_one_and_keep_one_folder(configs, cpu, tmp_path):
    """In one test: to start them takes longer than what they do."""
    for method, config in for_equality(configs).items():
        config.replace(batch_size=2).save(tmp_path / f"{method}.toml")
    config = configs["lora"].replace(batch_size=2, save_every=1, preview_every=2)
    config = config.replace(held_out=config.photos, validate_every=2)
    (tmp_path / "command").mkdir()
    config.save(tmp_path / "command" / "config.toml")
    launch([__file__, tmp_path], tmp_path)
    they_equal_one_with_their_batches_together(configs, cpu, tmp_path)
    they_keep_one_folder(tmp_path)


def they_equal_one_with_their_batches_together(configs, cpu, folder):
    """Gradients to 1e-5 relative, weights after AdamW to 1e-4: sums in another order."""
    for method, config in for_equality(configs).items():
        alone = gradients_and_weights(config.replace(batch_size=4), cpu)
        both = [torch.load(folder / f"{method}_{rank}.pt") for rank in (0, 1)]
        assert [found["processes"] for found in both] == [2, 2]
        for found in both:
            assert len(found["losses"]) == len(alone["losses"]) > 1
            torch.testing.assert_close(found["losses"], alone["losses"], rtol=1e-4, atol=0)
            for name, tolerance in (("gradients", 1e-5), ("weights", 1e-4)):
                apart = (found[name] - alone[name]).norm() / alone[name].norm()
                assert apart < tolerance, (method, name)


def they_keep_one_folder(folder):
    """As the command trains."""
    (run,) = (folder / "runs").iterdir()
    assert json.loads((run / "machine.json").read_text())["processes"] == 2
    left = {path.name for path in run.iterdir()}
    assert {"lora.safetensors", "history.csv", "validation.csv", "previews"} <= left
    assert "checkpoints" not in left and load_file(run / "lora.safetensors")
    assert (run / "history.csv").read_text().count("\n") == 1 + 4  # 5 photos x 3 views in fours


if __name__ == "__main__":
    from sdnb.training.config import load_config

    for path in sorted(Path(sys.argv[1]).glob("*.toml")):
        found = gradients_and_weights(load_config(path), find_machine("fp32"))
        torch.save(found, path.with_name(f"{path.stem}_{os.environ['RANK']}.pt"))
    from sdnb.cli import main

    raise SystemExit(main(["train", str(Path(sys.argv[1], "command", "config.toml"))]))
