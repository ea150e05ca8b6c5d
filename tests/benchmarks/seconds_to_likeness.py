"""How soon is somebody recognised? Our presets against diffusers' published recipes.

    python tests/benchmarks/seconds_to_likeness.py --recipes lora lora-diffusers --people 0 1

Each recipe trains on the photos of held-out people; at five points on the way the pictures of
forty prompts are put into the line-up. diffusers' recipes (examples/dreambooth/README.md and
README_sdxl of 0.40, examples/textual_inversion/README.md): LoRA of rank 4 on attention, batch 1,
500 steps, constant rate; DreamBooth, batch 1, 400 steps, constant; Textual Inversion of one vector,
batch 1 with 4 accumulated (here a batch of 4: the same mean), 3000 steps, constant, templates; the
former two with one prompt for all photos. Their learning rate is multiplied by --factors, for rates
made for SD 1.5 need not suit the mini model.
Prints one JSON line a point: steps and seconds trained, line-up, hats and places obeyed, glasses
unasked, drift, distance to the nearest training photo.
"""

import argparse
import json
import time
from dataclasses import replace

from sdnb.evaluation import drift, line_up
from sdnb.evaluation.scores import distance_to_nearest
from sdnb.inference import make_images
from sdnb.machine import find_machine
from sdnb.mini.judge import load_judge
from sdnb.mini.recipe.gate import gate_prompts, measure, photographs
from sdnb.mini.subjects import held_out_person
from sdnb.models.image_encoders import load_clip
from sdnb.models.loading import load_model
from sdnb.training.config import (
    DreamboothConfig,
    LoraConfig,
    TextualInversionConfig,
    TrainConfig,
    preset,
)
from sdnb.training.loop import fit
from sdnb.training.methods import restore
from sdnb.training.run import prepare, seconds_per_step

POINTS = 5
OTHERS = ("photo of a man, at the beach", "photo of a woman with long red hair, in a room")
OTHERS += ("photo of a green mug with a red heart", "photo of a woman wearing a hat, in the snow")
PLAIN = {"precision": "fp32", "batch_size": 1, "weight_decay": 0.01}
RECIPES: dict[str, TrainConfig] = {
    "lora": preset("person_mini"),
    "dreambooth": preset("dreambooth_person_mini"),
    "textual_inversion": preset("textual_inversion_person_mini"),
    "lora-diffusers": LoraConfig(learning_rate=1e-4, rank=4, alpha=4, views_per_photo=25, **PLAIN),
    "dreambooth-diffusers": DreamboothConfig(learning_rate=5e-6, views_per_photo=20, **PLAIN),
    "textual_inversion-diffusers": TextualInversionConfig(
        learning_rate=2e-3, views_per_photo=600, templates=True, **PLAIN | {"batch_size": 4}
    ),
}


def walk(name: str, config: TrainConfig, number: int, model, judge, clip, budget=None) -> None:
    """Train one recipe on one person, and look at it at POINTS points."""
    person, machine = held_out_person(number), find_machine(config.precision)
    restore(model)
    model.to(machine.device)
    lineup, seeds = line_up(person, model, judge), range(100, 140)
    photos = photographs(person, config.trigger, seed=config.seed)
    if name.endswith("diffusers") and not getattr(config, "templates", False):
        one = f"photo of {config.trigger} {person.kind}"
        photos = [replace(photo, caption=one) for photo in photos]
    images = [photo.image for photo in photos]
    before = make_images(model, OTHERS, range(len(OTHERS)), batch=40)
    prompts = gate_prompts(config.trigger)
    config = config.replace(class_word=person.kind)
    if budget:
        config = within(budget, config, photos, model, machine)
    state, batches, loss = prepare(config, photos, model, machine)
    points = 1 if budget else POINTS
    seconds, begun = 0.0, time.perf_counter()
    for step in fit(state, batches, loss):
        if step.index * points % state.total_steps >= points:
            continue
        seconds += time.perf_counter() - begun
        pictures = make_images(model, [p for p, _ in prompts], seeds, batch=40)
        after = make_images(model, OTHERS, range(len(OTHERS)), batch=40)
        near = distance_to_nearest(pictures, images, model)
        scores = measure(pictures, prompts, lineup, judge)
        row = {
            "recipe": name,
            "rate": config.learning_rate,
            "person": number,
            "seed": config.seed,
            "step": step.index,
            "seconds": round(seconds, 1),
            **{key: round(value, 3) for key, value in scores.items()},
            "drift": round(drift(clip, before, after), 3),
            "nearest": round(sum(near) / len(near), 3),
        }
        print(json.dumps(row), flush=True)
        begun = time.perf_counter()


def within(budget: float, config: TrainConfig, photos, model, machine) -> TrainConfig:
    """The config with as many views as fit into `budget` seconds."""
    steps = budget / seconds_per_step(config, photos, model, machine)
    return config.replace(views_per_photo=max(1, round(steps * config.batch_size / len(photos))))


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--recipes", nargs="+", choices=RECIPES, default=[*RECIPES])
    ask.add_argument("--factors", type=float, nargs="+", default=[1.0])
    ask.add_argument("--people", type=int, nargs="+", default=[0])
    ask.add_argument("--seeds", type=int, nargs="+", default=[0])
    ask.add_argument(
        "--budget",
        type=float,
        help="stop after so many seconds of training, with rates that fall to zero by then, and "
        "look once",
    )
    ask.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    asked = ask.parse_args()
    model, judge = load_model("mini"), load_judge()
    clip = load_clip(model)
    changes = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in asked.set)}
    for name in asked.recipes:
        for factor in asked.factors:
            rate = RECIPES[name].learning_rate * factor
            config = RECIPES[name].replace(learning_rate=rate, **changes)
            for number in asked.people:
                for seed in asked.seeds:
                    walk(name, config.replace(seed=seed), number, model, judge, clip, asked.budget)


if __name__ == "__main__":
    main()
