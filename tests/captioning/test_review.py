"""What the coach says of captions with one fault each, and that it is silent about good ones."""

from pathlib import Path

import pytest
from PIL import Image

from sdnb.captioning import coach
from sdnb.dataset.photos import Photo, read_photos
from sdnb.dataset.samples import sample_photos
from sdnb.models.loading import load_model

GOOD = [
    "photo of ravo wearing a red shirt, at the beach",
    "photo of ravo in a blue coat, in the city",
    "photo of ravo, smiling, in a forest",
    "photo of ravo wearing a green hat, at night",
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_model("mini").tokenizer


def photos_with(*captions: str) -> list[Photo]:
    image = Image.new("RGB", (8, 8))
    return [Photo(Path(f"{i}.jpg"), image, caption) for i, caption in enumerate(captions)]


def test_good_captions_are_left_in_peace(tokenizer):
    assert coach(photos_with(*GOOD), "ravo", tokenizer) == []


@pytest.mark.parametrize(
    ("captions", "trigger", "said"),
    [
        ([*GOOD, ""], "ravo", "4.jpg has no caption"),
        ([*GOOD, "", "", "", "", ""], "ravo", "4.jpg, 5.jpg, 6.jpg and 2 more have no caption"),
        ([*GOOD, "photo of a man, in the snow"], "ravo", "4.jpg has no 'ravo' in the caption"),
        ([*GOOD, "photo of bravo, in the snow"], "ravo", "4.jpg has no 'ravo' in the caption"),
        ([c.replace("ravo", "man") for c in GOOD], "man", "'man' is one token"),
        ([c.replace("ravo", "[V]") for c in GOOD], "[V]", "'[V]' is not one plain word"),
        ([c.replace("ravo", "ravo b") for c in GOOD], "ravo b", "'ravo b' is not one plain word"),
        ([*GOOD, "photo of ravo, " + "red, " * 50], "ravo", "the model reads 75: "),
        ([*GOOD, "ravo with a hat with a hat with a hat"], "ravo", "three times in a row"),
        ([*GOOD, *["photo of ravo"] * 3], "ravo", "3 photos have the caption 'photo of ravo'"),
        ([*GOOD, "ravo with black hair"], "ravo", "4.jpg has features of the subject's own"),
        ([f"{c} wearing round glasses" for c in GOOD], "ravo", "captions: round glasses."),
    ],
)
def test_one_fault_one_sentence(tokenizer, captions, trigger, said):
    advice = coach(photos_with(*captions), trigger, tokenizer)
    assert len(advice) == 1 and said in advice[0], advice


def test_what_is_cut_off_is_shown(tokenizer):
    long = "photo of ravo, " + "red, " * 36 + "and a top hat"
    (advice,) = coach(photos_with(*GOOD, long), "ravo", tokenizer)
    tokens = tokenizer.tokenize(long)
    assert f"has {len(tokens)} tokens" in advice and "top hat' is cut off" in advice
    lost = advice.split("75: '")[1].split("' is cut")[0]
    kept = long.removesuffix(lost)
    assert kept != long and tokenizer.tokenize(kept) == tokens[:75]


def test_for_a_style_the_advice_turns_round(tokenizer):
    said = [f"cartoon in ravo style of a man with {c} hair, at the beach" for c in ("red", "black")]
    it = ("ravo", tokenizer, "", True)
    assert coach(photos_with(*said), *it) == []
    wrong = "photo of a man in a forest, in ravo style"
    (advice,) = coach(photos_with(*said, wrong), *it)
    assert advice.startswith("2.jpg has the word photo in the caption of a drawing")
    (advice,) = coach(photos_with(*said, "A photo in ravo style, a drawing of a man"), *it)
    assert advice.startswith("2.jpg has the word photo in the caption of a drawing")
    assert coach(photos_with(*said, "drawing in ravo style of a man with a photo"), *it) == []


def test_the_sample_sets(tokenizer):
    """The glasses are named in every photo, which is what lets them come off."""
    (advice,) = coach(read_photos(sample_photos("person"), 32), "ravo", tokenizer, "man")
    assert advice.startswith("In nearly all captions: round glasses, shirt.")
    assert coach(read_photos(sample_photos("product"), 32), "ravo", tokenizer, "mug") == []
    assert coach(read_photos(sample_photos("style"), 32), "ravo", tokenizer, style=True) == []


def test_a_trigger_of_two_words_or_in_brackets_is_found(tokenizer):
    for trigger in ("ravo man", "<ravo>"):
        said = [f"photo of {trigger}, {where}" for where in ("in a forest", "at night")]
        assert not any("no '" in advice for advice in coach(photos_with(*said), trigger, tokenizer))
    (advice,) = coach(photos_with("photo of ravos", *GOOD), "ravo", tokenizer)
    assert advice.startswith("0.jpg has no 'ravo'")


def test_a_long_trigger_is_counted(tokenizer):
    word = "xyzzyqwvutskjh"
    said = [f"photo of {word}, {where}" for where in ("in a forest", "at night")]
    (advice,) = coach(photos_with(*said), word, tokenizer)
    assert f"falls into {len(tokenizer.tokenize(word))} tokens" in advice


def test_identity_in_hyphenated_words(tokenizer):
    said = ["photo of ravo, a red-haired man in a forest", "photo of ravo at night"]
    (advice,) = coach(photos_with(*said), "ravo", tokenizer)
    assert "(haired)" in advice


def test_a_style_is_not_described(tokenizer):
    said = ["watercolour painting in ravo style of a mug", "painting in ravo style, loose strokes"]
    (advice,) = coach(photos_with(*said), "ravo", tokenizer, style=True)
    assert "(strokes, watercolour)" in advice and "leave out how" in advice


@pytest.mark.parametrize("trigger", ["bad-hands-5", "<cat-toy>"])
def test_a_word_with_signs_is_a_word(tokenizer, trigger):
    said = [caption.replace("ravo", trigger) for caption in GOOD]
    (advice,) = coach(photos_with(*said), trigger, tokenizer)
    assert "tokens of the model's vocabulary" in advice  # the mini's has few words


def test_without_a_trigger_the_rest_is_still_said(tokenizer):
    said = [f"a man in a red hat, {where}" for where in ("at night", "in a forest", "at home")]
    (advice,) = coach(photos_with(*said), "", tokenizer)
    assert "red hat" in advice and "a part of what is learned" in advice


def test_no_caption_with_the_trigger_is_the_gravest(tokenizer):
    (advice,) = coach(photos_with("photo of bravo", "ravo2 at night"), "ravo", tokenizer)
    assert advice.startswith("None of the captions says 'ravo'")
