"""Checkpoints: what is loaded is what was saved, bit for bit, or a Problem."""

import json
import random
import shutil
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sdnb.dataset.photos import read_photos
from sdnb.errors import Problem
from sdnb.models.loading import load_model
from sdnb.training.checkpoints import (
    checkpoints_in,
    load_checkpoint,
    read_weights,
    save_checkpoint,
    step_of,
)
from sdnb.training.run import prepare, train
from sdnb.training.run_folder import Run


@pytest.fixture(scope="module")
def begun(config, cpu, tmp_path_factory):
    """A run folder with checkpoints of steps 3 and 6, of eight, which no test changes."""
    config = config.replace(keep_checkpoints=2)
    folder = tmp_path_factory.mktemp("begun") / "run"

    def stop(step):
        if step.index == 7:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(config, folder, cpu, progress=False, on_step=stop)
    return Run(folder, config)


@pytest.fixture(scope="module")
def fresh(begun, cpu):
    """A state to load into, and what to compare it with: Problems leave it as it is."""
    model = load_model(begun.config.base)
    state, *_ = prepare(begun.config, read_photos(begun.config.photos, 64), model, cpu)
    before = {name: weight.detach().clone() for name, weight in state.parameters.items()}
    return state, before


def untouched(state, before) -> bool:
    same = all(torch.equal(weight, before[name]) for name, weight in state.parameters.items())
    return same and state.step == 0 and not state.optimizer.state_dict()["state"]


def parts(path):
    with safe_open(path, "pt") as file:
        return load_file(path), dict(file.metadata())


def test_every_bit_counts(begun, fresh, tmp_path):
    """One flipped bit in each of many places, in the header and behind it."""
    good, path = begun.checkpoints[-1].read_bytes(), tmp_path / "step_000006.safetensors"
    length = struct.unpack("<Q", good[:8])[0]
    chance = random.Random(0)
    places = [chance.randrange(8, 8 + length) for _ in range(25)]
    places += [chance.randrange(8 + length, len(good)) for _ in range(25)]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(Problem, match="cannot be continued"):
            load_checkpoint(fresh[0], path)
        with pytest.raises(Problem):
            read_weights(path)
    assert untouched(*fresh)


def rewritten(path, target, numbers=lambda n: n, tensors=lambda t: t):
    """The checkpoint with other numbers or tensors, and the checksum that it had."""
    found, metadata = parts(path)
    metadata["numbers"] = json.dumps(numbers(json.loads(metadata["numbers"])))
    save_file(tensors(found), target, metadata)
    return target


def without(key):
    return lambda numbers: {k: v for k, v in numbers.items() if k != key}


def transposed(tensors):
    name = next(n for n, t in tensors.items() if n.startswith("opt") and t.ndim == 2)
    return {**tensors, name: tensors[name].reshape(tensors[name].shape[::-1])}


def swapped(tensors):
    """Two tensors of one shape change names."""
    names = [n for n in tensors if n.startswith("opt") and n.endswith("exp_avg")]
    one = names[0]
    two = next(n for n in names[1:] if tensors[n].shape == tensors[one].shape)
    return {**tensors, one: tensors[two], two: tensors[one]}


def broadcast(tensors):
    name = next(n for n, t in tensors.items() if n.startswith("weights/") and t.ndim == 2)
    return {**tensors, name: tensors[name][:1, :1].contiguous()}


def halved(tensors):
    return {n: t.half() if n.startswith("weights/") else t for n, t in tensors.items()}


@pytest.mark.parametrize(
    "how",
    [
        {"numbers": without("step")},
        {"numbers": without("schedule")},
        {"numbers": without("scaler")},
        {"numbers": lambda n: {**n, "step": 10**9}},
        {"numbers": lambda n: {**n, "step": -1}},
        {"numbers": lambda n: {**n, "step": True}},
        {"numbers": lambda n: {**n, "step": "6"}},
        {"numbers": lambda n: {**n, "schedule": {}}},
        {"numbers": lambda n: {**n, "schedule": {**n["schedule"], "last_epoch": 2}}},
        {"numbers": lambda n: {**n, "scaler": {"scale": "much"}}},
        {"numbers": lambda n: [n]},
        {"tensors": transposed},
        {"tensors": swapped},
        {"tensors": broadcast},
        {"tensors": halved},
        {"tensors": lambda t: dict(list(t.items())[1:])},
        {"tensors": lambda t: {**t, "more": torch.zeros(1)}},
    ],
)
def test_what_was_changed_by_hand_is_a_problem(begun, fresh, tmp_path, how):
    path = rewritten(begun.checkpoints[-1], tmp_path / "step_000006.safetensors", **how)
    with pytest.raises(Problem, match="damaged or changed after it was saved") as told:
        load_checkpoint(fresh[0], path)
    assert told.value.where == path and untouched(*fresh)


@pytest.mark.parametrize("step", [0, 9, 10**9])
def test_a_step_that_is_none_of_the_run(begun, fresh, cpu, tmp_path, monkeypatch, step):
    """Also where the checksum is right: by way of another run's state."""
    state, before = fresh
    monkeypatch.setattr(state, "step", step)
    monkeypatch.setattr(state.schedule, "last_epoch", step)
    shutil.copytree(begun.folder, tmp_path / "run")
    path = save_checkpoint(state, tmp_path / "run" / "checkpoints", keep=5)
    monkeypatch.undo()
    with pytest.raises(Problem, match=f"its step is {step}, of 8"):
        load_checkpoint(state, path)
    assert untouched(state, before)
    if step:
        with pytest.raises(Problem, match="cannot be continued") as told:
            train(begun.config, tmp_path / "run", cpu, progress=False)
        left = [step_of(each) for each in checkpoints_in(tmp_path / "run" / "checkpoints")]
        assert told.value.where == path and left == [3, 6, step]
        path.unlink()  # as the Problem says
        assert train(begun.config, tmp_path / "run", cpu, progress=False).finished


