"""What the photos show and no caption names: when it is told, and who sees it."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from sdnb.captioning import clip_sees, coach, judge_sees, uncaptioned
from sdnb.captioning.uncaptioned import CLIP, QUESTIONS, uncaptioned_features
from sdnb.dataset.photos import Photo, read_photos
from sdnb.dataset.samples import sample_photos
from sdnb.errors import Problem
from sdnb.mini.judge import load_judge
from sdnb.models.loading import load_model


def told(captions: list[str], seen: list[dict[str, str]], trigger: str = "ravo") -> list[str]:
    image = Image.new("RGB", (8, 8))
    photos = [Photo(Path(f"{i}.jpg"), image, caption) for i, caption in enumerate(captions)]
    return uncaptioned_features(photos, lambda pictures: seen[: len(pictures)], trigger)


def shows(count: int, of: int = 20, **features: str) -> list[dict[str, str]]:
    return [features if index < count else {} for index in range(of)]


SILENT = ["photo of ravo, at the beach"] * 20


def test_glasses_that_no_caption_names():
    assert told(SILENT, shows(18, glasses="round glasses")) == [
        "18 of 20 photos show round glasses and no caption names them: they will become a part of "
        "ravo and no prompt will take them off. Name them where they can be seen."
    ]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (shows(20, hat="red cap"), "All photos show a red cap and no caption names it: it will"),
        (shows(12, smile="smile"), "12 of 20 photos show a smile and"),
        (shows(20, shirt="orange shirt"), "show an orange shirt .* or add photos in other clothes"),
        (shows(20, bag="handbag"), "All photos show a handbag and"),  # of no table
    ],
)
def test_each_feature_has_its_sentence(seen, said):
    (sentence,) = told(SILENT, seen)
    assert re.search(said, sentence), sentence


def test_one_place_in_most_photos():
    captions = ["photo of ravo, smiling"] * 20
    (sentence,) = told(captions, shows(20, place="at the beach"))
    assert sentence.startswith("All photos are taken at the beach and no caption names it")
    assert sentence.endswith("or add photos from other places.")
    assert told(captions, shows(10, place="at the beach") + shows(10, place="at night")) == []


@pytest.mark.parametrize("feature", ["shirt", "place"])
def test_what_every_photo_has_is_told_only_where_it_is_the_same(feature):
    varied = [{feature: f"kind {index % 4}"} for index in range(20)]
    assert told(SILENT, varied) == []


def test_glasses_of_two_kinds_are_glasses():
    seen = shows(9, of=9, glasses="round glasses") + shows(9, of=11, glasses="sunglasses")
    assert told(SILENT, seen)[0].startswith("18 of 20 photos show glasses and")


def test_rare_things_and_named_things_are_left_in_peace():
    assert told(SILENT, shows(11, glasses="glasses")) == []
    assert told(["ravo in sunglasses"] * 20, shows(20, glasses="glasses")) == []
    assert told(["Ravo with a Beanie"] * 20, shows(20, hat="red hat")) == []
    assert told(["ravo laughing"] * 20, shows(20, smile="smile")) == []
    assert told(["ravo in the woods"] * 20, shows(20, place="in a forest")) == []
    assert told([], []) == []


def test_half_of_the_captions_have_to_name_it():
    names = "photo of ravo wearing glasses"
    seen = shows(20, glasses="glasses")
    assert told([names] * 11 + SILENT[:9], seen) == []
    (sentence,) = told([names] * 10 + SILENT[:10], seen)
    assert "All photos show glasses and 10 of their captions do not name them" in sentence


def test_a_word_within_a_word_names_nothing():
    assert len(told(["ravo with a chat, that is what"] * 20, shows(20, hat="hat"))) == 1


def test_the_judge_sees_the_sample_photos():
    see = judge_sees(load_judge())
    photos = read_photos(sample_photos("person"), 128)
    shown = see([photo.image for photo in photos])
    assert shown[0] == {"place": "in the desert", "glasses": "round glasses", "shirt": "red shirt"}
    assert all(features["glasses"] == "round glasses" for features in shown)
    right = [f["place"] in photo.caption for f, photo in zip(shown, photos, strict=True)]
    assert sum(right) >= 16  # of 20; of what is behind a head that fills the photo it sees little
    assert uncaptioned_features(photos, see, "ravo") == []
    bare = [Photo(p.path, p.image, p.caption.replace("round glasses and ", "")) for p in photos]
    (sentence,) = uncaptioned_features(bare, see, "ravo")
    assert sentence.startswith("All photos show round glasses and no caption names them")
    for name in ("product", "style"):
        photos = read_photos(sample_photos(name), 128)
        assert uncaptioned_features(photos, see) == []
        seen = see([photo.image for photo in photos])
        assert name == "style" or all(set(shown) == {"place"} for shown in seen)
        assert not any("shirt" in shown for shown in seen)  # in inks of its own


def test_the_judge_is_silent_about_what_is_not_drawn():
    toys = [photo.image for photo in read_photos(sample_photos("toy"), 128)]
    assert judge_sees(load_judge())(toys) == [{}] * len(toys)


def test_the_judge_names_hats_by_their_colour():
    reading = {"kind": "man", "place": "room", "style": "photo", "glasses": "sunglasses"}
    reading |= {"hat": "cap", "hat_colour": "red", "shirt": "blue", "smile": True}

    class Sure:
        def knows(self, pictures):
            return True

        def read(self, pictures):
            return [reading, {**reading, "style": "pencil"}]

    photo, drawing = judge_sees(Sure())([])
    assert (photo["hat"], photo["glasses"], photo["smile"]) == ("red cap", "sunglasses", "smile")
    assert drawing["hat"] == "cap" and "shirt" not in drawing


def test_the_coach_tells_it_last():
    photos = [
        Photo(p.path, p.image, p.caption.replace("round glasses and ", ""))
        for p in read_photos(sample_photos("person"), 128)
    ]
    tokenizer = load_model("mini").tokenizer
    without = coach(photos, "ravo", tokenizer, "man")
    seen = coach(photos, "ravo", tokenizer, "man", see=judge_sees(load_judge()))
    assert seen[:-1] == without and "round glasses" in seen[-1]


def answers(**chosen: str) -> torch.Tensor:
    """A CLIP's row where each feature's chosen answer is far ahead, and the others are level."""
    return torch.tensor(
        [
            9.0 if said == chosen.get(feature) else 0.0
            for feature, sentences in QUESTIONS.items()
            for said in sentences
        ]
    )


def test_clip_counts_what_it_is_sure_of(monkeypatch):
    asked = []
    rows = [
        answers(glasses="with sunglasses", hat="with nothing on the head", place="at the beach"),
        answers(glasses="without glasses", smile="smiling", shirt="in a blue shirt"),
    ]
    level = answers()
    level[3:5] = 4.0  # a hat or a cap: undecided, but surely one of them

    class Clip:
        def logits(self, pictures, sentences):
            asked.append((len(pictures), sentences))
            return torch.stack(rows + [level] * (len(pictures) - 2))

    monkeypatch.setattr(uncaptioned, "load_clip_encoder", lambda *asked: Clip())
    blank = Image.new("RGB", (8, 8))
    shown = clip_sees()([blank] * 3)
    assert shown[0] == {"glasses": "sunglasses", "place": "at the beach"}
    assert shown[1] == {"smile": "smile", "shirt": "blue shirt"}
    assert shown[2] == {"hat": "hat"}
    ((count, sentences),) = asked
    assert count == 3 and len(sentences) == len(level) == len(set(sentences))
    assert "a photo of a person wearing a hat" in sentences


def test_a_thing_is_only_asked_where_it_is(monkeypatch):
    """A blue teapot wears no blue shirt."""
    asked = []

    class Clip:
        def logits(self, pictures, sentences):
            asked.append(sentences)
            return torch.tensor([[9.0 * ("on a table" in words) for words in sentences]])

    monkeypatch.setattr(uncaptioned, "load_clip_encoder", lambda *asked: Clip())
    shown = clip_sees(subject="object")([Image.new("RGB", (8, 8))])
    assert shown == [{"place": "on a table"}]
    assert all(words.startswith("a photo of something ") for words in asked[0])


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory, tiny_folder):
    """A tiny random CLIP with its processor."""
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        CLIPProcessor,
        CLIPTokenizer,
    )

    folder = tmp_path_factory.mktemp("models") / "clip"
    tokenizer = CLIPTokenizer.from_pretrained(tiny_folder / "tokenizer")
    width = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    width["num_attention_heads"] = 2
    text = {**width, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    vision = {**width, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    shown = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size)
    CLIPProcessor(shown, tokenizer).save_pretrained(folder)
    return folder


def test_clip_is_loaded_once_and_at_the_first_look(clip_folder, cpu, monkeypatch):
    from transformers import CLIPModel

    loads, load = [], CLIPModel.from_pretrained
    monkeypatch.setattr(
        CLIPModel, "from_pretrained", lambda *a, **k: loads.append(a) or load(*a, **k)
    )
    see = clip_sees(clip_folder, cpu)
    assert not loads
    pictures = [Image.new("RGB", (40 + index, 50), "red") for index in range(20)]
    shown = see(pictures)
    assert len(shown) == 20 and all(set(found) <= set(QUESTIONS) for found in shown)
    assert see(pictures) == shown and len(loads) == 1


def test_a_clip_out_of_reach_is_a_sentence(cpu, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    picture = Image.new("RGB", (8, 8))
    for source in (CLIP, tmp_path):
        with pytest.raises(Problem, match=r"The image encoder .* could not be loaded"):
            clip_sees(source, cpu)([picture])
