"""A Stable Diffusion 1.5 of full size with random weights, trained for two steps on a CPU at 64
pixels: its memory beside the plan's arithmetic.

    python tests/benchmarks/full_size_cpu.py

Each recipe runs in a process of its own; measured is the process's peak, Python and torch included.
"""

import json
import resource
import subprocess
import sys
import time
from itertools import islice

import torch
from full_size import noise_photos, random_model

from sdnb.machine import GIB, find_machine
from sdnb.training.config import DreamboothConfig, LoraConfig, TextualInversionConfig
from sdnb.training.loop import fit
from sdnb.training.memory import empty_model, plan
from sdnb.training.run import prepare

SIDE = 8  # of the latents: 64 pixels
COMMON = {"base": "sd15", "batch_size": 1, "precision": "fp32"}
RECIPES = {
    "LoRA r16": LoraConfig(rank=16, alpha=16, **COMMON),
    "Textual Inversion": TextualInversionConfig(**COMMON),
    "DreamBooth, Adafactor": DreamboothConfig(optimizer="adafactor", **COMMON),
    "DreamBooth, AdamW": DreamboothConfig(**COMMON),
}


def small(base: str, dtype: torch.dtype = torch.float32):
    """The model without weights, for pictures of 64 pixels."""
    model = empty_model(base, dtype)
    model.unet.register_to_config(sample_size=SIDE)
    return model


def one(name: str) -> None:
    sys.modules["sdnb.training.memory"].empty_model = small
    config, machine = RECIPES[name], find_machine("fp32")
    photos = noise_photos(64)
    foreseen = plan(config, 3, machine)
    run = fit(*prepare(config, photos, random_model("sd15", torch.float32, "cpu"), machine))
    begun = time.perf_counter()
    losses = [step.loss for step in islice(run, 2)]
    seconds = (time.perf_counter() - begun) / 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = {"recipe": name, "trained": foreseen.trainable, "losses": losses, "seconds": seconds}
    terms = sum(foreseen.terms.values())
    row |= {"peak GiB": peak / GIB, "planned GiB": foreseen.ram / GIB, "terms GiB": terms / GIB}
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}))


if __name__ == "__main__":
    if sys.argv[1:]:
        one(sys.argv[1])
    else:
        for name in RECIPES:
            subprocess.run([sys.executable, __file__, name], check=True)
