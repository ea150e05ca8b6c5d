"""Honest numbers: likeness, prompt fit, drift and diversity, each with its spread; the checkpoint
picker, the report, and the reports of a class."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
