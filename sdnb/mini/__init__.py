"""A studio that draws a small world, the small Stable Diffusion that learned it, and its judge."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
