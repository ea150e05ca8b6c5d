"""Training: the loop, the methods, and a run from settings to result."""

from sdnb.training.latents import encode_photos
from sdnb.training.loop import fit
from sdnb.training.methods import lora, textual_inversion
from sdnb.training.methods.base import restore
from sdnb.training.pace import forecast, seconds_a_step
from sdnb.training.plan import empty_model, optimizer_bytes, refuse_what_cannot_fit
from sdnb.training.run import prepare, train

__all__ = [
    "empty_model",
    "encode_photos",
    "fit",
    "forecast",
    "lora",
    "optimizer_bytes",
    "prepare",
    "refuse_what_cannot_fit",
    "restore",
    "seconds_a_step",
    "textual_inversion",
    "train",
]
