"""The DreamBooth paper's protocol (arXiv 2208.12242, section 4.1): 25 prompts for a subject, four
pictures of each, and three means: CLIP-I, DINO and CLIP-T.

The prompts are those of the paper's public data set (github.com/google/dreambooth,
dataset/prompts_and_classes.txt).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sdnb.errors import Problem
from sdnb.evaluation.eyes import (
    CLIP,
    DINO,
    NAMES,
    Eye,
    Reader,
    image_encoders_for,
    load_clip_eye,
    load_dino_eye,
)
from sdnb.evaluation.scores import Number, Scores, draw, fit, likeness
from sdnb.models.base import Model

PLACES = (
    "a {} in the jungle",
    "a {} in the snow",
    "a {} on the beach",
    "a {} on a cobblestone street",
    "a {} on top of pink fabric",
    "a {} on top of a wooden floor",
    "a {} with a city in the background",
    "a {} with a mountain in the background",
    "a {} with a blue house in the background",
    "a {} on top of a purple rug in a forest",
)
LOOKS = ("a red {}", "a purple {}", "a shiny {}", "a wet {}", "a cube shaped {}")
OBJECT_PROMPTS = (
    *PLACES,
    "a {} with a wheat field in the background",
    "a {} with a tree and autumn leaves in the background",
    "a {} with the Eiffel Tower in the background",
    "a {} floating on top of water",
    "a {} floating in an ocean of milk",
    "a {} on top of green grass with sunflowers around it",
    "a {} on top of a mirror",
    "a {} on top of the sidewalk in a crowded street",
    "a {} on top of a dirt road",
    "a {} on top of a white rug",
    *LOOKS,
)
LIVE_PROMPTS = (
    *PLACES,
    "a {} wearing a red hat",
    "a {} wearing a santa hat",
    "a {} wearing a rainbow scarf",
    "a {} wearing a black top hat and a monocle",
    "a {} in a chef outfit",
    "a {} in a firefighter outfit",
    "a {} in a police outfit",
    "a {} wearing pink glasses",
    "a {} wearing a yellow shirt",
    "a {} in a purple wizard outfit",
    *LOOKS,
)
PICTURES = 4  # of each prompt


@dataclass(frozen=True)
class ProtocolScores:
    """What the protocol found; `paper` says whether the eyes and the number of pictures are the
    paper's own."""

    subject: str
    pictures: int
    photos: int
    scores: Scores
    paper: bool

    def __str__(self) -> str:
        note = "Other eyes or numbers than the paper's: do not compare\nwith its figures."
        if self.paper:
            note = "As in the paper, whose figures are means of 30 subjects."
        head = f"{self.subject}: {self.pictures} pictures, {self.photos} photos"
        return f"{head[:62]}\n{self.scores}\n{note}"


def protocol_eyes(model: Model) -> list[Eye]:
    """CLIP and DINO ViT-S/16 as in the paper, which does not name its CLIP: ViT-B/32 is what others
    take. For the mini model its own eyes, whose numbers have nothing to do with the paper's."""
    if model.info.family.name == "mini":
        return image_encoders_for(model)
    return [load_clip_eye(CLIP, model.device), load_dino_eye(DINO, model.device)]


def dreambooth_protocol(
    model: Model,
    subject_words: str,
    photos: Sequence[Image.Image],
    live: bool,
    eyes: Sequence[Eye] | None = None,
    pictures_per_prompt: int = PICTURES,
    class_words: str = "",
    **how,
) -> ProtocolScores:
    """Draw and score the protocol's pictures with what has been trained into `model`.

    `subject_words` are the special word and the class ("ravo man"); people and animals are `live`.
    The paper compares with all photos of the subject, those trained on among them. With
    `class_words` ("man") CLIP reads these in place of the made-up word; without, the prompt as it
    was drawn. Ask for the mini model's encoders before the training: see `image_encoders_for`.
    `how` goes to `make_images`. Raises Problem without photos, or where an eye cannot be loaded.
    """
    if not photos:
        raise Problem("There are no photos to compare with", do="Give the subject's photos")
    eyes = protocol_eyes(model) if eyes is None else eyes
    templates = LIVE_PROMPTS if live else OBJECT_PROMPTS
    prompts, said = (
        [template.format(words) for template in templates]
        for words in (subject_words, class_words or subject_words)
    )
    drawn = draw(model, prompts, range(pictures_per_prompt), said, **how)
    numbers: dict[str, dict[str, Number]] = {}
    for eye in eyes:
        seen, name = drawn.seen_by(eye), eye.name.split()[0]
        reads = isinstance(eye, Reader)
        label = f"{name}-I" if reads else name
        numbers.setdefault(label, {})[eye.name] = likeness(seen, eye.embed(photos))
        if reads:
            numbers.setdefault(f"{name}-T", {})[eye.name] = fit(seen, eye.read(said))
    own = {eye.name for eye in eyes} == {NAMES[CLIP], NAMES[DINO]}
    return ProtocolScores(
        subject_words,
        len(drawn.pictures),
        len(photos),
        Scores(numbers),
        own and pictures_per_prompt == PICTURES,
    )
