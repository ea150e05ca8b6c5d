"""Does the line-up of photos agree with the judge's, where the truth is known?

    python tests/benchmarks/real_line_up.py --people 30 31 32

On the mini model a held-out person is learned with the preset for people, and at five points of a
short training (0, 20, 40, 80 and 160 steps) twenty-four images are put into the judge's line-up,
with nineteen drawn lookalikes, and into those of a learner's photos, seen by the mini's own CLIP:
sixteen held-out photos and nineteen others. The others are class images that the base makes of the
same prompts, or of the photos' captions, or a folder of photos of strangers. Each is tried with
three rules of how near the subject is: the cosine to the mean embedding of its photos (the
package's rule), the mean cosine to them, the largest. Beside it stands CLIP-I, the mean cosine to
the same photos, which needs no others. Each is also asked about somebody else, lookalike 7, by
photos of that one: a score of identity is low then.

Prints a JSON line for every point; then, for each score, Spearman's correlation with the judge over
all points and people, its mean over people of that within each, that over all points with those of
the lookalikes among them, the mean of score minus judge, and the score's mean before and after the
training, and after it for the lookalike ("twin").

The rule was chosen on people 20, 21 and 22 (a draft of this script); with others of the prompts it
led there: 0.93 pooled, against 0.85 of CLIP-I. On 30, 31 and 32, six and a half minutes of one CPU
core, it did not:

                               pooled  within  with twins  minus judge  before  after  twin after
    judge                        1.00    1.00        1.00         0.00    0.01   0.90        0.00
    CLIP-I                       0.86    1.00        0.56         0.05    0.33   0.62        0.52
    prompts, mean embedding      0.87    0.85        0.53         0.01    0.07   0.69        0.46
    prompts, mean cosine         0.74    0.91        0.54        -0.24    0.03   0.40        0.08
    prompts, largest cosine      0.88    0.88        0.53         0.11    0.19   0.76        0.54
    captions, mean embedding     0.82    0.89        0.41         0.26    0.33   0.88        0.83
    captions, mean cosine        0.92    0.92        0.60         0.19    0.18   0.86        0.72
    captions, largest cosine     0.36    0.18        0.29         0.35    0.63   0.88        0.86
    strangers, mean embedding    0.87    0.85        0.56         0.21    0.14   0.94        0.60
    strangers, mean cosine       0.78    0.94        0.54        -0.05    0.04   0.67        0.31
    strangers, largest cosine    0.90    0.92        0.49         0.27    0.28   0.96        0.81

So the line-up of photos puts trainings in no better order than CLIP-I, and neither tells lookalikes
apart, as the judge does. What it has before CLIP-I is a scale: with others made of the same prompts
its share is the judge's on average (of three people), and near 0 before the training.
"""

import argparse
import json
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sdnb.evaluation.lineup import LineUp, line_up, photo_line_up
from sdnb.inference.images import make_images
from sdnb.machine import find_machine
from sdnb.mini.judge import Judge, load_judge
from sdnb.mini.recipe.gate import LOOKALIKE, photographs
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import held_out_person, random_person
from sdnb.models.image_encoders import ClipEncoder, load_clip
from sdnb.models.loading import load_model
from sdnb.training.config import preset
from sdnb.training.loop import fit
from sdnb.training.methods import restore
from sdnb.training.run import prepare

STOPS, HELD_OUT = (0, 20, 40, 80, 160), 16
RULES = ("mean embedding", "mean cosine", "largest cosine")
PROMPTS = (
    "photo of ravo, at the beach",
    "photo of ravo, in the snow",
    "photo of ravo wearing a red hat",
    "photo of ravo, smiling, in a garden",
    "photo of ravo, in the city",
    "photo of ravo wearing round glasses, in a room",
    "photo of ravo wearing a green shirt, in a forest",
    "photo of ravo, at night",
)
SEEDS = (100, 101, 102)


def shares(images: torch.Tensor, lineup: LineUp) -> list[float]:
    """By each of RULES, the share of the images (n, d) that are nearest to the subject."""
    own, others = lineup.known[: lineup.own], lineup.known[lineup.own :]
    cosines, rival = images @ own.T, (images @ others.T).amax(1)
    near = (lineup.nearest(images) == 0, cosines.mean(1) >= rival, cosines.amax(1) >= rival)
    return [float(some.float().mean()) for some in near]


