"""Scores: what a training did, in numbers that say how far chance moves them.

Every number is a mean over pictures, and its spread is the standard deviation over seeds of the
means of each seed: as far as it would move had other seeds been drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from PIL import Image

from sdnb.errors import Problem
from sdnb.evaluation.eyes import ClipEye, Eye, JudgeEye, Reader
from sdnb.evaluation.lineup import LineUp
from sdnb.inference.images import make_images
from sdnb.models.base import Model


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
        """The standard error of the mean, 0 where one seed tells nothing of it."""
        return (self.spread or 0.0) / self.n**0.5

    def __format__(self, spec: str) -> str:
        shown = [format(v, spec or ".2f") for v in (self.mean, self.spread) if v is not None]
        return " ± ".join(shown)

    def __str__(self) -> str:
        return format(self)


@dataclass(frozen=True)
class ImageSet:
    """Pictures of every prompt from every seed: `pictures[i * len(seeds) + j]` shows `prompts[i]`
    from `seeds[j]`. `said` is how CLIP shall read each prompt, which does not know a made-up word:
    "a man" for "ravo man". Going through it gives (prompt, picture) pairs."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    pictures: tuple[Image.Image, ...]
    said: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = len(self.prompts) * len(self.seeds)
        if not wanted or len(self.pictures) != wanted:
            raise Problem(
                f"There are {len(self.pictures)} pictures of {len(self.prompts)} prompts and "
                f"{len(self.seeds)} seeds",
                do="Draw one picture of every prompt from every seed, and at least one",
            )
        if len(self.said or self.prompts) != len(self.prompts):
            raise Problem("There is not one reading for each prompt", do="Give as many")

    def __iter__(self) -> Iterator[tuple[str, Image.Image]]:
        named = [prompt for prompt in self.prompts for _ in self.seeds]
        return zip(named, self.pictures, strict=True)

    def seen_by(self, eye: Eye) -> torch.Tensor:
        """(prompts, seeds, d), unit length."""
        return eye.embed(self.pictures).unflatten(0, (len(self.prompts), len(self.seeds)))

    def half(self, which: int) -> "ImageSet":
        """The pictures of every other prompt, from the first (0) or the second (1) on."""
        count = len(self.seeds)
        rows = range(which, len(self.prompts), 2)
        pictures = (p for row in rows for p in self.pictures[row * count : (row + 1) * count])
        return ImageSet(self.prompts[which::2], self.seeds, tuple(pictures), self.said[which::2])


def draw(
    model: Model, prompts: Sequence[str], seeds: Sequence[int], said: Sequence[str] = (), **how
) -> ImageSet:
    """Draw every prompt from every seed. `how` goes to `make_images`: steps, guidance,
    precision."""
    asked = [(prompt, seed) for prompt in prompts for seed in seeds]
    words, numbers = [prompt for prompt, _ in asked], [seed for _, seed in asked]
    pictures = make_images(model, words, numbers, **how) if asked else []
    return ImageSet(tuple(prompts), tuple(seeds), tuple(pictures), tuple(said))


@dataclass(frozen=True)
class Scores:
    """`numbers[measure][eye]`; printed as a table of at most 62 columns."""

    numbers: Mapping[str, Mapping[str, Number]]

    def __getitem__(self, measure: str) -> Mapping[str, Number]:
        return self.numbers[measure]

    @property
    def rows(self) -> list[tuple[str, str, Number]]:
        """(measure, eye, number) in order."""
        return [
            (m, eye, number) for m, eyes in self.numbers.items() for eye, number in eyes.items()
        ]

    def __str__(self) -> str:
        lines = [("measure", "eye", "mean ± spread", "seeds")]
        lines += [(name, eye[:20], f"{n:.3f}", str(n.n)) for name, eye, n in self.rows]
        return "\n".join(f"{a:12} {b:20} {c:15} {d:>5}" for a, b, c, d in lines)

    def to_dict(self) -> dict:
        """Plain data for JSON: {measure: {eye: {"mean": ..., "spread": ..., "n": ...}}}."""
        return {
            measure: {eye: asdict(number) for eye, number in eyes.items()}
            for measure, eyes in self.numbers.items()
        }


