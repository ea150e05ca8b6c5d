import numpy as np

from sdnb.dataset.photos import Photo
from sdnb.inference import make_pictures
from sdnb.inference.class_pictures import class_pictures


def test_a_caption_is_drawn_as_the_words_it_is(tiny, config, cpu, monkeypatch):
    """Its brackets weigh nothing and call nothing: the text encoder reads them, as in training."""
    asked = []

    def drawn(model, prompts, *rest, **how):
        asked.extend(prompts)
        return make_pictures(model, prompts, *rest, steps=1, **how)

    monkeypatch.setattr("sdnb.inference.class_pictures.make_pictures", drawn)
    config = config.replace(prior_weight=1.0, prior_images=2)
    words = "photo of ravo man (red) [hat] <lora:x:1>"
    photos = [Photo(None, None, words)]
    made = class_pictures(config, photos, tiny, cpu)
    assert [photo.caption for photo in made] == ["photo of a man (red) [hat] <lora:x:1>"] * 2
    assert asked == ["photo of a man \\(red\\) \\[hat\\] < lora:x:1>"] * 2
    assert np.array(made[0].image).std() > 2
