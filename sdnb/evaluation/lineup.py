"""The parade: does a picture show this subject, or only somebody like it?

As in a police line-up, the subject stands among nineteen lookalikes that differ from it in two or
three features each. A picture counts when, of the twenty, the judge finds the subject nearest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from safetensors.torch import load_file

from sdnb.mini.judge import Judge, as_tensor
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw
from sdnb.mini.subjects import SAMPLE_PERSON, SAMPLE_PRODUCT, Person, Product, lookalikes
from sdnb.models.base import MODELS, Model
from sdnb.models.families import MINI_FOLDER
from sdnb.training.latents import encode_images
from sdnb.trials import trial

LINE, VIEWS, GLASSES = 20, 8, ("none", "round")
SAMPLES = {"person": SAMPLE_PERSON, "product": SAMPLE_PRODUCT}
KNOWN = MINI_FOLDER / "line_ups.safetensors"  # mini.line_ups writes it


@dataclass(frozen=True)
class LineUp:
    """`members[0]` is the subject; `known` (20, 64) is how the judge knows each: the mean
    embedding, unit length, of eight pictures before the same eight places, seen through the
    autoencoder as generated pictures are."""

    members: tuple[Person | Product, ...]
    known: torch.Tensor

    def places(self, pictures: Sequence[Image.Image], judge: Judge) -> list[int]:
        """For each picture the member it is nearest to; 0 is the subject."""
        return (judge.embed(list(pictures)) @ self.known.T).argmax(1).tolist()

    def score(self, pictures: Sequence[Image.Image], judge: Judge, member: int = 0) -> float:
        """The share of the pictures in which `member` is recognised."""
        found = self.places(pictures, judge)
        return found.count(member) / len(found)


def line_up(subject: Person | Product, model: Model, judge: Judge, style: str = "photo") -> LineUp:
    """The parade for one subject: itself and nineteen lookalikes, drawn in `style`. Those of the
    sample subjects come with the package; others take a quarter of a minute."""
    members = (subject, *lookalikes(subject, LINE - 1))
    name = next((f"{of}, {style}" for of, one in SAMPLES.items() if one == subject), None)
    if name and model.info.name in MODELS:
        known = load_file(KNOWN)
        if name in known:
            return LineUp(members, known[name])
    return LineUp(members, look_at(members, model, judge, style))


def look_at(
    members: Sequence[Person | Product], model: Model, judge: Judge, style: str
) -> torch.Tensor:
    """`LineUp.known` for these members, of which the first takes the places for all."""
    views = trial().capped(VIEWS)
    scenes = photos_of(members[0], views, seed=7, style=style)
    if isinstance(members[0], Person):
        scenes = [replace(scene, glasses=GLASSES[i % 2]) for i, scene in enumerate(scenes)]
    shown = [draw(replace(scene, subject=member)) for member in members for scene in scenes]
    seen = judge.embed(through_autoencoder(model, shown)).reshape(len(members), views, -1).mean(1)
    return torch.nn.functional.normalize(seen, dim=1)


@torch.inference_mode()
def through_autoencoder(
    model: Model, pictures: Sequence[Image.Image], batch: int = 16
) -> list[Image.Image]:
    """The pictures encoded and decoded again: as sharp as this model can ever draw."""
    copies = []
    for start in range(0, len(pictures), batch):
        pixels = as_tensor(list(pictures[start : start + batch]))
        pixels = pixels.to(model.vae.device, model.vae.dtype)
        decoded = model.vae.decode(model.vae.encode(pixels).latent_dist.mode()).sample
        levels = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte()
        copies += [Image.fromarray(one) for one in levels.permute(0, 2, 3, 1).cpu().numpy()]
    return copies


def nearest_photo(
    pictures: Sequence[Image.Image], photos: Sequence[Image.Image], model: Model
) -> list[float]:
    """How far (root mean square of the latents) each picture is from its nearest photo. Much
    smaller than for photos that were held out means that the model learned its training photos by
    heart."""
    ours, theirs = (encode_images(model, list(some)).flatten(1) for some in (pictures, photos))
    return (torch.cdist(ours, theirs).min(1).values / ours.shape[1] ** 0.5).tolist()
