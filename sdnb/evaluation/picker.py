"""The checkpoint picker: of a run's savings, which is the one to keep?

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

from sdnb.adapters.loading import load_lora
from sdnb.adapters.words import load_embedding
from sdnb.dataset.contact_sheet import image_grid
from sdnb.errors import Problem
from sdnb.evaluation.eyes import Eye, Reader, image_encoders_for
from sdnb.evaluation.lineup import LineUp
from sdnb.evaluation.scores import ImageSet, Number, Scores, draw, measure
from sdnb.machine import Machine, find_machine
from sdnb.mini.words import with_article
from sdnb.models.base import Model
from sdnb.models.loading import load_model, take_weights
from sdnb.training.checkpoints import read_weights, step_of
from sdnb.training.config import TrainConfig
from sdnb.training.loss import Denoiser
from sdnb.training.methods.base import base_dtype, method_of, restore
from sdnb.training.run_folder import Run

WISHES = (  # {} is "ravo man", or "a man" where the training shall change nothing
    "photo of {}, at the beach",
    "photo of {}, in the snow",
    "photo of {} wearing a red hat",
    "photo of {}, smiling, in a garden",
)


@dataclass(frozen=True)
class Row:
    """One checkpoint: its scores on the half that chooses, and on the half that is reported."""

    name: str
    path: Path
    choosing: Scores
    reported: Scores


@dataclass(frozen=True)
class Picked:
    """The checkpoints in order, the chosen one, and a sheet: a row for each prompt, a column for
    each checkpoint. `table` shows the reported half."""

    rows: tuple[Row, ...]
    chosen: Row
    sheet: Image.Image

    @property
    def table(self) -> str:
        like = "parade" if "parade" in self.chosen.reported.numbers else "likeness"
        lines = [("checkpoint", like, "prompt fit", "drift")]
        for row in self.rows:
            name = f"{row.name} *" if row is self.chosen else row.name
            lines.append((name, *(f"{number:.3f}" for number in in_short(row.reported))))
        told = "* chosen on the other half of the photos and prompts"
        return "\n".join(
            ["  ".join(f"{cell:13}" for cell in line).rstrip() for line in lines] + [told]
        )

    def __str__(self) -> str:
        return self.table


def pick_checkpoint(
    run: Run,
    photos: Sequence[Image.Image],
    model: Model | None = None,
    eyes: Sequence[Eye] | None = None,
    parade: LineUp | None = None,
    prompts: Sequence[str] = WISHES,
    seeds: Sequence[int] = range(4),
    subject: str = "",
    machine: Machine | None = None,
    progress: bool = True,
    **how,
) -> Picked:
    """Draw the same with every checkpoint of a run (and with its result, where it is finished),
    score likeness, prompt fit and drift, and choose one; see `best`.

    One half of the held-out `photos` and of the `prompts` chooses, and the other half is reported.
    Never the same: of several checkpoints the one that scores best on some photos is in part the
    luckiest on them, so that its score there is too good. In `prompts`, {} stands for the
    `subject`, named as in the captions ("ravo"; by itself "ravo man"), and then for "a man".
    `model` is the run's base, loaded where it is not given, and given back as it was; `how` goes
    to `make_images`. Raises Problem for fewer than two checkpoints, two photos (none are needed
    with a parade) or two prompts, for eyes of which none reads, and for a damaged checkpoint.
    """
    paths = _candidates(run)
    _refuse_what_has_no_halves(photos, prompts, parade)
    machine = machine or find_machine(run.config.precision)
    dtype = base_dtype(run.config, machine)
    model = model or load_model(run.config.base, dtype, machine)
    restore(model)
    eyes = image_encoders_for(model) if eyes is None else eyes
    if not any(isinstance(eye, Reader) for eye in eyes):
        raise Problem("None of the eyes reads prompts", do="Add a CLIP to them")
    how = {"precision": machine.precision, **how}
    if run.config.clip_skip:
        how = {"clip_skip": run.config.clip_skip, **how}
    subject = subject or f"{run.config.trigger} {run.config.class_word}"
    anyone = with_article(run.config.class_word)
    wishes, plain = ([p.replace("{}", words) for p in prompts] for words in (subject, anyone))
    before, drawings = draw(model, plain, seeds, **how), []
    for path in tqdm(paths.values(), "Checkpoints", disable=not progress):
        with trained(model, run.config, path):
            drawn = draw(model, wishes, seeds, plain, **how)
            drawings.append((drawn, draw(model, plain, seeds, **how)))
    rows = _score(paths, drawings, before, photos, eyes, parade)
    shown = [d.pictures[i * len(seeds)] for i in range(len(wishes)) for d, _ in drawings]
    sheet = image_grid(shown, len(rows), row_labels=wishes, column_labels=[*paths])
    return Picked(tuple(rows), best(rows), sheet)


def _score(
    paths: dict[str, Path],
    drawings: list[tuple[ImageSet, ImageSet]],
    before: ImageSet,
    photos: Sequence[Image.Image],
    eyes: Sequence[Eye],
    parade: LineUp | None,
) -> list[Row]:
    """Each checkpoint's scores on both halves, from its pictures of the subject and of its class,
    and the base's own of the class."""
    rows = []
    for (name, path), (drawn, after) in zip(paths.items(), drawings, strict=True):
        halves = (
            measure(drawn.half(i), photos[i::2], eyes, (before.half(i), after.half(i)), parade)
            for i in (0, 1)
        )
        rows.append(Row(name, path, *halves))
    return rows


