"""Captions: what training will make of them, how they are written, how they are changed."""

from importlib import import_module

from sdnb.captioning.captions import Captioned, Captioner, caption_photos
from sdnb.captioning.coach import coach
from sdnb.captioning.editor import CaptionEditor
from sdnb.captioning.settings import CaptionConfig
from sdnb.captioning.unnamed import clip_sees, judge_sees, unnamed

_CAPTIONERS = ("load_captioner", "make_captions")
__all__ = [
    "CaptionConfig",
    "CaptionEditor",
    "Captioned",
    "Captioner",
    "caption_photos",
    "clip_sees",
    "coach",
    "judge_sees",
    "load_captioner",
    "make_captions",
    "unnamed",
]


def __getattr__(name):
    if name not in _CAPTIONERS:
        raise AttributeError(f"module 'sdnb.captioning' has no attribute {name!r}")
    return getattr(import_module("sdnb.captioning.captioners"), name)  # torch comes in with it
