"""The gate on the three sample sets: does each method learn the person, the mug and the style?

    python -m sdnb.mini.recipe.gate_samples --methods lora dreambooth --seeds 0 1 2

As `gate`, with the photos that learners have. Of a style is asked: how many pictures have it when
it is asked for, and how many when it is not; do place and kind still obey? A job for the
background, never for tests.
"""

import argparse
import json
import time
from statistics import fmean

from sdnb.dataset.contact_sheet import image_grid
from sdnb.dataset.photos import read_photos
from sdnb.dataset.samples import sample_photos
from sdnb.evaluation.lineup import line_up
from sdnb.inference.images import make_images
from sdnb.machine import find_machine
from sdnb.mini.judge import Judge, load_judge
from sdnb.mini.recipe.gate import gate_prompts, measure
from sdnb.mini.scenes import PLACES, SAMPLE_LOOK
from sdnb.mini.subjects import SAMPLE_PERSON, SAMPLE_PRODUCT
from sdnb.models.base import Model
from sdnb.models.loading import load_model
from sdnb.training.config import TrainConfig, preset
from sdnb.training.run import learned

WORDS = {"person": "man", "product": "mug", "style": "cartoon"}  # class word and init word
PRESETS = {
    "lora": "{}_mini",
    "dreambooth": "dreambooth_person_mini",
    "textual_inversion": "textual_inversion_person_mini",
}


def config_for(method: str, name: str) -> TrainConfig:
    """The shipped settings of a method for a sample set."""
    config = preset(PRESETS[method].format(name))
    words: dict[str, object] = {"class_word": WORDS[name]}
    if method == "textual_inversion":
        words["init_word"] = WORDS[name]
        if name == "product":  # of which the base knows fewer by name
            words |= {"vectors": 8, "learning_rate": 8e-2}
    if method == "dreambooth" and name == "product":
        words["prior_weight"] = 1.0  # as the LoRA's preset: else every mug becomes this one
    return config.replace(photos=sample_photos(name), **words)


def _images(model: Model, prompts: list[str]) -> list:
    """A picture of each prompt, with the gate's seeds."""
    seeds = range(100, 100 + len(prompts))
    return make_images(model, prompts, seeds, batch=20)


def person(model: Model, judge: Judge, trigger: str) -> tuple[dict, list]:
    """The gate's shares for the sample person, and its forty pictures."""
    prompts = gate_prompts(trigger)
    pictures = _images(model, [words for words, _ in prompts])
    return measure(pictures, prompts, line_up(SAMPLE_PERSON, model, judge), judge), pictures


def product(model: Model, judge: Judge, trigger: str) -> tuple[dict, list]:
    """Shares: the mug recognised, places obeyed, other mugs taken for it; and the pictures."""
    places = [tuple(PLACES)[i % len(PLACES)] for i in range(36)]
    pictures = _images(model, [f"photo of {trigger} mug, {PLACES[place]}" for place in places])
    others = _images(model, [f"photo of a mug, {PLACES[place]}" for place in places[:9]])
    seen = [reading["place"] for reading in judge.read(pictures)]
    lineup = line_up(SAMPLE_PRODUCT, model, judge)
    scores = {
        "line-up": lineup.score(pictures, judge),
        "place": fmean(place == asked for place, asked in zip(seen, places, strict=True)),
        "any mug is it": lineup.score(others, judge),
    }
    return scores, pictures + others


def style(model: Model, judge: Judge, trigger: str) -> tuple[dict, list]:
    """Shares: the style asked and unasked, places and kinds obeyed; and the pictures."""
    places = [tuple(PLACES)[i % len(PLACES)] for i in range(36)]
    kinds = ["a man", "a woman", "a man wearing a cap", "a woman wearing a beanie"] * 9
    plain = [f"{k}, {PLACES[p]}" for k, p in zip(kinds, places, strict=True)]
    pictures = _images(model, [f"cartoon in {trigger} style of {words}" for words in plain])
    cartoons = _images(model, [f"cartoon of {words}" for words in plain[:18]])
    photos = _images(model, [f"photo of {words}" for words in plain[:18]])
    seen = judge.read(pictures)
    scores = {
        "style asked": fmean(reading["style"] == SAMPLE_LOOK for reading in seen),
        "in cartoons": fmean(r["style"] == SAMPLE_LOOK for r in judge.read(cartoons)),
        "in photos": fmean(r["style"] == SAMPLE_LOOK for r in judge.read(photos)),
        "place": fmean(r["place"] == p for r, p in zip(seen, places, strict=True)),
        "kind": fmean(r["kind"] == k.split()[1] for r, k in zip(seen, kinds, strict=True)),
    }
    return scores, pictures + cartoons + photos


MEASURES = {"person": person, "product": product, "style": style}


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--methods", nargs="+", choices=PRESETS, default=[*PRESETS])
    ask.add_argument("--sets", nargs="+", choices=MEASURES, default=[*MEASURES])
    ask.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    ask.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    ask.add_argument("--sheet", help="also write the last run's pictures here")
    asked = ask.parse_args(arguments)
    model, judge = load_model("mini"), load_judge()
    changes = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in asked.set)}
    for method in asked.methods:
        for name in asked.sets:
            for seed in asked.seeds:
                config = config_for(method, name).replace(seed=seed, **changes)
                photos = read_photos(config.photos, model.info.resolution)
                machine, begun = find_machine(config.precision), time.perf_counter()
                with learned(config, photos, model, machine):
                    row = {"method": method, "set": name, "seed": seed, **changes}
                    row["seconds"] = round(time.perf_counter() - begun, 1)
                    scores, pictures = MEASURES[name](model, judge, config.trigger)
                row |= {key: round(value, 3) for key, value in scores.items()}
                print(json.dumps(row), flush=True)
                if asked.sheet:
                    image_grid([p.image for p in photos[:9]] + pictures, 9).save(asked.sheet)


if __name__ == "__main__":
    main()