def best(rows: Sequence[Row]) -> Row:
    """Among those whose likeness (the parade's, where there is one) is within one standard error of
    the best, the one of which prompt fit - drift is largest, of equal ones the earliest. That is
    the one-standard-error rule (Hastie, Tibshirani, Friedman, The Elements of Statistical Learning,
    section 7.10): what is not clearly more like shall not cost more elsewhere."""
    numbers = [in_short(row.choosing) for row in rows]
    top = max((like for like, _, _ in numbers), key=lambda like: like.mean)
    near = [i for i, (like, _, _) in enumerate(numbers) if like.mean >= top.mean - top.error]
    return rows[max(near, key=lambda i: numbers[i][1].mean - numbers[i][2].mean)]


def in_short(scores: Scores) -> tuple[Number, Number, Number]:
    """Likeness, prompt fit and drift. The parade, where there is one, stands for likeness; else an
    eye that does not read, where there is one, for captions rarely tell who somebody is. The other
    two are the reading eye's."""
    (reader, fits), *_ = scores["prompt fit"].items()
    like = scores.numbers.get("parade") or scores["likeness"]
    seer = next((eye for eye in like if eye != reader), reader)
    return like[seer], fits, scores["drift"][reader]


@contextmanager
def trained(model: Model, config: TrainConfig, path: Path) -> Iterator[None]:
    """The model with a checkpoint's weights, and afterwards the base again."""
    load_weights(model, config, path)
    try:
        yield
    finally:
        method_of(config).remove(model)


def load_weights(model: Model, config: TrainConfig, path: Path) -> None:
    """Put a checkpoint of a run with these settings, or its result, into the run's base model;
    `method_of(config).remove(model)` takes it off again.

    Raises Problem where the file is damaged or belongs to other settings; the model is then as it
    was.
    """
    method = method_of(config)
    if path.name == method.RESULT:
        return RESULTS[config.method](model, path)
    method.prepare(model, config)
    named = Denoiser(model, config.clip_skip).named_parameters()
    trained = {name: parameter for name, parameter in named if parameter.requires_grad}
    try:
        tensors = read_weights(path)
        shapes = {name: parameter.shape for name, parameter in trained.items()}
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise Problem(
                "The checkpoint belongs to other settings", path, "Choose one of the same run"
            )
    except Problem:
        method.remove(model)
        raise
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[name])


RESULTS = {"lora": load_lora, "textual_inversion": load_embedding, "dreambooth": take_weights}


def _candidates(run: Run) -> dict[str, Path]:
    """What the run has kept, by the name it is shown with."""
    steps = {step_of(path): path for path in run.checkpoints}
    if run.finished:  # a checkpoint of the last step would be the same once more
        steps.pop(len(run.history), None)
    found = {f"step {step}": path for step, path in steps.items()}
    if run.finished:
        found["the end"] = run.weights
    if len(found) < 2:
        raise Problem(
            "The run has not kept checkpoints to choose from",
            run.folder,
            "Train with keep_checkpoints = 5, and save_every a fifth of the steps",
        )
    return found


def _refuse_what_has_no_halves(
    photos: Sequence[Image.Image], prompts: Sequence[str], parade: LineUp | None
) -> None:
    if len(photos) < 2 and not (parade and not photos):
        raise Problem(
            "One half of the photos chooses and the other is reported",
            do="Give two or more that were held out from training",
        )
    if len(prompts) < 2 or not all("{}" in prompt for prompt in prompts):
        raise Problem(
            "One half of the prompts chooses and the other is reported",
            do='Give two or more, such as "photo of {}, at the beach"',
        )
