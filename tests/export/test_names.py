"""Every layer's name in the files of others, against lists made from their sources: see the head of
each list in `keys/`."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdnb.export.checkpoint import original_tensors
from sdnb.models.base import MODELS, Model
from sdnb.models.families import CONFIGS
from sdnb.models.original_keys import kohya_name, renamed, unet_names, vae_names
from tests.families import tiny_parts

KEYS = Path(__file__).parent / "keys"
KINDS = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}


def full_size(family: str) -> dict[str, nn.Module]:
    """The real models' parts, without their numbers."""
    parts = {}
    for name, kind in KINDS.items():
        folder = CONFIGS / family / name
        if folder.is_dir():
            with torch.device("meta"):
                if name.startswith("text"):
                    parts[name] = kind(CLIPTextConfig.from_pretrained(folder))
                else:
                    parts[name] = kind.from_config(kind.load_config(folder))
    return parts


def listed(name: str) -> list[list[str]]:
    lines = (KEYS / name).read_text().splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


@pytest.mark.parametrize(
    ("name", "family", "unet", "text"),
    [
        ("sd15.txt", "sd1", 282, 12 * 6),
        ("sd21.txt", "sd2-v", 282, 23 * 6),
        ("sdxl.txt", "sdxl", 794, (12 + 32) * 6),
    ],
)
def test_every_layer_has_the_one_key_that_others_know(name, family, unet, text):
    parts = full_size(family)
    originals = unet_names(parts["unet"])
    sgm = originals if family == "sdxl" else None
    found = []
    for part in parts.keys() - {"vae"}:
        for module, layer in parts[part].named_modules():
            # the projection of SDXL's second text encoder is trained by nobody
            if isinstance(layer, nn.Linear | nn.Conv2d) and module != "text_projection":
                found.append([kohya_name(part, module, sgm)])
                if part == "unet":
                    found[-1].append(module if sgm else renamed(module, originals))
    assert sorted(found) == sorted(listed(name))
    assert len({key for key, *_ in found}) == unet + text


def test_the_whole_checkpoint_of_sd15():
    """686 tensors of the UNet, 248 of the autoencoder, 196 of the text encoder."""
    parts = full_size("sd1")
    model = Model(None, scheduler=None, info=MODELS["sd15"], **parts)
    tensors = original_tensors(model)
    assert sorted(tensors) == sorted(key for (key,) in listed("sd15_checkpoint.txt"))
    assert len(tensors) == 686 + 248 + 196
    attention = tensors["first_stage_model.encoder.mid.attn_1.q.weight"]
    assert attention.shape == (512, 512, 1, 1)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_names_are_a_renaming(family):
    """No two parameters get one name, and none is left without."""
    parts = tiny_parts(family)
    for name, names_of in (("unet", unet_names), ("vae", vae_names)):
        state, names = parts[name].state_dict(), names_of(parts[name])
        assert len({renamed(key, names) for key in state}) == len(state)


def test_three_blocks_of_one_layer():
    """The mini UNet's shape, spelled out: attention in its first two blocks only."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=(32, 64, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        )
    names = unet_names(unet)
    expected = {
        "down_blocks.0.attentions.0.proj_in": "input_blocks.1.1.proj_in",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
        "down_blocks.1.resnets.0.conv1": "input_blocks.3.0.in_layers.2",
        "down_blocks.2.resnets.0.conv2": "input_blocks.5.0.out_layers.3",
        "mid_block.resnets.1.time_emb_proj": "middle_block.2.emb_layers.1",
        "up_blocks.0.upsamplers.0.conv": "output_blocks.1.1.conv",  # no attention before it
        "up_blocks.1.upsamplers.0.conv": "output_blocks.3.2.conv",
        "up_blocks.2.attentions.1.norm": "output_blocks.5.1.norm",
        "up_blocks.2.resnets.1.conv_shortcut.bias": "output_blocks.5.0.skip_connection.bias",
    }
    assert {name: renamed(name, names) for name in expected} == expected
    with pytest.raises(KeyError):
        renamed("up_blocks.3.resnets.0.conv1", names)
