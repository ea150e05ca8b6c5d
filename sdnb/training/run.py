"""One run from settings to result: photos, cache, fit, previews, checkpoints, weights."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdnb.dataset.contact_sheet import image_grid
from sdnb.dataset.photos import FEWEST, Photo, read_photos
from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.inference.images import make_images
from sdnb.inference.prompts import plain_prompt
from sdnb.machine import Machine, find_machine, find_rank
from sdnb.models.base import Model, ModelInfo, find_model, trains
from sdnb.models.loading import load_model
from sdnb.training.batches import Batches
from sdnb.training.checkpoints import load_checkpoint, refuse_no_numbers, save_checkpoint
from sdnb.training.config import TrainConfig, steps
from sdnb.training.latents import encode_examples
from sdnb.training.loop import Step, TrainState, fit, new_accelerator, start
from sdnb.training.loss import Denoiser, DenoisingLoss
from sdnb.training.memory import refuse_what_cannot_fit
from sdnb.training.methods import base_dtype, method_of, restore
from sdnb.training.prior_preservation import class_images
from sdnb.training.progress import Progress, watch
from sdnb.training.run_folder import (
    History,
    Run,
    claim,
    open_run,
    read_history,
    sweep,
    write_machine,
)
from sdnb.training.validation import Validation
from sdnb.trials import trial


def train(
    config: TrainConfig,
    folder: Path | str | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_step: Callable[[Step], object] | None = None,
) -> Run:
    """Do a run, take an interrupted one up again, or give back a finished one at once.

    The run lives in `folder`; without one, in the project's runs/ under a name made from the
    settings. `on_step` is called after every step. An interrupt (the stop button, Ctrl-C) lets
    the step end, saves, and returns a run that is not `finished`; training again with the same
    settings continues it to the same weights. Raises Problem before any training where the
    folder cannot be written or holds a run with other settings, where photos or base model cannot
    be read, and where the machine cannot do the precision asked for.
    """
    run = open_run(config, folder)
    if run.finished:
        sweep(run)
        return run
    machine, main = machine or find_machine(config.precision), find_rank() == 0
    state, batches, loss, model, validation = _begin(run, machine, main)
    if progress and main and (opening := method_of(config).opening(model, config)):
        print(opening)
    history = read_history(run)[: state.step]
    keeper = _Keeper(run, state, model)
    with (
        History(run, history) if main else nullcontext(history.append) as record,
        interruptible() as interrupt,
        closing(watch(state.total_steps, history, progress and main)) as display,
    ):
        for step in fit(state, batches, loss):
            for tell in filter(None, (record, display.show, on_step)):
                tell(step)
            held_out = validation and validation(state)
            if held_out:
                display.validated(held_out)
            if main:
                keeper.preview(display)
            if state.any_process(interrupt.is_set()):
                break
            if main:
                keeper.save_now_and_then()
        if main:
            keeper.end()
        state.accelerator.wait_for_everyone()
    return replace(run, history=tuple(history))


def _begin(
    run: Run, machine: Machine, main: bool
) -> tuple[TrainState, Batches, DenoisingLoss, Model, Validation | None]:
    """Everything in place, as far as the run has come. Of several processes the `main` one keeps
    the folder."""
    config = run.config
    for prompt in config.preview_prompts if config.preview_every else ():
        plain_prompt(prompt)  # now, for at the first preview it would be too late
    base = find_model(config.base)
    photos = photos_for(config, base)
    held_out = photos_for(config, base, config.held_out) if config.held_out else []
    refuse_what_cannot_fit(config, len(photos), machine, run.folder, base)
    model = load_model(base, base_dtype(config, machine), machine)
    if main:
        claim(run)
    folder = run.folder / "class_images" if main else None
    class_photos = class_images(config, photos, model, folder)
    state, batches, loss = prepare(config, photos, model, machine, class_photos)
    if run.checkpoints:
        load_checkpoint(state, run.checkpoints[-1])
    if main:
        write_machine(run, machine, state.accelerator.num_processes)
    return state, batches, loss, model, _validation(run, held_out, model, loss, state.step, main)


@dataclass
class _Keeper:
    """Keeps what a run leaves in its folder: previews and checkpoints on the way, then the
    result."""

    run: Run
    state: TrainState
    model: Model
    saved: float = field(default_factory=time.monotonic)

    def preview(self, display: Progress) -> None:
        every, index = trial().every(self.run.config.preview_every), self.state.step
        if every and index % every == 0:
            display.preview(save_preview(self.run, self.model, index))
            self.model.park()

    def save_now_and_then(self) -> None:
        config = self.run.config
        late = time.monotonic() - self.saved > 60 * config.save_minutes
        if late or self.state.step % trial().every(config.save_every) == 0:
            self._save()

    def end(self) -> None:
        """Save the result of a run that is through, else what it needs to go on."""
        if self.state.steps_left:
            self._save()
        else:
            refuse_no_numbers(self.state, self.run.folder)
            method_of(self.run.config).save(self.model, self.run.config, self.run.weights)
            sweep(self.run)

    def _save(self) -> None:
        folder = self.run.folder / "checkpoints"
        save_checkpoint(self.state, folder, self.run.config.keep_checkpoints)
        self.saved = time.monotonic()


def photos_for(
    config: TrainConfig, base: ModelInfo | None = None, folder: Path | None = None
) -> list[Photo]:
    """The photos of `folder` (the config's own unless given) in the sizes that the base wants.
    Raises Problem where they cannot be read, or class images could not stand beside them."""
    info = base or find_model(config.base)
    step = info.bucket_step if config.buckets else 0
    fewest = 1 if folder else FEWEST  # to look at, not to learn from
    photos = read_photos(folder or config.photos, info.resolution, step, fewest)
    if config.prior_weight and not folder and len({photo.image.size for photo in photos}) > 1:
        raise Problem(
            "Class images are square, and photos in buckets are not",
            do="Set buckets = false, or prior_weight = 0",
        )
    return photos


def _validation(
    run: Run, held_out: list[Photo], model: Model, loss: DenoisingLoss, step: int, main: bool
) -> Validation | None:
    """What measures the loss on the held-out photos, encoded now, in one version and wording; None
    where none are held out."""
    if not held_out:
        return None
    config = run.config.replace(flip=False, shuffle_captions=False)
    model.to(model.device)
    captions = method_of(config).captions(config, held_out)
    examples = encode_examples(model, held_out, captions, config)
    model.park()
    every = trial().every(config.validate_every)
    validation = Validation(examples, loss, config.seed, every)
    if main:
        validation.resume(run.validation_file, step)
    return validation


def prepare(
    config: TrainConfig,
    photos: list[Photo],
    model: Model,
    machine: Machine | None = None,
    class_photos: list[Photo] | None = None,
) -> tuple[TrainState, Batches, DenoisingLoss]:
    """Everything `fit` needs, in memory and without a file: `for step in fit(*prepare(...))`.

    Adds what trains to `model` itself (after removing what an earlier run added), so many little
    trainings can follow one another on one loaded base, and pictures of each be made in between;
    `method_of(config).remove(model)` gives the base back. Only the latest state may be fitted.
    `class_photos` serve prior preservation and are made from the base where they are missing. It
    calculates in the model's own precision, unless a `machine` says another.
    """
    machine = machine or find_machine(model.precision)
    method, config = method_of(config), config.replace(seed=trial().moved(config.seed))
    model.to(machine.device)
    restore(model)
    if class_photos is None:
        class_photos = class_images(config, photos, model)
    groups = method.prepare(model, config)
    if "untrained" in trial().kinds:
        groups = [{**group, "lr": 0.0} for group in groups]
    _use_gradient_checkpointing(model, config.gradient_checkpointing)
    # with clip skip, and in SDXL, a text encoder's last layers go unused
    text_trains = any(map(trains, model.encoders.values()))
    unused = text_trains and bool(config.clip_skip or model.text_encoder_2)
    accelerator = new_accelerator(machine, config.gradient_accumulation, unused)
    photos, class_photos = trial().few(photos), trial().few(class_photos)
    captions = trial().dealt(method.captions(config, photos))
    batches = Batches(
        instance=encode_examples(model, photos, captions, config),
        prior=encode_examples(model, class_photos, [p.caption for p in class_photos], config)
        if class_photos
        else None,
        prior_weight=config.prior_weight,
        caption_dropout=config.caption_dropout,
        seed=config.seed,
        batch_size=config.batch_size,
        global_size=config.batch_size * config.gradient_accumulation * accelerator.num_processes,
        n_train_timesteps=model.scheduler.config.num_train_timesteps,
        noise_offset=config.noise_offset,
    )
    model.park()
    denoiser = Denoiser(model, config.clip_skip)
    total = steps(config, len(photos), accelerator.num_processes)
    state = start(denoiser, groups, config, accelerator, total)
    return state, batches, DenoisingLoss(model.scheduler, config.snr_gamma)


def _use_gradient_checkpointing(model: Model, on: bool) -> None:
    """Switch it on or off, in the text encoders too where something trains."""
    unet = model.unet
    unet.enable_gradient_checkpointing() if on else unet.disable_gradient_checkpointing()
    for encoder in model.encoders.values():
        new = hasattr(encoder, "activation_checkpointing_enable")  # the older name then warns
        switch = "enable" if on and trains(encoder) else "disable"
        getattr(encoder, f"{'activation' if new else 'gradient'}_checkpointing_{switch}")()


def save_preview(run: Run, model: Model, index: int) -> Path:
    """Write previews/step_INDEX.png: one image for each preview prompt, seeds 0, 1, 2, ..."""
    prompts = run.config.preview_prompts
    images = make_images(model, prompts, range(len(prompts)), clip_skip=run.config.clip_skip)
    sheet = image_grid(images, len(prompts), column_labels=prompts)
    path = run.folder / "previews" / f"step_{index:05}.png"
    write_atomically(path, sheet.save)
    return path


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first interrupt sets; a second one raises KeyboardInterrupt.

    The handler that was there before is always put back. Outside the main thread Python allows
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
