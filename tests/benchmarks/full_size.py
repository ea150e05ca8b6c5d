"""A Stable Diffusion 1.5 of full size with random weights (memory and speed do not ask for their
values), trained for real on a GPU that plays a T4: its memory, fp16, no flash attention.

    python tests/benchmarks/full_size.py --steps 20

Prints for every recipe: seconds a step, the peak that torch allocated beside the plan's prediction
(without CUDA's own share, which torch does not see), and whether the loss stayed a number.
"""

import argparse
import gc
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel

from sdnb.config import DreamboothConfig, LoraConfig, TextualInversionConfig
from sdnb.dataset.photos import Photo
from sdnb.machine import Machine
from sdnb.models import MODELS, Model
from sdnb.run import prepare
from sdnb.training.fit import fit
from sdnb.training.method import method_of
from sdnb.training.plan import CONTEXT, GIB, UNETS, VAE, empty_model, plan

T4 = 14.56  # GiB
SLIM = {"gradient_checkpointing": True, "optimizer": "adafactor"}
RECIPES = {
    "LoRA r16, batch 1": LoraConfig(rank=16, alpha=16, batch_size=1),
    "LoRA r16, batch 4": LoraConfig(rank=16, alpha=16, batch_size=4),
    "LoRA r16, batch 4, checkpointing": LoraConfig(
        rank=16, alpha=16, batch_size=4, gradient_checkpointing=True
    ),
    "LoRA r16 with text encoder": LoraConfig(
        rank=16, alpha=16, batch_size=1, train_text_encoder=True
    ),
    "Textual Inversion": TextualInversionConfig(batch_size=1),
    "DreamBooth, Adafactor, checkpointing": DreamboothConfig(batch_size=1, **SLIM),
    "DreamBooth with text encoder, Adafactor, checkpointing": DreamboothConfig(
        batch_size=1, train_text_encoder=True, **SLIM
    ),
    "DreamBooth, Adafactor": DreamboothConfig(batch_size=1, optimizer="adafactor"),
}


def random_model(dtype: torch.dtype, device: str = "cuda") -> Model:
    """SD 1.5's parts with random weights."""
    empty = empty_model("sd15")
    with torch.device(device):
        torch.manual_seed(0)
        vae = AutoencoderKL(**VAE)
        unet = UNet2DConditionModel(**UNETS["sd1"]).to(dtype)
        encoder = CLIPTextModel(empty.text_encoder.config).to(dtype)
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    return Model(empty.tokenizer, encoder, vae, unet, schedule, MODELS["sd15"])


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--steps", type=int, default=20)
    ask.add_argument("--only", default="")
    asked = ask.parse_args()
    properties = torch.cuda.get_device_properties(0)
    torch.cuda.set_per_process_memory_fraction(T4 * GIB / properties.total_memory)
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    machine = Machine("cuda", "fp16", "plays a T4", 2, T4, properties.name, True)
    noise = np.random.default_rng(0).integers(0, 255, (3, 512, 512, 3), dtype=np.uint8)
    photos = [
        Photo(Path(f"{i}.png"), Image.fromarray(pixels), "photo of ravo")
        for i, pixels in enumerate(noise)
    ]
    print(properties.name, torch.__version__)
    for name, config in RECIPES.items():
        if asked.only not in name:
            continue
        config = config.replace(base="sd15", views_per_photo=10_000)
        half = torch.float16 if method_of(config).HALF_BASE else torch.float32
        gc.collect(), torch.cuda.empty_cache(), torch.cuda.reset_peak_memory_stats()
        foreseen = plan(config, len(photos), machine).memory - CONTEXT / GIB
        try:
            run = fit(*prepare(config, photos, random_model(half), machine))
            worst = max(next(run).loss for _ in range(5))  # warms up
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            begun = time.perf_counter()
            worst = max([worst, *(next(run).loss for _ in range(asked.steps))])
            torch.cuda.synchronize()
            seconds = (time.perf_counter() - begun) / asked.steps
            peak = torch.cuda.max_memory_allocated() / GIB
            held = torch.cuda.max_memory_reserved() / GIB
            print(
                f"{name}: {seconds:.3f} s a step, peak {peak:.2f} GiB (reserved {held:.2f}), "
                f"planned {foreseen:.2f} ({foreseen / peak - 1:+.0%}), "
                f"largest loss {worst:.3f}, a number: {math.isfinite(worst)}",
                flush=True,
            )
        except torch.OutOfMemoryError:
            print(f"{name}: out of memory; planned {foreseen:.2f} GiB", flush=True)
        run = None


if __name__ == "__main__":
    main()
