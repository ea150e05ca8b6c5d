"""Captions: who writes them, how they are changed, and what training will make of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
