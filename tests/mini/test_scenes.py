"""The studio's world: the same seed gives the same picture, words and labels tell the truth."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sdnb.mini import subjects
from sdnb.mini.recipe import data
from sdnb.mini.scenes import (
    FEATURES,
    LOOKS,
    PLACES,
    STYLES,
    Scene,
    features,
    photos_of,
    random_world as world,
)
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import IDENTITY, PRODUCT_IDENTITY, SAMPLE_PERSON, SAMPLE_PRODUCT, Person
from sdnb.mini.words import caption, learner_caption, style_caption


def test_the_same_scene_gives_the_same_bytes():
    scene = world(random.Random(3), cartoons=0)
    scene = replace(scene, style="photo")
    assert draw_scene(scene).tobytes() == draw_scene(scene).tobytes()
    assert draw_scene(scene).tobytes() != draw_scene(replace(scene, seed=scene.seed + 1)).tobytes()


@pytest.mark.parametrize("style", STYLES)
def test_every_style_draws_every_kind_at_any_size(style):
    for subject in (
        SAMPLE_PERSON,
        replace(SAMPLE_PERSON, kind="woman", hair="bun"),
        SAMPLE_PRODUCT,
    ):
        picture = draw_scene(Scene(subject, style=style, hat="cap", glasses="square"), 72)
        assert picture.size == (72, 72) and picture.mode == "RGB"
        assert np.asarray(picture).std() > 10  # not one flat colour


@pytest.mark.parametrize("name", IDENTITY)
def test_every_feature_of_a_person_is_visible(name):
    """Changing one feature changes pixels of a bareheaded portrait by more than the grain."""
    scene = Scene(replace(SAMPLE_PERSON, mark="mole"), smile=False)
    plain = np.asarray(draw_scene(scene), int)
    values = FEATURES[name] if name != "mark" else subjects.MARKS
    for value in values:
        if value != getattr(scene.subject, name):
            other = replace(scene, subject=replace(scene.subject, **{name: value}))
            assert (abs(np.asarray(draw_scene(other), int) - plain).max(2) > 40).sum() >= 8, value


def test_the_head_fills_the_share_that_is_asked_for():
    """By colour: pale skin and black hair on a green shirt at night; within a third of the share,
    since a head is not its box."""
    person = Person(skin="pale", hair="short", hair_colour="black", face="round")
    for share in (0.1, 0.3, 0.6):
        scene = Scene(person, place="room", shirt="green", share=share)
        head = np.asarray(draw_scene(replace(scene, style="cartoon")), int)
        skin = (abs(head - np.array((252, 226, 208))).max(2) < 30).mean()
        assert 0.3 * share < skin < share


def test_held_out_people_never_stand_in_the_world():
    seen = {data.world_scene(i).subject for i in range(3000)}
    held = [SAMPLE_PERSON, SAMPLE_PRODUCT, *map(subjects.held_out_person, range(40))]
    assert all(subjects.is_held_out(subject) for subject in held)
    assert not any(subjects.is_held_out(subject) for subject in seen)


@pytest.mark.parametrize("subject", [SAMPLE_PERSON, subjects.held_out_person(3), SAMPLE_PRODUCT])
def test_lookalikes_differ_in_two_or_three_features(subject):
    fields = IDENTITY if isinstance(subject, Person) else PRODUCT_IDENTITY
    line = subjects.lookalikes(subject, 19)

    def apart(one, other):
        return {name for name in fields if getattr(one, name) != getattr(other, name)}

    assert len(line) == 19 and all(other.kind == subject.kind for other in line)
    for i, other in enumerate(line):
        assert len(apart(subject, other)) in (2, 3)
        assert all(len(apart(other, third)) >= 2 for third in line[:i])
        if isinstance(subject, Person):
            assert apart(subject, other) & set(subjects.FINE)


def test_silence_means_absence():
    """Worn glasses and hats are named in at least nine of ten captions; what is not worn, never."""
    named = {"glasses": Counter(), "hat": Counter()}
    for i in range(4000):
        scene = data.world_scene(i)
        if not scene.is_person:
            continue
        words = caption(scene, random.Random(i))
        for name, hints in (("glasses", ("glasses",)), ("hat", ("hat", "cap", "beanie"))):
            said = any(hint in words for hint in hints)
            worn = getattr(scene, name) != "none"
            assert worn or not said, words
            named[name][worn, said] += 1
    for counted in named.values():
        assert counted[True, True] / (counted[True, True] + counted[True, False]) > 0.9
        assert 0.1 < (counted[True, True] + counted[True, False]) / counted.total() < 0.3


def test_identity_is_named_now_and_then():
    scenes = [data.world_scene(i) for i in range(3000)]
    people = [(s, caption(s, random.Random(i))) for i, s in enumerate(scenes) if s.is_person]
    brows = sum(f"{scene.subject.brows} eyebrows" in words for scene, words in people)
    # of three in ten captions; a name stands in one of three, and leaves it out seven times in ten
    assert brows / len(people) == pytest.approx(0.3 * (1 - 0.316 * 0.7), abs=0.03)


def test_a_learners_caption_names_what_shall_stay_changeable():
    scene = Scene(SAMPLE_PERSON, "beach", glasses="round", smile=True, shirt="red")
    words = learner_caption(scene, "ravo")
    assert words == "photo of ravo wearing round glasses and a red shirt, smiling, at the beach"
    look = style_caption(replace(scene, style=LOOKS[0]), "ravo")
    assert look == "cartoon in ravo style of a light skinned man, smiling, at the beach"


def test_what_cannot_be_seen_is_not_labelled():
    scene = Scene(SAMPLE_PERSON, hat="cap", glasses="sunglasses")
    truth = features(scene)
    assert truth["hair"] is None and truth["mark"] is None and truth["eyes"] is None
    assert truth["hat"] == "cap" and truth["colour"] is None
    row = dict(zip(FEATURES, data.labels(scene), strict=True))
    assert row["hat"] == 1 and row["hair"] == -1 and row["glasses"] == 3


def test_photos_of_deals_out_the_places_evenly():
    photos = photos_of(SAMPLE_PERSON, 18, seed=1, glasses="round")
    assert Counter(scene.place for scene in photos) == dict.fromkeys(PLACES, 2)
    assert all(s.glasses == "round" and s.hat == "none" and 0.5 <= s.share <= 0.62 for s in photos)
