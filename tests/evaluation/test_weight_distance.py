"""Distances between models, against arithmetic on paper."""

import pytest
import torch

from sdnb.adapters import load_lora
from sdnb.errors import Problem
from sdnb.evaluation.weight_distance import compare_weights, lora_distance
from sdnb.models.loading import load_model
from sdnb.training.run import train


def test_a_model_whose_weights_are_a_tenth_larger_is_at_a_distance_of_a_tenth(tiny, tiny_folder):
    other = load_model(tiny_folder)
    with torch.no_grad():
        for parameter in other.unet.parameters():
            parameter.mul_(1.1)
    found = compare_weights(tiny, other)
    assert found["unet"] == pytest.approx(0.1, abs=1e-6)
    assert found["text_encoder"] == found["vae"] == 0


def test_a_lora_changes_the_weights_in_proportion_to_its_weight(tiny, config, tmp_path):
    file = train(config, tmp_path / "run").weights
    load_lora(tiny, file)
    whole = lora_distance(tiny)
    load_lora(tiny, file, 0.5)
    half = lora_distance(tiny)
    assert whole["unet"] > 0 and whole["text_encoder"] > 0
    assert half == {name: pytest.approx(share / 2, rel=1e-4) for name, share in whole.items()}


def test_other_families_cannot_be_compared(tiny):
    with pytest.raises(Problem, match="not of one family"):
        compare_weights(tiny, load_model("mini"))
