"""Save a run's state and take it up again: safetensors files, no pickle, each whole or absent."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.models.tensors import opened
from sdnb.training.loop import TrainState

NAME = "step_{:06}.safetensors"
WEIGHTS = "weights/"  # before the names of trainable parameters; the optimizer's are beside them


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the oldest first."""
    return sorted(folder.glob("step_*.safetensors"))


def step_of(path: Path) -> int:
    """After how many steps a checkpoint was saved."""
    return int(path.stem.removeprefix("step_"))


def refuse_non_finite(state: TrainState, folder: Path) -> None:
    """Raise Problem where a trainable parameter is NaN or infinite: it is not worth saving."""
    if not all(torch.isfinite(p).all() for p in state.parameters.values()):
        raise Problem(
            f"At step {state.step} the weights were no longer numbers",
            folder,
            "Lower the learning rate and train again in another folder; what was saved before "
            "is still there",
        )


def save_checkpoint(state: TrainState, folder: Path, keep: int = 1) -> Path:
    """Write what trains, the optimizer's state, the schedule and the step to a new file in
    `folder`, and then delete all but the last `keep`. Returns the file.

    Tensors are named "weights/NAME" and "optimizer/INDEX/KEY"; all else is JSON in the file's
    metadata. Raises Problem where the disk is full, or a weight is no longer a number; the
    checkpoints before are then kept.
    """
    refuse_non_finite(state, folder)
    optimizer = state.optimizer.state_dict()
    tensors = {WEIGHTS + name: p.detach() for name, p in state.parameters.items()}
    plain: dict[str, dict] = {}  # what an optimizer keeps besides tensors: Adafactor's step
    for index, values in optimizer["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{index}/{key}"] = value
            else:
                plain.setdefault(str(index), {})[key] = value
    rest = {
        "step": state.step,
        "groups": optimizer["param_groups"],
        "plain": plain,
        "schedule": state.schedule.state_dict(),
        "scaler": state.scaler.state_dict() if state.scaler else None,
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    header = {"numbers": json.dumps(rest)}
    path = folder / NAME.format(state.step)
    write_atomically(path, lambda aside: save_file(tensors, aside, header))
    for old in checkpoints_in(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(state: TrainState, path: Path) -> None:
    """Put what `save_checkpoint` wrote into a freshly started state of the same run.

    Raises Problem where the file is damaged or belongs to other settings.
    """
    try:
        with safe_open(path, "pt") as file:
            rest = json.loads(file.metadata()["numbers"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        values: dict[int, dict] = {int(i): plain for i, plain in rest["plain"].items()}
        for name, tensor in tensors.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                values.setdefault(int(index), {})[key] = tensor
        with torch.no_grad():
            for name, parameter in state.parameters.items():
                parameter.copy_(tensors[WEIGHTS + name])
        state.optimizer.load_state_dict({"state": values, "param_groups": rest["groups"]})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Problem(
            "The saved run cannot be continued", path, "Delete the run folder and train again"
        ) from error
    state.schedule.load_state_dict(rest["schedule"])
    if rest["scaler"] and state.scaler:
        state.scaler.load_state_dict(rest["scaler"])
    state.step = rest["step"]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """What trains, by its name; the optimizer's state, twice as large, is left in the file. Raises
    Problem where the file is damaged, or holds what is not a number."""
    with opened(path) as file:
        names = [name for name in file.keys() if name.startswith(WEIGHTS)]
        tensors = {name.removeprefix(WEIGHTS): file.get_tensor(name) for name in names}
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise Problem("The checkpoint holds what is not a number", path, "Choose another one")
    return tensors
