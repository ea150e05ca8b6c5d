"""What a maintainer runs on a real T4, through colab/verify_t4.ipynb; what the README may say then.

    python colab/verify_t4.py                 # every part that has no row yet, into verified/
    python colab/verify_t4.py --only person_t4
    python colab/verify_t4.py --tiny          # a rehearsal on the mini model, which proves nothing
    python colab/verify_t4.py --bases FOLDER  # one on FOLDER/sd15 and FOLDER/sdxl, playing a T4
    python colab/verify_t4.py --says          # the README's sentence

A part is one preset for a T4, run for some steps (download, loading, seconds a step, the peaks of
training, preview and save, beside the plan's), or one whole LoRA of Stable Diffusion 1.5 on the
toy, with its likeness by the line-up for real photos. Each is a process of its own, and leaves one
row of JSON in the folder: an interrupted verification goes on with the parts that are missing.
"""

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import sdnb
from sdnb.dataset.config import PhotoConfig
from sdnb.dataset.prepare import prepare_photos
from sdnb.evaluation import photo_line_up
from sdnb.inference import make_images
from sdnb.machine import GIB, PACKAGES, T4, Machine, find_machine
from sdnb.models.image_encoders import image_encoders_for
from sdnb.training import run as training
from sdnb.training.memory import CONTEXT, plan
from sdnb.training.methods import method_of
from sdnb.trials import trial

HERE = Path(__file__).parent
VERIFIED = HERE / "verified"  # where the rows of real T4s are kept
UNRUN = "**not yet run on a real T4**"
STEPS = 30  # of an excerpt
WHOLE = "whole_run"  # the part that trains to the end
PROMPTS = ("photo of ravo toy", "photo of ravo toy, on a beach", "a toy on a table")


def parts() -> list[str]:
    return [*(name for name in sdnb.presets() if name.endswith("_t4")), WHOLE]


def play_a_t4() -> Machine:
    """This GPU with a T4's memory, its precision, and without the attention that it lacks."""
    properties = torch.cuda.get_device_properties(0)
    torch.cuda.set_per_process_memory_fraction(T4.memory_gib * GIB / properties.total_memory)
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    return replace(T4, why="plays a T4", name=properties.name)


