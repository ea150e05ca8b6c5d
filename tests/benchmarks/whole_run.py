"""A whole run at full size on a GPU that plays a T4 (14.56 GiB, fp16, no flash attention), from a
folder of random weights: loading, training, previews, checkpoints, a kill, the rest, the final save
and the export, each with its peaks. Random weights prove nothing about images, and the minutes are
not a T4's.

    python tests/benchmarks/whole_run.py --folder /tmp/whole --base sdxl --side 1024 --steps 12

Prints a line of JSON for every stage: GiB that torch allocated and reserved on the GPU at the peak,
GiB of main memory at the peak (a free Colab has 12.7), seconds. Then whether anything was trained
twice: the steps in the run's history, and how far its losses are from those of a run without a
kill.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from full_size import noise_photos, random_model  # which knows the way to verify_t4
from verify_t4 import peaks, play_a_t4

from sdnb.export import to_kohya
from sdnb.models.loading import load_model
from sdnb.models.saving import save_folder
from sdnb.models.single_file import tokenizer_of
from sdnb.training import run as training
from sdnb.training.config import DreamboothConfig, LoraConfig
from sdnb.training.methods import METHODS

OUTSIDE: dict[str, float] = {}  # the peaks of all that is no stage: the steps of training


def tell(name: str, facts: dict[str, float]) -> None:
    rounded = {key: round(value, 2) for key, value in facts.items()}
    print(json.dumps({"stage": name, **rounded}), flush=True)


@contextmanager
def stage(name: str):
    """Print what the stage took at the peak."""
    OUTSIDE.update({key: max(value, OUTSIDE.get(key, 0)) for key, value in peaks().items()})
    begun = time.perf_counter()
    yield
    found = peaks()
    tell(name, found | {"seconds": time.perf_counter() - begun})


def measured(owner, name: str, title: str) -> None:
    """Let every call of the function be a stage of its own."""
    whole = getattr(owner, name)

    def call(*arguments, **options):
        with stage(title):
            return whole(*arguments, **options)

    setattr(owner, name, call)


def write_base(base: str, folder: Path) -> None:
    """A diffusers folder with random weights in fp16."""
    model = random_model(base, torch.float16)
    model.tokenizer = tokenizer_of(model.info.family)
    if model.text_encoder_2 is not None:
        model.tokenizer_2 = model.tokenizer
    save_folder(model, folder)


def write_photos(folder: Path, side: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for photo in noise_photos(side, 6):
        photo.image.save(folder / photo.path)
        (folder / photo.path).with_suffix(".txt").write_text(photo.caption)


def settings(asked: argparse.Namespace, folder: Path):
    common = {
        "photos": folder / "photos",
        "base": str(folder / "base"),
        "batch_size": 1,
        "views_per_photo": max(asked.steps // 6, 1),
        "gradient_checkpointing": True,
        "save_every": asked.steps // 3,
        "preview_every": asked.steps // 2,
        "precision": "fp16",
        **json.loads(asked.settings),
    }
    if asked.method == "dreambooth":
        return DreamboothConfig(**{"optimizer": "adafactor", **common})
    return LoraConfig(**{"rank": 16, "alpha": 16, "layers": "attention", **common})


def one_run(asked: argparse.Namespace, folder: Path, name: str) -> None:
    """Train to the end, or to the step of the kill; then export."""
    machine, config = play_a_t4(), settings(asked, folder)
    for title, function in (("load", "load_model"), ("prepare", "prepare")):
        measured(training, function, title)
    measured(training, "save_preview", "preview")
    measured(training, "save_checkpoint", "checkpoint")
    measured(METHODS[config.method], "save", "final save")
    begun = []

    def on_step(step) -> None:
        begun.append(time.perf_counter())
        if asked.kill_at and step.index == asked.kill_at and name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)

    place = folder / name.replace("resumed", "killed")
    run = training.train(config, place, machine, progress=False, on_step=on_step)
    with stage("nothing"):
        tell("steps of training", OUTSIDE)
    gaps = sorted(b - a for a, b in pairwise(begun))
    print(json.dumps({"seconds a step": round(gaps[len(gaps) // 2], 3) if gaps else None}))
    if config.method == "lora":
        with stage("load anew, export"):
            model = load_model(config.base, torch.float16, machine)
            print(to_kohya(model, run.weights, folder / f"{name}.safetensors").stat().st_size)


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--folder", type=Path, default=Path("/tmp/whole"))
    ask.add_argument("--base", choices=["sd15", "sdxl"], default="sdxl")
    ask.add_argument("--method", choices=["lora", "dreambooth"], default="lora")
    ask.add_argument("--side", type=int, default=1024)
    ask.add_argument("--steps", type=int, default=12)
    ask.add_argument("--kill-at", type=int, default=0)
    ask.add_argument("--settings", default="{}", help="more of them, as JSON")
    ask.add_argument("--child", default="")
    asked = ask.parse_args()
    folder = asked.folder / asked.base
    if asked.child:
        return one_run(asked, folder, asked.child)
    if not (folder / "base").exists():
        write_base(asked.base, folder / "base")
        torch.cuda.empty_cache()
    write_photos(folder / "photos", asked.side)
    again = [sys.executable, *sys.argv, "--child"]
    names = ["whole", "killed", "resumed"] if asked.kill_at else ["whole"]
    for name in names:
        print(f"# {name}", flush=True)
        subprocess.run([*again, name], check=False)
    if asked.kill_at:
        told = [
            np.genfromtxt(folder / n / "history.csv", delimiter=",", names=True) for n in names[:2]
        ]
        same = np.array_equal(told[0]["index"], told[1]["index"])
        off = np.abs(told[0]["loss"] / told[1]["loss"] - 1).max() if same else None
        print(json.dumps({"steps": len(told[1]), "each once": same, "losses off by": off}))


if __name__ == "__main__":
    main()
