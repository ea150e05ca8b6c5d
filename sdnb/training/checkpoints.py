"""Save a run's state and take it up again: safetensors files, no pickle, each whole or absent, and
sealed with a checksum over all that is in them."""

import json
import re
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path

import torch

from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.models.saving import SHA256, save_tensors
from sdnb.models.tensors import opened
from sdnb.training.loop import KEPT, LOWER, TrainState, finite

NAME, NAMES = "step_{:06}.safetensors", re.compile(r"step_(\d+)\.safetensors")
OTHER = "Delete this file, and the run continues from the checkpoint before it or begins anew"
Tensors = dict[str, torch.Tensor]
WEIGHTS = "weights/"  # before the names of trainable parameters; the optimizer's are beside them


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the oldest first."""
    found = (path for path in folder.glob("step_*") if NAMES.fullmatch(path.name))
    return sorted(filter(Path.is_file, found), key=step_of)


def step_of(path: Path) -> int:
    """After how many steps a checkpoint was saved."""
    return int(NAMES.fullmatch(path.name)[1])


def refuse_non_finite(state: TrainState, folder: Path) -> None:
    """Raise Problem where a trainable parameter is NaN or infinite: it is not worth saving."""
    if not finite(state.parameters):
        what = f"At step {state.step} the weights were no longer numbers"
        raise Problem(what, folder, f"{LOWER}; {KEPT}")


def save_checkpoint(state: TrainState, folder: Path, keep: int = 1) -> Path:
    """Write what trains, the optimizer's state, the schedule and the step to a new file in
    `folder`, and then delete those before it but for the last `keep`. Returns the file.

    Tensors are named "weights/NAME" and "optimizer/INDEX/KEY"; all else is JSON in the file's
    metadata, and beside it the "checksum" of `_seal`. Raises Problem where the disk is full, or a
    weight is no longer a number; the checkpoints before are then kept.
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
    numbers, path = json.dumps(rest), folder / NAME.format(state.step)
    header = {"numbers": numbers, "checksum": _seal(numbers, tensors, SHA256)}
    write_atomically(path, lambda aside: save_tensors(tensors, aside, header))
    before = [each for each in checkpoints_in(folder) if step_of(each) < state.step]
    for old in before[::-1][keep - 1 :]:
        old.unlink()
    return path


def _seal(numbers: str, tensors: Tensors, values: str) -> str:
    """Two SHA-256: of the metadata and the tensors' names, types and shapes, and `values`, that of
    the bytes behind the header."""
    words = "\n".join([numbers, *_layout(tensors)])
    return f"{sha256(words.encode()).hexdigest()} {values}"


def _layout(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    return [f"{name} {each.dtype} {[*each.shape]}" for name, each in sorted(tensors.items())]


def _read(path: Path, sealed: bool = True) -> tuple[str, Tensors, Tensors]:
    """The numbers, as JSON, what trains, and the optimizer's tensors. Raises Problem where a bit is
    another than when it was saved. Those of older versions have no seal, and pass if need be."""
    with opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata() or {}
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        seal = _seal(metadata.get("numbers", ""), tensors, file_digest(file, "sha256").hexdigest())
    if metadata.get("checksum", "" if sealed else seal) != seal:
        raise Problem("The checkpoint was damaged or changed after it was saved", path, OTHER)
    names = [name for name in tensors if name.startswith(WEIGHTS)]
    weights = {name.removeprefix(WEIGHTS): tensors.pop(name) for name in names}
    return metadata.get("numbers", ""), weights, tensors


def load_checkpoint(state: TrainState, path: Path) -> None:
    """Put what `save_checkpoint` wrote into a freshly started state of the same run.

    Raises Problem where the file is damaged or not of this run; no weight has then been changed.
    """
    try:
        numbers, weights, tensors = _read(path)
        rest = json.loads(numbers)
        if _layout(weights) != _layout(state.parameters):
            raise ValueError("its weights have other names, shapes or types than these settings")
        if not 0 < rest["step"] == rest["schedule"]["last_epoch"] <= state.total_steps:
            raise ValueError(f"its step is {rest['step']}, of {state.total_steps}")
        if rest["scaler"] and state.scaler:
            state.scaler.load_state_dict(rest["scaler"])
        values: dict[int, dict] = {int(i): plain for i, plain in rest["plain"].items()}
        for name, tensor in tensors.items():
            _, index, key = name.split("/")
            values.setdefault(int(index), {})[key] = tensor
        state.optimizer.load_state_dict({"state": values, "param_groups": rest["groups"]})
        state.schedule.load_state_dict(rest["schedule"])
    except (Problem, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        why = error.what if isinstance(error, Problem) else str(error)
        raise Problem(f"The saved run cannot be continued: {why}", path, OTHER) from error
    with torch.no_grad():
        for name, parameter in state.parameters.items():
            parameter.copy_(weights[name])
    state.step = rest["step"]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """What trains, by its name. Raises Problem where the file is damaged, or holds what is not a
    number."""
    _, weights, _ = _read(path, sealed=False)
    if not finite(weights):
        raise Problem("The checkpoint holds what is not a number", path, "Choose another one")
    return weights
