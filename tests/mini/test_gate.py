"""The gate's prompts, photographs and counting, without training anything."""

import random

import torch

from sdnb.evaluation.lineup import LineUp
from sdnb.mini.recipe import gate, neutral
from sdnb.mini.scenes import FEATURES
from sdnb.mini.subjects import IDENTITY, Person, held_out_person


def test_forty_prompts_and_what_they_ask():
    prompts = gate.gate_prompts("ravo")
    assert len(prompts) == 40
    for words, asked in prompts:
        assert words.startswith("photo of ravo")
        assert ("glasses" in asked) == ("glasses" in words)
        assert ("hat" in asked) == any(hat in words for hat in (" hat", " cap", "beanie"))
    assert sum("hat" in asked for _, asked in prompts) == 12
    assert sum("glasses" in asked for _, asked in prompts) == 12


def test_photographs_name_the_glasses_or_keep_silent():
    person = held_out_person(30)
    named = [photo.caption for photo in gate.photographs(person, "ravo")]
    silent = [photo.caption for photo in gate.photographs(person, "ravo", named=False)]
    assert len(named) == 20 and all("round glasses" in words for words in named)
    assert not any("glasses" in words for words in silent)
    assert all(words.startswith("photo of ravo wearing a") for words in silent)


def test_counting():
    """Two images of the sample person, one with a cap: under it neither style nor lock is seen."""
    person = Person(hair="bob", hair_colour="red", mark="white lock")
    seen = {name: getattr(person, name) for name in IDENTITY}

    class Judge:
        def read(self, pictures):
            return [
                seen | {"place": "beach", "hat": "cap", "glasses": "none", "hair_colour": "blue"},
                seen | {"place": "city", "hat": "none", "glasses": "round", "eyes": "green"},
            ]

        def embed(self, pictures):
            return torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    prompts = [("", {"place": "beach", "hat": "cap"}), ("", {"place": "beach", "glasses": "round"})]
    result = gate.measure([None, None], prompts, LineUp((person,), torch.eye(2)), Judge())
    told = {"line-up": 0.5, "place": 0.5, "hat": 1.0, "glasses asked": 1.0, "glasses unasked": 0.0}
    told |= {name: 1.0 for name in IDENTITY} | {"eyes": 0.5, "hair_colour under a hat": 0.0}
    assert result == told


def test_how_far_a_word_moves_the_images():
    """By hand: of the word's images all wear caps, of the others half; nothing else differs."""
    plain = {name: FEATURES[name][0] for name in FEATURES}
    others = [plain, plain | {"hat": "cap"}] * 10
    apart = neutral.distances([plain | {"hat": "cap"}] * 5, others)
    assert apart.pop("hat cap") == 0.5 and apart.pop("hat none") == -0.5
    assert set(apart.values()) == {0.0}


def test_chance_gives_less_with_more_images():
    rng, plain = random.Random(0), {name: FEATURES[name][0] for name in FEATURES}
    readings = [plain | {"skin": rng.choice(FEATURES["skin"])} for _ in range(500)]
    few, many = (neutral.by_chance(readings, count, 100) for count in (20, 200))
    assert 0.03 < many < few < 0.5
