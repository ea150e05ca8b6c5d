"""A whole model: for SD 1 one file in the original layout, which every program reads; for SD 2 and
SDXL a folder in diffusers' layout."""

import time
from pathlib import Path

import torch
from torch import nn

from sdnb.adapters.layers import tuner_layers
from sdnb.adapters.words import NewWords, embeddings_of
from sdnb.errors import Problem
from sdnb.export.kohya import modelspec
from sdnb.files import write_atomically
from sdnb.models.base import Model
from sdnb.models.conditioning import core_of
from sdnb.models.original_keys import renamed, unet_names, vae_names
from sdnb.models.saving import held_in, save_folder, save_tensors

CLIP = "cond_stage_model.transformer.text_model."  # with the name that transformers 5.6 dropped


def to_checkpoint(model: Model, path: Path | str) -> Path:
    """Write the model in fp16: as one file, named as CompVis/stable-diffusion named it, where its
    family allows that, else as a diffusers folder. The path gets or loses its .safetensors
    accordingly, and is returned.

    Raises Problem where a LoRA or a learned word is loaded in the model, where a number does not
    fit into fp16 (65504), and where the folder would replace something other than a model.
    """
    path, family = Path(path), model.info.family
    path = path.with_suffix("") if path.suffix == ".safetensors" else path
    path = path.with_name(f"{path.name}.safetensors") if family.one_file else path
    _check_plain(model, path)
    if not family.one_file:
        if path.exists() and not (path / "model_index.json").is_file():
            raise Problem("There is something else already", path, "Choose another name")
        save_folder(model, path)
        return path
    marks = {"v_pred": family.v_prediction, "ztsnr": family.zero_snr}  # keys that ComfyUI looks for
    tensors = original_tensors(model) | {key: torch.zeros(0) for key, so in marks.items() if so}
    tensors = held_in(tensors, "fp16", path)
    header = {"format": "pt", **modelspec(model, path.stem, time.time())}
    write_atomically(path, lambda aside: save_tensors(tensors, aside, header))
    return path


def original_tensors(model: Model) -> dict[str, torch.Tensor]:
    """All weights of an SD 1 by the names of the original file, and in its shapes."""
    encoder = core_of(model.text_encoder)
    tensors = {
        **_named("model.diffusion_model.", model.unet, unet_names(model.unet)),
        **_named("first_stage_model.", model.vae, vae_names(model.vae)),
        **{CLIP + name: tensor for name, tensor in encoder.state_dict().items()},
    }
    for name, tensor in tensors.items():
        if ".mid.attn_1." in name and tensor.ndim == 2:  # convolutions there, 1 x 1
            tensors[name] = tensor[..., None, None]
    return tensors


def _named(prefix: str, part: nn.Module, names: dict[str, str]) -> dict[str, torch.Tensor]:
    return {prefix + renamed(name, names): tensor for name, tensor in part.state_dict().items()}


def _check_plain(model: Model, path: Path) -> None:
    if any(tuner_layers(part) for part in model.modules):
        do = "Bake it in by merge_lora(model), or take it out by unload_lora(model)"
        raise Problem("A LoRA is loaded in the model", path, do)
    if any(isinstance(embeddings_of(e).token_embedding, NewWords) for e in model.encoders.values()):
        what = "A learned word is loaded in the model, and a checkpoint has no place for it"
        do = "Take it out by unload_embeddings(model), and export it by itself"
        raise Problem(what, path, do)
