import pytest
from diffusers import DDPMScheduler

from sdnb.models.base import Model, ModelInfo
from sdnb.models.families import SDXL
from sdnb.models.single_file import clip_tokenizer
from tests.families import tiny_parts


@pytest.fixture(scope="session")
def make_xl():
    """A tiny SDXL, always the same."""
    words = {"tokenizer": clip_tokenizer(), "tokenizer_2": clip_tokenizer("!")}
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction")
    info = ModelInfo("xl", SDXL, 64, ())
    return lambda: Model(scheduler=scheduler, info=info, **words, **tiny_parts("sdxl"))
