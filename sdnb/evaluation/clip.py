"""What the mini model's own CLIP says: how well pictures fit their prompts, and how far a training
moved the rest.

It does not measure likeness: captions rarely tell who somebody is, so CLIP never learned to see it.
The parade does.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from sdnb.conditioning import core_of
from sdnb.mini.judge import as_tensor
from sdnb.models import Model
from sdnb.problems import Problem


def load_clip(model: Model) -> CLIPModel:
    """The CLIP beside a mini model: its picture side from clip/, its text side the pipeline's text
    encoder (without any LoRA on it: load this before training). Raises Problem where the model has
    none."""
    folder = Path(model.info.sources[0]) / "clip"
    if not folder.exists():
        raise Problem(
            f"The base model {model.info.name} brings no CLIP of its own",
            folder,
            'Choose base = "mini"',
        )
    clip = CLIPModel(CLIPConfig.from_pretrained(folder))
    weights = {
        name: value.float() for name, value in load_file(folder / "model.safetensors").items()
    }
    text = {
        f"text_model.{name}": value.detach().cpu().clone()
        for name, value in core_of(model.text_encoder).state_dict().items()
    }
    clip.load_state_dict({**text, **weights})
    return clip.eval()


@torch.no_grad()
def embed_pictures(clip: CLIPModel, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """(n, d), unit length."""
    pooled = clip.vision_model(pixel_values=as_tensor(list(pictures))).pooler_output
    return F.normalize(clip.visual_projection(pooled), dim=1)


@torch.no_grad()
def embed_texts(clip: CLIPModel, model: Model, texts: Sequence[str]) -> torch.Tensor:
    """(n, d), unit length."""
    pooled = clip.text_model(input_ids=model.token_ids(list(texts)).cpu()).pooler_output
    return F.normalize(clip.text_projection(pooled), dim=1)


def prompt_fit(
    clip: CLIPModel, model: Model, pictures: Sequence[Image.Image], prompts: Sequence[str]
) -> float:
    """Mean cosine between each picture and its prompt (CLIPScore without its factor 2.5, arXiv
    2104.08718)."""
    return float((embed_pictures(clip, pictures) * embed_texts(clip, model, prompts)).sum(1).mean())


def drift(clip: CLIPModel, before: Sequence[Image.Image], after: Sequence[Image.Image]) -> float:
    """1 - mean cosine between the base's and the trained model's pictures of the same unrelated
    prompts and seeds: 0 where the training changed nothing else (the measure of peft's method
    comparison)."""
    return float(1 - (embed_pictures(clip, before) * embed_pictures(clip, after)).sum(1).mean())
