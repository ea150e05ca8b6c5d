"""Trains the cartoon base on from the mini base, and measures what carries over from one to the
other.

    python -m sdnb.mini.recipe.cartoon train --unet sdnb/mini/weights/cartoon
    python -m sdnb.mini.recipe.cartoon measure --people 10 11 12 13 14 --seeds 0

To the cartoon base the whole world is a cartoon: "photo of a man" is one too. Only its UNet has
learned; autoencoder, tokenizer and text encoder are the mini base's, as the many models made from
SD 1.5 nearly share theirs. What `measure` trains is in memory; both are jobs for the background.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from diffusers import UNet2DConditionModel
from PIL import Image

from sdnb.adapters.loading import load_lora, unload_lora
from sdnb.dataset.contact_sheet import image_grid
from sdnb.evaluation.lineup import LineUp, line_up
from sdnb.inference.images import make_images
from sdnb.machine import find_machine
from sdnb.mini.judge import Judge, load_judge
from sdnb.mini.recipe import data, gate
from sdnb.mini.recipe.optimise import DEVICE, STATE, optimise
from sdnb.mini.recipe.stages import EARLIER, compiled, noise_loss
from sdnb.mini.subjects import Person, held_out_person
from sdnb.models.base import MODELS, Model
from sdnb.models.loading import load_model
from sdnb.training.config import LoraConfig, preset
from sdnb.training.methods import method_of
from sdnb.training.run import learned

COUNT, STEPS, RATE = 40000, 2500, 5e-4


def cartoon_unet(mini: Model, steps: int, rate: float) -> UNet2DConditionModel:
    """The mini base's UNet after `steps` steps on cartoons."""
    EARLIER[:] = [Path(MODELS["mini"].sources[0])]  # whose tokenizer knows the words
    data.draw_set("cartoon", COUNT, STATE)
    mini.to(DEVICE).text_encoder.requires_grad_(False)
    net = mini.unet.requires_grad_(True)
    loss_of = noise_loss("cartoon", mini.vae, net, mini.text_encoder)
    compiled(net)
    return optimise("cartoon", {"unet": net}, loss_of, steps, rate, ema=0.998)["unet"]


def bases(folder: Path) -> dict[str, Model]:
    """The mini base, and the cartoon base with the UNet in `folder`, by the styles they draw in."""
    both = {style: load_model("mini") for style in ("photo", "cartoon")}
    both["cartoon"].unet = UNet2DConditionModel.from_pretrained(folder)
    return {style: model.to(find_machine().device) for style, model in both.items()}


def learn(model: Model, config: LoraConfig, person: Person, file: Path) -> None:
    """Train a LoRA on twenty photos of `person` and save it."""
    photos = gate.photographs(person, config.trigger, seed=config.seed)
    with learned(config, photos, model, find_machine(config.precision)):
        method_of(config).save(model, config, file)


def carried(
    model: Model, style: str, file: Path, weight: float, lineup: LineUp, judge: Judge, trigger: str
) -> tuple[dict[str, float], Sequence[Image.Image]]:
    """The gate's forty pictures with the LoRA in `file` on another base: its shares, and the share
    that the judge sees in the base's own `style`."""
    prompts = gate.gate_prompts(trigger)
    load_lora(model, file, weight)
    pictures = make_images(model, [p for p, _ in prompts], range(100, 140), batch=20)
    unload_lora(model)
    kept = [reading["style"] == style for reading in judge.read(pictures)]
    scores = gate.measure(pictures, prompts, lineup, judge)
    return scores | {"style kept": sum(kept) / len(kept)}, pictures


def measure(folder: Path, people: list[int], seeds: list[int], weights: list[float], out: Path):
    """Every person learned on each base and drawn by both; a line of JSON for each, and a sheet."""
    both, judge, rows = bases(folder), load_judge(), []
    for number in people:
        person = held_out_person(number)
        lineups = {s: line_up(person, model, judge, s) for s, model in both.items()}
        for seed in seeds:
            config = preset("person_mini").replace(class_word=person.kind, seed=seed)
            for home, teacher in both.items():
                with tempfile.TemporaryDirectory() as aside:
                    learn(teacher, config, person, file := Path(aside) / "lora.safetensors")
                    for used, weight in [(u, w) for u in both for w in weights]:
                        scores, pictures = carried(
                            both[used], used, file, weight, lineups[used], judge, config.trigger
                        )
                        row = {"person": number, "seed": seed, "learned": home, "used": used}
                        rows.append(row | {"weight": weight} | scores)
                        print(json.dumps(rows[-1]), flush=True)
                        out.write_text(json.dumps(rows, indent=1))
                        name = f"{out.stem}_{number}_{home}_{used}_{weight:g}.jpg"
                        image_grid(pictures, 10).save(out.with_name(name))


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("what", choices=("train", "measure"))
    ask.add_argument("--unet", type=Path, default=Path("sdnb/mini/weights/cartoon"))
    ask.add_argument("--steps", type=int, default=STEPS)
    ask.add_argument("--rate", type=float, default=RATE)
    ask.add_argument("--people", type=int, nargs="+", default=[10, 11, 12, 13, 14])
    ask.add_argument("--seeds", type=int, nargs="+", default=[0])
    ask.add_argument("--weights", type=float, nargs="+", default=[1.0])
    ask.add_argument("--out", type=Path, default=Path("cartoon.json"))
    asked = ask.parse_args(arguments)
    if asked.what == "train":
        net = cartoon_unet(load_model("mini"), asked.steps, asked.rate)
        net.cpu().half().save_pretrained(asked.unet)
    else:
        measure(asked.unet, asked.people, asked.seeds, asked.weights, asked.out)


if __name__ == "__main__":
    main()
