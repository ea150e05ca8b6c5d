"""Base models in one file, as Civitai and the web UIs have them: their family, by their
keys, and loading them without a network from the configurations in `configs/`. The tokenizer
is CLIP's (OpenAI, MIT licence).
"""

import gzip
import logging
import re
from functools import cache
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from transformers import CLIPTokenizer

from sdnb.errors import Problem
from sdnb.models.families import CONFIGS, FAMILIES, MINI, SD1, SD2, SD2_V, SDXL, Family
from sdnb.models.tensors import opened

UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"  # (320, channels, 3, 3)
WEIGHTS = (
    r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner)\.(?!.*position_ids)"
)
V_MARKS = {"v_pred", "ztsnr"}  # keys by which SDXL's children say so (ComfyUI, supported_models.py)
LAST_NORM = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
V_SPREAD = 0.09  # above it an SD 2 predicts velocities (ComfyUI, supported_models.py)

# diffusers warns, with every single file, of an empty list of parts that should stay in fp32.
logging.getLogger("diffusers.models.modeling_utils").addFilter(
    lambda record: "kept in float32: []" not in record.getMessage()
)


def read_family(path: Path) -> Family:
    """The family of a single file. Raises Problem where it is damaged, holds no whole Stable
    Diffusion 1, 2 or XL, or one that cannot be trained here yet."""
    with opened(path) as file:
        names = set(file.keys())
        family, key = next(
            ((family, key) for family in FAMILIES for key in family.keys if key in names),
            (None, ""),
        )
        if family is SD1 and file.get_slice(key).get_shape()[1] == MINI.text_width:
            family = MINI
        if family is SD2 and LAST_NORM in names:
            spread = float(file.get_tensor(LAST_NORM).float().std())
            family = SD2_V if spread > V_SPREAD else SD2
        whole = family is not None and FIRST in names
        channels = file.get_slice(FIRST).get_shape()[1] if whole else 0
        said = (file.metadata() or {}).get("modelspec.prediction_type", "")
        parts = [name for name in names if re.match(WEIGHTS, name)]
        whole_numbers = [n for n in parts if re.match("[IU]|BOOL", file.get_slice(n).get_dtype())]
    if not whole:
        lora = any("lora_" in name for name in names)
        raise Problem(
            "This file is a LoRA, not a base model"
            if lora
            else "This file holds no whole Stable Diffusion 1, 2 or XL",
            path,
            "Choose the base model itself, a file of some gigabytes",
        )
    refuse_other_inputs(channels, path)
    if whole_numbers:
        raise Problem(
            f"{min(whole_numbers)} is made of whole numbers: a quantised model, or a damaged one",
            path,
            "Choose a file in fp16, bf16 or fp32",
        )
    if family in (SD1, SDXL) and (names & V_MARKS or said.startswith("v")):
        raise Problem(
            "This base model predicts velocities (v-prediction, zero terminal SNR), which cannot "
            "be used here yet",
            path,
            "Choose one that predicts noise (epsilon), often offered beside it",
        )
    return family


def refuse_other_inputs(channels: int, source: Path) -> None:
    """Raises Problem where a UNet reads more `channels` than the 4 of a picture's latents."""
    kind = {9: "for inpainting", 8: "for editing pictures (InstructPix2Pix)"}.get(channels)
    if channels != 4:
        raise Problem(
            f"This is a model {kind}" if kind else f"The model's UNet reads {channels} channels",
            source,
            "Choose a base that makes pictures from text alone (its UNet reads 4 channels)",
        )


def load_single_file(
    path: Path, **dtype: torch.dtype
) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    """The file as diffusers' pipeline. Raises what diffusers does where parts are missing."""
    family = read_family(path)
    more = {"tokenizer_2": clip_tokenizer("!")} if family.two_encoders else {"safety_checker": None}
    return family.pipeline.from_single_file(
        str(path),
        config=str(family.configs),
        local_files_only=True,
        tokenizer=tokenizer_of(family),
        **more,
        **dtype,
    )


def tokenizer_of(family: Family) -> CLIPTokenizer:
    """The first, and but for SDXL the only, tokenizer of a family."""
    if family is MINI:
        return CLIPTokenizer.from_pretrained(MINI.configs / "tokenizer")
    return clip_tokenizer(family.pad_token)


def clip_tokenizer(pad: str | None = None) -> CLIPTokenizer:
    """CLIP's tokenizer. SD 2 and SDXL's second encoder fill up with "!" where CLIP itself repeats
    the mark of the end."""
    vocabulary, merges = _clip_merges()
    more = {"pad_token": pad} if pad else {}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77, **more)


@cache
def _clip_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary of 49,408 tokens: every byte inside a word and at its end, what the merges
    make, and the two marks (openai/CLIP, simple_tokenizer.py)."""
    with gzip.open(CONFIGS / "clip_merges.txt.gz", "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = _byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}, merges


def _byte_letters() -> list[str]:
    """A printable letter for every byte (as GPT-2's encoder): printable ones stand for themselves
    and come first, the others for letters from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(code) for code in plain] + [chr(256 + i) for i in range(256 - len(plain))]
