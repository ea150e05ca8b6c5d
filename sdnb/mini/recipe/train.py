"""Trains the mini Stable Diffusion from nothing, stage by stage, alike on a CPU and on a GPU.

    python -m sdnb.mini.recipe.train --stage all            # everything, in order
    python -m sdnb.mini.recipe.train --stage vae --steps 4000
    python -m sdnb.mini.recipe.train --stage assemble --out sdnb/mini/weights
    python -m sdnb.mini.recipe.train --begin sdnb/mini/weights

The last goes on from these weights; a stage of 0 steps takes its part as it is.

A stage that was interrupted goes on where it was: its state lies in SDNB_STATE (default
~/.cache/sdnb-mini), never in the repository, and the chance of step s comes from (stage, s) alone.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from sdnb.mini.recipe import parts
from sdnb.mini.recipe.optimise import STATE
from sdnb.mini.recipe.stages import (
    BATCH,
    COUNTS,
    EARLIER,
    STAGES,
    STEPS,
    draw,
    judge,
    match,
    nobody,
    tokenizer,
    vae,
)


def assemble(out: Path) -> None:
    """The finished stages as the folder that the package ships."""
    model, net = match(STEPS["match"]), nobody(STEPS["nobody"])
    parts.save_pipeline(out, tokenizer(), model, vae(STEPS["vae"]), net)
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in judge(STEPS["judge"]).state_dict().items()
    }
    save_file(
        {name: value.contiguous().cpu() for name, value in weights.items()},
        out / "judge.safetensors",
    )
    recipe = {
        "steps": STEPS,
        "batch": BATCH,
        "pictures": COUNTS,
        "torch": torch.__version__,
        "began from": [json.loads((folder / "recipe.json").read_text()) for folder in EARLIER],
    }
    (out / "recipe.json").write_text(json.dumps(recipe, indent=1))


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--stage", choices=("all", "draw", *STAGES, "assemble"), default="all")
    ask.add_argument(
        "--steps", type=int, help="the stage's length; remembered by the stages that build on it"
    )
    ask.add_argument("--out", type=Path, default=Path("sdnb/mini/weights"))
    ask.add_argument("--begin", type=Path, help="a folder of weights to begin from")
    asked = ask.parse_args(arguments)
    EARLIER[:] = [asked.begin] if asked.begin else []
    remembered = STATE / "steps.json"
    if remembered.exists():
        STEPS.update(json.loads(remembered.read_text()))
    if asked.steps is not None:
        STEPS[asked.stage] = asked.steps
        STATE.mkdir(parents=True, exist_ok=True)
        remembered.write_text(json.dumps(STEPS))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
        torch.backends.cudnn.benchmark
    ) = True
    draw()
    for stage in STAGES if asked.stage == "all" else (asked.stage,):
        if stage in STAGES:
            STAGES[stage](STEPS[stage])
    if asked.stage in ("all", "assemble"):
        assemble(asked.out)


if __name__ == "__main__":
    main()
