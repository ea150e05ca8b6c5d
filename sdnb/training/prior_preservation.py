"""What keeps the class as it was: images of other members of it (prior preservation as in
DreamBooth, arXiv 2208.12242), or the photos themselves, told as if they showed another one."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageStat

from sdnb.captioning.captions import word_pattern
from sdnb.dataset.photos import FEWEST, Photo, literal, photos_in, read_photos
from sdnb.errors import Problem, with_article
from sdnb.files import write_atomically
from sdnb.inference.images import make_images
from sdnb.inference.prompts import escape
from sdnb.models.base import Model
from sdnb.training.config import TrainConfig
from sdnb.training.methods import method_of
from sdnb.training.methods.base import plain_caption


def class_images(
    config: TrainConfig, photos: list[Photo], model: Model, folder: Path | None = None
) -> list[Photo]:
    """Images of other members of the class for prior preservation, none where it is off. Without
    class images the photos stand for them: with the class's captions, and to be predicted as the
    base does (see `DenoisingLoss`).

    The base model makes them from the photos' captions with the class word for the trigger word,
    with seeds 0, 1, 2, ...; `folder` keeps them for the next time, and a broken or empty one is
    made again. The learner's own `prior_folder` takes their place.
    """
    if not config.prior_weight:
        return []
    side = model.info.at(config.resolution).resolution
    if (found := own_class_images(config, side)) is not None:
        return found
    own = method_of(config).captions(config, photos)
    if config.prior_from_photos:
        pairs = zip(photos, own, strict=True)
        return [replace(photo, caption=class_caption(words, config)) for photo, words in pairs]
    captions = [class_caption(own[i % len(own)], config) for i in range(config.prior_images)]
    paths = [(folder or Path()) / f"{i:04}.png" for i in range(config.prior_images)]
    images = {i: _read_class_image(path) for i, path in enumerate(paths)} if folder else {}
    missing = [i for i in range(config.prior_images) if images.get(i) is None]
    asked = [escape(captions[i]) for i in missing]  # a caption's brackets mean themselves
    made = make_class_images(asked, model, missing, size=side)
    for i, image in zip(missing, made, strict=True):
        images[i] = image
        if folder:
            write_atomically(paths[i], image.save)
    return [Photo(path, images[i], captions[i]) for i, path in enumerate(paths)]


def own_class_images(config: TrainConfig, resolution: int) -> list[Photo] | None:
    """The pictures in the learner's own `prior_folder`, None where there shall be none; one without
    a caption is learned as "photo of a man", not with the words of some other photo. Raises Problem
    where they are too few, or cannot be read."""
    folder = config.prior_folder
    if not folder or not config.prior_weight:
        return None
    count = len(photos_in(folder)) if folder.is_dir() else 0
    if count < FEWEST:
        what = f"There are {count} class images, and prior preservation needs at least {FEWEST}"
        do = "Add class images of many different ones, or leave prior_folder out"
        raise Problem(what, folder, f"{do}: the base model then makes them")
    plain = class_caption(plain_caption(config), config)
    found = read_photos(folder, resolution)
    return [replace(photo, caption=photo.caption or plain) for photo in found]


def make_class_images(
    prompts: list[str], model: Model, seeds: Sequence[int], **options
) -> list[Image.Image]:
    """As `make_images`. Raises Problem also for an image that shows nothing."""
    images = make_images(model, prompts, seeds, **options)
    for prompt, image in zip(prompts, images, strict=True):
        if not _shows_something(image):
            what = f"The base model made an empty class image for {prompt!r}"
            do = 'Set precision = "fp32", or name a folder of pictures to take its place'
            raise Problem(what, do=do)
    return images


def _read_class_image(path: Path) -> Image.Image | None:
    """A class image from an earlier day; None where it is absent, broken or empty."""
    try:
        image = Image.open(path).convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    return image if _shows_something(image) else None


def _shows_something(image: Image.Image) -> bool:
    """Whether the image has any contrast (grey levels of 255): not the black one that a safety
    filter or an overflow leaves."""
    return ImageStat.Stat(image.convert("L")).stddev[0] > 2


def class_caption(caption: str, config: TrainConfig) -> str:
    """The class prompt where one is set, else the caption `without_trigger`."""
    return literal(getattr(config, "class_prompt", "")) or without_trigger(caption, config)


def without_trigger(caption: str, config: TrainConfig) -> str:
    """The caption with "ravo man", or "ravo" alone, in letters of any size, replaced by "a man";
    without a trigger word the caption as it is."""
    if not config.trigger:
        return caption
    special = word_pattern(config.trigger, rf"(\s+{re.escape(config.class_word)})?")
    return special.sub(lambda _: with_article(config.class_word), caption)
