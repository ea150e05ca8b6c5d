"""Measures the shipped mini model for its card: python -m sdnb.mini.recipe.measure --out card.json

Judge, autoencoder, CLIP and base model on scenes and prompts that no training saw. Some minutes on
two cores.
"""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sdnb.dataset.contact_sheet import image_grid
from sdnb.errors import with_article
from sdnb.evaluation.lineup import through_autoencoder
from sdnb.inference.images import make_images
from sdnb.mini.judge import Judge, load_judge
from sdnb.mini.recipe import data
from sdnb.mini.scenes import FEATURES, GLASSES, HATS, PLACES, features
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import BROWS, COLOURS, HAIR, HAIR_COLOURS, MARKS
from sdnb.mini.words import caption, glasses_words
from sdnb.models.base import Model
from sdnb.models.image_encoders import load_clip
from sdnb.models.loading import load_model


def wish(rng: random.Random) -> tuple[str, dict]:
    """A prompt and the features it names."""
    kind = rng.choice(("man", "woman"))
    asked, has, wears = {"place": rng.choice(tuple(PLACES))}, [], []
    if rng.random() < 0.35:
        asked |= {"hat": rng.choice(HATS[1:]), "hat_colour": rng.choice(COLOURS)}
        wears.append(with_article(f"{asked['hat_colour']} {asked['hat']}"))
    else:
        style = rng.choice([style for style in HAIR[kind] if style != "bald"])
        asked |= {"hair": style, "hair_colour": rng.choice(HAIR_COLOURS)}
        has.append(f"{style} {asked['hair_colour']} hair")
    if rng.random() < 0.4:
        asked["brows"] = rng.choice(BROWS)
        has.append(f"{asked['brows']} eyebrows")
    elif rng.random() < 0.5:
        asked["mark"] = rng.choice(MARKS[1:3])
        has.append("freckles" if asked["mark"] == "freckles" else "a mole")
    asked["glasses"] = rng.choice(("none", *GLASSES[1:]))
    if asked["glasses"] != "none":
        wears.append(glasses_words(asked["glasses"]))
    words = f"photo of a {kind}" + (f" with {' and '.join(has)}" if has else "")
    words += f" wearing {' and '.join(wears)}" if wears else ""
    asked["smile"] = rng.random() < 0.5
    return words + (", smiling" if asked["smile"] else "") + f", {PLACES[asked['place']]}", asked


def shares(readings: list[dict], truths: list[dict]) -> dict[str, float]:
    """By feature, the share of readings that say what is true; unknown truths (None) left out."""
    hits: dict[str, list[bool]] = {name: [] for name in FEATURES}
    for reading, truth in zip(readings, truths, strict=True):
        for name, value in truth.items():
            if value is not None:
                hits[name].append(reading[name] == value)
    return {name: round(sum(found) / len(found), 3) for name, found in hits.items() if found}


def measure_parts(model: Model, judge: Judge, count: int) -> dict:
    """The judge's accuracy on sharp pictures and on the autoencoder's copies, the copies' PSNR (dB,
    the mean of each picture's) and CLIP's choice of the right caption among 128."""
    scenes = [data.world_scene(data.UNSEEN + i) for i in range(count)]
    pictures = [draw_scene(scene) for scene in scenes]
    copies, truths = through_autoencoder(model, pictures), [features(s) for s in scenes]
    clip, rng = load_clip(model), random.Random(0)
    words = [caption(scene, rng) for scene in scenes[:128]]
    scores = clip.embed(pictures[:128]) @ clip.embed_texts(words).T
    return {
        "judge, sharp pictures": shares(judge.read(pictures), truths),
        "judge, through the autoencoder": shares(judge.read(copies), truths),
        "autoencoder PSNR": round(float(np.mean(list(map(psnr, copies, pictures)))), 2),
        "CLIP, right caption among 128": round(
            float((scores.argmax(1) == torch.arange(128)).float().mean()), 3
        ),
    }


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.square(np.asarray(one, float) - np.asarray(other, float)).mean()
    return 10 * np.log10(255**2 / error)


def measure_base(model: Model, judge: Judge, count: int) -> tuple[dict, list[Image.Image]]:
    """The share of what `count` prompts name that the judge finds in the pictures."""
    wishes = [wish(random.Random(f"wish {i}")) for i in range(count)]
    pictures = make_images(model, [prompt for prompt, _ in wishes], range(count), batch=16)
    readings = judge.read(pictures)
    found = shares(readings, [asked for _, asked in wishes])
    total = sum(len(asked) for _, asked in wishes)
    hits = sum(
        reading[name] == value
        for reading, (_, asked) in zip(readings, wishes, strict=True)
        for name, value in asked.items()
    )
    begun = time.perf_counter()
    make_images(model, "photo of a man", [0])
    seconds = round(time.perf_counter() - begun, 2)
    return {"all": round(hits / total, 3), **found, "seconds a picture": seconds}, pictures


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--out", type=Path, default=Path("card.json"))
    ask.add_argument("--sheet", type=Path, help="also write 64 pictures of the base model here")
    ask.add_argument("--count", type=int, default=256)
    ask.add_argument("--base", default="mini")
    asked = ask.parse_args(arguments)
    model, judge = load_model(asked.base), load_judge()
    base, pictures = measure_base(model, judge, asked.count)
    figures = {"base": base, **measure_parts(model, judge, max(128, asked.count))}
    asked.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    if asked.sheet:
        image_grid(pictures[:64], 8).save(asked.sheet)


if __name__ == "__main__":
    main()
