"""The gate's prompts, photographs and counting, without training anything."""

import torch

from sdnb.evaluation.lineup import LineUp
from sdnb.mini.recipe import gate
from sdnb.mini.subjects import held_out_person


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
    class Judge:
        def read(self, pictures):
            return [
                {"place": "beach", "hat": "cap", "glasses": "none"},
                {"place": "city", "hat": "none", "glasses": "round"},
            ]

        def embed(self, pictures):
            return torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    prompts = [("", {"place": "beach", "hat": "cap"}), ("", {"place": "beach", "glasses": "round"})]
    result = gate.measure([None, None], prompts, LineUp((), torch.eye(2)), Judge())
    assert result == {
        "line-up": 0.5,
        "place": 0.5,
        "hat": 1.0,
        "glasses asked": 1.0,
        "glasses unasked": 0.0,
    }
