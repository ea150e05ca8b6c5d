from importlib import import_module
from types import SimpleNamespace

import pytest

from sdnb.errors import Problem
from sdnb.evaluation import scores
from sdnb.evaluation.protocol import (
    LIVE_PROMPTS,
    OBJECT_PROMPTS,
    PROMPTS,
    dreambooth_protocol,
    protocol_encoders,
)
from sdnb.models.families import MINI, SD1


@pytest.fixture
def asked(painted, monkeypatch):
    """What was asked of the model, which draws red where the prompt has "wearing" and lime else,
    and black from seed 1."""
    asked = []

    def make(model, prompts, seeds, **how):
        asked.extend(zip(prompts, seeds, strict=True))
        names = ["red" if "wearing" in prompt else "lime" for prompt in prompts]
        return [painted("black" if s == 1 else name) for name, s in zip(names, seeds, strict=True)]

    monkeypatch.setattr(scores, "make_images", make)
    return asked


def test_the_prompts():
    for prompts in (LIVE_PROMPTS, OBJECT_PROMPTS):
        assert len(set(prompts)) == 25
        assert all(prompt.count("{}") == 1 and prompt.startswith("a ") for prompt in prompts)
    shared = {*PROMPTS["backgrounds"], *PROMPTS["looks"]}
    assert set(LIVE_PROMPTS) & set(OBJECT_PROMPTS) == shared and len(shared) == 15


def test_arithmetic(asked, painted, colours, clip):
    colours.name, clip.name = "DINO fake", "CLIP fake"
    photos = [painted("red"), painted("red"), painted("blue")]
    found = dreambooth_protocol("model", "ravo man", photos, True, [clip, colours])
    assert len(asked) == 100 == found.images and len(set(asked)) == 100
    assert ("a ravo man wearing a santa hat", 3) in asked
    # cosines with the photos: red 1, 1, 0.6; lime 0, 0, 0.8; black -1, -1, -0.6
    trained = sum("wearing" in prompt for prompt in LIVE_PROMPTS)
    assert trained == 6
    seed = (6 * 2.6 + 19 * 0.8) / 75
    means = [seed, -2.6 / 3, seed, seed]
    for label, encoder in (("CLIP-I", "CLIP fake"), ("DINO", "DINO fake")):
        number = found.scores[label][encoder]
        assert number.mean == pytest.approx(sum(means) / 4, abs=1e-6) and number.n == 4
        # three at d and one at -3d from the mean, divided by 4 - 1
        d = means[0] - sum(means) / 4
        assert number.spread == pytest.approx(2 * d, abs=1e-6)
    # every prompt begins with a, which is read as red: red 1, lime 0, black -1
    number = found.scores["CLIP-T"]["CLIP fake"]
    assert number.mean == pytest.approx((3 * 6 / 25 - 1) / 4, abs=1e-6)
    assert [*found.scores.numbers] == ["CLIP-I", "CLIP-T", "DINO"]


def test_only_the_papers_encoders_compare(asked, painted, colours, clip):
    photos = [painted("red")]
    clip.name, colours.name = "CLIP ViT-B/32", "DINO ViT-S/16"
    theirs = dreambooth_protocol("model", "ravo mug", photos, False, [clip, colours])
    assert theirs.paper and "As in the paper" in str(theirs)
    colours.name = "DINOv2 ViT-S/14"
    newer = dreambooth_protocol("model", "ravo mug", photos, False, [clip, colours])
    assert [*newer.scores.numbers] == ["CLIP-I", "CLIP-T", "DINOv2"]
    assert not newer.paper and "do not compare" in str(newer)
    assert max(map(len, str(newer).splitlines())) <= 62
    assert ("a ravo mug on top of a mirror", 0) in asked


def test_no_photos_is_a_problem_before_anything_is_drawn(asked, clip):
    with pytest.raises(Problem, match="no photos"):
        dreambooth_protocol("model", "ravo man", [], True, [clip])
    assert not asked


def test_the_encoders_of_the_protocol(monkeypatch):
    module = import_module("sdnb.evaluation.protocol")  # the function has its name
    monkeypatch.setattr(module, "load_clip_encoder", lambda source, device: source)
    monkeypatch.setattr(module, "load_dino_encoder", lambda source, device: source)
    monkeypatch.setattr(module, "image_encoders_for", lambda model: ["judge", "own"])
    models = [SimpleNamespace(info=SimpleNamespace(family=f), device="cpu") for f in (MINI, SD1)]
    assert [protocol_encoders(model) for model in models] == [
        ["judge", "own"],
        ["openai/clip-vit-base-patch32", "facebook/dino-vits16"],
    ]
