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
from diffusers import DiffusionPipeline
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from sdnb.errors import Problem
from sdnb.models.families import CONFIGS, FAMILIES, MINI, SD1, SD2, SD2_V, Family
from sdnb.models.tensors import opened

UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"  # (320, channels, 3, 3)
WEIGHTS = r"(model\.diffusion_model|(first|cond)_stage_model|conditioner)\.(?!.*position_ids)"
V_YAML = r"""parameterization["']?\s*:\s*["']?v"""
CHOOSE = "Choose a whole Stable Diffusion 1, 2 or XL, a file of some gigabytes"
FOREIGN = {  # what else is offered beside base models, by a mark in its names
    r"\.lora_|\.hada_|\.lokr_": "a LoRA",
    r"^(emb_params|clip_[lg])$|string_to_param": "a learned word (embedding)",
    r"double_blocks\.|single_transformer_blocks\.": "a FLUX model",
    r"joint_blocks\.": "a Stable Diffusion 3",
    r"noise_refiner\.": "a Z-Image or Lumina model",
    r"^control_model\.|controlnet_cond_embedding|^input_hint_block": "a ControlNet",
    r"^conditioner\.embedders\.0\.model\.": "the refiner of SDXL",
    r"^edm_": "a model of another noise schedule (EDM)",
    r"^(encoder|decoder)\.(conv_in|down|up)": "a VAE alone",
    r"^scaled_fp8$|\.(scale_weight|weight_scale)$": "in scaled 8-bit numbers",
}
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
        known = ((family, key) for family in FAMILIES for key in family.keys if key in names)
        family, key = next(known, (None, ""))
        if family is SD1 and file.get_slice(key).get_shape()[1] == MINI.text_width:
            family = MINI
        if family is SD2 and LAST_NORM in names:
            spread = float(file.get_tensor(LAST_NORM).float().std())
            family = SD2_V if spread > V_SPREAD else SD2
        whole = family is not None and FIRST in names
        channels = file.get_slice(FIRST).get_shape()[1] if whole else 0
        metadata = file.metadata() or {}
        parts = [name for name in names if re.match(WEIGHTS, name)]
        whole_numbers = [n for n in parts if re.match("[IU]|BOOL", file.get_slice(n).get_dtype())]
    for mark, kind in FOREIGN.items():
        if any(re.search(mark, name) for name in names):
            raise Problem(f"This file is {kind}, which cannot be a base model here", path, CHOOSE)
    if not whole:
        raise Problem("This file holds no whole Stable Diffusion 1, 2 or XL", path, CHOOSE)
    refuse_other_inputs(channels, path)
    if whole_numbers:
        what = f"{min(whole_numbers)} is made of whole numbers"
        what += ": a quantised model, or a damaged one"
        raise Problem(what, path, "Choose a file in fp16, bf16 or fp32")
    return _marked(family, names, metadata, path)


def _marked(family: Family, names: set[str], metadata: dict[str, str], path: Path) -> Family:
    """The family with the prediction that the file says: by keys, as SDXL's children do (ComfyUI,
    supported_models.py), by metadata, or by a .yaml of the original code beside it."""
    beside = path.with_suffix(".yaml")
    text = beside.read_text(errors="replace") if beside.is_file() else ""
    said = metadata.get("modelspec.prediction_type", "")
    zero_snr = "ztsnr" in names or metadata.get("ss_zero_terminal_snr") == "True"
    velocity = "v_pred" in names or said.startswith("v") or bool(re.search(V_YAML, text))
    if velocity or zero_snr:  # nobody trains the latter to predict noise, which is there no longer
        return family.predicting(True, zero_snr)
    return family.predicting(False) if said.startswith("eps") and family.v_prediction else family


def refuse_other_inputs(channels: int, source: Path) -> None:
    """Raises Problem where a UNet reads more `channels` than the 4 of a picture's latents."""
    kind = {9: "for inpainting", 8: "for editing pictures (InstructPix2Pix)"}.get(channels)
    if channels != 4:
        what = f"This is a model {kind}" if kind else f"The model's UNet reads {channels} channels"
        do = "Choose a base that makes pictures from text alone (its UNet reads 4 channels)"
        raise Problem(what, source, do)


def load_single_file(path: Path, **dtype: torch.dtype) -> DiffusionPipeline:
    """The file as diffusers' pipeline. Raises what diffusers does where parts are missing."""
    family = read_family(path)
    more = {"tokenizer_2": clip_tokenizer("!")} if family.two_encoders else {}
    return family.pipeline.from_single_file(
        str(path),
        config=str(family.configs),
        local_files_only=True,
        tokenizer=tokenizer_of(family),
        **more,
        **family.unused,
        **dtype,
    )


def tokenizer_of(family: Family) -> CLIPTokenizer:
    """The first, and but for SDXL the only, tokenizer of a family."""
    if family.name == MINI.name:
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
    letters = bytes_to_unicode().values()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}, merges
