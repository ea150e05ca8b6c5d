"""One run from settings to result: photos, latents, fit, previews, checkpoints, weights. And how
long it would take: a few real steps are tried, and nothing is kept."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from sdnb.dataset.contact_sheet import image_grid
from sdnb.dataset.photos import FEWEST, Photo, read_photos
from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.inference.images import make_images
from sdnb.inference.prompts import plain_prompt
from sdnb.machine import Machine, find_machine, find_rank
from sdnb.models.base import Model, ModelInfo, find_model, trains
from sdnb.models.loading import load_model
from sdnb.training.batches import Batches, Examples
from sdnb.training.checkpoints import load_checkpoint, refuse_non_finite, save_checkpoint
from sdnb.training.config import TrainConfig, steps
from sdnb.training.latents import encode_examples
from sdnb.training.loop import Step, TrainState, fit, new_accelerator, start
from sdnb.training.loss import Denoiser, DenoisingLoss
from sdnb.training.memory import Plan, compare_bases, refuse_what_cannot_fit
from sdnb.training.methods import base_dtype, method_of, restore
from sdnb.training.methods.base import plain_caption
from sdnb.training.prior_preservation import class_images, own_class_images
from sdnb.training.progress import Progress, watch
from sdnb.training.run_folder import (
    Run,
    append_history,
    claim,
    fingerprints,
    open_run,
    refuse_changed,
    sweep,
    write_machine,
)
from sdnb.training.validation import Validation
from sdnb.trials import trial

TRIED = 5  # steps, for an estimate


def train(
    config: TrainConfig,
    folder: Path | str | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_step: Callable[[Step], object] | None = None,
) -> Run:
    """Do a run, take an interrupted one up again, or give back a finished one at once.

    The run lives in `folder`; without one, in the project's runs/ under a name made from the
    settings. `on_step` is called after every step. An interrupt (the stop button, Ctrl-C) lets the
    step end, saves, draws in a notebook what is learned by now, and returns a run that is not
    `finished`; training again with the same settings continues it to the same weights. Raises
    Problem before any training where the folder cannot be written or holds a run with other
    settings, where photos or base model cannot be read, where no caption says the trigger word, and
    where the machine cannot do the precision asked for. Prints what the run passes over in settings
    and captions.
    """
    run = open_run(config, folder)
    if run.finished:
        with suppress(OSError):  # it may lie where nothing can be written
            sweep(run)
        return run
    machine, main = machine or find_machine(config.precision), find_rank() == 0
    try:
        work = _begin(run, machine, main)
    except BaseException:
        with suppress(OSError):  # an empty folder: what cannot begin leaves none behind
            run.folder.rmdir()
        raise
    opening = method_of(config).opening(work.model, config) if progress and main else ""
    for sentence in filter(None, (*work.remarks, opening)):
        print(sentence)
    return replace(run, history=tuple(_go_through(work, main, progress, on_step)))


def _go_through(
    work: "_Work", main: bool, progress: bool, on_step: Callable[[Step], object] | None
) -> list[Step]:
    """Train to the end, or until an interrupt: noted, shown and saved on the way. All steps."""
    run, state = work.run, work.state
    history = [step for step in run.history if step.index <= state.step]
    if main and (lost := state.step - len(history)):
        print(f"The losses of {lost} of the first {state.step} steps are not in history.csv.")
    with (
        append_history(run, history) if main else nullcontext(history.append) as record,
        interruptible() as interrupt,
        closing(watch(state.total_steps, history, progress and main)) as display,
    ):
        if main and not state.step:
            work.preview(display)
        for step in fit(state, work.batches, work.loss):
            for tell in filter(None, (record, display.show, on_step)):
                tell(step)
            if work.validation and (held_out := work.validation(state)):
                display.validated(held_out)
            if main:
                work.preview(display)
            if state.any_process(interrupt.is_set()):
                break
            if main:
                work.save_if_due()
        if main:
            work.end()
            if state.steps_left and display.pictures:  # a second interrupt takes only this away
                with suppress(KeyboardInterrupt):
                    work.look(display)
        state.accelerator.wait_for_everyone()
    return history


@dataclass
class _Work:
    """A run in memory: what `fit` needs, and what it leaves in the folder on the way and at the
    end."""

    run: Run
    model: Model
    state: TrainState
    batches: Batches
    loss: DenoisingLoss
    validation: Validation | None
    remarks: list[str]
    saved: float = field(default_factory=time.monotonic)  # when the last checkpoint was

    def preview(self, display: Progress) -> None:
        """Every so many steps, before the first one, and after the last."""
        every, index = trial().every(self.run.config.preview_every), self.state.step
        if every and (index % every == 0 or not self.state.steps_left):
            self.look(display)

    def look(self, display: Progress) -> None:
        """Draw what is learned by now, unless it is drawn already."""
        if self.state.step not in display.looked:
            display.preview(*save_preview(self.run, self.model, self.state.step))
            self.model.park()

    def save_if_due(self) -> None:
        config = self.run.config
        late = time.monotonic() - self.saved > 60 * config.save_minutes
        if late or self.state.step % trial().every(config.save_every) == 0:
            self.save()

    def save(self) -> None:
        folder = self.run.folder / "checkpoints"
        save_checkpoint(self.state, folder, self.run.config.keep_checkpoints)
        self.saved = time.monotonic()

    def end(self) -> None:
        """Save the result of a run that is through, else what it needs to go on."""
        if self.state.steps_left:
            return self.save()
        refuse_non_finite(self.state, self.run.folder)
        method_of(self.run.config).save(self.model, self.run.config, self.run.result)
        sweep(self.run)


def _begin(run: Run, machine: Machine, main: bool) -> _Work:
    """Everything in place, as far as the run has come. Of several processes the `main` one keeps
    the folder."""
    config = run.config
    previews = config.preview_prompts if config.preview_every else ()
    said = [remark for prompt in previews for remark in plain_prompt(prompt).remarks]  # now, once
    base = find_model(config.base).at(config.resolution)
    photos = photos_for(config, base)
    held_out = photos_for(config, base, config.held_out) if config.held_out else []
    class_photos = own_class_images(config, base.resolution)
    refuse_what_cannot_fit(config, len(photos), machine, run.folder, base)
    model = load_model(base, base_dtype(config, machine), machine)
    refuse_changed(run, fingerprints(config))  # what was read is what was noted
    remarks = [*said, *method_of(config).remarks(config, photos, model.tokenizer)]
    if main:
        claim(run)
    kept = run.folder / "class_images" if main else None
    state, batches, loss = prepare(config, photos, model, machine, class_photos, kept)
    refuse_changed(run, fingerprints(config))  # and so are the initial weights
    if run.checkpoints:
        load_checkpoint(state, run.checkpoints[-1])
    if main:
        write_machine(run, machine, state.accelerator.num_processes, state.total_steps)
    validation = _validation(config, held_out, model, loss) if held_out else None
    if validation and main:
        validation.resume(run.validation_file, state.step)
    return _Work(run, model, state, batches, loss, validation, remarks if main else [])


def photos_for(
    config: TrainConfig, base: ModelInfo | None = None, folder: Path | None = None
) -> list[Photo]:
    """The photos of `folder` (the config's own unless given) in the sizes that base and config
    want. Raises Problem where they cannot be read, or class images could not stand beside them."""
    info = (base or find_model(config.base)).at(config.resolution)
    step = info.bucket_step if config.buckets else 0
    fewest = 1 if folder else FEWEST  # to look at, not to learn from
    photos = read_photos(folder or config.photos, info.resolution, step, fewest)
    square = config.prior_weight and not config.prior_from_photos and not folder
    if square and len({photo.image.size for photo in photos}) > 1:
        what = "Class images are square, and photos in buckets are not"
        raise Problem(what, do="Set buckets = false, or prior_weight = 0")
    return photos


def _validation(
    config: TrainConfig, held_out: list[Photo], model: Model, loss: DenoisingLoss
) -> Validation:
    """What measures the loss on the held-out photos, encoded now, in one version and wording."""
    config = config.replace(flip=False, shuffle_captions=False)
    model.to(model.device)
    captions = method_of(config).captions(config, held_out)
    examples = encode_examples(model, held_out, captions, config)
    model.park()
    return Validation(examples, loss, config.seed, trial().every(config.validate_every))


@contextmanager
def learned(
    config: TrainConfig, photos: list[Photo], model: Model, machine: Machine | None = None
) -> Iterator[Model]:
    """Within it `model` has had this training, which leaves no folder; after it, it is as before.
    Raises Problem as `prepare` and `fit`."""
    try:
        for _ in fit(*prepare(config, photos, model, machine)):
            pass
        yield model
    finally:
        restore(model)


def prepare(
    config: TrainConfig,
    photos: list[Photo],
    model: Model,
    machine: Machine | None = None,
    class_photos: list[Photo] | None = None,
    class_folder: Path | None = None,
) -> tuple[TrainState, Batches, DenoisingLoss]:
    """Everything `fit` needs, in memory and without a file: `for step in fit(*prepare(...))`.

    Adds what trains to `model` (after removing what an earlier run added): many little trainings
    can follow one another on one loaded base, and images of each be made in between;
    `method_of(config).remove(model)` gives the base back. Only the latest state may be fitted.
    `class_photos` serve prior preservation; without, the base makes them and `class_folder` keeps
    them. It calculates in the model's own precision, unless a `machine` says another.
    """
    machine = machine or find_machine(model.precision)
    method, config = method_of(config), config.replace(seed=trial().moved(config.seed))
    restore(model.to(machine.device))
    if class_photos is None:
        class_photos = class_images(config, photos, model, class_folder)
    photos, class_photos = map(trial().few, (photos, class_photos))
    plain = _as_the_base_reads(class_photos, config, model) if config.prior_from_photos else None
    groups = method.prepare(model, config)
    if "untrained" in trial().kinds:
        groups = [{**group, "lr": 0.0} for group in groups]
    _use_gradient_checkpointing(model, config.gradient_checkpointing)
    # with clip skip, and in SDXL, a text encoder's last layers go unused
    text_trains = any(map(trains, model.encoders.values()))
    unused = text_trains and bool(config.clip_skip or model.text_encoder_2)
    accelerator = new_accelerator(machine, config.gradient_accumulation, unused)
    captions = trial().dealt(method.captions(config, photos))
    batches = Batches(
        instance=encode_examples(model, photos, captions, config),
        prior=_class_examples(class_photos, config, model) if class_photos else None,
        prior_weight=config.prior_weight,
        caption_dropout=config.caption_dropout,
        seed=config.seed,
        batch_size=config.batch_size,
        global_size=config.batch_size * config.gradient_accumulation * accelerator.num_processes,
        n_train_timesteps=model.scheduler.config.num_train_timesteps,
        noise_offset=config.noise_offset,
        prior_from_photos=config.prior_from_photos,
    )
    model.park()
    total = steps(config, len(photos), accelerator.num_processes)
    state = start(Denoiser(model, config.clip_skip), groups, config, accelerator, total)
    return state, batches, DenoisingLoss(model.scheduler, config.snr_gamma, plain)


def _as_the_base_reads(photos: list[Photo], config: TrainConfig, model: Model) -> torch.Tensor:
    """(n, 77, d): their captions, while nothing is added to the base."""
    return model.text_embeddings([photo.caption for photo in photos], config.clip_skip)


def _class_examples(photos: list[Photo], config: TrainConfig, model: Model) -> Examples:
    if config.prior_from_photos:  # the base has read the captions in their own order
        config = config.replace(shuffle_captions=False)
    return encode_examples(model, photos, [photo.caption for photo in photos], config)


def _use_gradient_checkpointing(model: Model, on: bool) -> None:
    """Switch it on or off. A frozen text encoder, in evaluation mode, does not heed it."""
    switch = "enable" if on else "disable"
    getattr(model.unet, f"{switch}_gradient_checkpointing")()
    for encoder in model.encoders.values():
        new = hasattr(encoder, "activation_checkpointing_enable")  # the older name then warns
        getattr(encoder, f"{'activation' if new else 'gradient'}_checkpointing_{switch}")()


def save_preview(
    run: Run, model: Model, index: int
) -> tuple[Path, list[Image.Image], tuple[str, ...]]:
    """Write previews/step_INDEX.png: one image for each preview prompt, seeds 0, 1, 2, ... (of a
    run without previews one image of the plain caption). Returns the path, the images and the
    prompts."""
    config, skip = run.config, run.config.clip_skip
    prompts = config.preview_prompts if config.preview_every else (plain_caption(config),)
    images = make_images(model, prompts, range(len(prompts)), clip_skip=skip, quiet=True)
    sheet = image_grid(images, len(prompts), column_labels=prompts)
    path = run.folder / "previews" / f"step_{index:05}.png"
    write_atomically(path, sheet.save)
    return path, images, prompts


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first interrupt sets; a second one raises KeyboardInterrupt.

    The handler that was there before is always restored. Outside the main thread Python allows
    no handler, and an interrupt does not arrive there either.
    """
    asked = threading.Event()

    def on_interrupt(number, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def estimate(config: TrainConfig, machine: Machine | None = None) -> Plan:
    """The plan of a run with its minutes, estimated on this machine, and beside it the same run on
    other bases and at other resolutions. Loads the base model for it.

    Class images, which a run makes before its first step, are not part of the minutes. Raises
    Problem where `train` would, before any training.
    """
    machine = machine or find_machine(config.precision)
    base = find_model(config.base).at(config.resolution)
    photos = photos_for(config, base)
    planned = refuse_what_cannot_fit(config, len(photos), machine, base=base)
    model = load_model(base, base_dtype(config, machine), machine)
    remarks = method_of(config).remarks(config, photos, model.tokenizer)
    few = photos[: config.batch_size]  # the speed does not depend on how many there are
    tried = seconds_per_step(config, few, model, machine)
    others = compare_bases(config, len(photos), machine, tried)
    return replace(planned, seconds_per_step=tried, others=others, remarks=tuple(remarks))


def seconds_per_step(
    config: TrainConfig, photos: list[Photo], model: Model, machine: Machine | None = None
) -> float:
    """Seconds of one training step: the mean of five, after a first one, which is the slowest.
    The photos stand for class images too. `model` is left prepared, as by `prepare`."""
    as_long = config.replace(views_per_photo=10_000)
    class_photos = photos if config.prior_weight else []
    run = fit(*prepare(as_long, photos, model, machine, class_photos))
    next(run)
    begun = time.perf_counter()
    for _ in islice(run, TRIED):
        pass
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / TRIED
