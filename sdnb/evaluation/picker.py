"""The checkpoint picker: of a run's checkpoints, which is the one to keep?

The last is not always the best: the subject grows clearer, and then prompts are obeyed less and
everything else drifts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tqdm.auto import tqdm

from sdnb.dataset.contact_sheet import image_grid
from sdnb.errors import Problem, with_article
from sdnb.evaluation.lineup import LineUp, photo_line_up
from sdnb.evaluation.scores import ImageSet, Number, Scores, make_image_set, measure
from sdnb.models.base import Model
from sdnb.models.image_encoders import image_encoders_for
from sdnb.training.checkpoints import read_weights, step_of
from sdnb.training.config import TrainConfig
from sdnb.training.loss import Denoiser
from sdnb.training.methods import method_of, restore
from sdnb.training.run_folder import Run

PROMPTS = (  # {} is "ravo man", or "a man" where the training should change nothing
    "photo of {}, at the beach",
    "photo of {}, in the snow",
    "photo of {} wearing a red hat",
    "photo of {}, smiling, in a garden",
)


@dataclass(frozen=True)
class Candidate:
    """One checkpoint: its scores on the half that chooses, and on the half that is reported."""

    name: str
    path: Path
    choosing: Scores
    reported: Scores


@dataclass(frozen=True)
class Picked:
    """The checkpoints in order, the chosen one, and a sheet: a row for each prompt, a column for
    each checkpoint, a star at the chosen one. Printed as a table of the reported half."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    sheet: Image.Image

    def __str__(self) -> str:
        like = "line-up" if "line-up" in self.chosen.reported.numbers else "likeness"
        rows = [("checkpoint", like, "prompt fit", "drift")]
        for candidate in self.candidates:
            numbers = map("{:.3f}".format, key_numbers(candidate.reported))
            rows.append((candidate.name + " *" * (candidate is self.chosen), *numbers))
        lines = ["  ".join(f"{cell:13}" for cell in row).rstrip() for row in rows]
        note = "* chosen on the other half of the photos and prompts"
        return "\n".join([*lines, note, *self.chosen.reported.notes])


def pick_checkpoint(
    run: Run,
    photos: Sequence[Image.Image],
    model: Model,
    lineup: LineUp | bool | None = None,
    prompts: Sequence[str] = PROMPTS,
    seeds: Sequence[int] = range(4),
    subject: str = "",
    **options,
) -> Picked:
    """Make the same images with every checkpoint of a run (and with its result, where it is
    finished), score likeness, prompt fit and drift, and choose one; see `best`.

    One half of the held-out `photos` and of the `prompts` chooses, and the other half is reported.
    Never the same: of several checkpoints the one that scores best on some photos is in part the
    luckiest on them, so that its score there is too good. In `prompts`, {} stands for the
    `subject`, named as in the captions ("ravo"; by itself "ravo man"), and then for "a man". With
    `lineup=True` it makes a line-up of photos first, as `photo_line_up` does from `photos` and
    `prompts`, and goes by that.
    `model` is the run's base, and afterwards the base again; `options` go to `make_images`. Raises
    Problem for fewer than two checkpoints, two photos (none are needed with a line-up) or two
    prompts, for a damaged checkpoint, and where an image encoder cannot be loaded.
    """
    config, checkpoints = run.config, _checkpoints(run)
    _refuse_what_has_no_halves(photos, prompts, lineup)
    restore(model)
    encoders = image_encoders_for(model)
    if lineup is True:
        lineup = photo_line_up(config, model, photos, prompts, encoders[-1])
    halves = [lineup and lineup.half(i) for i in (0, 1)]
    options = {"clip_skip": config.clip_skip, **options}
    subject = subject or f"{config.trigger} {config.class_word}".strip()
    wishes = [prompt.replace("{}", subject) for prompt in prompts]
    plain = [prompt.replace("{}", with_article(config.class_word)) for prompt in prompts]

    before = make_image_set(model, plain, seeds, **options)
    candidates, image_sets = [], []
    for name, path in tqdm(checkpoints.items(), "Checkpoints"):
        with trained(model, config, path):
            images = make_image_set(model, wishes, seeds, plain, **options)
            after = make_image_set(model, plain, seeds, **options)
        choosing, reported = (
            measure(images.half(i), photos[i::2], encoders, (before.half(i), after.half(i)), half)
            for i, half in enumerate(halves)
        )
        candidates.append(Candidate(name, path, choosing, reported))
        image_sets.append(images)
    chosen = best(candidates)
    labels = [one.name + " *" * (one is chosen) for one in candidates]
    return Picked(tuple(candidates), chosen, _sheet(labels, image_sets))


def _sheet(labels: list[str], image_sets: list[ImageSet]) -> Image.Image:
    """The images from the first seed: a row for each prompt, a column for each checkpoint."""
    columns = [image_set.images[:: len(image_set.seeds)] for image_set in image_sets]
    cells = [image for row in zip(*columns) for image in row]
    return image_grid(cells, len(columns), row_labels=image_sets[0].prompts, column_labels=labels)


