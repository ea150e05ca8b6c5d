"""What the frozen parts compute once: latents of the photos, embeddings of the captions."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps

from sdnb.dataset.photos import Photo
from sdnb.models.base import Model, trains
from sdnb.training.batches import Examples
from sdnb.training.config import TrainConfig

WORDINGS = 16  # orders of a shuffled caption that are kept ready


@torch.no_grad()
def encode_images(model: Model, images: list[Image.Image]) -> torch.Tensor:
    """(n, 4, h, w) fp32 latents of images of one size, on the model's device: the mode of the
    VAE's posterior, scaled.

    The mode instead of a sample: a cached sample would be one fixed draw of noise. One image
    at a time and in fp32, because SDXL's VAE overflows in fp16.
    """
    latents = []
    for image in images:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        pixels = pixels.to(model.vae.device, torch.float32) / 127.5 - 1
        latents.append(model.vae.encode(pixels).latent_dist.mode())
    return torch.cat(latents).to(model.device) * model.vae.config.scaling_factor


def encode_examples(
    model: Model, photos: Sequence[Photo], captions: Sequence[str], config: TrainConfig
) -> Examples:
    """Latents and texts of photos with their captions, in all versions and wordings that `config`
    asks for. The text is embedded now where the text encoder is frozen; where something in it
    trains, the token ids are kept for later."""
    versions = [
        [photo.image, ImageOps.mirror(photo.image)] if config.flip else [photo.image]
        for photo in photos
    ]
    latents = tuple(encode_images(model, images) for images in versions)
    texts = [wordings(caption, config) for caption in [*captions, ""]]  # last: for caption dropout
    learns = any(map(trains, model.encoders.values()))
    embedded = [
        model.token_ids(each) if learns else model.text_embeddings(each, config.clip_skip)
        for each in texts
    ]
    names = tuple(photo.path.name for photo in photos)
    return Examples(latents, torch.stack(embedded), names)


def wordings(caption: str, config: TrainConfig) -> list[str]:
    """The caption; or, where captions are shuffled, its parts between commas in WORDINGS orders,
    the first `keep_tokens` always in front (kohya_ss's shuffle_caption). An order is a function of
    (seed, its number), and text and order are chosen for each view later."""
    if not config.shuffle_captions:
        return [caption]
    parts = [part.strip() for part in caption.split(",")]
    fixed, loose = parts[: config.keep_tokens], parts[config.keep_tokens :]
    orders = (
        np.random.default_rng((config.seed, number)).permutation(len(loose))
        for number in range(WORDINGS)
    )
    return [", ".join([*fixed, *(loose[i] for i in order)]) for order in orders]
