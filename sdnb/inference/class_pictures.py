"""Pictures of other members of the class, for prior preservation (DreamBooth, arXiv 2208.12242)."""

import re
from pathlib import Path

from PIL import Image

from sdnb.config import TrainConfig
from sdnb.dataset.photos import Photo
from sdnb.files import write_atomically
from sdnb.inference.pictures import make_pictures
from sdnb.machine import Machine
from sdnb.models import Model
from sdnb.training.method import method_of


def class_pictures(
    config: TrainConfig,
    photos: list[Photo],
    model: Model,
    machine: Machine,
    folder: Path | None = None,
) -> list[Photo]:
    """Pictures of other members of the class for prior preservation, none where it is off.

    The base model draws them from the photos' captions with the class word for the special word,
    with seeds 0, 1, 2, ...; `folder` keeps them for the next time.
    """
    if not config.prior_weight:
        return []
    own = method_of(config).captions(config, photos)
    captions = [class_caption(own[i % len(own)], config) for i in range(config.prior_images)]
    paths = [(folder or Path()) / f"{i:04}.png" for i in range(config.prior_images)]
    missing = [i for i, path in enumerate(paths) if folder is None or not path.exists()]
    images = dict(
        zip(
            missing,
            make_pictures(
                model, [captions[i] for i in missing], missing, precision=machine.precision
            ),
            strict=True,
        )
    )
    if folder:
        for i, image in images.items():
            write_atomically(paths[i], image.save)
        images = {i: Image.open(path).convert("RGB") for i, path in enumerate(paths)}
    return [
        Photo(*parts)
        for parts in zip(paths, (images[i] for i in range(len(paths))), captions, strict=True)
    ]


def class_caption(caption: str, config: TrainConfig) -> str:
    """The caption with "ravo man", or "ravo" alone, replaced by "a man"."""
    special = rf"\b{re.escape(config.trigger)}(\s+{re.escape(config.class_word)})?\b"
    article = "an" if config.class_word[0] in "aeiou" else "a"
    return re.sub(special, f"{article} {config.class_word}", caption)
