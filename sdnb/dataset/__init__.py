"""Photos in: checked, cropped, prepared as copies with a list of what was done; the sample sets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
