"""How far two base models lie apart, measured in their weights."""

import torch

from sdnb.adapters.layers import tuner_layers
from sdnb.errors import Problem
from sdnb.models.base import Model


def compare_weights(first: Model, second: Model) -> dict[str, float]:
    """For each part ("unet", "text_encoder", "vae") the length of the difference of all its
    weights, as a share of the length of the first model's: 0 where they are the same.

    Raises Problem where the two are not of one family.
    """
    found = {}
    for name in ("unet", *first.encoders, "vae"):
        ours, theirs = (_numbers(getattr(model, name)) for model in (first, second))
        if {n: p.shape for n, p in ours.items()} != {n: p.shape for n, p in theirs.items()}:
            raise Problem(
                f"{first.info.name} and {second.info.name} are not of one family",
                do="Compare two models of the same family",
            )
        moved = sum(_square(theirs[n].to(p.device) - p) for n, p in ours.items())
        found[name] = (moved / sum(map(_square, ours.values()))) ** 0.5
    return found


def lora_distance(model: Model) -> dict[str, float]:
    """For each part by how much the LoRA that is loaded changes its weights, in the same measure:
    the length of all updates as a share of the length of all the part's weights."""
    found = {}
    for name in ("unet", *model.encoders):
        part = getattr(model, name)
        updates = [
            sum(map(layer.get_delta_weight, layer.active_adapters)) for layer in tuner_layers(part)
        ]
        whole = sum(map(_square, _numbers(part).values()))
        found[name] = (sum(map(_square, updates)) / whole) ** 0.5
    return found


def _numbers(part: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The base's own weights, whether or not a LoRA stands beside them."""
    own = {
        name.replace(".base_layer", ""): parameter.detach()
        for name, parameter in part.named_parameters()
        if not any(mark in name for mark in (".lora_", ".hada_", ".lokr_"))
    }
    return {name.removeprefix("text_model."): parameter for name, parameter in own.items()}


def _square(tensor: torch.Tensor) -> float:
    return float(tensor.double().square().sum())
