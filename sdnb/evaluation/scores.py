"""Scores: what a training did, in numbers that say how far chance moves them.

Every number is a mean over images, and its spread is the standard deviation over seeds of the means
of each seed: as far as it would move with other seeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import torch
from PIL import Image

from sdnb.errors import Problem
from sdnb.evaluation.lineup import LineUp
from sdnb.inference.images import make_images
from sdnb.models.base import Model
from sdnb.models.image_encoders import ImageEncoder, ImageTextEncoder
from sdnb.training.latents import encode_images

MEASURES = {  # in the order in which they are shown
    "line-up": "The share of pictures recognised: by the judge among nineteen lookalikes, else "
    "among others of the class (not measured for real photos); higher is better",
    "likeness": "Cosine to photos of the subject; higher is better",
    "prompt fit": "Cosine to the prompt's words; higher is better",
    "drift": "How far pictures of other prompts moved; lower is better",
    "diversity": "How much pictures of one prompt differ; much less than the base's is bad",
}


@dataclass(frozen=True)
class Number:
    """A mean and its spread over `n` seeds (None where there was one), printed as 0.62 ± 0.03."""

    mean: float
    spread: float | None
    n: int

    @classmethod
    def over(cls, seeds: torch.Tensor) -> "Number":
        """From the mean of each seed, (n,): their mean and standard deviation (a sample's, by
        n - 1)."""
        spread = float(seeds.std()) if len(seeds) > 1 else None
        return cls(float(seeds.mean()), spread, len(seeds))

    @property
    def error(self) -> float:
        """The standard error of the mean; 0 for a single seed, of which it is not known."""
        return (self.spread or 0.0) / self.n**0.5

    def __format__(self, spec: str) -> str:
        shown = [format(v, spec or ".2f") for v in (self.mean, self.spread) if v is not None]
        return " ± ".join(shown)

    def __str__(self) -> str:
        return format(self)


@dataclass(frozen=True)
class ImageSet:
    """Images of every prompt from every seed: `images[i * len(seeds) + j]` shows `prompts[i]` from
    `seeds[j]`. `texts` is what CLIP, which does not know a made-up word, compares instead of each
    prompt: "a man" for "ravo man". Iterating gives (prompt, image) pairs."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    images: tuple[Image.Image, ...]
    texts: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[str, Image.Image]]:
        prompts = [prompt for prompt in self.prompts for _ in self.seeds]
        return zip(prompts, self.images, strict=True)

    def embed_with(self, encoder: ImageEncoder) -> torch.Tensor:
        """(prompts, seeds, d), unit length."""
        return encoder.embed(self.images).unflatten(0, (len(self.prompts), len(self.seeds)))

    def half(self, which: int) -> "ImageSet":
        """The images of every other prompt, from the first (0) or the second (1) on."""
        count = len(self.seeds)
        images = [image for i, image in enumerate(self.images) if i // count % 2 == which]
        return ImageSet(self.prompts[which::2], self.seeds, tuple(images), self.texts[which::2])


def make_image_set(
    model: Model, prompts: Sequence[str], seeds: Sequence[int], texts: Sequence[str] = (), **options
) -> ImageSet:
    """Make an image of every prompt from every seed. `options` go to `make_images`: steps,
    guidance, precision. Raises Problem where there is no prompt or no seed, or not one of the
    `texts` for each prompt, and as `make_images` does."""
    if not prompts or not seeds:
        raise Problem("There is nothing to make", do="Give a prompt and a seed at least")
    if texts and len(texts) != len(prompts):
        raise Problem("There is not one text for each prompt", do="Give as many")
    each_prompt = [prompt for prompt in prompts for _ in seeds]
    images = make_images(model, each_prompt, [*seeds] * len(prompts), **options)
    return ImageSet(tuple(prompts), tuple(seeds), tuple(images), tuple(texts))


@dataclass(frozen=True)
class Scores:
    """`numbers[measure][encoder]`, and what has to be known beside them, a sentence each; printed
    as a table of at most 62 columns."""

    numbers: Mapping[str, Mapping[str, Number]]
    remarks: tuple[str, ...] = ()

    def __getitem__(self, measure: str) -> Mapping[str, Number]:
        return self.numbers[measure]

    @property
    def rows(self) -> list[tuple[str, str, Number]]:
        """(measure, encoder, number) in order."""
        return [
            (measure, encoder, number)
            for measure, numbers in self.numbers.items()
            for encoder, number in numbers.items()
        ]

    def __str__(self) -> str:
        lines = [("measure", "image encoder", "mean ± spread", "seeds")]
        lines += [(name, of[:20], f"{number:.3f}", str(number.n)) for name, of, number in self.rows]
        table = [f"{a:12} {b:20} {c:15} {d:>5}" for a, b, c, d in lines]
        return "\n".join([*table, *self.notes])

    @property
    def notes(self) -> list[str]:
        """The remarks in lines of at most 62 columns."""
        return [line for remark in self.remarks for line in wrap(remark, 62)]


def measure(
    image_set: ImageSet,
    photos: Sequence[Image.Image],
    encoders: Sequence[ImageEncoder],
    others: tuple[ImageSet, ImageSet] | None = None,
    lineup: LineUp | None = None,
) -> Scores:
    """Score the images with each of the `encoders`.

    `photos` are of the subject and were held out from training: against its own photos a model that
    learned them by heart scores best. `others` are images of prompts without the trigger word, from
    the same seeds before and after the training. The `lineup` needs its encoder, the judge or that
    of a line-up of photos, among the `encoders`. Raises Problem where it is not, where there is
    neither photo nor line-up, or before and after do not match.
    """
    if not photos and not lineup:
        raise Problem("There are no photos to compare with", do="Hold a few out from training")
    if others and (others[0].prompts, others[0].seeds) != (others[1].prompts, others[1].seeds):
        raise Problem("Before and after show other prompts or seeds", do="Draw both alike")
    if lineup and lineup.encoder not in {encoder.name for encoder in encoders}:
        what = f"The line-up was made with {lineup.encoder}, which is not among the image encoders"
        raise Problem(what, do="Give that encoder too, or make the line-up with one of these")
    found: dict[str, dict[str, Number]] = {name: {} for name in MEASURES}
    for encoder in encoders:
        name, embedded = encoder.name, image_set.embed_with(encoder)
        if lineup and name == lineup.encoder:
            found["line-up"][name] = recognised(embedded, lineup)
        if photos:
            found["likeness"][name] = likeness(embedded, encoder.embed(photos))
        if isinstance(encoder, ImageTextEncoder):
            texts = encoder.embed_texts(image_set.texts or image_set.prompts)
            found["prompt fit"][name] = fit(embedded, texts)
        if others:
            before, after = (images.embed_with(encoder) for images in others)
            found["drift"][name] = distance(before, after)
        if len(image_set.seeds) > 1:
            found["diversity"][name] = diversity(embedded)
    numbers = {name: numbers for name, numbers in found.items() if numbers}
    return Scores(numbers, lineup.remarks if lineup else ())


def recognised(images: torch.Tensor, lineup: LineUp) -> Number:
    """The share of the images (prompts, seeds, d) to which the subject of a line-up is the
    nearest of its members."""
    return Number.over((lineup.nearest(images) == 0).float().mean(0))


def likeness(images: torch.Tensor, photos: torch.Tensor) -> Number:
    """The mean cosine between each image (prompts, seeds, d) and every photo (m, d)."""
    return Number.over((images @ photos.T).mean((0, 2)))


def fit(images: torch.Tensor, texts: torch.Tensor) -> Number:
    """The mean cosine between each image (prompts, seeds, d) and its prompt (prompts, d):
    CLIPScore without its factor 2.5 (arXiv 2104.08718)."""
    return Number.over((images * texts[:, None]).sum(2).mean(0))


def distance(before: torch.Tensor, after: torch.Tensor) -> Number:
    """1 - the mean cosine between the two images (prompts, seeds, d) of each prompt and seed: 0
    where the training changed nothing else (the measure of peft's method comparison)."""
    return Number.over(1 - (before * after).sum(2).mean(0))


def diversity(images: torch.Tensor) -> Number:
    """1 - the mean cosine between the images (prompts, seeds, d) of one prompt. DreamBooth's DIV
    (arXiv 2208.12242) asks the same of LPIPS, a measure of textures; ours is the encoder's."""
    seeds = images.shape[1]
    others = (images.sum(1, keepdim=True) - images) / (seeds - 1)  # the mean of a prompt's others
    return Number.over(1 - (images * others).sum(2).mean(0))


def prompt_fit(
    clip: ImageTextEncoder, images: Sequence[Image.Image], prompts: Sequence[str]
) -> float:
    """As `fit`, for images that have a prompt each."""
    return fit(clip.embed(images)[:, None], clip.embed_texts(prompts)).mean


def drift(
    encoder: ImageEncoder, before: Sequence[Image.Image], after: Sequence[Image.Image]
) -> float:
    """As `distance`, for images of the same prompts and seeds."""
    return distance(encoder.embed(before)[:, None], encoder.embed(after)[:, None]).mean


def distance_to_nearest(
    images: Sequence[Image.Image], photos: Sequence[Image.Image], model: Model
) -> list[float]:
    """How far (root mean square of the latents) each image is from its nearest photo. Much smaller
    than for photos that were held out means that the model learned its training photos by heart."""
    ours, theirs = (encode_images(model, list(some)).flatten(1) for some in (images, photos))
    return (torch.cdist(ours, theirs).min(1).values / ours.shape[1] ** 0.5).tolist()
