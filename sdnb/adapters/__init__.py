"""What is injected into a base model and detached again: LoRAs of every spelling, and learned
words."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
