# The names that most lessons share, each in the room it lives in. All else is one dot deep.

from . import (
    adapters as adapters,
    captioning as captioning,
    dataset as dataset,
    evaluation as evaluation,
    export as export,
    inference as inference,
    mini as mini,
    models as models,
    notebook as notebook,
    training as training,
)
from .adapters import (
    load_embedding as load_embedding,
    load_lora as load_lora,
    unload_embeddings as unload_embeddings,
    unload_lora as unload_lora,
)
from .captioning import CaptionConfig as CaptionConfig
from .dataset import (
    PhotoConfig as PhotoConfig,
    image_grid as image_grid,
    read_photos as read_photos,
    sample_photos as sample_photos,
    sample_trained as sample_trained,
)
from .errors import Problem as Problem
from .inference import ImageConfig as ImageConfig, make_images as make_images
from .machine import find_machine as find_machine
from .models import default_base as default_base, load_model as load_model
from .notebook import check as check, form as form
from .project import Project as Project
from .training import (
    DreamboothConfig as DreamboothConfig,
    LoraConfig as LoraConfig,
    TextualInversionConfig as TextualInversionConfig,
    plan as plan,
    preset as preset,
    presets as presets,
    train as train,
)
