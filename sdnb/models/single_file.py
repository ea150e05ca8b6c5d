"""Base models in one file, as Civitai and the web UIs have them: whose family they are, told by
their keys, and loading them without a network from the configurations in `configs/`.

The configurations are the published ones of SD 1.5, SD 2.1 and SDXL 1.0, as far as they differ
from the libraries' defaults; the tokenizer is CLIP's (OpenAI, MIT licence).
"""

import gzip
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from transformers import CLIPTokenizer

from sdnb.errors import Problem
from sdnb.models.tensors import opened

FAMILIES = Path(__file__).parent / "configs"
MINI_FOLDER = Path(__file__).parents[1] / "mini" / "weights"
UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"  # (320, channels, 3, 3)
V_MARKS = {"v_pred", "ztsnr"}  # keys by which SDXL's children say so (ComfyUI, supported_models.py)
LAST_NORM = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
V_SPREAD = 0.09  # above it an SD 2 predicts velocities (ComfyUI, supported_models.py)

# diffusers warns, with every single file, of an empty list of parts that should stay in fp32.
logging.getLogger("diffusers.models.modeling_utils").addFilter(
    lambda record: "kept in float32: []" not in record.getMessage()
)


@dataclass(frozen=True)
class Family:
    """A kind of Stable Diffusion. `folder` holds its configuration."""

    name: str  # as in the table of base models
    folder: str | Path  # in `configs/`, or anywhere
    resolution: int  # pixels a side


SD1, SD2 = Family("sd1", "sd1", 512), Family("sd2", "sd2", 512)
SD2_V, SDXL = Family("sd2", "sd2-v", 768), Family("sdxl", "sdxl", 1024)
MINI = Family("mini", MINI_FOLDER, 128)  # SD 1's layout, told by its width
MINI_WIDTH = 128
WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", MINI_WIDTH: "mini"}  # of the text a UNet is told
GUIDANCE = {"mini": 4.0, "sd1": 7.0, "sd2": 7.0, "sdxl": 7.0}  # the default scale
MARKS = {  # a key that only this family has
    "conditioner.embedders.1.model.token_embedding.weight": SDXL,
    "cond_stage_model.model.token_embedding.weight": SD2,
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": SD1,
    "cond_stage_model.transformer.embeddings.token_embedding.weight": SD1,
}


def read_family(path: Path) -> Family:
    """The family of a single file. Raises Problem where it is damaged, holds no whole Stable
    Diffusion 1, 2 or XL, or one that cannot be trained here yet."""
    with opened(path) as file:
        names = set(file.keys())
        mark = next((mark for mark in MARKS if mark in names), "")
        family = MARKS.get(mark)
        if family is SD1:
            family = MINI if file.get_slice(mark).get_shape()[1] == MINI_WIDTH else SD1
        if family is SD2 and LAST_NORM in names:
            spread = float(file.get_tensor(LAST_NORM).float().std())
            family = SD2_V if spread > V_SPREAD else SD2
        whole = family is not None and FIRST in names
        channels = file.get_slice(FIRST).get_shape()[1] if whole else 0
        told = (file.metadata() or {}).get("modelspec.prediction_type", "")
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
    if family in (SD1, SDXL) and (names & V_MARKS or told.startswith("v")):
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


def folder_of(family: str, resolution: int) -> Path:
    """Where the configuration of such models lies."""
    if family == MINI.name:
        return MINI_FOLDER
    wide = family == "sd2" and resolution > SD2.resolution
    return FAMILIES / (SD2_V.folder if wide else family)


def load_single_file(
    path: Path, **dtype: torch.dtype
) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    """The file as diffusers' pipeline. Raises what diffusers does where parts are missing."""
    family = read_family(path)
    kind, more = StableDiffusionPipeline, {"safety_checker": None}
    if family is SDXL:
        kind, more = StableDiffusionXLPipeline, {"tokenizer_2": clip_tokenizer("!")}
    return kind.from_single_file(
        str(path),
        config=str(FAMILIES / family.folder),
        local_files_only=True,
        tokenizer=tokenizer_of(family.name),
        **more,
        **dtype,
    )


def tokenizer_of(family: str) -> CLIPTokenizer:
    """The first, and but for SDXL the only, tokenizer of a family."""
    if family == MINI.name:
        return CLIPTokenizer.from_pretrained(MINI_FOLDER / "tokenizer")
    return clip_tokenizer("!" if family == SD2.name else None)


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
    with gzip.open(FAMILIES / "clip_merges.txt.gz", "rt", encoding="utf-8") as file:
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
