from .base import default_base as default_base
from .image_encoders import image_encoders_for as image_encoders_for, load_clip as load_clip
from .loading import load_model as load_model, load_tokenizer as load_tokenizer