def measure(
    drawn: ImageSet,
    photos: Sequence[Image.Image],
    eyes: Sequence[Eye],
    others: tuple[ImageSet, ImageSet] | None = None,
    parade: LineUp | None = None,
) -> Scores:
    """Score the pictures `drawn` with each of the `eyes`.

    `photos` are of the subject and were held out from training: against its own photos a model that
    learned them by heart scores best. `others` are pictures of prompts without the special word,
    from the same seeds before and after the training. The `parade` needs the judge among the eyes.
    Raises Problem where there is neither photo nor parade, or before and after do not match.
    """
    if not photos and not parade:
        raise Problem("There are no photos to compare with", do="Hold a few out from training")
    if others and (others[0].prompts, others[0].seeds) != (others[1].prompts, others[1].seeds):
        raise Problem("Before and after show other prompts or seeds", do="Draw both alike")
    found: dict[str, dict[str, Number]] = {
        name: {} for name in ("parade", "likeness", "prompt fit", "drift", "diversity")
    }
    for eye in eyes:
        seen = drawn.seen_by(eye)
        if parade and isinstance(eye, JudgeEye):
            found["parade"][eye.name] = recognised(drawn, parade, eye)
        if photos:
            found["likeness"][eye.name] = likeness(seen, eye.embed(photos))
        if isinstance(eye, Reader):
            found["prompt fit"][eye.name] = fit(seen, eye.read(drawn.said or drawn.prompts))
        if others:
            found["drift"][eye.name] = moved(*(pictures.seen_by(eye) for pictures in others))
        if len(drawn.seeds) > 1:
            found["diversity"][eye.name] = diversity(seen)
    return Scores({name: numbers for name, numbers in found.items() if numbers})


def likeness(seen: torch.Tensor, photos: torch.Tensor) -> Number:
    """The mean cosine between each picture (prompts, seeds, d) and every photo (m, d)."""
    return Number.over((seen @ photos.T).mean((0, 2)))


def fit(seen: torch.Tensor, texts: torch.Tensor) -> Number:
    """The mean cosine between each picture (prompts, seeds, d) and its prompt (prompts, d):
    CLIPScore without its factor 2.5 (arXiv 2104.08718)."""
    return Number.over((seen * texts[:, None]).sum(2).mean(0))


def moved(before: torch.Tensor, after: torch.Tensor) -> Number:
    """1 - the mean cosine between the two pictures (prompts, seeds, d) of each prompt and seed: 0
    where the training changed nothing else (the measure of peft's method comparison)."""
    return Number.over(1 - (before * after).sum(2).mean(0))


def prompt_fit(eye: ClipEye, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> float:
    """As `fit`, for pictures that have a prompt each."""
    return fit(eye.embed(pictures)[:, None], eye.read(prompts)).mean


def drift(eye: Eye, before: Sequence[Image.Image], after: Sequence[Image.Image]) -> float:
    """As `moved`, for pictures of the same prompts and seeds."""
    return moved(eye.embed(before)[:, None], eye.embed(after)[:, None]).mean


def diversity(seen: torch.Tensor) -> Number:
    """1 - the mean cosine between the pictures (prompts, seeds, d) of one prompt. DreamBooth's DIV
    (arXiv 2208.12242) asks the same of LPIPS, a measure of textures; ours is the eye's."""
    seeds = seen.shape[1]
    others = (seen.sum(1, keepdim=True) - seen) / (seeds - 1)  # the mean of a prompt's others
    return Number.over(1 - (seen * others).sum(2).mean(0))


def recognised(drawn: ImageSet, parade: LineUp, eye: JudgeEye) -> Number:
    """The share of the pictures in which the parade's subject is recognised."""
    hits = [place == 0 for place in parade.places(drawn.pictures, eye.judge)]
    found = torch.tensor(hits, dtype=torch.float32)
    return Number.over(found.unflatten(0, (-1, len(drawn.seeds))).mean(0))
