"""What the frozen parts compute once: latents of the photos, embeddings of the captions."""

import numpy as np
import torch
from PIL import Image

from sdnb.models import Model
from sdnb.training.batches import Examples


@torch.no_grad()
def encode_photos(model: Model, images: list[Image.Image]) -> torch.Tensor:
    """(n, 4, h, w) fp32 latents on the model's device: the mode of the VAE's posterior, scaled.

    The mode instead of a sample: a cached sample would be one fixed draw of noise. One picture
    at a time and in fp32, because SDXL's VAE overflows in fp16.
    """
    latents = []
    for image in images:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        pixels = pixels.to(model.device, torch.float32) / 127.5 - 1
        latents.append(model.vae.encode(pixels).latent_dist.mode())
    return torch.cat(latents) * model.vae.config.scaling_factor


def encode_examples(model: Model, images: list[Image.Image], captions: list[str]) -> Examples:
    """Latents and texts of (image, caption) pairs. The text is embedded now where the text
    encoder is frozen; where something in it trains, the token ids are kept for later."""
    texts = [*captions, ""]  # the empty caption stands last, for caption dropout
    trains = any(parameter.requires_grad for parameter in model.text_encoder.parameters())
    encode = model.token_ids if trains else model.text_embeddings
    return Examples(encode_photos(model, images), torch.cat([encode([text]) for text in texts]))
