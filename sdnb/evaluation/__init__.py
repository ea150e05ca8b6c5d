"""Honest numbers: likeness (the parade), prompt fit, drift."""

from sdnb.evaluation.clip import drift, load_clip, prompt_fit
from sdnb.evaluation.parade import Parade, line_up, nearest_photo, through_autoencoder

__all__ = [
    "Parade",
    "drift",
    "line_up",
    "load_clip",
    "nearest_photo",
    "prompt_fit",
    "through_autoencoder",
]
