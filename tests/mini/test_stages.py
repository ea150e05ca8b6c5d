"""The whole chain of the mini model's training, with a handful of pictures and steps."""

import copy
import json

import pytest
import torch
from transformers import CLIPTextModel

from sdnb.mini.judge import WEIGHTS
from sdnb.mini.recipe import optimise, parts, stages, train

pytestmark = pytest.mark.one_set
WHOLE = pytest.mark.thorough  # every day a stage of no steps: it draws, loads and builds all parts


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A state folder of its own, 12 pictures of each set, one step of each stage."""
    monkeypatch.setattr(stages, "DEVICE", "cpu")
    monkeypatch.setattr(optimise, "DEVICE", "cpu")
    for module in (optimise, stages, train):
        monkeypatch.setattr(module, "STATE", tmp_path / "state")
    monkeypatch.setattr(stages, "EARLIER", [])
    monkeypatch.setattr(train, "EARLIER", stages.EARLIER)
    for table, value in ((stages.COUNTS, 12), (stages.BATCH, 6), (stages.STEPS, 1)):
        for name in list(table):
            monkeypatch.setitem(table, name, value)
    return tmp_path


@WHOLE
def test_the_chain_ends_in_a_folder_that_loads(small):
    train.main(["--stage", "all", "--out", str(small / "weights")])
    shipped = CLIPTextModel.from_pretrained(small / "weights" / "text_encoder")
    tower = stages.unet(1)[1]
    for name, value in tower.state_dict().items():
        torch.testing.assert_close(shipped.state_dict()[name], value, atol=2e-3, rtol=2e-3)  # fp16
    recipe = json.loads((small / "weights" / "recipe.json").read_text())
    assert recipe["steps"]["unet"] == 1 and recipe["pictures"]["world"] == 12


@WHOLE
def test_the_text_tower_learns_with_the_unet_and_rests_while_clip_is_matched(small):
    stages.draw()
    before, after = parts.text_encoder_of(stages.clip(1)), stages.unet(1)[1]
    moved = [
        not torch.equal(one, other)
        for one, other in zip(before.parameters(), after.parameters(), strict=True)
    ]
    assert all(moved)
    tower = parts.text_encoder_of(stages.match(1)).state_dict()
    assert all(torch.equal(tower[name], value) for name, value in after.state_dict().items())


@WHOLE
def test_what_a_name_does_is_learned_by_the_unet(small):
    """In steps of its own: what came out of the stage before stays as it was on the disk."""
    stages.draw()
    net, encoder = (copy.deepcopy(part).state_dict() for part in stages.unet(1))
    taught = stages.nobody(1)
    moved = [not torch.equal(value, net[name]) for name, value in taught.named_parameters()]
    assert all(moved)
    for part, was in zip(stages.unet(1), (net, encoder), strict=True):
        assert all(torch.equal(value, was[name]) for name, value in part.state_dict().items())


def test_a_stage_of_no_steps_takes_the_part_it_begins_from(small):
    stages.EARLIER[:] = [WEIGHTS.parent]
    stages.draw()
    for name, part in {
        "vae": stages.vae(0),
        "clip": stages.clip(0),
        "unet": stages.unet(0)[0] if not stages.STEPS.update(vae=0, clip=0) else None,
        "judge": stages.judge(0),
    }.items():
        weights = parts.weights_of(WEIGHTS.parent, name)
        assert weights.keys() == part.state_dict().keys()
        for key, value in part.state_dict().items():
            assert torch.equal(value.cpu(), weights[key]), (name, key)
