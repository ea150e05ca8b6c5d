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
from sdnb.run import photos_for, prepare
from sdnb.training.fit import fit

pytestmark = pytest.mark.one_set

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def launch(words: list, tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SDNB_PROJECT": str(tmp_path)}
    environment["CUDA_VISIBLE_DEVICES"] = ""  # two processes would want two GPUs
    command = [*TORCHRUN, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def gradients_and_weights(config, machine) -> dict[str, torch.Tensor]:
    """Of a run in memory: the first step's gradients and the last step's weights."""
    from sdnb.loading import load_model

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


def test_two_processes_equal_one_with_their_batches_together(configs, cpu, tmp_path):
    """Gradients to 1e-5 relative, weights after AdamW to 1e-4: sums in another order. With clip
    skip a layer of the text encoder gets no gradient, which must not stop them."""
    configs = {
        method: config.replace(warmup_steps=0, max_grad_norm=1000.0, clip_skip=method == "lora")
        for method, config in configs.items()
    }
    for method, config in configs.items():
        config.replace(batch_size=2).save(tmp_path / f"{method}.toml")
    launch([__file__, tmp_path], tmp_path)
    for method, config in configs.items():
        alone = gradients_and_weights(config.replace(batch_size=4), cpu)
        both = [torch.load(tmp_path / f"{method}_{rank}.pt") for rank in (0, 1)]
        assert [found["processes"] for found in both] == [2, 2]
        for found in both:
            assert len(found["losses"]) == len(alone["losses"]) > 1
            torch.testing.assert_close(found["losses"], alone["losses"], rtol=1e-4, atol=0)
            for name, tolerance in (("gradients", 1e-5), ("weights", 1e-4)):
                apart = (found[name] - alone[name]).norm() / alone[name].norm()
                assert apart < tolerance, (method, name)


def test_the_command_trains_in_two_processes_and_keeps_one_folder(configs, tmp_path):
    config = configs["lora"].replace(batch_size=2, save_every=1, preview_every=2)
    config = config.replace(held_out=config.photos, validate_every=2)
    config.save(tmp_path / "config.toml")
    launch(["-m", "sdnb", "train", tmp_path / "config.toml"], tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "machine.json").read_text())["processes"] == 2
    left = {path.name for path in folder.iterdir()}
    assert {"lora.safetensors", "history.csv", "validation.csv", "previews"} <= left
    assert "checkpoints" not in left and load_file(folder / "lora.safetensors")
    assert (folder / "history.csv").read_text().count("\n") == 1 + 4  # 5 photos x 3 views in fours


if __name__ == "__main__":
    from sdnb.config import load_config

    for path in sorted(Path(sys.argv[1]).glob("*.toml")):
        found = gradients_and_weights(load_config(path), find_machine("fp32"))
        torch.save(found, path.with_name(f"{path.stem}_{os.environ['RANK']}.pt"))
    torch.distributed.destroy_process_group()
