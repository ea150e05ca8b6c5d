"""The gate that a finished mini model has to pass: can it learn people it has never seen?

    python -m sdnb.mini.recipe.gate --people 10 11 12 13 14 --seeds 0 1 2

Trains one LoRA for each person and seed with the shipped preset, in memory; with --unnamed the
captions keep silent about the glasses. A job for the background (minutes a run), never for tests.
"""

import argparse
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from sdnb.dataset.contact_sheet import image_grid
from sdnb.dataset.photos import Photo
from sdnb.errors import with_article
from sdnb.evaluation.lineup import LineUp, line_up
from sdnb.inference.images import make_images
from sdnb.machine import find_machine
from sdnb.mini.judge import Judge, load_judge
from sdnb.mini.scenes import HATS, PLACES, Scene, features, photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import COLOURS, IDENTITY, Person, held_out_person
from sdnb.mini.words import learner_caption
from sdnb.models.base import Model
from sdnb.models.loading import load_model
from sdnb.training.config import LoraConfig, preset
from sdnb.training.run import learned

PHOTOS, GLASSES = 20, "round"
LOOKALIKE = 7  # of the line-up's nineteen: the control's subject


def gate_prompts(trigger: str) -> list[tuple[str, dict]]:
    """Forty prompts with what each asks for: 16 plain, 12 with a hat, 12 with glasses."""
    prompts = []
    for i in range(40):
        place = tuple(PLACES)[i % len(PLACES)]
        asked, words = {"place": place}, ""
        if 16 <= i < 28:
            asked |= {"hat": HATS[1 + i % 4], "hat_colour": COLOURS[i % 6]}
            words = f" wearing {with_article(asked['hat_colour'])} {asked['hat']}"
        elif i >= 28:
            asked["glasses"], words = GLASSES, f" wearing {GLASSES} glasses"
        prompts.append((f"photo of {trigger}{words}, {PLACES[place]}", asked))
    return prompts


def photographs(person: Person, trigger: str, named: bool = True, seed: int = 0) -> list[Photo]:
    """Twenty photos of `person`, glasses on every nose; with `named` the captions say so."""
    photos = []
    for i, scene in enumerate(photos_of(person, PHOTOS, seed, glasses=GLASSES)):
        told = scene if named else replace(scene, glasses="none")
        words = learner_caption(told, trigger)
        photos.append(Photo(Path(f"{i:02}.png"), draw_scene(scene), words))
    return photos


def measure(pictures, prompts, lineup: LineUp, judge: Judge) -> dict[str, float]:
    """Shares: recognised in the line-up, hats and places obeyed, glasses asked and unasked; and how
    often each feature that makes up the likeness is right where it can be seen."""
    hits: dict[str, list[bool]] = defaultdict(list)
    person = lineup.members[0]
    for reading, (_, asked) in zip(judge.read(pictures), prompts, strict=True):
        hits["place"].append(reading["place"] == asked["place"])
        hatted = "hat" in asked
        if hatted:
            hits["hat"].append(reading["hat"] == asked["hat"])
        key = "glasses asked" if "glasses" in asked else "glasses unasked"
        hits[key].append(reading["glasses"] != "none")
        shown = features(Scene(person, hat=asked.get("hat", "none")))
        for name in IDENTITY:
            if shown[name] is not None:
                under = " under a hat" if hatted and name == "hair_colour" else ""
                hits[name + under].append(reading[name] == shown[name])
    return {
        "line-up": lineup.score(pictures, judge),
        **{name: sum(found) / len(found) for name, found in hits.items()},
    }


def leak(config: LoraConfig, model: Model, judge: Judge, lineup: LineUp) -> float:
    """The share of images of anybody of the class that are taken for the subject."""
    prompts = [f"photo of a {config.class_word}, {PLACES[p]}" for p in (*PLACES, *PLACES)]
    return lineup.score(make_images(model, prompts, range(200, 218), batch=18), judge)


def trial(
    person: Person,
    config: LoraConfig,
    model: Model,
    judge: Judge,
    lineup: LineUp,
    named: bool = True,
) -> tuple[dict, list]:
    """One little training and its forty pictures."""
    machine, begun = find_machine(config.precision), time.perf_counter()
    photos = photographs(person, config.trigger, named, config.seed)
    with learned(config, photos, model, machine):
        seconds = time.perf_counter() - begun
        scores, pictures = examine(config, model, judge, lineup)
    return scores | {"seconds": round(seconds, 1)}, pictures


def examine(config: LoraConfig, model: Model, judge: Judge, lineup: LineUp) -> tuple[dict, list]:
    """What the trained model is worth: the shares that `measure` gives, the leak, and the forty
    pictures."""
    prompts = gate_prompts(config.trigger)
    pictures = make_images(model, [p for p, _ in prompts], range(100, 140), batch=20)
    scores = measure(pictures, prompts, lineup, judge)
    return scores | {"leak": leak(config, model, judge, lineup)}, pictures


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--people", type=int, nargs="+", default=[10, 11, 12, 13, 14])
    ask.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    ask.add_argument("--preset", default="person_mini")
    ask.add_argument("--base", default="mini")
    ask.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    ask.add_argument("--out", type=Path, default=Path("gate.json"))
    ask.add_argument(
        "--unnamed",
        action="store_true",
        help="only the runs whose captions keep silent about the glasses",
    )
    ask.add_argument(
        "--control",
        action="store_true",
        help="train on lookalike 7 of each person instead: is it recognised as lookalike 7?",
    )
    ask.add_argument("--sheet", type=Path, help="also write the last run's pictures here")
    asked = ask.parse_args(arguments)
    model, judge, rows = load_model(asked.base), load_judge(), []
    changes = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in asked.set)}
    for number in asked.people:
        person = held_out_person(number)
        lineup = line_up(person, model, judge)
        for seed in asked.seeds:
            config = preset(asked.preset).replace(
                **{"base": asked.base, "class_word": person.kind, "seed": seed, **changes}
            )
            shown = lineup.members[LOOKALIKE] if asked.control else person
            named, pictures = trial(shown, config, model, judge, lineup, named=not asked.unnamed)
            rows.append({"person": number, "seed": seed, **named})
            if asked.control:
                rows[-1]["as the lookalike"] = lineup.score(pictures, judge, LOOKALIKE)
            print(json.dumps(rows[-1]), flush=True)
            asked.out.write_text(json.dumps(rows, indent=1))
            if asked.sheet:
                photos = [photo.image for photo in photographs(person, "ravo")[:10]]
                image_grid([*photos, *pictures], 10).save(asked.sheet)


if __name__ == "__main__":
    main()
