"""The DreamBooth paper's protocol (arXiv 2208.12242, section 4.1): 25 prompts for a subject, four
images of each, and three means: CLIP-I, DINO and CLIP-T. The prompts stand in protocol.toml."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdnb.errors import Problem
from sdnb.evaluation.scores import Scores, fit, likeness, make_image_set
from sdnb.models.base import Model
from sdnb.models.families import MINI
from sdnb.models.image_encoders import (
    CLIP,
    DINO,
    NAMES,
    ImageEncoder,
    ImageTextEncoder,
    image_encoders_for,
    load_clip_encoder,
    load_dino_encoder,
)

PROMPTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
OBJECT_PROMPTS, LIVE_PROMPTS = (
    (*PROMPTS["backgrounds"], *PROMPTS[kind], *PROMPTS["looks"]) for kind in ("thing", "live")
)
PER_PROMPT = 4  # images


@dataclass(frozen=True)
class ProtocolScores:
    """What the protocol found; `paper` says whether the image encoders are the paper's own."""

    subject: str
    images: int
    photos: int
    scores: Scores
    paper: bool

    def __str__(self) -> str:
        other = "Other encoders than the paper's: do not compare\nwith its figures."
        note = "As in the paper, whose figures are means of 30 subjects." if self.paper else other
        head = f"{self.subject}: {self.images} pictures, {self.photos} photos"
        return f"{head[:62]}\n{self.scores}\n{note}"


def dreambooth_protocol(
    model: Model,
    subject_words: str,
    photos: Sequence[Image.Image],
    live: bool,
    encoders: Sequence[ImageEncoder] | None = None,
    **options,
) -> ProtocolScores:
    """Make and score the protocol's images with what has been trained into `model`.

    `subject_words` are the trigger word and the class ("ravo man"); people and animals are `live`.
    The paper compares with all photos of the subject, those trained on among them. Ask for the
    mini model's encoders before the training: see `image_encoders_for`. `options` go to
    `make_images`. Raises Problem without photos, or where an image encoder cannot be loaded.
    """
    if not photos:
        raise Problem("There are no photos to compare with", do="Give the subject's photos")
    encoders = protocol_encoders(model) if encoders is None else encoders
    prompts = [words.format(subject_words) for words in (LIVE_PROMPTS if live else OBJECT_PROMPTS)]
    image_set = make_image_set(model, prompts, range(PER_PROMPT), **options)
    numbers = {}
    for encoder in encoders:
        embedded, name = image_set.embed_with(encoder), encoder.name.split()[0]
        alike = {encoder.name: likeness(embedded, encoder.embed(photos))}
        if isinstance(encoder, ImageTextEncoder):
            fits = {encoder.name: fit(embedded, encoder.embed_texts(prompts))}
            numbers |= {f"{name}-I": alike, f"{name}-T": fits}
        else:
            numbers[name] = alike
    paper = {encoder.name for encoder in encoders} == {NAMES[CLIP], NAMES[DINO]}
    return ProtocolScores(subject_words, len(image_set.images), len(photos), Scores(numbers), paper)


def protocol_encoders(model: Model) -> list[ImageEncoder]:
    """CLIP and DINO ViT-S/16 as in the paper, which does not name its CLIP: ViT-B/32 is what others
    take. For the mini model its own, whose numbers have nothing to do with the paper's."""
    if model.info.family.name == MINI.name:
        return image_encoders_for(model)
    return [load_clip_encoder(CLIP, model.device), load_dino_encoder(DINO, model.device)]
