"""Base models: their families, the table of them, text conditioning; loaded and saved."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
