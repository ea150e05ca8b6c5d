from .base import (
    default_base as default_base,
)
from .loading import (
    load_model as load_model,
    load_tokenizer as load_tokenizer,
)
