"""Uncaptioned features: what most photos show and no caption names becomes a part of the trigger
word.

Somebody has to look at the photos: the judge at those of the studio, a CLIP at real ones.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from sdnb.dataset.photos import Photo
from sdnb.errors import with_article
from sdnb.machine import Machine, find_machine
from sdnb.mini.judge import Judge
from sdnb.mini.scenes import HUES_GONE, PLACES
from sdnb.mini.words import glasses_words
from sdnb.models.image_encoders import ClipEncoder, load_clip_encoder

See = Callable[[list[Image.Image]], list[dict[str, str]]]
FUSES = 0.6  # of the photos: shown so often, a feature becomes a part of the trigger word
SURE = 0.7  # CLIP's probability from which on a feature counts as seen
CLIP = "openai/clip-vit-large-patch14"
VARY = {"place": "from other places", "shirt": "in other clothes"}  # what every photo has
ALSO = {  # other words that name it
    "glasses": "sunglasses eyeglasses spectacles",
    "hat": "cap beanie helmet headband",
    "shirt": "t-shirt tee sweater jacket coat suit dress top hoodie",
    "smile": "smiles smiling grin grinning laugh laughs laughing",
    "phone": "smartphone cellphone mobile",
    "beach": "sea ocean shore sand",
    "forest": "woods trees",
    "city": "street town",
    "snow": "snowy winter",
}
COLOURS = "red blue green yellow purple white black orange".split()
LOCATIONS = (
    "at the beach, in a forest, in the city, in the snow, in the desert, at night, in a library, "
    "in a garden, in a room, in an office, in a kitchen, in a car, in front of a wall"
).split(", ")
ABOUT_THINGS = [*LOCATIONS, "on a table", "on the floor", "on the grass"]
QUESTIONS = {  # "a photo of a person ...": the answers, and what each says of the feature
    "glasses": {"with glasses": "glasses", "with sunglasses": "sunglasses", "without glasses": ""},
    "hat": {"wearing a hat": "hat", "wearing a cap": "cap", "with nothing on the head": ""},
    "smile": {"smiling": "smile", "with a serious face": ""},
    "phone": {"holding a phone": "phone", "with empty hands": ""},
    "shirt": {f"in {with_article(c)} shirt": f"{c} shirt" for c in COLOURS},
    "place": {place: place for place in LOCATIONS},
}
WORD = r"[\w'-]+"


def words_of(text: str) -> set[str]:
    """The words in small letters."""
    return set(re.findall(WORD, text.lower()))


def uncaptioned_features(
    photos: Sequence[Photo], see: See, trigger: str = "the trigger word"
) -> list[str]:
    """One sentence for each feature that most of the photos show and most of their captions are
    silent about.

    `see` says what each picture shows, as {"glasses": "round glasses", "place": "at the beach"};
    what is not there is left out. It needs pictures of 128 pixels a side or more.
    """
    seen = see([photo.image for photo in photos]) if photos else []
    features = dict.fromkeys(feature for shown in seen for feature in shown)
    said = [_advice(feature, photos, seen, trigger) for feature in features]
    return [sentence for sentence in said if sentence]


def _advice(feature: str, photos: Sequence[Photo], seen: list[dict[str, str]], trigger: str) -> str:
    value, showing = _shown(feature, photos, seen)
    silent = [photo for photo in showing if not _names(photo.caption, feature, value)]
    if len(showing) < FUSES * len(photos) or 2 * len(silent) < len(showing):
        return ""
    count = "All" if len(showing) == len(photos) else f"{len(showing)} of {len(photos)}"
    they, them = ("they", "them") if value.endswith("s") else ("it", "it")
    shows = f"show {value if they == 'they' else with_article(value)}"
    if feature == "place":
        shows = f"are taken {value}"
    some = f"{len(silent)} of their captions do not name"
    without = some if len(silent) < len(showing) else "no caption names"
    more = f", or add photos {VARY[feature]}" if feature in VARY else ""
    return (
        f"{count} photos {shows} and {without} {them}: {they} will become a part of {trigger} and "
        f"no prompt will take {them} off. Name {them} where {they} can be seen{more}."
    )


def _shown(
    feature: str, photos: Sequence[Photo], seen: list[dict[str, str]]
) -> tuple[str, list[Photo]]:
    """What is shown of a feature, and in which photos: glasses of any kind, but of place and shirt,
    which all photos have, one and the same."""
    found = [(photo, shown[feature]) for photo, shown in zip(photos, seen) if feature in shown]
    value, same = Counter(value for _, value in found).most_common(1)[0]
    showing = [photo for photo, other in found if feature not in VARY or other == value]
    return (value if same == len(showing) else feature), showing


def _names(caption: str, feature: str, value: str) -> bool:
    noun = value.split()[-1]
    words = {noun, feature, *ALSO.get(feature, "").split(), *ALSO.get(noun, "").split()}
    return bool(words & words_of(caption))


def judge_sees(judge: Judge) -> See:
    """The studio's judge looks at drawn photos, for what a learner may want to change: glasses,
    hat, shirt, smile, place. Who somebody is should become a part of the word, and is left out. Of
    photos that are not drawn it says nothing."""

    def see(pictures: list[Image.Image]) -> list[dict[str, str]]:
        if not judge.knows(pictures):
            return [{} for _ in pictures]
        return [_changeable(reading) for reading in judge.read(pictures)]

    return see


def _changeable(reading: dict) -> dict[str, str]:
    shown, coloured = {"place": PLACES[reading["place"]]}, reading["style"] not in HUES_GONE
    if reading["kind"] not in ("man", "woman"):
        return shown
    if reading["glasses"] != "none":
        shown["glasses"] = glasses_words(reading["glasses"])
    if reading["hat"] != "none":
        colour = f"{reading['hat_colour']} " if coloured else ""
        shown["hat"] = f"{colour}{reading['hat']}"
    if coloured:
        shown["shirt"] = f"{reading['shirt']} shirt"
    if reading["smile"]:
        shown["smile"] = "smile"
    return shown


def clip_sees(
    source: str | Path = CLIP, machine: Machine | None = None, subject: str = "person"
) -> See:
    """A CLIP looks at real photos: which of a few sentences fits each best.

    `source` is a Hub id or a folder. It is loaded at the first look, which raises Problem where
    that fails. A `subject` other than a "person" is only asked where it is.
    """
    asked, who = QUESTIONS, "a person"
    if subject != "person":
        asked, who = {"place": {place: place for place in ABOUT_THINGS}}, "something"
    sentences = [f"a photo of {who} {said}" for answers in asked.values() for said in answers]

    @cache
    def load() -> ClipEncoder:
        device = (machine or find_machine()).device
        dtype = torch.float16 if device == "cuda" else torch.float32
        return load_clip_encoder(source, device, dtype)

    def see(pictures: list[Image.Image]) -> list[dict[str, str]]:
        return [_answered(row, asked) for row in load().logits(pictures, sentences)]

    return see


def _answered(row: torch.Tensor, asked: dict[str, dict[str, str]]) -> dict[str, str]:
    """What is seen, from the likeness (n,) of one picture to each sentence."""
    shown = {}
    parts = row.split([len(answers) for answers in asked.values()])
    for (feature, answers), part in zip(asked.items(), parts):
        chances = dict(zip(answers.values(), part.softmax(0).tolist()))
        nothing = chances.pop("", None)
        value = max(chances, key=chances.get)  # a hat or a cap: in doubt which, but surely one
        if (chances[value] if nothing is None else 1 - nothing) >= SURE:
            shown[feature] = value
    return shown
