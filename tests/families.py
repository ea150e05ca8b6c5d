"""Tiny random models of each family of Stable Diffusion, with configurations to load them by."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdnb.models.families import CONFIGS

CHANNELS = (32, 32, 32, 32)  # four blocks of two layers, as the real ones
XL = {
    "block_out_channels": (32, 32, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 3),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 24,
}


def tiny_parts(family: str) -> dict[str, torch.nn.Module]:
    """ "sd1", "sd2", "sd2-v" or "sdxl" in small, by chance but always the same."""
    torch.manual_seed(0)
    parts = {"text_encoder": CLIPTextModel(_text(16, 2))}
    width = 16
    if family == "sdxl":
        parts["text_encoder_2"] = CLIPTextModelWithProjection(_text(24, 3))
        width = 16 + 24
    shape = XL if family == "sdxl" else {"block_out_channels": CHANNELS}
    parts["unet"] = UNet2DConditionModel(
        sample_size=8,
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=8,
        use_linear_projection=family != "sd1",
        **shape,
    )
    parts["vae"] = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=2,
        sample_size=64,
    )
    if family == "sd2-v":
        block = parts["unet"].up_blocks[3].attentions[2].transformer_blocks[0]
        torch.nn.init.normal_(block.norm1.bias, std=0.3)
    return parts


def write_configs(parts: dict[str, torch.nn.Module], family: str, folder: Path) -> None:
    """What `sdnb/models/configs/` holds of a family, for these parts."""
    folder = folder / family
    for name, part in parts.items():
        if isinstance(part, CLIPTextModel | CLIPTextModelWithProjection):
            part.config.save_pretrained(folder / name)
        else:
            part.save_config(folder / name)
    index = (CONFIGS / family / "model_index.json").read_text()
    (folder / "model_index.json").write_text(index)
    scheduler = DDPMScheduler.from_config(DDPMScheduler.load_config(CONFIGS / family / "scheduler"))
    scheduler.save_config(folder / "scheduler")


def _text(width: int, layers: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        projection_dim=width,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )
