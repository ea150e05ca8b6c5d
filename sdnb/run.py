"""One run from settings to result: photos, cache, fit, previews, checkpoints, weights.

A run folder holds settings.toml, machine.json, history.csv, previews/, and checkpoints/ while the
run goes on or what was learned (lora.safetensors, say) when it is finished.
"""

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from sdnb.config import TrainConfig, steps
from sdnb.dataset.photos import Photo, fingerprint, read_photos
from sdnb.files import make_writable_folder, write_atomically, write_problem
from sdnb.inference.class_pictures import class_pictures
from sdnb.inference.pictures import grid, make_pictures
from sdnb.machine import Machine, find_machine
from sdnb.models import Model, find_model, load_model
from sdnb.problems import Problem
from sdnb.progress import watch
from sdnb.project import Project
from sdnb.training.batches import Batches
from sdnb.training.checkpoints import checkpoints_in, load_checkpoint, save_checkpoint
from sdnb.training.fit import Step, TrainState, fit, new_accelerator, start
from sdnb.training.latents import encode_examples
from sdnb.training.loss import Denoiser, DenoisingLoss
from sdnb.training.method import method_of, restore


@dataclass(frozen=True)
class Run:
    """A run folder and what is in it."""

    folder: Path
    config: TrainConfig
    history: tuple[Step, ...] = ()

    @property
    def settings(self) -> Path:
        return self.folder / "settings.toml"

    @property
    def photos(self) -> Path:
        """The fingerprint of the photos it learns from."""
        return self.folder / "photos.txt"

    @property
    def weights(self) -> Path:
        """What was learned: a file, or for DreamBooth a folder; there only when the run is
        finished."""
        return self.folder / method_of(self.config).RESULT

    @property
    def checkpoints(self) -> list[Path]:
        """What was saved on the way, the oldest first; empty when the run is finished, unless it
        keeps more than one."""
        return checkpoints_in(self.folder / "checkpoints")

    @property
    def finished(self) -> bool:
        return self.weights.exists()

    def __str__(self) -> str:
        """What has come of it, in a sentence."""
        if self.finished:
            files = [self.weights, *self.weights.rglob("*")]
            size = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
            return f"Finished: {self.weights} ({size:.2f} MB)."
        done = f"Stopped after {len(self.history)} steps and kept in {self.folder}"
        return f"{done}: the same again continues it."


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
        _sweep(run)
        return run
    machine = machine or find_machine(config.precision)
    photos = read_photos(config.photos, find_model(config.base).resolution)
    model = load_model(config.base).to(machine.device)
    _claim(run)
    class_photos = class_pictures(config, photos, model, machine, run.folder / "class_images")
    state, batches, loss = prepare(config, photos, model, machine, class_photos)
    if run.checkpoints:
        load_checkpoint(state, run.checkpoints[-1])
    _write_machine(run, machine)
    history, saved = _read_history(run)[: state.step], time.monotonic()
    with (
        _History(run, history) as record,
        interruptible() as interrupt,
        closing(watch(state.total_steps, history, progress)) as display,
    ):
        for step in fit(state, batches, loss):
            for tell in filter(None, (record, display.show, on_step)):
                tell(step)
            if config.preview_every and step.index % config.preview_every == 0:
                display.preview(save_preview(run, model, machine, step.index))
            if interrupt.is_set():
                break
            late = time.monotonic() - saved > 60 * config.save_minutes
            if late or step.index % config.save_every == 0:
                save_checkpoint(state, run.folder / "checkpoints", config.keep_checkpoints)
                saved = time.monotonic()
        _keep(run, state, model)
    return replace(run, history=tuple(history))


def _keep(run: Run, state: TrainState, model: Model) -> None:
    """Save the result of a run that is through, else what it needs to go on."""
    if state.step < state.total_steps:
        save_checkpoint(state, run.folder / "checkpoints", run.config.keep_checkpoints)
    else:
        method_of(run.config).save(model, run.config, run.weights)
        _sweep(run)


def _sweep(run: Run) -> None:
    """Take away what is of no use any more: half files that a killed run left aside, and, when the
    run is finished, the checkpoint it would have gone on from."""
    for left in run.folder.glob("**/.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    if run.finished and run.config.keep_checkpoints == 1:
        shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)


def _claim(run: Run) -> None:
    """From here on the folder belongs to these settings and these photos."""
    _sweep(run)
    run.config.save(run.settings)
    write_atomically(run.photos, fingerprint(run.config.photos).encode())


