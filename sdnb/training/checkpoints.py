"""Save a run's state and take it up again: one safetensors file, no pickle, whole or absent."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sdnb.files import write_atomically
from sdnb.problems import Problem
from sdnb.training.fit import TrainState


def save_checkpoint(state: TrainState, path: Path) -> None:
    """Write what trains, the optimizer's moments, the schedule and the step to `path`.

    Tensors are named "weights/NAME" and "optimizer/INDEX/KEY"; the numbers stand as JSON in the
    file's metadata. Raises Problem where the disk is full; the checkpoint before is then kept.
    """
    optimizer = state.optimizer.state_dict()
    tensors = {f"weights/{name}": p.detach() for name, p in state.parameters.items()}
    for index, moments in optimizer["state"].items():
        tensors |= {f"optimizer/{index}/{key}": value for key, value in moments.items()}
    scaler = state.accelerator.scaler  # only fp16 has one
    numbers = {
        "step": state.step,
        "groups": optimizer["param_groups"],
        "schedule": state.schedule.state_dict(),
        "scaler": scaler.state_dict() if scaler else None,
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(tensors, {"numbers": json.dumps(numbers)}))


def load_checkpoint(state: TrainState, path: Path) -> None:
    """Put what `save_checkpoint` wrote into a freshly started state of the same run.

    Raises Problem where the file is damaged or belongs to other settings.
    """
    try:
        with safe_open(path, "pt") as file:
            numbers = json.loads(file.metadata()["numbers"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                moments.setdefault(int(index), {})[key] = tensor
        with torch.no_grad():
            for name, parameter in state.parameters.items():
                parameter.copy_(tensors[f"weights/{name}"])
        state.optimizer.load_state_dict({"state": moments, "param_groups": numbers["groups"]})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Problem(
            "The saved run cannot be continued", path, "Delete the run folder and train again"
        ) from error
    state.schedule.load_state_dict(numbers["schedule"])
    if numbers["scaler"] and state.accelerator.scaler:
        state.accelerator.scaler.load_state_dict(numbers["scaler"])
    state.step = numbers["step"]
