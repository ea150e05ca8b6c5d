"""What would make a training step on a GPU faster? One change at a time against the step as it is.

    python tests/benchmarks/gains.py --batches 1 4

A LoRA of rank 16 on a Stable Diffusion 1.5 of full size with random weights, 512 pixels, in the
GPU's own precision: with channels_last weights and latents, with AdamW as a loop over tensors and
as foreach in place of the fused one, and with the UNet compiled. In turns in one process; medians.
"""

import argparse
import statistics
from dataclasses import replace

import torch
from full_size import noise_photos, random_model
from loop_overhead import bare_stepper, seconds

from sdnb.machine import find_machine
from sdnb.training.config import LoraConfig
from sdnb.training.run import prepare

ROUNDS = 6


def stepper(change: str, batch_size: int):
    """A function that does one bare step with the `change`."""
    machine = find_machine()
    config = LoraConfig(base="sd15", rank=16, alpha=16, batch_size=batch_size)
    model = random_model("sd15", torch.float16, machine.device)
    state, batches, loss = prepare(config, noise_photos(512), model, machine)
    batch = batches.at(0, 0)
    if change == "channels_last":
        model.unet.to(memory_format=torch.channels_last)
        batch = replace(batch, latents=batch.latents.contiguous(memory_format=torch.channels_last))
    if change == "compiled":
        model.unet.compile()
    loops = {"AdamW, a loop": {"foreach": False}, "AdamW, foreach": {"foreach": True}}
    return bare_stepper(state, batch, loss, machine, **loops.get(change, {"fused": True}))


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    changes = ["as it is", "channels_last", "AdamW, a loop", "AdamW, foreach", "compiled"]
    ask.add_argument("--changes", nargs="+", default=changes)
    asked = ask.parse_args()
    machine = find_machine()
    print(machine.name, torch.__version__, machine.precision, flush=True)
    for batch_size in asked.batches:
        steps = {change: stepper(change, batch_size) for change in asked.changes}
        times = {change: [] for change in steps}
        for turn in range(ROUNDS + 1):
            for change, step in steps.items():
                time = seconds(step)
                if turn:  # the first one warms up
                    times[change].append(time)
        plain = statistics.median(times[asked.changes[0]])
        for change, found in times.items():
            time = statistics.median(found)
            print(
                f"batch {batch_size}, {change}: {1000 * time:.1f} ms, {time / plain:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
