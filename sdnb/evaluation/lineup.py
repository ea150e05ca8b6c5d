"""The line-up: does an image show this subject, or only somebody like it?

As in a police line-up, the subject stands among nineteen lookalikes that differ from it in two or
three features each. An image counts when, of the twenty, the judge finds the subject nearest.

For photos of one's own there is no judge, and nobody has drawn lookalikes. There the others are
images of the class, which the base makes from the captions, and an image encoder looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from sdnb.dataset.photos import read_photos
from sdnb.errors import Problem
from sdnb.mini.judge import Judge, as_tensor, load_judge
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON, SAMPLE_PRODUCT, Person, Product, lookalikes
from sdnb.models.base import MODELS, Model
from sdnb.models.families import MINI_FOLDER
from sdnb.models.image_encoders import ImageEncoder, image_encoders_for
from sdnb.training.config import TrainConfig
from sdnb.training.methods import restore
from sdnb.training.prior_preservation import class_images
from sdnb.trials import trial

MEMBERS, VIEWS, GLASSES = 20, 8, ("none", "round")
FIRST_SEED = 5000  # of the class images: far from those that a learner's images come from
SAME = 0.999  # cosine of two copies of one photo
TOO_GOOD = "No photos were held out: these are the training's own, and the share is too high."
UNSURE = "For real photos its agreement with people is not measured: trust your eyes more."
SAMPLES = {"person": SAMPLE_PERSON, "product": SAMPLE_PRODUCT}
READY = MINI_FOLDER / "line_ups.safetensors"  # mini.recipe.line_ups writes it


@dataclass(frozen=True)
class LineUp:
    """Who stands there, the subject first, and how an image encoder knows them.

    `known` (m, d) holds embeddings of unit length: `own` rows of the subject, one of each other.
    The judge knows a member by the mean of eight images before the same eight backgrounds, passed
    through the autoencoder as generated images are: `own` is 1. In a line-up of photos the first
    `own` rows are those of the subject, and each other is known by one image. `members` is empty.
    """

    members: tuple[Person | Product, ...]
    known: torch.Tensor
    own: int = 1
    encoder: str = Judge.name
    remarks: tuple[str, ...] = ()  # what one has to know beside the share

    def nearest(self, embedded: torch.Tensor) -> torch.Tensor:
        """The nearest member, 0 for the subject, of each of the embedded images (..., d): that of
        the largest cosine, the mean one over the subject's photos."""
        cosines = embedded @ self.known.T
        subject = cosines[..., : self.own].mean(-1, keepdim=True)
        return torch.cat([subject, cosines[..., self.own :]], -1).argmax(-1)

    def score(self, images: Sequence[Image.Image], judge: ImageEncoder, member: int = 0) -> float:
        """The share of the images to which `member` is the nearest; 0 is the subject."""
        return float((self.nearest(judge.embed(list(images))) == member).float().mean())

    def half(self, which: int) -> "LineUp":
        """With every other photo of the subject, from the first (0) or the second (1) on; the same
        where there is one."""
        if self.own == 1:
            return self
        rows = range(which, self.own, 2)
        known = torch.cat([self.known[: self.own][rows], self.known[self.own :]])
        return replace(self, known=known, own=len(rows))


def line_up(
    subject: Person | Product | TrainConfig,
    model: Model,
    judge: ImageEncoder | None = None,
    style: str = "photo",
    photos: Sequence[Image.Image] = (),
    others: Path | str | None = None,
) -> LineUp:
    """The line-up for one subject.

    For one of the studio's, whom the judge knows: itself and nineteen lookalikes, drawn in `style`.
    Those of the sample subjects come with the package; others take a quarter of a minute.

    For the photos of a training, whose settings are the `subject`: its held-out `photos`, or, where
    there are none, those it learned from, and nineteen others. The base makes those from the
    photos' captions with the class for the trigger word, as for prior preservation, or they are
    the photos in the folder `others`. `judge` is then any image encoder, by default the last that
    suits the base: DINOv2 for real ones. Afterwards the model is the base. Raises Problem where a
    folder holds no photos or one that cannot be read, where a photo of the subject is among the
    others, and where an image encoder cannot be loaded.
    """
    if isinstance(subject, TrainConfig):
        return _of_photos(subject, model, judge, photos, others)
    members = (subject, *lookalikes(subject, MEMBERS - 1))
    sample = next((name for name, one in SAMPLES.items() if one == subject), None)
    if sample and model.info.name in MODELS:
        ready = load_file(READY)
        if f"{sample}, {style}" in ready:
            return LineUp(members, ready[f"{sample}, {style}"])
    return LineUp(members, embed_members(members, model, judge or load_judge(), style))


def _of_photos(
    config: TrainConfig,
    model: Model,
    encoder: ImageEncoder | None,
    photos: Sequence[Image.Image],
    folder: Path | str | None,
) -> LineUp:
    """The line-up of a training's subject among other members of the class."""
    restore(model)
    encoder, side = encoder or image_encoders_for(model)[-1], model.info.resolution
    learned = read_photos(config.photos, side)
    if folder:
        others = read_photos(folder, side, fewest=1)
    else:
        made = config.replace(prior_weight=1, prior_images=MEMBERS - 1, prior_folder=None)
        others = class_images(made, learned, model, first_seed=FIRST_SEED)
    own, rest = (
        encoder.embed([getattr(one, "image", one) for one in some])
        for some in (photos or learned, others)
    )
    if (own @ rest.T > SAME).any():
        what = "A photo of the subject is among the others in the line-up"
        raise Problem(what, folder, "Take it out of there")
    remark = f"Line-up: {len(own)} photos of the subject among {len(rest)} others. {UNSURE}"
    remarks = (remark,) if photos else (remark, TOO_GOOD)
    return LineUp((), torch.cat([own, rest]), len(own), encoder.name, remarks)


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
