"""What a model's parts are called in Stable Diffusion's original files, read off the model itself.

The original UNet numbers its blocks through, whatever they are; diffusers groups them by
resolution (openaimodel.py in CompVis/latent-diffusion and Stability-AI/generative-models, against
diffusers' UNet2DConditionModel). Inside an attention block the names are the same.
"""

from collections.abc import Mapping
from itertools import count

from diffusers import AutoencoderKL, UNet2DConditionModel

UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",  # SDXL: the pooled text and the picture's size
    "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.attentions.0": "middle_block.1",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_out.0": "proj_out"} | {f"to_{x}": x for x in "qkv"}


def unet_names(unet: UNet2DConditionModel) -> dict[str, str]:
    """The original's name for each of the UNet's parts, `down_blocks.0.attentions.0`:
    `input_blocks.1.1`. What lies inside such a part keeps its name: see `renamed`."""
    names = dict(UNET_ENDS)
    names |= _resnet("mid_block.resnets.0", "middle_block.0")
    names |= _resnet("mid_block.resnets.1", "middle_block.2")
    numbers = count(1)  # 0 is conv_in
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            names |= _layer(block, f"down_blocks.{i}", j, f"input_blocks.{next(numbers)}")
        if block.downsamplers:
            names[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{next(numbers)}.0.op"
    number = 0
    for i, block in enumerate(unet.up_blocks):
        for j in range(len(block.resnets)):
            names |= _layer(block, f"up_blocks.{i}", j, f"output_blocks.{number}")
            number += 1
        if block.upsamplers:  # in the last layer's block, behind its attention if it has one
            place = f"output_blocks.{number - 1}.{1 + _attends(block)}"
            names[f"up_blocks.{i}.upsamplers.0.conv"] = f"{place}.conv"
    return names


def vae_names(vae: AutoencoderKL) -> dict[str, str]:
    """The same for the autoencoder, whose decoder the original counts from the picture down."""
    names = {part: part for part in ("quant_conv", "post_quant_conv")}
    for half, theirs in (("encoder", "down"), ("decoder", "up")):
        blocks = vae.get_submodule(f"{half}.{theirs}_blocks")
        names |= {f"{half}.{end}": f"{half}.{end}" for end in ("conv_in", "conv_out")}
        names[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        for j in range(2):
            names |= _vae_resnet(f"{half}.mid_block.resnets.{j}", f"{half}.mid.block_{j + 1}")
        for ours, other in VAE_ATTENTION.items():
            names[f"{half}.mid_block.attentions.0.{ours}"] = f"{half}.mid.attn_1.{other}"
        for i, block in enumerate(blocks):
            number = i if theirs == "down" else len(blocks) - 1 - i
            ours, other = f"{half}.{theirs}_blocks.{i}", f"{half}.{theirs}.{number}"
            for j in range(len(block.resnets)):
                names |= _vae_resnet(f"{ours}.resnets.{j}", f"{other}.block.{j}")
            names[f"{ours}.{theirs}samplers.0.conv"] = f"{other}.{theirs}sample.conv"
    return names


def renamed(name: str, names: Mapping[str, str]) -> str:
    """A module's or parameter's name in the original: that of the part it lies in, and the rest.
    Raises KeyError where it lies in none."""
    part = name
    while part not in names:
        part, dot, _ = part.rpartition(".")
        if not dot:
            raise KeyError(name)
    return names[part] + name[len(part) :]


def kohya_name(part: str, module: str, sgm: Mapping[str, str] | None = None) -> str:
    """What kohya_ss calls a LoRA's layer, without the ".alpha" and the like behind it.

    `part` is "unet", "text_encoder" or "text_encoder_2", `module` a path in it. SD 1 and 2 keep
    diffusers' names; for SDXL, where kohya_ss builds the original UNet, `sgm` holds its names
    (networks/lora.py in kohya-ss/sd-scripts).
    """
    if part == "unet":
        path = f"unet.{renamed(module, sgm) if sgm else module}"
    else:
        number = {"text_encoder": 1, "text_encoder_2": 2}[part] if sgm else ""
        path = f"te{number}.text_model.{module.removeprefix('text_model.')}"
    return f"lora_{path}".replace(".", "_")


def _layer(block, ours: str, j: int, theirs: str) -> dict[str, str]:
    """A resnet and, in the blocks that have them, the attention behind it."""
    attention = {f"{ours}.attentions.{j}": f"{theirs}.1"} if _attends(block) else {}
    return _resnet(f"{ours}.resnets.{j}", f"{theirs}.0") | attention


def _attends(block) -> bool:
    return bool(getattr(block, "attentions", None))


def _resnet(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.{part}": f"{theirs}.{name}" for part, name in RESNET.items()}


def _vae_resnet(ours: str, theirs: str) -> dict[str, str]:
    return {ours: theirs, f"{ours}.conv_shortcut": f"{theirs}.nin_shortcut"}
