"""Captions: what training will make of them, how they are written, how they are changed."""

from sdnb.captioning.captions import Captioned, Captioner, caption_photos
from sdnb.captioning.coach import coach
from sdnb.captioning.editor import CaptionEditor

__all__ = ["CaptionEditor", "Captioned", "Captioner", "caption_photos", "coach"]
