"""The peers beside our recipes: diffusers' own example scripts, on the same photos and base.

    python tests/benchmarks/methods/peers.py --scripts FOLDER --people 4 5 6 7 8 --seeds 0
    python tests/benchmarks/methods/peers.py --scripts FOLDER --people 4 --peers LoRA --rates 1e-3

FOLDER holds the scripts named in peers.toml, from diffusers' examples/ (those of 0.40.0 were
tried). They need torchvision, and the one with captions needs datasets. Batch size, resolution,
rank, vectors and, where peers.toml says nothing, steps are those of our preset of the same method,
all else is the script's own default: a constant learning rate for one. The best of its rates
stands for a peer. The lines go where those of `python tests/benchmarks/methods` go, but these
"seconds here" include the start of the script. What is there is not measured again.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
import tomllib
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import HERE, PHOTOS, SAMPLE, Bench, add, measured, person_of, photos_of, who

from sdnb.adapters import load_embedding
from sdnb.dataset.photos import Photo
from sdnb.models.base import Model, quiet
from sdnb.training.config import TrainConfig, preset, steps
from sdnb.training.methods import method_of

PEERS = tomllib.loads((HERE / "peers.toml").read_text())
COMMON = """--pretrained_model_name_or_path {folder}/base --output_dir {folder}/out --seed {seed}
    --resolution 128 --train_batch_size {batch_size} --max_train_steps {steps}
    --learning_rate {rate} --mixed_precision no --checkpointing_steps 1000000
    --report_to dvclive"""  # which is not installed: no reports


def save_base(model: Model, folder: Path) -> None:
    """The model as the scripts want it: in fp32, with the scheduler of its training."""
    pipeline = model.pipeline()
    pipeline.register_modules(scheduler=model.scheduler)
    with quiet():
        pipeline.save_pretrained(folder)


def save_photos(photos: list[Photo], folder: Path, captions: bool) -> None:
    """With captions as datasets' imagefolder reads them; the other scripts open every file."""
    folder.mkdir()
    for photo in photos:
        photo.image.save(folder / photo.path.name)
    if captions:
        lines = [json.dumps({"file_name": p.path.name, "text": p.caption}) for p in photos]
        (folder / "metadata.jsonl").write_text("\n".join(lines))


def run_script(script: Path, options: list[str], folder: Path) -> float:
    """Seconds that it took, its start included. Raises RuntimeError with the end of its output."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}
    command, begun = [sys.executable, str(script.resolve()), *options], time.perf_counter()
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    done = subprocess.run(command, env=env, text=True, stdout=pipe, stderr=same)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stdout[-3000:]}")
    return time.perf_counter() - begun


def load(model: Model, config: TrainConfig, file: Path) -> None:
    if config.method == "textual_inversion":
        load_embedding(model, file, config.trigger)  # the file does not name its word
    else:
        method_of(config).load(model, file)


def told(peer: dict, config: TrainConfig, **more: object) -> list[str]:
    """The options of a peer's script."""
    values = {**config.model_dump(), **more}
    return [word.format(**values) for word in shlex.split(f"{peer['options']} {COMMON}")]


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--scripts", type=Path, required=True, help="the folder of the scripts")
    ask.add_argument("--peers", nargs="+", default=[*PEERS], choices=PEERS)
    ask.add_argument("--rates", nargs="+", help="learning rates in place of a peer's own five")
    ask.add_argument("--people", type=who, nargs="+", required=True, help=f"numbers, or {SAMPLE!r}")
    ask.add_argument("--seeds", type=int, nargs="+", default=[0])
    ask.add_argument("--steps", type=int, help="in place of our preset's")
    asked, bench = ask.parse_args(), None
    there = measured()
    rates = [(n, rate) for n in asked.peers for rate in asked.rates or PEERS[n]["rates"]]
    for (name, rate), number, seed in product(rates, asked.people, asked.seeds):
        recipe = f"diffusers' {name}, {rate}" + (f", {asked.steps} steps" if asked.steps else "")
        if (recipe, number, seed) in there:
            continue
        bench, peer, person = bench or Bench(), PEERS[name], person_of(number)
        config = preset(peer["preset"]).replace(class_word=person.kind, seed=seed)
        length = asked.steps or peer.get("steps") or steps(config, PHOTOS)
        with TemporaryDirectory() as path:
            folder = Path(path)
            save_base(bench.model, folder / "base")
            photos = photos_of(number, config, bench.model.info.resolution)
            save_photos(photos, folder / "photos", captions="captions" in peer)
            options = told(peer, config, folder=folder, rate=rate, steps=length)
            seconds = run_script(asked.scripts / peer["script"], options, folder)
            file = folder / "out" / peer["result"]
            load(bench.model, config, file)
            row = bench.examined(recipe, config, number, seconds, file)
        add(row | {"steps": length})


if __name__ == "__main__":
    main()
