"""sdnb: from a folder of photos to a personalised Stable Diffusion model.

`__init__.pyi` lists the names that most lessons share; the rooms list theirs in the same way. A
name is imported the first time it is used, so `import sdnb` is instant and loads no torch.
"""

import logging
import sys

import lazy_loader

__version__ = "0.1.0"

# transformers warns, while diffusers is imported, of two processors that would like torchvision.
# Nothing here needs it, and a first cell should not open with a warning.
logging.getLogger("transformers.utils.import_utils").addFilter(
    lambda record: "requires torchvision" not in record.getMessage()
)

if "IPython" in sys.modules and (_shell := sys.modules["IPython"].get_ipython()):
    from sdnb import known_errors

    known_errors.speak_in(_shell)  # errors in sentences, not in tracebacks

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
