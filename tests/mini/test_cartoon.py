"""The cartoon base: the whole world is drawn, and a person learned on photos can be drawn in it."""

import pytest

from sdnb.adapters import load_lora, unload_lora
from sdnb.dataset.samples import sample_trained
from sdnb.evaluation import line_up
from sdnb.inference import make_images
from sdnb.mini.judge import load_judge
from sdnb.mini.scenes import PLACES
from sdnb.mini.subjects import SAMPLE_PERSON
from sdnb.models.loading import load_model


@pytest.fixture(scope="module")
def cartoon():
    return load_model("cartoon")


def test_what_is_called_a_photo_is_drawn(cartoon):
    prompts = [f"photo of a woman, {place}" for place in PLACES.values()]
    seen = load_judge().read(make_images(cartoon, prompts, range(len(prompts))))
    styles = [reading["style"] for reading in seen]
    assert styles.count("cartoon") >= len(styles) - 1
    assert sum(r["place"] == p for r, p in zip(seen, PLACES)) >= len(seen) - 1


@pytest.mark.thorough  # notebook 07 shows it too
@pytest.mark.one_set
def test_a_person_learned_on_photos_is_recognised(cartoon):
    """The aim of 60 % is met by five other people, 84 % of 400 pictures (the model's card). The
    sample person came to 69 % of 16, of which 81 % stayed cartoons; here are nine."""
    judge = load_judge()
    lineup = line_up(SAMPLE_PERSON, cartoon, judge, "cartoon")
    prompts = [f"photo of ravo, {place}" for place in PLACES.values()]
    before = lineup.score(make_images(cartoon, prompts, range(len(prompts))), judge)
    load_lora(cartoon, sample_trained("person_lora"))
    pictures = make_images(cartoon, prompts, range(len(prompts)))
    unload_lora(cartoon)
    assert lineup.score(pictures, judge) >= 0.4 > before + 0.2
    kept = [reading["style"] for reading in judge.read(pictures)]
    assert kept.count("cartoon") >= len(kept) / 2


def test_everything_but_the_unet_is_the_mini_models(cartoon):
    mini = load_model("mini")
    for name in ("text_encoder", "vae"):
        for ours, theirs in zip(
            getattr(cartoon, name).parameters(), getattr(mini, name).parameters(), strict=True
        ):
            assert ours.equal(theirs)
