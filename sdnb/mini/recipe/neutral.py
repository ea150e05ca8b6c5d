"""What does a word that the base has never seen do to its images?

    python -m sdnb.mini.recipe.neutral --images 100

Every word stands where "a person" stood, with the same seeds: of each feature's values the judge
counts the share, and the largest distance from the share without the word is told. Chance alone
gives some distance; how much is told by drawing as many of the images of "a person" again and
again. A job for the background.
"""

import argparse
import json
import random
from pathlib import Path

from sdnb.inference.images import make_images
from sdnb.mini.judge import Judge, load_judge
from sdnb.mini.names import UNHEARD
from sdnb.mini.scenes import FEATURES
from sdnb.mini.subjects import IDENTITY
from sdnb.models.base import Model
from sdnb.models.loading import load_model

WORDS = ("ravo", *UNHEARD[:29])
# what can be seen of everybody: hats have a colour where there is one
OF_PEOPLE = ("kind", "glasses", "hat", "smile", "shirt", *IDENTITY, "place", "style")
DRESSED = "wearing a red cap, in a garden"


def distances(readings: list[dict], others: list[dict]) -> dict[str, float]:
    """For each value of a feature, its share among the readings less its share among the others."""
    apart = {}
    for name in OF_PEOPLE:
        for value in FEATURES[name]:
            here, there = (
                sum(r[name] == value for r in some) / len(some) for some in (readings, others)
            )
            apart[f"{name} {value}"] = here - there
    return apart


def by_chance(readings: list[dict], count: int, times: int = 400) -> float:
    """The largest distance that 95 in 100 samples of `count` stay below, where no word does
    anything: each is one sample of "a person" against another."""
    rng, largest = random.Random("neutral"), []
    for _ in range(times):
        some, others = (rng.choices(readings, k=n) for n in (count, len(readings)))
        largest.append(max(map(abs, distances(some, others).values())))
    return sorted(largest)[int(0.95 * times)]


def measure(model: Model, judge: Judge, count: int, words: tuple[str, ...] = WORDS) -> dict:
    """Distances in points, a row for each word and the largest that chance gives."""

    def read(words: str, count: int) -> list[dict]:
        return judge.read(make_images(model, f"photo of {words}", range(count), batch=100))

    person = read("a person", 10 * count)
    rows = []
    for word in words:
        apart = distances(read(word, count), person)
        worst = max(apart, key=lambda name: abs(apart[name]))
        dressed = read(f"{word} {DRESSED}", max(count // 5, 10))
        obeyed = [r["hat"] == "cap" and r["place"] == "garden" for r in dressed]
        bare = [r["glasses"] == "none" for r in dressed]
        rows.append({"word": word, "points": round(100 * apart[worst]), "of": worst})
        rows[-1] |= {"obeyed": sum(obeyed) / len(bare), "no glasses": sum(bare) / len(bare)}
    return {"by chance": round(100 * by_chance(person, count), 1), "words": rows}


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--images", type=int, default=100, help="of each word")
    ask.add_argument("--words", nargs="+", default=WORDS)
    ask.add_argument("--base", default="mini")
    ask.add_argument("--out", type=Path, default=Path("neutral.json"))
    asked = ask.parse_args(arguments)
    found = measure(load_model(asked.base), load_judge(), asked.images, tuple(asked.words))
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