def test_they_are_sorted_by_number_and_only_earlier_ones_go(fresh, tmp_path, monkeypatch):
    names = ["step_999900", "step_1000000", "step_000020", "step_x", "step_5.old"]
    for name in names:
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "step_000002.safetensors").mkdir()
    assert [step_of(path) for path in checkpoints_in(tmp_path)] == [20, 999900, 1000000]
    monkeypatch.setattr(fresh[0], "step", 999950)
    save_checkpoint(fresh[0], tmp_path, keep=2)
    assert [step_of(path) for path in checkpoints_in(tmp_path)] == [999900, 999950, 1000000]
    monkeypatch.setattr(fresh[0], "step", 1000001)
    save_checkpoint(fresh[0], tmp_path)
    assert [step_of(path) for path in checkpoints_in(tmp_path)] == [1000001]
    assert (tmp_path / "step_x.safetensors").exists()


def test_the_weights_of_an_older_checkpoint_can_be_looked_at(begun, tmp_path):
    tensors, metadata = parts(begun.checkpoints[-1])
    save_file(tensors, tmp_path / "old.safetensors", {"numbers": metadata["numbers"]})
    found = read_weights(tmp_path / "old.safetensors")
    expected = read_weights(begun.checkpoints[-1])
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_loss_scale_is_of_its_precision():
    from sdnb.training.fused_backward import FusedBackwardPass

    half, whole = FusedBackwardPass(None, True), FusedBackwardPass(None, False)
    half.scale = 1024.0
    told = half.state_dict(), whole.state_dict()
    half.load_state_dict(told[1])
    whole.load_state_dict(told[0])
    assert (half.scale, whole.scale) == (1024.0, 1.0)
    other = FusedBackwardPass(None, True)
    other.load_state_dict(told[0])
    assert other.scale == 1024.0


# Mutants: bytes that a bad disk leaves, and files that somebody has meddled with.


def flip(chance, good):
    bad = bytearray(good)
    for _ in range(chance.choice([1, 1, 8])):
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
    return bytes(bad)


def cut(chance, good):
    return good[: chance.randrange(len(good))]


def longer(chance, good):
    return good + chance.randbytes(chance.randrange(1, 99))


def other_header(chance, good):
    """Wrong types, odd keys and huge numbers in the header."""
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    odd = [None, True, -1, 10**9, 10**400, 1.5, "x", "", [], {}, [[]] * 9, "\0", "n" * 5000]
    name = chance.choice([*header])
    if name == "__metadata__" or chance.random() < 0.5:
        numbers = json.loads(header["__metadata__"]["numbers"])
        key = chance.choice([*numbers, "step", "schedule", "more"])
        if isinstance(numbers.get(key), dict) and numbers[key] and chance.random() < 0.5:
            numbers[key][chance.choice([*numbers[key]])] = chance.choice(odd)
        elif chance.random() < 0.3:
            numbers.pop(key, None)
            numbers["less"] = 0
        else:
            numbers[key] = chance.choice(odd)
        header["__metadata__"]["numbers"] = json.dumps(numbers)
    else:
        key = chance.choice(["dtype", "shape", "data_offsets", "more"])
        header[name][key] = chance.choice(odd)
    content = json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + good[8 + length :]


KINDS = (flip, cut, longer, other_header)


@pytest.mark.long
@pytest.mark.parametrize(
    ("first", "count"), [(0, 20), pytest.param(20, 180, marks=pytest.mark.thorough)]
)
def test_mutants_are_refused_and_nothing_is_lost(begun, cpu, tmp_path, first, count):
    """None is continued, unless the run then comes to the very same weights; the other checkpoint
    stays, and from it the run goes on."""
    straight = train(begun.config, tmp_path / "straight", cpu, progress=False)
    expected = load_file(straight.weights)
    good = begun.checkpoints[-1].read_bytes()
    refused, same = 0, 0
    for number in range(first, first + count):
        chance = random.Random(number)
        bad = KINDS[number % len(KINDS)](chance, good)
        folder = tmp_path / "run"
        shutil.copytree(begun.folder, folder)
        file = folder / "checkpoints" / begun.checkpoints[-1].name
        file.write_bytes(bad)
        try:
            run = train(begun.config, folder, cpu, progress=False)
            same += 1
        except Problem as problem:
            assert "cannot be continued" in problem.what and problem.where == file, number
            assert [step_of(path) for path in checkpoints_in(file.parent)] == [3, 6], number
            assert file.read_bytes() == bad, number
            refused += 1
            file.unlink()  # as the Problem says
            run = train(begun.config, folder, cpu, progress=False) if refused % 20 == 1 else None
        if run:
            found = load_file(run.weights)
            assert all(torch.equal(found[name], expected[name]) for name in expected), number
        shutil.rmtree(folder)
    print(f"{count} mutants: {refused} refused, {same} harmless")
    assert refused >= 0.9 * count
