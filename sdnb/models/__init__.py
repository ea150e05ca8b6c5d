"""Base models: the table of them, told apart, loaded, spoken to and saved."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
