"""Weighed prompts against the model's own embeddings and against arithmetic on them."""

import pytest
import torch

from sdnb.inference.prompt_weights import token_chunks, token_ids, weighted_embeddings
from sdnb.inference.prompts import read_prompt
from sdnb.models.loading import load_model

PLAIN = "photo of a man wearing a red hat, at the beach"


@pytest.fixture(scope="module")
def model():
    return load_model("mini")


def weighed(model, *prompts, **how):
    chunked = [token_chunks(model, read_prompt(prompt)) for prompt in prompts]
    return weighted_embeddings(model, chunked, max(map(len, chunked)), **how)


@pytest.mark.parametrize("clip_skip", [0, 1])
def test_without_weights_it_is_what_it_was(model, clip_skip):
    """Within 1e-5, for batches are summed in another order."""
    both = [PLAIN, "a mug"]
    ours = weighed(model, *both, clip_skip=clip_skip)
    torch.testing.assert_close(ours, model.text_embeddings(both, clip_skip), atol=1e-5, rtol=0)


def test_a_weight_multiplies_its_tokens_and_the_mean_comes_back(model):
    found = weighed(model, "photo of a man wearing a (red hat:1.5), at the beach")[0]
    plain = model.text_embeddings([PLAIN])[0]
    start = 1 + len(token_ids(model, "photo of a man wearing a"))
    factors = torch.ones(77)
    factors[start : start + len(token_ids(model, "red hat"))] = 1.5
    scaled = plain * factors[:, None]
    torch.testing.assert_close(found, scaled * plain.mean() / scaled.mean(), atol=1e-4, rtol=1e-4)
    assert found.mean().item() == pytest.approx(plain.mean().item(), abs=1e-6)


def test_more_than_75_tokens_become_two_chunks(model):
    words = ["red"] * 75 + ["hat"] * 3
    assert len(token_ids(model, " ".join(words))) == 78
    found = weighed(model, " ".join(words), "a mug")
    assert found.shape[:2] == (2, 154)
    first, second = model.text_embeddings([" ".join(words[:75]), "hat hat hat"])
    torch.testing.assert_close(found[0], torch.cat([first, second]), atol=1e-5, rtol=0)
    mug, empty = model.text_embeddings(["a mug", ""])
    torch.testing.assert_close(found[1], torch.cat([mug, empty]), atol=1e-5, rtol=0)


def test_break_begins_a_chunk(model):
    found = weighed(model, "a man BREAK at the beach")
    parts = model.text_embeddings(["a man", "at the beach"])
    torch.testing.assert_close(found[0], parts.flatten(0, 1), atol=1e-5, rtol=0)
