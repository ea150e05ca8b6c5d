import numpy as np
import pytest

from sdnb.dataset.photos import Photo
from sdnb.inference import make_images
from sdnb.training.prior_preservation import class_images


def test_a_caption_is_drawn_as_the_words_it_is(tiny, config, cpu, monkeypatch):
    """Its brackets weigh nothing and call nothing: the text encoder reads them, as in training."""
    asked = []

    def drawn(model, prompts, *rest, **how):
        asked.extend(prompts)
        return make_images(model, prompts, *rest, steps=1, **how)

    monkeypatch.setattr("sdnb.training.prior_preservation.make_images", drawn)
    config = config.replace(prior_weight=1.0, prior_images=2)
    words = "photo of ravo man (red) [hat] <lora:x:1>"
    photos = [Photo(None, None, words)]
    made = class_images(config, photos, tiny)
    assert [photo.caption for photo in made] == ["photo of a man (red) [hat] <lora:x:1>"] * 2
    assert asked == ["photo of a man \\(red\\) \\[hat\\] \\<lora:x:1>"] * 2
    assert np.array(made[0].image).std() > 2


@pytest.mark.parametrize(
    ("settings", "plain"),
    [({}, "photo of a man"), ({"class_prompt": "a portrait of a man"}, "a portrait of a man")],
)
def test_own_pictures_without_captions_get_the_class_caption(
    configs, tiny, cpu, photos_folder, settings, plain
):
    """Never the words of a photo of the subject, as "a red top hat, at the beach"."""
    folder = {"prior_folder": photos_folder, "prior_weight": 1.0}
    config = configs["dreambooth"].replace(**folder, **settings)
    photos = [Photo(None, None, "photo of ravo man wearing a red top hat, at the beach")]
    found = class_images(config, photos, tiny)
    told = [f"photo of ravo man number {i}" for i in range(1, 5)]  # captions of their own stay
    assert [photo.caption for photo in found] == [plain, *told]