def prepare(
    config: TrainConfig,
    photos: list[Photo],
    model: Model,
    machine: Machine,
    class_photos: list[Photo] | None = None,
) -> tuple[TrainState, Batches, DenoisingLoss]:
    """Everything `fit` needs, in memory and without a file: `for step in fit(*prepare(...))`.

    Adds what trains to `model` itself (after removing what an earlier run added), so many little
    trainings can follow one another on one loaded base, and pictures of each be made in between;
    `method_of(config).remove(model)` gives the base back. Only the latest state may be fitted.
    `class_photos` serve prior preservation and are made from the base where they are missing.
    """
    method = method_of(config)
    model.to(machine.device)
    restore(model)
    if class_photos is None:
        class_photos = class_pictures(config, photos, model, machine)
    groups = method.prepare(model, config)
    _keep_less(model, config.gradient_checkpointing)
    accelerator = new_accelerator(machine, config.gradient_accumulation)
    batches = Batches(
        instance=encode_examples(model, photos, method.captions(config, photos), config),
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
    denoiser, total = Denoiser(model, config.clip_skip), steps(config, len(photos))
    state = start(denoiser, groups, config, accelerator, total)
    return state, batches, DenoisingLoss(model.scheduler, config.snr_gamma)


def _keep_less(model: Model, on: bool) -> None:
    """Switch gradient checkpointing on or off, in the text encoder too where something trains."""
    unet = model.unet
    (unet.enable_gradient_checkpointing if on else unet.disable_gradient_checkpointing)()
    trains = any(p.requires_grad for p in model.text_encoder.parameters())
    verb = "enable" if on and trains else "disable"
    for name in ("activation", "gradient"):  # the old name warns, and the new one is new
        switch = getattr(model.text_encoder, f"{name}_checkpointing_{verb}", None)
        if switch:
            return switch()


def open_run(config: TrainConfig, folder: Path | str | None = None) -> Run:
    """The run folder for these settings, created where needed, with the history so far.

    Raises Problem where it cannot be written or belongs to other settings or photos.
    """
    photos = fingerprint(config.photos)
    if folder is None:
        digest = sha256((config.model_dump_json() + photos).encode()).hexdigest()[:8]
        folder = Project().runs / f"{config.photos.name}-{config.method}-{digest}"
    run = Run(make_writable_folder(folder), config)
    if run.settings.exists() and type(config).load(run.settings) != config:
        raise Problem(
            "The folder already holds a run with other settings",
            run.folder,
            "Choose another folder, or delete this one",
        )
    if run.photos.exists() and run.photos.read_text() != photos:
        raise Problem(
            "The photos or captions have changed since this run began",
            run.folder,
            "Choose another folder, or delete this one",
        )
    return replace(run, history=tuple(_read_history(run)))


def save_preview(run: Run, model: Model, machine: Machine, index: int) -> Path:
    """Write previews/step_INDEX.png: one picture for each preview prompt, seeds 0, 1, 2, ..."""
    prompts, how = run.config.preview_prompts, {"precision": machine.precision}
    how["clip_skip"] = run.config.clip_skip
    pictures = make_pictures(model, prompts, range(len(prompts)), **how)
    sheet = grid(pictures, len(prompts), column_labels=prompts)
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


class _History:
    """history.csv: cut to the steps that count, then one line appended for every step."""

    def __init__(self, run: Run, history: list[Step]) -> None:
        self.path, self.history = run.folder / "history.csv", history
        lines = [",".join(field.name for field in fields(Step)), *map(self._line, history)]
        write_atomically(self.path, "".join(f"{line}\n" for line in lines).encode())

    def __enter__(self) -> Callable[[Step], None]:
        self.file = self.path.open("a", buffering=1)  # line by line: a crash loses none
        return self.append

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def append(self, step: Step) -> None:
        self.history.append(step)
        try:
            self.file.write(f"{self._line(step)}\n")
        except OSError as error:
            raise write_problem(error, self.path) from error

    @staticmethod
    def _line(step: Step) -> str:
        return ",".join(map(repr, asdict(step).values()))  # repr: a float's every digit


def _read_history(run: Run) -> list[Step]:
    path = run.folder / "history.csv"
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]  # a crash may have cut the last line
    rows = (line.split(",") for line in whole.splitlines()[1:])
    return [Step(int(row[0]), *map(float, row[1:])) for row in rows]


def _write_machine(run: Run, machine: Machine) -> None:
    packages = ("torch", "diffusers", "transformers", "peft", "accelerate")
    facts = asdict(machine) | {"packages": {name: version(name) for name in packages}}
    write_atomically(run.folder / "machine.json", json.dumps(facts, indent=2).encode())
