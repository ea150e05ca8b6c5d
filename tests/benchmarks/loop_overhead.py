"""How much slower is `fit` than a bare training step? Both side by side in one process, in turns.

    python tests/benchmarks/loop_overhead.py

The bare step is the least a training can be: forward, backward and AdamW on one cached batch of
the same UNet with the same LoRA, under the same autocast. Prints milliseconds a step (medians) and
their ratio.
"""

import statistics
import time
from pathlib import Path

import torch

from sdnb.config import preset
from sdnb.dataset.photos import Photo
from sdnb.inference.pictures import autocast
from sdnb.machine import find_machine
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw
from sdnb.mini.subjects import SAMPLE_PERSON
from sdnb.models import load_model
from sdnb.run import prepare
from sdnb.training.fit import fit

ROUNDS, STEPS = 12, 5


def bare_stepper(state, batch, loss, machine):
    """The same arithmetic without the loop: returns a function that does one step."""
    parameters = list(state.parameters.values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, fused=True)
    denoiser = state.accelerator.unwrap_model(state.denoiser, keep_fp32_wrapper=False)

    def step():
        with autocast(machine.device, machine.precision):
            total = loss(denoiser, batch).mean()
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds(do) -> float:
    begun = time.perf_counter()
    for _ in range(STEPS):
        do()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / STEPS


def main() -> None:
    machine, model = find_machine(), load_model("mini")
    config = preset("person_mini").replace(views_per_photo=1000)
    scenes = photos_of(SAMPLE_PERSON, 20, seed=0)
    photos = [Photo(Path(f"{i}.png"), draw(s), "photo of ravo") for i, s in enumerate(scenes)]
    state, batches, loss = prepare(config, photos, model, machine)
    steps = fit(state, batches, loss)
    # unwrapping takes accelerate's patch off, so the bare denoiser is made anew for its own turns
    forward = state.denoiser.forward
    bare, ours, theirs = bare_stepper(state, batches.at(0, 0), loss, machine), [], []
    plain = state.denoiser.forward
    for turn in range(ROUNDS):
        state.denoiser.forward = forward
        ours.append(seconds(lambda: next(steps)))
        state.denoiser.forward = plain
        theirs.append(seconds(bare))
        if turn == 0:
            ours.clear(), theirs.clear()  # the first turn warms up
    fitted, bared = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    print(f"{machine.name} {machine.precision}, {torch.get_num_threads()} threads, batch 4")
    print(f"fit {1000 * fitted:.1f} ms, bare {1000 * bared:.1f} ms, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
