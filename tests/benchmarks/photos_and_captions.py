"""What photos and captions decide, over seeds: the numbers behind notebooks 01 and 02.

    python tests/benchmarks/photos_and_captions.py --claim share --seeds 0 1 2
    python tests/benchmarks/photos_and_captions.py --claim number
    python tests/benchmarks/photos_and_captions.py --claim glasses     # and --claim hat

"share": the same person at several shares of the frame, and the smallest mended by cropping.
"number": 5, 10, 15, 20 photos at equal steps. "glasses" and "hat": on every photo, named in the
captions or not; asked for or not. Each row is one training of a LoRA with the preset for people on
the mini model. Minutes a seed on two cores.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "claims"))
from trainings import photo

from sdnb.dataset.photos import Photo
from sdnb.evaluation.lineup import line_up
from sdnb.evaluation.scores import distance_to_nearest
from sdnb.inference.images import make_images
from sdnb.machine import find_machine
from sdnb.mini.judge import load_judge
from sdnb.mini.scenes import PLACES, photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON, held_out_person
from sdnb.models.loading import load_model
from sdnb.training.config import preset
from sdnb.training.loop import fit
from sdnb.training.methods import method_of
from sdnb.training.run import prepare

SHARES, NUMBERS = (0.6, 0.4, 0.25, 0.1), (20, 15, 10, 5)
PLACED = [f"photo of ravo, {words}" for words in PLACES.values()]
WEAR = {"glasses": ("round", "round glasses"), "hat": ("cap", "a red cap")}


def arms(claim: str, seed: int, person) -> dict[str, list[Photo]]:
    """By name, the photos of every training of one seed."""
    if claim == "number":
        scenes = photos_of(person, max(NUMBERS), seed, glasses="round")
        return {str(n): [photo(s, i) for i, s in enumerate(scenes[:n])] for n in NUMBERS}
    if claim == "share":
        found = {}
        for share in SHARES:
            scenes = photos_of(person, 20, seed, glasses="round", share=share)
            found[f"{share:.0%}"] = [photo(s, i) for i, s in enumerate(scenes)]
        found[f"{share:.0%} mended"] = [photo(s, i, mended=True) for i, s in enumerate(scenes)]
        return found
    value = WEAR[claim][0]
    worn = {claim: value} | ({"hat_colour": "red"} if claim == "hat" else {})
    scenes = photos_of(person, 20, seed, **worn)
    return {
        "named": [photo(s, i) for i, s in enumerate(scenes)],
        "unnamed": [photo(s, i, replace(s, **{claim: "none"})) for i, s in enumerate(scenes)],
    }


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--claim", choices=("share", "number", "glasses", "hat"), default="glasses")
    ask.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    ask.add_argument("--person", type=int, help="a held-out person in place of the sample person")
    ask.add_argument("--arms", nargs="+")
    ask.add_argument("--steps", type=int, default=300)
    ask.add_argument("--pictures", type=int, default=32)
    ask.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    ask.add_argument("--out", type=Path)
    asked = ask.parse_args()
    person = SAMPLE_PERSON if asked.person is None else held_out_person(asked.person)
    changes = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in asked.set)}
    model, judge = load_model("mini"), load_judge()
    lineup = line_up(person, model, judge)
    held_out = [draw_scene(scene) for scene in photos_of(person, 16, 99, glasses="round")]
    seeds = range(500, 500 + asked.pictures)
    for seed in asked.seeds:
        for name, photos in arms(asked.claim, seed, person).items():
            if asked.arms and name not in asked.arms:
                continue
            config = preset("person_mini").replace(
                class_word=person.kind,
                seed=seed,
                views_per_photo=-(-asked.steps * 4 // len(photos)),
                **changes,
            )
            for _ in fit(*prepare(config, photos, model, find_machine(config.precision))):
                pass
            row = {"claim": asked.claim, "arm": name, "seed": seed, "steps": asked.steps, **changes}
            row["person"] = asked.person

            def pictures(prompts):
                words = [prompts[i % len(prompts)] for i in range(asked.pictures)]
                return make_images(model, words, seeds, batch=16)

            if asked.claim in WEAR:
                for key, words in (("unasked", ""), ("asked", f" wearing {WEAR[asked.claim][1]}")):
                    made = pictures([f"photo of ravo{words}"])
                    seen = judge.read(made)
                    row[key] = sum(r[asked.claim] != "none" for r in seen) / len(seen)
                    row[f"likeness {key}"] = lineup.score(made, judge)
            else:
                made = pictures(PLACED)
                row["likeness"] = lineup.score(made, judge)
                seen, places = judge.read(made), tuple(PLACES)
                row["places"] = sum(
                    r["place"] == places[i % len(places)] for i, r in enumerate(seen)
                ) / len(seen)
                images = [p.image for p in photos]
                for key, some in (("nearest photo", made), ("held out", held_out)):
                    found = distance_to_nearest(some, images, model)
                    row[key] = round(sum(found) / len(found), 3)
            method_of(config).remove(model)
            print(json.dumps(row), flush=True)
            if asked.out:
                with asked.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
