"""Draws the sample photos: python -m sdnb.mini.recipe.samples data_sample

The same bytes every time with the Pillow and NumPy of the constraint file.
"""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from sdnb.mini.scenes import PLACES, SAMPLE_LOOK, Scene, photos_of, random_scene
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON, SAMPLE_PRODUCT, random_person
from sdnb.mini.words import learner_caption, style_caption

TRIGGER = "ravo"
SHAPES = ((1, 1), (4, 5), (5, 4), (5, 6), (6, 5))  # width to height
ORIENTATION = 0x0112  # the EXIF tag; 6 says "turn me 90 degrees clockwise", 8 the other way
TURNS = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def sets() -> dict[str, list[tuple[Scene, str]]]:
    """The scenes of each set with their captions."""
    person = photos_of(SAMPLE_PERSON, 20, seed=1, glasses="round")
    product = photos_of(SAMPLE_PRODUCT, 15, seed=2)
    rng = random.Random("style")
    style = [
        random_scene(
            rng,
            random_person(rng),
            style=SAMPLE_LOOK,
            place=place,
            glasses="none",
            share=rng.uniform(0.5, 0.6),
        )
        for place in (*PLACES, *list(PLACES)[:6])
    ]
    return {
        "person": [(scene, learner_caption(scene, TRIGGER)) for scene in person],
        "product": [(scene, learner_caption(scene, f"{TRIGGER} mug")) for scene in product],
        "style": [(scene, style_caption(scene, TRIGGER)) for scene in style],
    }


def photograph(scene: Scene, number: int) -> tuple[Image.Image, Image.Exif]:
    """A photo of 512 to 900 pixels a side in one of five shapes; every seventh lies on its side
    with an EXIF note, as phones store them."""
    rng = random.Random(f"camera {number} {scene.seed}")
    wide, high = SHAPES[number % len(SHAPES)]
    short = rng.randrange(512, 660, 4)
    square = short * max(wide, high) // min(wide, high)
    # a good half of the photo, and no more than the frame once the photo is cropped square
    share = 0.5 + (scene.share - 0.5) / 4
    picture = draw_scene(replace(scene, share=share * short / square), square)
    width, height = (short, square) if wide < high else (square, short)
    left, top = (square - width) // 2, (square - height) // 2
    picture, exif = picture.crop((left, top, left + width, top + height)), Image.Exif()
    if number % 7 == 3:
        exif[ORIENTATION] = rng.choice(tuple(TURNS))
        picture = picture.transpose(TURNS[exif[ORIENTATION]])
    return picture, exif


def write(folder: Path) -> None:
    """Every set into a folder of its name: photos, captions, and the truth about them."""
    for name, scenes in sets().items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        truth = {}
        for number, (scene, words) in enumerate(scenes):
            picture, exif = photograph(scene, number)
            path = folder / name / f"{name}_{number + 1:02}.jpg"
            picture.save(path, quality=88, exif=exif)
            path.with_suffix(".txt").write_text(words + "\n")
            truth[path.name] = json.loads(scene.to_json())
        (folder / name / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "data_sample"))
