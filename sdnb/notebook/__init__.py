"""All that sits in a notebook: forms, exercises, what a lesson says, what only Colab has. The only
room that imports ipywidgets, and only to show."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
