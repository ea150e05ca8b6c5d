"""Bake a LoRA into the base model's own weights."""

from sdnb.adapters.layers import detach, tuner_layers
from sdnb.errors import Problem
from sdnb.models.base import Model


def merge_lora(model: Model, weight: float = 1.0) -> None:
    """Add the LoRAs (LoCon, LoHa, LoKr) now in `model` to the base weights, and take their matrices
    out: the same pictures from a plain model. `weight` scales them once more; 1 is as they are
    loaded.

    Raises Problem where there is none in the model, or a sum is not a number; the model is then
    without LoRAs, and `load_model` gives it back as it was.
    """
    layers = [layer for part in model.modules for layer in tuner_layers(part)]
    if not layers:
        raise Problem("There is no LoRA in the model", do="Load one by load_lora(model, file)")
    model.moved = True
    try:
        for layer in layers:
            layer.scale_layer(weight)
            layer.merge(safe_merge=True)
    except ValueError as error:
        raise Problem(
            "The LoRA cannot be merged: its numbers are too large for the model's number format",
            do="Load the model in fp32, or choose an earlier state of the LoRA",
        ) from error
    finally:
        detach(*model.modules)
