"""Image encoders: networks that turn an image into a vector, so that two images can be compared by
the cosine between their vectors. Each compares in its own way, so every score names its encoder.

The judge knows the drawn people of the mini model. CLIP (arXiv 2103.00020) was trained on images
with captions: it has a text encoder too, and tells kinds of things apart better than single ones.
DINO (arXiv 2104.14294) and DINOv2 (arXiv 2304.07193) were trained on images alone and tell things
of one kind apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModel, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, PreTrainedModel

from sdnb.errors import Problem
from sdnb.mini.judge import as_tensor, load_judge
from sdnb.models.base import Model, loading, quiet
from sdnb.models.conditioning import core_of
from sdnb.models.families import MINI

CLIP = "openai/clip-vit-base-patch32"
DINO = "facebook/dino-vits16"
DINOV2 = "facebook/dinov2-small"
NAMES = {
    CLIP: "CLIP ViT-B/32",
    "openai/clip-vit-large-patch14": "CLIP ViT-L/14",
    DINO: "DINO ViT-S/16",
    DINOV2: "DINOv2 ViT-S/14",
}
BATCH = 16  # images in one forward pass
# of ImageNet's pixels: what DINO's two versions were trained with
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RESIZED, CROPPED = 256, 224  # pixels: the short side, then the middle, as both evaluate

Device = torch.device | str
Preprocess = Callable[[list[Image.Image]], torch.Tensor]  # images to pixels (n, 3, h, w)


class ImageEncoder(Protocol):
    """Whatever has a name and can do this is an image encoder."""

    name: str

    def embed(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """(n, d) on the CPU, each row of unit length."""


@runtime_checkable
class ImageTextEncoder(ImageEncoder, Protocol):
    """An image encoder with a text encoder beside it: its images and texts can be compared."""

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, d) on the CPU, each row of unit length."""


class _InBatches:
    """Embeds any number of images, of any mode, by `_embed_batch`."""

    @torch.inference_mode()
    def embed(self, images: Sequence[Image.Image]) -> torch.Tensor:
        parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        rows = [self._embed_batch([image.convert("RGB") for image in part]) for part in parts]
        return F.normalize(torch.cat(rows).float(), dim=1).cpu()


@dataclass(eq=False)
class ClipEncoder(_InBatches):
    """A CLIP with its tokenizer."""

    name: str
    clip: CLIPModel
    tokenizer: CLIPTokenizer
    preprocess: Preprocess

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        how = {"padding": "max_length", "truncation": True, "max_length": 77}
        ids = self.tokenizer(list(texts), **how, return_tensors="pt").input_ids
        pooled = self.clip.text_model(input_ids=ids.to(self.clip.device)).pooler_output
        return F.normalize(self.clip.text_projection(pooled).float(), dim=1).cpu()

    def logits(self, images: Sequence[Image.Image], texts: Sequence[str]) -> torch.Tensor:
        """(images, texts) on the CPU: softmax over texts that exclude each other gives CLIP's
        probability of each."""
        cosines = self.embed(images) @ self.embed_texts(texts).T
        return cosines * self.clip.logit_scale.detach().exp().float().cpu()

    def _embed_batch(self, images: list[Image.Image]) -> torch.Tensor:
        pixels = self.preprocess(images).to(self.clip.device, self.clip.dtype)
        pooled = self.clip.vision_model(pixel_values=pixels).pooler_output
        return self.clip.visual_projection(pooled)


@dataclass(eq=False)
class DinoEncoder(_InBatches):
    """A DINO or DINOv2: the class token behind the last layer's norm."""

    name: str
    network: PreTrainedModel
    preprocess: Preprocess

    def _embed_batch(self, images: list[Image.Image]) -> torch.Tensor:
        pixels = self.preprocess(images).to(self.network.device)
        return self.network(pixel_values=pixels).last_hidden_state[:, 0]


def image_encoders_for(model: Model) -> list[ImageEncoder]:
    """The image encoders that suit a base model: for the mini model the judge and its own CLIP, on
    the CPU, for others CLIP ViT-B/32 and DINOv2 ViT-S/14 on its device, from the Hub (0.7 GB).

    Ask for them before anything is trained into `model`: its text encoder is the mini CLIP's.
    Raises Problem where one cannot be loaded.
    """
    if model.info.family.name == MINI.name:
        return [load_judge(), load_clip(model)]
    return [load_clip_encoder(device=model.device), load_dino_encoder(device=model.device)]


def load_clip(model: Model) -> ClipEncoder:
    """The CLIP of a mini model: its image encoder from clip/, its text encoder the pipeline's as it
    is now (without any LoRA: ask before training). Raises Problem where the model has none."""
    folder = Path(model.info.sources[0]) / "clip"
    if not folder.exists():
        what = f"The base model {model.info.name} brings no CLIP of its own"
        raise Problem(what, folder, 'Choose base = "mini"')
    clip = CLIPModel(CLIPModel.config_class.from_pretrained(folder))
    text = core_of(model.text_encoder).state_dict()
    weights = {f"text_model.{name}": value for name, value in text.items()}
    clip.load_state_dict(weights | load_file(folder / "model.safetensors"))  # copies, in fp32
    return ClipEncoder("CLIP (mini)", clip.eval(), model.tokenizer, as_tensor)


def load_clip_encoder(
    source: str | Path = CLIP, device: Device = "cpu", dtype: torch.dtype = torch.float32
) -> ClipEncoder:
    """A CLIP from the Hub or a folder. Raises Problem where it cannot be loaded, or is none."""
    clip = _load(CLIPModel, source, device, dtype)
    with loading(f"The tokenizer of {_name(source)}", source):
        tokenizer = CLIPTokenizer.from_pretrained(str(source))
    side = clip.config.vision_config.image_size
    return ClipEncoder(_name(source), clip, tokenizer, _preprocess(side, side))


def load_dino_encoder(source: str | Path = DINOV2, device: Device = "cpu") -> DinoEncoder:
    """A DINO or DINOv2 from the Hub or a folder. Raises Problem as `load_clip_encoder` does."""
    network = _load(AutoModel, source, device, torch.float32)
    preprocess = _preprocess(RESIZED, CROPPED, image_mean=MEAN, image_std=DEVIATION)
    return DinoEncoder(_name(source), network, preprocess)


def _load(kind, source: str | Path, device: Device, dtype: torch.dtype) -> PreTrainedModel:
    with loading(f"The image encoder {_name(source)}", source), quiet(warnings=False):
        network, info = kind.from_pretrained(str(source), dtype=dtype, output_loading_info=True)
    # transformers fills what a file lacks with random weights. The poolers are not used, and
    # DINO's files lack them.
    if missing := sorted(n for n in info["missing_keys"] if not n.startswith("pooler.")):
        what = f"{_name(source)} lacks weights, {missing[0]} for one"
        raise Problem(what, source, "Choose another model")
    return network.to(device).eval()


def _name(source: str | Path) -> str:
    return NAMES.get(str(source), Path(source).name)


def _preprocess(short_side: int, crop: int, **norm) -> Preprocess:
    """Bicubic to the short side, the middle cut out, normalised (as CLIP does where not told)."""
    processor = CLIPImageProcessorPil(  # Pillow's: see the captioners
        size={"shortest_edge": short_side}, crop_size={"height": crop, "width": crop}, **norm
    )
    return lambda images: processor(images=images, return_tensors="pt").pixel_values