def settings(part: str, folder: Path, tiny: bool, bases: Path | None):
    """What the part trains: an excerpt of its preset, or the whole of person_t4, on the toy."""
    photos = folder / "photos"
    if not photos.exists():
        prepare_photos(PhotoConfig(photos=sdnb.sample_photos("toy")), photos, progress=False)
    config = sdnb.preset("person_t4" if part == WHOLE else part)
    config = config.replace(photos=photos, class_word="toy", preview_prompts=PROMPTS[:1])
    if part != WHOLE:
        views = math.ceil(STEPS * config.batch_size / 20)
        config = config.replace(views_per_photo=views, preview_every=STEPS // 2, save_every=10)
        few = {"prior_images": 4} if config.prior_weight else {}
        config = config.replace(warmup_steps=0, **few)
    if bases:
        config = config.replace(base=str(bases / config.base), precision="fp16")
    if tiny:
        config = config.replace(base="mini", views_per_photo=1, buckets=False)
    return config


def peaks() -> dict[str, float]:
    """GiB since the last call, on the GPU and in main memory, and begin anew."""
    status, found = Path("/proc/self/status"), {}
    if status.exists():
        found["main memory"] = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 2**20
        Path("/proc/self/clear_refs").write_text("5")  # begins VmHWM anew
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        found["allocated"] = torch.cuda.max_memory_allocated() / GIB
        found["reserved"] = torch.cuda.max_memory_reserved() / GIB
        torch.cuda.reset_peak_memory_stats()
    return {name: round(value, 2) for name, value in found.items()}


@contextmanager
def measured(row: dict, **functions):
    """Note seconds and peaks of every call of these functions of a run, by title."""
    before = {}
    for title, (owner, name) in functions.items():
        before[owner, name] = getattr(owner, name)

        def call(*arguments, whole=before[owner, name], title=title, **options):
            row["training"] = max_of(row.get("training", {}), peaks())
            begun = time.perf_counter()
            result = whole(*arguments, **options)
            row[title] = peaks() | {"seconds": round(time.perf_counter() - begun, 1)}
            return result

        setattr(owner, name, call)
    try:
        yield
    finally:
        for (owner, name), whole in before.items():
            setattr(owner, name, whole)


def max_of(one: dict, other: dict) -> dict:
    return {key: max(one.get(key, 0), other.get(key, 0)) for key in {*one, *other}}


def verify(part: str, folder: Path, tiny: bool, bases: Path | None) -> dict:
    """Run the part; its row."""
    machine = play_a_t4() if bases else find_machine()
    config = settings(part, folder, tiny, bases)
    row = {
        "part": part,
        "when": f"{datetime.now(UTC):%Y-%m-%d}",
        "rehearsal": bool(tiny or bases or trial().kinds),
        "sdnb": sdnb.__version__,
        "machine": asdict(machine),
        "versions": {name: version(name) for name in PACKAGES},
        "planned": round(plan(config, 20, machine).memory - CONTEXT / GIB, 2),
    }
    moments, losses = [], []

    def on_step(step) -> None:
        moments.append(time.perf_counter())
        losses.append(step.loss)

    functions = {
        "load": (training, "load_model"),
        "prepare": (training, "prepare"),
        "preview": (training, "save_preview"),
        "checkpoint": (training, "save_checkpoint"),
        "save": (type(method_of(config)), "save"),
    }
    if part != WHOLE:  # an excerpt that broke off tells nothing; the whole run goes on
        shutil.rmtree(folder / part, ignore_errors=True)
    begun = time.perf_counter()
    with measured(row, **functions):
        run = sdnb.train(config, folder / part, machine, progress=False, on_step=on_step)
    row["training"] = max_of(row.get("training", {}), peaks())
    gaps = sorted(b - a for a, b in pairwise(moments))
    row |= {
        "finished": run.finished,
        "steps": len(moments),
        "seconds a step": round(gaps[len(gaps) // 2], 3) if gaps else None,
        "seconds": round(time.perf_counter() - begun, 1),
        "losses that are numbers": sum(map(math.isfinite, losses)),
    }
    model = sdnb.load_model(config.base, machine=machine)
    method_of(config).load(model, run.weights)
    images = make_images(model, PROMPTS * 2, range(2 * len(PROMPTS)))
    for number, image in enumerate(images):
        image.save(folder / f"{part}_{number}.png")
    if part == WHOLE:
        try:  # of those that show the subject
            row["likeness"] = likeness(model, config, images[:2] + images[3:5])
        except sdnb.Problem as problem:  # an image encoder that cannot be fetched, say
            row["likeness"] = {"problem": str(problem)}
    return row


def likeness(model, config, images: list[Image.Image]) -> dict:
    """What the line-up of photos says of the images; afterwards the model is the base."""
    method_of(config).remove(model)  # the mini's own image encoder asks for the base
    encoder = image_encoders_for(model)[-1]
    lineup = photo_line_up(config, model, encoder=encoder)
    return {"encoder": encoder.name, "recognised": lineup.score(images, encoder)}


def contact_sheet(folder: Path) -> Path:
    """The images of every part in a row with its name."""
    rows = [part for part in parts() if (folder / f"{part}_0.png").exists()]
    side, left = 160, 220
    sheet = Image.new("RGB", (left + 6 * side, max(len(rows), 1) * side), "white")
    for y, part in enumerate(rows):
        ImageDraw.Draw(sheet).text((8, y * side + side // 2), part, "black")
        for x in range(6):
            image = Image.open(folder / f"{part}_{x}.png").resize((side, side))
            sheet.paste(image, (left + x * side, y * side))
    sheet.save(folder / "contact_sheet.png")
    return folder / "contact_sheet.png"


def rows_in(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def says(folder: Path = VERIFIED) -> str:
    """What may be said of a real T4: nothing more than the rows from one allow."""
    real = [
        row
        for row in rows_in(folder)
        if not row["rehearsal"] and "T4" in row["machine"]["name"] and row["finished"]
    ]
    missing = [part for part in parts() if part not in {row["part"] for row in real}]
    if not real:
        return f"The presets for a T4 are planned and emulated, and {UNRUN}."
    lacks = f", but for {', '.join(missing)}" if missing else ""
    return f"The presets for a T4 are verified on a T4 on {max(r['when'] for r in real)}{lacks}."


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--folder", type=Path, default=Path("verified"))
    ask.add_argument("--only", choices=parts())
    ask.add_argument("--tiny", action="store_true")
    ask.add_argument("--bases", type=Path)
    ask.add_argument("--says", action="store_true")
    asked = ask.parse_args()
    if asked.says:
        return print(says())
    asked.folder.mkdir(exist_ok=True)
    for part in [asked.only] if asked.only else parts():
        path = asked.folder / f"{part}.json"
        if path.exists():
            print(f"{part}: there already")
        elif asked.only:  # the process of one part
            row = verify(part, asked.folder, asked.tiny, asked.bases)
            path.write_text(json.dumps(row, indent=1) + "\n")
            print(json.dumps(row))
        else:
            again = [sys.executable, __file__, *sys.argv[1:], "--only", part]
            failed = subprocess.run(again, check=False).returncode
            print(f"{part}: {'failed, and tried again in the next run' if failed else 'done'}")
    contact_sheet(asked.folder)


if __name__ == "__main__":
    main()
