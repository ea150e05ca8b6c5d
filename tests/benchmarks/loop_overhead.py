"""How much slower is `fit` than a bare training step? Both side by side in one process, in turns.

    python tests/benchmarks/loop_overhead.py --presets person_mini dreambooth_person_mini
    python tests/benchmarks/loop_overhead.py --presets person_t4 --batches 1 4       # on a GPU

Stable Diffusion 1.5 has its full size and random weights. The bare step is the least a training can
be: forward, backward, clipping and AdamW on one cached batch of the same modules, under the same
autocast. Prints milliseconds a step (medians) and their ratio; on a GPU also how much of the time
its kernels fill and how often a step waits for it; then, apart, what a whole run adds to it:
drawing a batch, logging a step, a checkpoint, a preview.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import torch
from full_size import noise_photos, random_model
from torch.profiler import ProfilerActivity, profile

from sdnb.dataset.photos import Photo
from sdnb.inference.images import autocast
from sdnb.machine import find_machine
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON
from sdnb.models.loading import load_model
from sdnb.training.checkpoints import save_checkpoint
from sdnb.training.config import preset
from sdnb.training.loop import Step, fit
from sdnb.training.run import prepare, save_preview
from sdnb.training.run_folder import Run, append_history

ROUNDS, STEPS = 12, 5
GPU = torch.cuda.is_available()


def bare_stepper(state, batch, loss, machine, **how):
    """The same arithmetic without the loop: returns a function that does one step. `how` goes to
    AdamW, which is fused unless told otherwise."""
    parameters = list(state.parameters.values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, **how or {"fused": True})
    denoiser = state.accelerator.unwrap_model(state.denoiser, keep_fp32_wrapper=False)

    def step():
        with autocast(machine.device, machine.precision):
            total = loss(denoiser, batch).mean()
        total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds(do) -> float:
    """Of one call, as the mean of `STEPS`."""
    begun = time.perf_counter()
    for _ in range(STEPS):
        do()
    if GPU:
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / STEPS


def kernels(do) -> str:
    """The share of the time that the GPU's kernels fill (their time from the profiler, the time of
    the step without it), and the lines that make the host wait for the GPU in one step."""
    wall = min(seconds(do) for _ in range(3)) * STEPS
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        seconds(do)
    events = (e for e in seen.events() if e.device_type == torch.autograd.DeviceType.CUDA)
    busy = sum(event.self_device_time_total for event in events) / 1e6
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        do()
    torch.cuda.set_sync_debug_mode("default")
    waits = Counter(
        f"{Path(one.filename).name}:{one.lineno}"
        for one in said
        if "synchronizing" in str(one.message)
    )
    return f"kernels fill {busy / wall:.0%}, {waits.total()} waits a step {dict(waits)}"


def subject(base: str):
    """A model and photos to learn from."""
    if base != "mini":
        how = (torch.float16, "cuda") if GPU else (torch.float32, "cpu")
        return random_model(base, *how), noise_photos(512)
    scenes = photos_of(SAMPLE_PERSON, 20, seed=0)
    photos = [Photo(Path(f"{i}.png"), draw_scene(s), "photo of ravo") for i, s in enumerate(scenes)]
    return load_model("mini"), photos


def compare(name: str, batch_size: int) -> None:
    config = preset(name)
    model, photos = subject(config.base)
    machine = find_machine(config.precision)
    config = config.replace(views_per_photo=10_000, batch_size=batch_size)
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
    print(
        f"{name}, batch {batch_size}: fit {1000 * fitted:.1f} ms, bare {1000 * bared:.1f} ms, "
        f"ratio {ratio:.3f}; {_apart(config, state, batches, model, machine)}",
        flush=True,
    )
    if GPU:
        print("  bare:", kernels(bare))
        state.denoiser.forward = forward
        print("  fit: ", kernels(lambda: next(steps)), flush=True)


def _apart(config, state, batches, model, machine) -> str:
    """What a run does beside its steps, each timed by itself."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), config)
        with append_history(run, []) as record:
            a_step = Step(1, 0.1, 0.1, 0.0, 1e-3)
            times = {
                "a batch": seconds(lambda: batches.at(1, 0)),
                "a line of the history": seconds(lambda: record(a_step)),
                "a checkpoint": seconds(lambda: save_checkpoint(state, run.folder / "c", 1)),
                "a preview": seconds(lambda: save_preview(run, model, 1)),
            }
    return ", ".join(f"{what} {1000 * time:.2f} ms" for what, time in times.items())


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = ["person_mini", "dreambooth_person_mini", "textual_inversion_person_mini"]
    ask.add_argument("--presets", nargs="+", default=every)
    ask.add_argument("--batches", nargs="+", type=int, default=[4])
    asked = ask.parse_args()
    machine = find_machine()
    print(f"{machine.name}, {torch.get_num_threads()} threads")
    for name in asked.presets:
        for batch_size in asked.batches:
            compare(name, batch_size)


if __name__ == "__main__":
    main()
