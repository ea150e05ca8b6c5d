"""The distance between two models, measured in their weights."""

import torch

from sdnb.adapters.layers import tuner_layers
from sdnb.errors import Problem
from sdnb.models.base import Model

ADAPTERS = (".lora_", ".hada_", ".lokr_")  # in the names of what stands beside a base's weights


def compare_weights(first: Model, second: Model) -> dict[str, float]:
    """The relative distance of each part ("unet", "text_encoder", "vae"): the length of the
    difference of all its weights, as a share of the length of the first model's. 0 where they are
    the same.

    Raises Problem where the two are not of one family.
    """
    found = {}
    for name in ("unet", *first.encoders, "vae"):
        ours, theirs = (_base_weights(getattr(model, name)) for model in (first, second))
        if {n: w.shape for n, w in ours.items()} != {n: w.shape for n, w in theirs.items()}:
            what = f"{first.info.name} and {second.info.name} are not of one family"
            raise Problem(what, do="Compare two models of the same family")
        difference = sum(_square(theirs[n].to(w.device) - w) for n, w in ours.items())
        found[name] = (difference / sum(map(_square, ours.values()))) ** 0.5
    return found


def lora_distance(model: Model) -> dict[str, float]:
    """The relative distance of each part from itself without the LoRA that is loaded: the length of
    all updates as a share of the length of all the part's weights."""
    found = {}
    for name in ("unet", *model.encoders):
        part = getattr(model, name)
        updates = [
            sum(map(layer.get_delta_weight, layer.active_adapters)) for layer in tuner_layers(part)
        ]
        whole = sum(map(_square, _base_weights(part).values()))
        found[name] = (sum(map(_square, updates)) / whole) ** 0.5
    return found


def _base_weights(part: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The base's own weights by name, whether or not a LoRA is injected."""
    return {
        name.replace(".base_layer", "").removeprefix("text_model."): parameter.detach()
        for name, parameter in part.named_parameters()
        if not any(mark in name for mark in ADAPTERS)
    }


def _square(tensor: torch.Tensor) -> float:
    return float(tensor.double().square().sum())
