"""The line-up: does an image show this subject, or only somebody like it?

As in a police line-up, the subject stands among nineteen lookalikes that differ from it in two or
three features each. An image counts when, of the twenty, the judge finds the subject nearest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from safetensors.torch import load_file

from sdnb.mini.judge import Judge, as_tensor
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON, SAMPLE_PRODUCT, Person, Product, lookalikes
from sdnb.models.base import MODELS, Model
from sdnb.models.families import MINI_FOLDER
from sdnb.trials import trial

MEMBERS, VIEWS, GLASSES = 20, 8, ("none", "round")
SAMPLES = {"person": SAMPLE_PERSON, "product": SAMPLE_PRODUCT}
READY = MINI_FOLDER / "line_ups.safetensors"  # mini.recipe.line_ups writes it


@dataclass(frozen=True)
class LineUp:
    """`members[0]` is the subject; `known` (20, 64) is how the judge knows each: the mean
    embedding, unit length, of eight images before the same eight backgrounds, passed through the
    autoencoder as generated images are."""

    members: tuple[Person | Product, ...]
    known: torch.Tensor

    def score(self, images: Sequence[Image.Image], judge: Judge, member: int = 0) -> float:
        """The share of the images to which `member` is the nearest; 0 is the subject."""
        found = (judge.embed(list(images)) @ self.known.T).argmax(1).tolist()
        return found.count(member) / len(found)


def line_up(subject: Person | Product, model: Model, judge: Judge, style: str = "photo") -> LineUp:
    """The line-up for one subject: itself and nineteen lookalikes, drawn in `style`. Those of the
    sample subjects come with the package; others take a quarter of a minute."""
    members = (subject, *lookalikes(subject, MEMBERS - 1))
    sample = next((name for name, one in SAMPLES.items() if one == subject), None)
    if sample and model.info.name in MODELS:
        ready = load_file(READY)
        if f"{sample}, {style}" in ready:
            return LineUp(members, ready[f"{sample}, {style}"])
    return LineUp(members, embed_members(members, model, judge, style))


def embed_members(
    members: Sequence[Person | Product], model: Model, judge: Judge, style: str
) -> torch.Tensor:
    """`LineUp.known` for these members, all before the backgrounds of the first."""
    views = trial().capped(VIEWS)
    scenes = photos_of(members[0], views, seed=7, style=style)
    if isinstance(members[0], Person):
        scenes = [replace(scene, glasses=GLASSES[i % 2]) for i, scene in enumerate(scenes)]
    images = [draw_scene(replace(scene, subject=member)) for member in members for scene in scenes]
    embedded = judge.embed(through_autoencoder(model, images)).reshape(len(members), views, -1)
    return torch.nn.functional.normalize(embedded.mean(1), dim=1)


@torch.inference_mode()
def through_autoencoder(
    model: Model, images: Sequence[Image.Image], batch: int = 16
) -> list[Image.Image]:
    """The images encoded and decoded again: as sharp as this model can ever make them."""
    copies = []
    for start in range(0, len(images), batch):
        pixels = as_tensor(list(images[start : start + batch]))
        pixels = pixels.to(model.vae.device, model.vae.dtype)
        decoded = model.vae.decode(model.vae.encode(pixels).latent_dist.mode()).sample
        levels = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte()
        copies += [Image.fromarray(one) for one in levels.permute(0, 2, 3, 1).cpu().numpy()]
    return copies
