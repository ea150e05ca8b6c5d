"""Eyes: networks that turn a picture into a vector, so that two pictures can be compared by the
cosine between theirs. None of them sees all: each says by its name who has looked.

The judge knows the drawn people of the mini model. CLIP (arXiv 2103.00020) was trained on captions:
it reads too, and sees kinds of things better than single ones. DINO (arXiv 2104.14294) and DINOv2
(arXiv 2304.07193) were trained on pictures alone and tell things of one kind apart.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    PreTrainedModel,
)

from sdnb.errors import Problem
from sdnb.mini.judge import Judge, as_tensor, load_judge
from sdnb.models.base import Model, quiet
from sdnb.models.conditioning import core_of
from sdnb.models.loading import loading

CLIP = "openai/clip-vit-base-patch32"
DINO = "facebook/dino-vits16"
DINOV2 = "facebook/dinov2-small"
NAMES = {CLIP: "CLIP ViT-B/32", DINO: "DINO ViT-S/16", DINOV2: "DINOv2 ViT-S/14"}
BATCH = 16  # pictures that are looked at at once
# of ImageNet's pixels: what DINO's two versions were trained with
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RESIZED, CROPPED = 256, 224  # pixels: the short side, then the middle, as both evaluate


class Eye(Protocol):
    """Whatever has a name and can do this is an eye."""

    name: str

    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """(n, d) on the CPU, each row of unit length."""


@runtime_checkable
class Reader(Protocol):
    """An eye that reads: its pictures and texts can be compared with each other."""

    def read(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, d) on the CPU, each row of unit length."""


class JudgeEye:
    """The mini model's judge (64 dimensions): who somebody drawn is."""

    name = "judge"

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        return self.judge.embed(list(pictures))


class ClipEye:
    """A CLIP with its tokenizer; `scale` turns pictures into its pixels (n, 3, h, w)."""

    def __init__(
        self, name: str, clip: CLIPModel, tokenizer: CLIPTokenizer, scale: Callable
    ) -> None:
        self.name, self.clip, self.tokenizer, self.scale = name, clip, tokenizer, scale

    @torch.inference_mode()
    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        return _in_batches(pictures, self._look)

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> torch.Tensor:
        asked = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        )
        pooled = self.clip.text_model(input_ids=asked.input_ids.to(self.clip.device)).pooler_output
        return F.normalize(self.clip.text_projection(pooled), dim=1).cpu()

    def _look(self, pictures: list[Image.Image]) -> torch.Tensor:
        pixels = self.scale(pictures).to(self.clip.device)
        pooled = self.clip.vision_model(pixel_values=pixels).pooler_output
        return self.clip.visual_projection(pooled)


class DinoEye:
    """A DINO or DINOv2: the class token behind the last layer's norm."""

    def __init__(self, name: str, network: PreTrainedModel) -> None:
        self.name, self.network = name, network
        self.scale = _scaler(RESIZED, CROPPED, image_mean=MEAN, image_std=DEVIATION)

    @torch.inference_mode()
    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        return _in_batches(pictures, self._look)

    def _look(self, pictures: list[Image.Image]) -> torch.Tensor:
        pixels = self.scale(pictures).to(self.network.device)
        return self.network(pixel_values=pixels).last_hidden_state[:, 0]


def image_encoders_for(model: Model) -> list[Eye]:
    """The eyes that suit a base model: for the mini model the judge and its own CLIP, on the CPU,
    for others CLIP ViT-B/32 and DINOv2 ViT-S/14 on its device, which come from the Hub (0.7 GB).

    Ask for them before anything is trained into `model`: its text encoder is the mini CLIP's.
    Raises Problem where one cannot be loaded.
    """
    if model.info.family.name == "mini":
        return [JudgeEye(load_judge()), load_clip(model)]
    return [load_clip_eye(device=model.device), load_dino_eye(device=model.device)]


def load_clip(model: Model) -> ClipEye:
    """The CLIP beside a mini model: its picture side from clip/, its text side the pipeline's text
    encoder as it is now (without any LoRA: ask before training). Raises Problem where the model has
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
    return ClipEye("CLIP (mini)", clip.eval(), model.tokenizer, as_tensor)


def load_clip_eye(source: str | Path = CLIP, device: torch.device | str = "cpu") -> ClipEye:
    """A CLIP from the Hub or a folder. Raises Problem where it cannot be loaded, or is none."""
    clip = _load(CLIPModel, source, device)
    with loading("The tokenizer of CLIP", source):
        tokenizer = CLIPTokenizer.from_pretrained(str(source))
    side = clip.config.vision_config.image_size
    return ClipEye(_name(source), clip, tokenizer, _scaler(side, side))


def load_dino_eye(source: str | Path = DINOV2, device: torch.device | str = "cpu") -> DinoEye:
    """A DINO or DINOv2 from the Hub or a folder. Raises Problem as `load_clip_eye` does."""
    return DinoEye(_name(source), _load(AutoModel, source, device))


def _load(kind, source: str | Path, device: torch.device | str) -> PreTrainedModel:
    with loading(_name(source), source), quiet(warnings=False):
        network, told = kind.from_pretrained(
            str(source), dtype=torch.float32, output_loading_info=True
        )
    # transformers makes up what a file lacks, and such an eye would look at random. Nobody asks
    # for what the poolers say, and DINO's files lack them.
    missing = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise Problem(
            f"{_name(source)} lacks weights, {missing[0]} for one", source, "Choose another model"
        )
    return network.to(device).eval()


def _name(source: str | Path) -> str:
    return NAMES.get(str(source), Path(source).name)


def _scaler(short_side: int, crop: int, **norm) -> Callable[[list[Image.Image]], torch.Tensor]:
    """Bicubic to the short side, the middle cut out, normalised (as CLIP does where not told)."""
    scale = CLIPImageProcessorPil(  # Pillow's: see the captioners
        size={"shortest_edge": short_side}, crop_size={"height": crop, "width": crop}, **norm
    )
    return lambda pictures: scale(images=pictures, return_tensors="pt").pixel_values


def _in_batches(pictures: Sequence[Image.Image], look: Callable) -> torch.Tensor:
    parts = [list(pictures[at : at + BATCH]) for at in range(0, len(pictures), BATCH)]
    rows = [F.normalize(look([p.convert("RGB") for p in part]), dim=1).cpu() for part in parts]
    return torch.cat(rows)
