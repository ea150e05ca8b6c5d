"""Stable Diffusion 1.5 and XL of full size with random weights (memory and speed do not ask for
their values), trained for real on a GPU that plays a T4: its memory, fp16, no flash attention.

    python tests/benchmarks/full_size.py --steps 20
    python tests/benchmarks/full_size.py --steps 200 --only "batch 1"    # is the loss a number?

Prints for every recipe: seconds a step, the peak that torch allocated beside the plan's prediction
(both without CUDA's own share, which torch does not see), and whether every loss was a number.
"""

import argparse
import gc
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTextModelWithProjection

sys.path.insert(0, str(Path(__file__).parents[2] / "colab"))
from verify_t4 import play_a_t4

from sdnb.dataset.photos import Photo
from sdnb.machine import GIB, Machine
from sdnb.models.base import Model, find_model
from sdnb.training.config import (
    DreamboothConfig,
    LoraConfig,
    TextualInversionConfig,
    TrainConfig,
    preset,
    presets,
)
from sdnb.training.loop import fit
from sdnb.training.memory import CONTEXT, empty_model, plan
from sdnb.training.methods import method_of
from sdnb.training.optimizers import choose_optimizer
from sdnb.training.run import prepare

SLIM = {"gradient_checkpointing": True, "optimizer": "adafactor"}
LORA = LoraConfig(base="sd15", rank=16, alpha=16, batch_size=1)
WORD = TextualInversionConfig(base="sd15", batch_size=1)
WHOLE = DreamboothConfig(base="sd15", batch_size=1)
XL = LORA.replace(base="sdxl", gradient_checkpointing=True)
FUSED = {"fused_backward_pass": True, "max_grad_norm": 0, **SLIM}
RECIPES: dict[str, TrainConfig] = {
    "LoRA r16, batch 1": LORA,
    "LoRA r16, batch 4": LORA.replace(batch_size=4),
    "LoRA r16, batch 4, checkpointing": LORA.replace(batch_size=4, gradient_checkpointing=True),
    "LoRA r16 with text encoder": LORA.replace(train_text_encoder=True),
    "Textual Inversion": WORD,
    "DreamBooth, 8-bit AdamW, checkpointing": WHOLE.replace(
        optimizer="adamw8bit", gradient_checkpointing=True
    ),
    "DreamBooth, Adafactor, checkpointing": WHOLE.replace(**SLIM),
    "DreamBooth with text encoder, Adafactor, checkpointing": WHOLE.replace(
        train_text_encoder=True, **SLIM
    ),
    "DreamBooth, Adafactor": WHOLE.replace(optimizer="adafactor"),
    "DreamBooth, Adafactor, checkpointing, fused backward pass": WHOLE.replace(**FUSED),
    "SDXL LoRA r16, 1024 pixels, checkpointing": XL,
    "SDXL LoRA r16, 512 pixels, checkpointing": XL.replace(resolution=512),
}
RECIPES |= {name: preset(name) for name in presets() if not name.endswith("_mini")}


def random_model(base: str, dtype: torch.dtype, device: str = "cuda") -> Model:
    """The parts of `base` with random weights; the VAE in fp32."""
    empty = empty_model(base)
    usual = torch.get_default_dtype()
    with torch.device(device):
        torch.manual_seed(0)
        vae = AutoencoderKL.from_config(empty.vae.config)
        torch.set_default_dtype(dtype)  # in fp32 first, SDXL would not fit
        try:
            unet = UNet2DConditionModel.from_config(empty.unet.config)
            encoder = CLIPTextModel(empty.text_encoder.config).to(dtype)
            second = empty.text_encoder_2
            second = second and CLIPTextModelWithProjection(second.config).to(dtype)
        finally:
            torch.set_default_dtype(usual)
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    words = empty.tokenizer
    return Model(words, encoder, vae, unet, schedule, empty.info, second and words, second)


def noise_photos(side: int, count: int = 3, caption: str = "photo of ravo") -> list[Photo]:
    """Photos of `side` pixels, of which nothing can be learned."""
    pixels = np.random.default_rng(0).integers(0, 255, (count, side, side, 3), dtype=np.uint8)
    return [Photo(Path(f"{i}.png"), Image.fromarray(p), caption) for i, p in enumerate(pixels)]


def measure(config: TrainConfig, machine: Machine, steps: int) -> str:
    """Seconds a step, the peak and the plan's, in words."""
    config = config.replace(views_per_photo=10_000)
    half = torch.float16 if method_of(config).half_base else torch.float32
    gc.collect(), torch.cuda.empty_cache(), torch.cuda.reset_peak_memory_stats()
    photos = noise_photos(find_model(config.base).at(config.resolution).resolution)
    others = photos if config.prior_weight else []
    foreseen = plan(config, 3, machine).memory - CONTEXT / GIB
    try:
        run = fit(*prepare(config, photos, random_model(config.base, half), machine, others))
        losses = [next(run).loss for _ in range(5)]  # warms up
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        begun = time.perf_counter()
        losses += [next(run).loss for _ in range(steps)]
        torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        return f"out of memory; planned {foreseen:.2f} GiB"
    seconds = (time.perf_counter() - begun) / steps
    peak = torch.cuda.max_memory_allocated() / GIB
    held = torch.cuda.max_memory_reserved() / GIB
    return (
        f"{seconds:.3f} s a step, peak {peak:.2f} GiB (reserved {held:.2f}), "
        f"planned {foreseen:.2f} ({foreseen / peak - 1:+.0%}); "
        f"{sum(map(math.isfinite, losses))} of {len(losses)} losses were numbers"
    )


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--steps", type=int, default=20)
    ask.add_argument("--only", default="")
    asked = ask.parse_args()
    machine = play_a_t4()
    print(machine.name, torch.__version__, flush=True)
    for name, config in RECIPES.items():
        if asked.only in name:
            _, why = choose_optimizer(config, 10**9)
            print(f"{name}: {measure(config, machine, asked.steps)}. {why}", flush=True)


if __name__ == "__main__":
    main()
