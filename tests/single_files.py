"""Writing Stable Diffusion 1, 2 and XL as single files, to test what reads such files."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from sdnb.models.original_keys import renamed, unet_names, vae_names

OPEN_CLIP = {  # OpenCLIP's names (mlfoundations/open_clip, transformer.py) for those of CLIP here
    "encoder.layers.": "transformer.resblocks.",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "self_attn": "attn",
    "layer_norm": "ln_",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
UNUSED = 23  # the last of OpenCLIP's 24 layers, which SD 2 does not use, but its files hold


def write_single_file(
    parts: dict[str, nn.Module], path: Path, family: str, dtype: torch.dtype = torch.float32
) -> None:
    """Write `parts` ("unet", "vae", "text_encoder" and for SDXL "text_encoder_2") to `path` in the
    original layout of `family`: "sd1", "sd2" or "sdxl".

    An SD 2 that predicts velocities is told by its weights alone: ComfyUI and this package look at
    output_blocks.11.1, which a UNet of four blocks with two layers has. diffusers tells SDXL's two
    encoders apart by their widths, so these must differ; and the second one's is its projection's.
    """
    tensors = named(parts["unet"], unet_names, "model.diffusion_model.")
    tensors |= named(parts["vae"], vae_names, "first_stage_model.")
    for name in tensors:  # the autoencoder's attention was made of convolutions
        if name.startswith("first_stage_model.") and ".attn_1." in name and tensors[name].ndim == 2:
            tensors[name] = tensors[name][..., None, None]
    encoder = parts["text_encoder"]
    if family == "sd1":
        tensors |= clip(encoder, "cond_stage_model.transformer.")
    elif family == "sd2":
        tensors |= open_clip(encoder, "cond_stage_model.model.")
        tensors |= unused(encoder, "cond_stage_model.model.")
    else:
        tensors |= clip(encoder, "conditioner.embedders.0.transformer.")
        tensors |= open_clip(parts["text_encoder_2"], "conditioner.embedders.1.model.")
    save_file({k: v.to(dtype).contiguous().clone() for k, v in tensors.items()}, path)


def named(part: nn.Module, names_of, prefix: str) -> dict[str, torch.Tensor]:
    names = names_of(part)
    return {prefix + renamed(name, names): value for name, value in part.state_dict().items()}


def clip(encoder: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """The names before transformers 5.6, as in every published file."""
    state = getattr(encoder, "text_model", encoder).state_dict()
    return {f"{prefix}text_model.{name}": value for name, value in state.items()}


def open_clip(encoder: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """OpenCLIP's names and layout: q, k and v in one, the projection to be multiplied from the
    right."""
    state = dict(getattr(encoder, "text_model", encoder).state_dict())
    tensors = {}
    for kind in ("weight", "bias"):
        for name in [name for name in state if name.endswith(f"q_proj.{kind}")]:
            joint = torch.cat([state.pop(name.replace("q_proj", f"{x}_proj")) for x in "qkv"])
            tensors[name.replace(f"q_proj.{kind}", f"in_proj_{kind}")] = joint
    tensors |= state
    if hasattr(encoder, "text_projection"):
        tensors["text_projection"] = encoder.text_projection.weight.detach().T
    return {prefix + in_open_clip(name): value for name, value in tensors.items()}


def in_open_clip(name: str) -> str:
    for ours, theirs in OPEN_CLIP.items():
        name = name.replace(ours, theirs)
    return name


def unused(encoder: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """What the files of SD 2 hold and nobody reads: a last layer, a projection and a scale."""
    first = f"{prefix}transformer.resblocks.0."
    layer = {
        name.replace(".0.", f".{UNUSED}.", 1): torch.zeros_like(value)
        for name, value in open_clip(encoder, prefix).items()
        if name.startswith(first)
    }
    width = encoder.config.hidden_size
    projection = {
        f"{prefix}text_projection": torch.eye(width),
        f"{prefix}logit_scale": torch.ones(()),
    }
    return layer | projection