def best(candidates: Sequence[Candidate]) -> Candidate:
    """Out is every checkpoint whose likeness (the line-up's, where there is one) is less than the
    best one's by more than the standard error (the root mean square of all checkpoints' errors), or
    by more than a quarter, for the error of a few seeds can be so large that it excuses anything.
    The others are ranked in likeness, in prompt fit and in drift, and the least sum of ranks wins;
    of equal sums the greater likeness, then the earlier checkpoint. So what is worse than another
    in every score cannot win, no score outweighs the others by its scale, and what is not clearly
    less alike may win by what it costs less elsewhere, as in the one-standard-error rule (Hastie,
    Tibshirani, Friedman, The Elements of Statistical Learning, section 7.10)."""
    numbers = [key_numbers(candidate.choosing) for candidate in candidates]
    error = (sum(alike.error**2 for alike, _, _ in numbers) / len(numbers)) ** 0.5
    goods = [(alike.mean, fit.mean, -drift.mean) for alike, fit, drift in numbers]
    top = max(alike for alike, _, _ in goods)
    near = [i for i, good in enumerate(goods) if good[0] >= top - min(error, abs(top) / 4)]

    def ranks(i: int) -> int:  # how often another one is better
        return sum(theirs > mine for j in near for theirs, mine in zip(goods[j], goods[i]))

    return candidates[min(near, key=lambda i: (ranks(i), -goods[i][0]))]


def key_numbers(scores: Scores) -> tuple[Number, Number, Number]:
    """Likeness, prompt fit and drift. The line-up, where there is one, stands for likeness; else an
    encoder without text, where there is one, because captions rarely say who somebody is. The
    other two are of the first encoder that reads prompts."""
    clip = next(iter(scores["prompt fit"]))
    likeness = scores.numbers.get("line-up") or scores["likeness"]
    who = next((name for name in likeness if name != clip), clip)
    return likeness[who], scores["prompt fit"][clip], scores["drift"][clip]


@contextmanager
def trained(model: Model, config: TrainConfig, path: Path) -> Iterator[None]:
    """The run's base model with the weights of a checkpoint of a run with these settings, or of its
    result, and afterwards the base again.

    Raises Problem where the file is damaged or belongs to other settings.
    """
    try:
        _load_weights(model, config, path)
        yield
    finally:
        method_of(config).remove(model)


def measure_run(
    run: Run,
    model: Model,
    prompts: Sequence[str],
    plain: Sequence[str],
    seeds: Sequence[int],
    photos: Sequence[Image.Image],
    lineup: LineUp | None = None,
    **options,
) -> tuple[ImageSet, Scores]:
    """Images of every prompt from every seed by what a run learned, and their scores against
    `photos` that were held out. `plain` are the prompts without the trigger word: what CLIP
    compares, and what drift is measured on. `options` go to `make_images`. Raises Problem as
    `trained` and `measure`."""
    before = make_image_set(model, plain, seeds, **options)
    with trained(model, run.config, run.weights):
        images = make_image_set(model, prompts, seeds, plain, **options)
        after = make_image_set(model, plain, seeds, **options)
    encoders = image_encoders_for(model)
    return images, measure(images, photos, encoders, (before, after), lineup)


def _load_weights(model: Model, config: TrainConfig, path: Path) -> None:
    method = method_of(config)
    if path.name == method.result:
        return method.load(model, path)
    method.prepare(model, config)
    named = Denoiser(model, config.clip_skip).named_parameters()
    parameters = {name: parameter for name, parameter in named if parameter.requires_grad}
    tensors = read_weights(path)
    if {n: t.shape for n, t in tensors.items()} != {n: p.shape for n, p in parameters.items()}:
        what = "The checkpoint belongs to other settings"
        raise Problem(what, path, "Choose one of the same run")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def _checkpoints(run: Run) -> dict[str, Path]:
    """What the run has kept, by the name it is shown with."""
    found = {f"step {step_of(path)}": path for path in run.checkpoints}
    if run.finished:  # a checkpoint of the last step would be the same once more
        found.pop(f"step {len(run.history)}", None)
        found["the end"] = run.weights
    if len(found) < 2:
        what = "The run has not kept checkpoints to choose from"
        do = "Train with keep_checkpoints = 5, and save_every a fifth of the steps"
        raise Problem(what, run.folder, do)
    return found


def _refuse_what_has_no_halves(
    photos: Sequence[Image.Image], prompts: Sequence[str], lineup: LineUp | bool | None
) -> None:
    what = "One half of the {} chooses and the other is reported"
    if len(photos) < 2 and (photos or not lineup):
        do = "Give two or more that were held out from training"
        raise Problem(what.format("photos"), do=do)
    if len(prompts) < 2 or not all("{}" in prompt for prompt in prompts):
        do = 'Give two or more, such as "photo of {}, at the beach"'
        raise Problem(what.format("prompts"), do=do)
