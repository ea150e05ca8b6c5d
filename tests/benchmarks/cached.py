"""What does it gain to encode photos and captions once, instead of at every step?

    python tests/benchmarks/cached.py                # the mini model and a Stable Diffusion 1.5
    python tests/benchmarks/cached.py mini

The same LoRA steps with what was encoded before, and with VAE and text encoder at work in each, in
turns in one process: samples a second. And the peak of memory of each way, in a process of its own:
on a GPU what torch allocated, on a CPU the whole process. Stable Diffusion 1.5 has its full size,
random weights, and 512 pixels on a GPU, 64 on a CPU.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import torch
from full_size import noise_photos, random_model

from sdnb.inference.images import autocast
from sdnb.machine import GIB, find_machine
from sdnb.models.loading import load_model
from sdnb.training.config import LoraConfig
from sdnb.training.latents import encode_images
from sdnb.training.run import prepare

ROUNDS, STEPS, CAPTION = 6, 4, "photo of ravo, at the beach"
GPU = torch.cuda.is_available()


def steppers(name: str) -> dict:
    """The two ways to do one training step, and the batch they share."""
    if name == "mini":
        model, config, side = load_model("mini"), LoraConfig(batch_size=4), 128
    else:
        model, side = random_model("sd15", torch.float32, "cpu"), 512 if GPU else 64
        config = LoraConfig(base="sd15", batch_size=1, precision="auto" if GPU else "fp32")
    machine = find_machine(config.precision)
    photos = noise_photos(side, 4, CAPTION)
    state, batches, loss = prepare(config, photos, model, machine)

    def step(batch) -> None:
        with autocast(machine.device, machine.precision):
            total = loss(state.denoiser, batch).mean()
        total.backward()
        state.optimizer.step()
        state.optimizer.zero_grad()

    def cached() -> None:
        step(batches.at(0, 0))

    def encoding() -> None:
        batch = batches.at(0, 0)
        images = [photos[row].image for row in batch.rows.tolist()]
        texts = model.text_embeddings([CAPTION] * len(images))
        step(replace(batch, latents=encode_images(model, images), texts=texts))

    return {"cached": cached, "encoding": encoding, "batch": config.batch_size, "model": model}


def seconds(step) -> float:
    begun = time.perf_counter()
    for _ in range(STEPS):
        step()
    if GPU:
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / STEPS


def speeds(name: str) -> None:
    ways = steppers(name)
    model, times = ways["model"], {"cached": [], "encoding": []}
    for turn in range(ROUNDS):
        for way, found in times.items():
            model.park() if way == "cached" else model.to(model.device)
            found.append(seconds(ways[way]))
            if turn == 0:
                found.clear()  # the first turn warms up
    rates = {way: ways["batch"] / statistics.median(found) for way, found in times.items()}
    gain = statistics.median(b / a for a, b in zip(*times.values(), strict=True))
    print(json.dumps({"model": name, "gain": round(gain, 3), "samples a second": rates}))


def peak(name: str, way: str) -> None:
    ways = steppers(name)
    model = ways["model"]
    model.park() if way == "cached" else model.to(model.device)
    if way == "cached" and not GPU:
        model.vae = model.text_encoder = None  # what a run could let go of
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    ways[way](), ways[way]()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    used = torch.cuda.max_memory_allocated() if GPU else used
    print(json.dumps({"model": name, "way": way, "peak GiB": round(used / GIB, 3)}))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        peak(*sys.argv[1:])
    else:
        machine = find_machine()
        print(machine.name, machine.precision, f"{torch.get_num_threads()} threads", flush=True)
        for name in sys.argv[1:] or ["mini", "sd15"]:
            speeds(name)
            sys.stdout.flush()
            for way in ("cached", "encoding"):
                subprocess.run([sys.executable, __file__, name, way], check=True)
