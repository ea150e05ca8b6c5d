"""The main job in one go: train a LoRA on the sample photos, and prove that it learned."""

import json
import time
from pathlib import Path
from statistics import fmean

from PIL import Image, ImageOps

from sdnb.adapters import load_lora, unload_lora
from sdnb.dataset import image_grid, read_photos, sample_photos
from sdnb.evaluation import drift, line_up
from sdnb.evaluation.scores import distance_to_nearest, prompt_fit
from sdnb.files import make_writable_folder, write_atomically
from sdnb.inference import make_images
from sdnb.machine import find_machine
from sdnb.mini.judge import load_judge
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON
from sdnb.models.base import Model
from sdnb.models.image_encoders import ClipEncoder, load_clip
from sdnb.models.loading import load_model
from sdnb.training.config import preset
from sdnb.training.run import train

WISHES = (  # what is asked for: places, hats that no photo shows, the glasses off and on
    "photo of ravo, at the beach",
    "photo of ravo wearing a purple shirt, in a garden",
    "photo of ravo wearing a red top hat, in the city",
    "photo of ravo wearing a green beanie, in the snow",
    "photo of ravo, smiling, in a library",
    "photo of ravo wearing round glasses, at night",
    "photo of ravo wearing round glasses, in a forest",
    "photo of ravo wearing round glasses and a blue cap, in the desert",
)
OTHERS = ["photo of a woman with long red hair, in a room", "photo of a green mug with a red heart"]
HATS = ("top hat", "beanie", "cap")
PER_WISH = 2  # pictures of each wish for the numbers; the sheet shows the first of every other wish
ASKED = [wish for wish in WISHES for _ in range(PER_WISH)]


def run_demo(out: Path) -> dict:
    """Write before_after.png and numbers.json (and the run itself) to `out`; returns the numbers.

    Raises Problem where `out` cannot be written. A second visit finds the training done.
    """
    begun, out = time.perf_counter(), make_writable_folder(out)
    machine = find_machine()
    print(f"This machine: {machine.name}, {machine.precision} ({machine.why}).")
    config = preset("person_mini").replace(photos=sample_photos("person"))
    model = load_model(config.base)
    clip = load_clip(model)  # before training: its text side is the model's

    before, others_before = _pictures(model, ASKED), _pictures(model, PER_WISH * OTHERS)
    run = train(config, out / "run", machine)
    if not run.finished:
        print(run)
        return {}
    load_lora(model, run.weights)
    after, others_after = _pictures(model, ASKED), _pictures(model, PER_WISH * OTHERS)
    unload_lora(model)

    photos = [photo.image for photo in read_photos(config.photos, model.info.resolution)]
    numbers = {
        **_measure(model, clip, photos, before, after),
        "drift of other prompts": round(drift(clip, others_before, others_after), 3),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    rows = photos[:2], *zip(before[:: 2 * PER_WISH], after[:: 2 * PER_WISH], strict=True)
    large = [picture.resize((256, 256)) for row in rows for picture in row]
    above = image_grid(large[:2], 2, ["Two of the training photos"])
    below = image_grid(large[2:], 2, WISHES[::2], ["Before", "After"])
    sheet = ImageOps.expand(below, (0, above.height, 0, 0))
    sheet.paste(above)
    write_atomically(out / "before_after.png", lambda path: sheet.save(path, "PNG"))
    write_atomically(out / "numbers.json", json.dumps(numbers, indent=1).encode())
    print(json.dumps(numbers, indent=1))
    print(f"The pictures: {out / 'before_after.png'}")
    return numbers


def _pictures(model: Model, prompts: list[str]) -> list[Image.Image]:
    return make_images(model, prompts, range(len(prompts)))


def _measure(model: Model, clip: ClipEncoder, photos, before, after) -> dict:
    judge = load_judge()
    lineup = line_up(SAMPLE_PERSON, model, judge)
    scenes = photos_of(SAMPLE_PERSON, 8, seed=99, glasses="round")
    held_out = [draw_scene(scene) for scene in scenes]
    as_class = [wish.replace("ravo", "a man") for wish in ASKED]  # CLIP does not know the word

    def both(measure) -> dict[str, float]:
        return {"before": round(measure(before), 3), "after": round(measure(after), 3)}

    return {
        "line-up": both(lambda pictures: lineup.score(pictures, judge)),
        **_obeyed(judge.read(after)),
        "prompt fit": both(lambda pictures: prompt_fit(clip, pictures, as_class)),
        "distance to the nearest training photo": {
            "pictures": round(fmean(distance_to_nearest(after, photos, model)), 3),
            "held-out photos": round(fmean(distance_to_nearest(held_out, photos, model)), 3),
        },
    }


def _obeyed(readings: list[dict]) -> dict[str, float]:
    """Shares of the pictures in which the judge finds what the words asked for."""
    pairs = list(zip(readings, ASKED, strict=True))
    glasses = [("glasses" in wish, seen["glasses"] != "none") for seen, wish in pairs]
    shares = {
        "hats obeyed": [seen["hat"] == hat for seen, wish in pairs for hat in HATS if hat in wish],
        "glasses where asked": [seen for asked, seen in glasses if asked],
        "glasses where not asked": [seen for asked, seen in glasses if not asked],
    }
    return {name: round(fmean(found), 3) for name, found in shares.items()}
