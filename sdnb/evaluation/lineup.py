"""The line-up: does an image show this subject, or only somebody like it?

As in a police line-up, the subject stands among nineteen lookalikes that differ from it in two or
three features each. An image counts when, of the twenty, the judge finds the subject nearest.

For photos of one's own there is no judge, and nobody has drawn lookalikes. There the others are
images of the class, which the base makes, or photos of strangers, and an image encoder looks. On
the mini, with its own CLIP and others made of the same prompts, that share agrees with the judge's
on average; but it puts trainings in no better order than a cosine does, and takes lookalikes for
the subject (tests/benchmarks/real_line_up.py). With DINOv2 and real photos it is not measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from sdnb.dataset.photos import read_photos
from sdnb.errors import Problem, with_article
from sdnb.inference.images import decode
from sdnb.inference.prompts import escape
from sdnb.mini.judge import Judge
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON, SAMPLE_PRODUCT, Person, Product, lookalikes
from sdnb.models.base import MODELS, Model
from sdnb.models.families import MINI_FOLDER
from sdnb.models.image_encoders import ImageEncoder, image_encoders_for
from sdnb.training.config import TrainConfig
from sdnb.training.latents import encode_images
from sdnb.training.methods import restore
from sdnb.training.methods.base import plain_caption
from sdnb.training.prior_preservation import make_class_images, without_trigger
from sdnb.trials import trial

MEMBERS, VIEWS, GLASSES = 20, 8, ("none", "round")
FIRST_SEED = 5000  # of the class images: far from those that a learner's images come from
SAME = 0.999  # cosine of two copies of one photo
TOO_GOOD = "No photos were held out: these are the training's own, and the share is too high."
UNSURE = "How well that tells real people apart is not measured: trust your eyes more."
SAMPLES = {"person": SAMPLE_PERSON, "product": SAMPLE_PRODUCT}
READY = MINI_FOLDER / "line_ups.safetensors"  # mini.recipe.line_ups writes it


@dataclass(frozen=True)
class LineUp:
    """Who stands there, the subject first, and how an image encoder knows them.

    `known` (m, d) holds embeddings of unit length: `own` rows of the subject, one of each other.
    The judge knows a member by the mean of eight images before the same eight backgrounds, passed
    through the autoencoder as generated images are: `own` is 1. In a line-up of photos `members` is
    empty: the subject is known by the mean of `own` photos, and each other by one image.
    """

    members: tuple[Person | Product, ...]
    known: torch.Tensor
    own: int = 1
    encoder: str = Judge.name
    remarks: tuple[str, ...] = ()  # what one has to know beside the share

    def nearest(self, embedded: torch.Tensor) -> torch.Tensor:
        """The nearest member, 0 for the subject, of each of the embedded images (..., d)."""
        subject = torch.nn.functional.normalize(self.known[: self.own].mean(0), dim=0)
        return (embedded @ torch.vstack([subject, self.known[self.own :]]).T).argmax(-1)

    def score(self, images: Sequence[Image.Image], judge: ImageEncoder, member: int = 0) -> float:
        """The share of the images to which `member` is the nearest; 0 is the subject."""
        return float((self.nearest(judge.embed(list(images))) == member).double().mean())

    def half(self, which: int) -> "LineUp":
        """With every other photo of the subject, from the first (0) or the second (1) on; the same
        where there is one."""
        if self.own == 1:
            return self
        rows = range(which, self.own, 2)
        known = torch.cat([self.known[: self.own][rows], self.known[self.own :]])
        return replace(self, known=known, own=len(rows))


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


def photo_line_up(
    config: TrainConfig,
    model: Model,
    photos: Sequence[Image.Image] = (),
    others: Path | str | Sequence[str] = (),
    encoder: ImageEncoder | None = None,
) -> LineUp:
    """The line-up for the subject of a training with these settings, among other members of the
    class, for an image encoder: DINOv2 for real bases unless given, for the mini its own CLIP.

    `photos` are the subject's, held out; without any it takes the run's held-out photos, or else
    those of the training, and its `remarks` say so. `others` is a folder of photos of others, or
    the prompts whose images will be judged (best), in which {} may stand for the subject: of these,
    or else of the photos' captions (which came out too high), with "a man" for "ravo man", the base
    makes nineteen images. Afterwards the model is the base. Raises Problem where a folder is
    missing, holds no photos or one that cannot be read, where a photo of the subject is among the
    others, where the base makes an empty image, and where an image encoder cannot be loaded.
    """
    restore(model)
    encoder, side = encoder or image_encoders_for(model)[-1], model.info.resolution
    anyone, plain = with_article(config.class_word), plain_caption(config)
    if config.held_out and not photos:
        photos = [photo.image for photo in read_photos(config.held_out, side, fewest=1)]
    learned = [] if photos and others else read_photos(config.photos, side)
    if others and isinstance(others, Path | str):
        rest = [photo.image for photo in read_photos(others, side, fewest=1)]
    else:
        texts = [t.replace("{}", anyone) for t in others] or [p.caption or plain for p in learned]
        texts = [without_trigger(texts[i % len(texts)], config) for i in range(MEMBERS - 1)]
        asked = texts if others else list(map(escape, texts))
        seeds = range(FIRST_SEED, FIRST_SEED + len(asked))
        rest = make_class_images(asked, model, seeds, clip_skip=config.clip_skip)
    own = encoder.embed(list(photos) or [photo.image for photo in learned])
    known = torch.cat([own, encoder.embed(rest)])
    if (own @ known[len(own) :].T > SAME).any():
        what = "A photo of the subject is among the others in the line-up"
        raise Problem(what, others, "Take it out of there")
    who = f"{len(own)} photos of the subject among {len(rest)} others, seen by {encoder.name}"
    remarks = (f"Line-up: {who}. {UNSURE}", *([] if photos else [TOO_GOOD]))
    return LineUp((), known, len(own), encoder.name, remarks)


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
def through_autoencoder(model: Model, images: Sequence[Image.Image]) -> list[Image.Image]:
    """The images encoded and decoded again: as sharp as this model can ever make them."""
    return decode(model.pipeline(), encode_images(model, images), together=16)