def line_ups(config, photos, ours, model, clip: ClipEncoder, folder: Path) -> dict[str, LineUp]:
    """By the kind of others; `folder` is for photos and strangers."""
    chance, strangers = random.Random(config.class_word), folder / "strangers"
    strangers.mkdir()
    for photo in photos:
        photo.image.save(folder / photo.path.name)
        (folder / photo.path.with_suffix(".txt").name).write_text(photo.caption)
    for i in range(19):
        (scene,) = photos_of(random_person(chance, config.class_word), 1, seed=1000 + i)
        draw_scene(scene).save(strangers / f"{i:02}.png")
    config = config.replace(photos=folder)
    kinds = {"prompts": PROMPTS, "captions": (), "strangers": strangers}
    return {name: photo_line_up(config, model, ours, of, clip) for name, of in kinds.items()}


def walk(number: int, model, judge: Judge, clip: ClipEncoder) -> list[dict]:
    """One person's training, looked at on the way."""
    restore(model)
    person = held_out_person(number)
    config = preset("person_mini").replace(class_word=person.kind, views_per_photo=32)
    photos = photographs(person, config.trigger)
    judged = line_up(person, model, judge)
    twin = judged.members[LOOKALIKE]
    ours, theirs = ([draw_scene(s) for s in photos_of(who, HELD_OUT, 99)] for who in (person, twin))
    with tempfile.TemporaryDirectory() as folder:
        lineups = line_ups(config, photos, ours, model, clip, Path(folder))
    subjects = {"": clip.embed(ours), ", lookalike": clip.embed(theirs)}

    def look(step: int) -> dict:
        prompts = [prompt for prompt in PROMPTS for _ in SEEDS]
        images = make_images(model, prompts, SEEDS * len(PROMPTS), steps=12)
        embedded = clip.embed(images)
        row = {"person": number, "step": step, "judge": judged.score(images, judge)}
        row["judge, lookalike"] = judged.score(images, judge, LOOKALIKE)
        for who, own in subjects.items():
            row[f"CLIP-I{who}"] = float((embedded @ own.T).mean())
            for kind, lineup in lineups.items():
                known = torch.cat([own, lineup.known[lineup.own :]])
                found = zip(RULES, shares(embedded, replace(lineup, known=known)), strict=True)
                row |= {f"{kind}, {rule}{who}": share for rule, share in found}
        print(json.dumps({k: round(v, 3) for k, v in row.items()}), flush=True)
        return row

    rows = [look(0)]
    for step in fit(*prepare(config, photos, model, find_machine("fp32"))):
        if step.index in STOPS:
            rows.append(look(step.index))
    return rows


def ranks(values: np.ndarray) -> np.ndarray:
    """From the smallest on; of equal ones the mean."""
    return (values[:, None] > values).sum(1) + (values[:, None] == values).sum(1) / 2


def summary(rows: list[dict]) -> str:
    """A line for each score."""

    def mean(name: str, step: int) -> float:
        return float(np.mean([row[name] for row in rows if row["step"] == step]))

    def agreement(name: str, some: list[dict]) -> float:
        """Spearman's, 0 where one of the two never moves."""
        judge, score = (np.array([row[key] for row in some]) for key in ("judge", name))
        if np.ptp(judge) == 0 or np.ptp(score) == 0:
            return 0.0
        return float(np.corrcoef(ranks(judge), ranks(score))[0, 1])

    people = [[r for r in rows if r["person"] == n] for n in {r["person"] for r in rows}]
    names = [n for n in rows[0] if n not in ("person", "step") and not n.endswith("lookalike")]
    twins = [{name: row[f"{name}, lookalike"] for name in names} for row in rows]
    heads = ("pooled", "within", "with twins", "minus judge", "before", "after", "twin after")
    lines = [f"{'':27}" + "".join(f"{head:>12}" for head in heads)]
    for name in names:
        numbers = (
            agreement(name, rows),
            float(np.mean([agreement(name, some) for some in people])),
            agreement(name, [*rows, *twins]),
            float(np.mean([row[name] - row["judge"] for row in rows])),
            mean(name, 0),
            mean(name, STOPS[-1]),
            mean(f"{name}, lookalike", STOPS[-1]),
        )
        lines.append(f"{name:27}" + "".join(f"{number:12.2f}" for number in numbers))
    return "\n".join(lines)


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--people", type=int, nargs="+", default=[30, 31, 32])
    asked = ask.parse_args()
    model, judge = load_model("mini"), load_judge()
    clip = load_clip(model)
    print(summary([row for number in asked.people for row in walk(number, model, judge, clip)]))


if __name__ == "__main__":
    main()
