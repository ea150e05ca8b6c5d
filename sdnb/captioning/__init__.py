"""Captions: what training will make of them."""

from sdnb.captioning.coach import coach

__all__ = ["coach"]
