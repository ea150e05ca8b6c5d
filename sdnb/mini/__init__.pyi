from .judge import counts as counts, load_judge as load_judge
from .scenes import PLACES as PLACES, Scene as Scene, features as features, photos_of as photos_of
from .studio import draw_scene as draw_scene
from .subjects import SAMPLE_PERSON as SAMPLE_PERSON
from .words import learner_caption as learner_caption
from .yourself import (
    PersonConfig as PersonConfig,
    draw_photos as draw_photos,
    spoiled_photos as spoiled_photos,
)
