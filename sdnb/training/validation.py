"""The loss on held-out photos, which are never trained on. Noise and noise levels are the same
every time, so that two losses differ by what was learned alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from sdnb.dataset.photos import Photo
from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.models.base import Model
from sdnb.training.batches import Batch, Examples, noise_and_timesteps
from sdnb.training.latents import encode_images
from sdnb.training.loop import TrainState
from sdnb.training.loss import DenoisingLoss

BANDS = 4  # equal parts of the timesteps, each measured in its middle
NO_STEP = 2**32 - 1  # its noise is no training step's


@dataclass(frozen=True)
class ValidationLoss:
    """Mean loss over photos and bands after `index` steps, and over the photos in each band, from
    nearly clean images to nearly pure noise."""

    index: int
    loss: float
    bands: tuple[float, ...]


class Validation:
    """Measures the held-out loss every `every` steps and after the last; changes nothing in the
    model."""

    def __init__(self, examples: Examples, loss: DenoisingLoss, seed: int, every: int) -> None:
        self.loss, self.every, self.path = loss, every, None
        self.losses: list[ValidationLoss] = []
        self.batches = [_batch(examples, row, loss, seed) for row in range(len(examples.latents))]

    def resume(self, path: Path, steps: int) -> None:
        """Write to `path`, a line for each loss, after those up to step `steps` that are there."""
        self.path = path
        self.losses = [each for each in read_validation(path) if each.index <= steps]

    def __call__(self, state: TrainState) -> ValidationLoss | None:
        """The loss, if it is time for one."""
        if state.step % self.every and state.steps_left:
            return None
        bands = self.measure(state.denoiser)
        self.losses.append(ValidationLoss(state.step, sum(bands) / len(bands), bands))
        if self.path:
            self._write()
        return self.losses[-1]

    @torch.no_grad()
    def measure(self, denoiser: nn.Module) -> tuple[float, ...]:
        """The mean loss of each band."""
        denoiser.eval()
        each = torch.stack([self.loss(denoiser, batch) for batch in self.batches])
        denoiser.train()
        return tuple(each.mean(0).tolist())

    def _write(self) -> None:
        header = ["index", "loss", *(f"band {i + 1} of {BANDS}" for i in range(BANDS))]
        rows = [header, *([each.index, each.loss, *each.bands] for each in self.losses)]
        write_atomically(self.path, "".join(map(as_line, rows)).encode())


@torch.no_grad()
def loss_at(model: Model, photos: Sequence[Photo], levels: Any, seed: int = 0) -> float:
    """The mean loss on photos at noise levels (timesteps; one for all, or one each), always with
    the same noise of this seed: two of them differ by what was learned alone."""
    latents = encode_images(model, [photo.image for photo in photos])
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents)
    levels = torch.as_tensor(levels).expand(len(latents)).to(latents.device)
    noisy = model.scheduler.add_noise(latents, noise, levels)
    texts = model.text_embeddings([photo.caption for photo in photos])
    return F.mse_loss(model.unet(noisy, levels, texts).sample, noise).item()


def _batch(examples: Examples, row: int, loss: DenoisingLoss, seed: int) -> Batch:
    """One photo at the middle of every band, each time with the same noise."""
    latents, shape = examples.latents[row], examples.shapes[row]
    device, levels = latents.device, loss.scheduler.config.num_train_timesteps
    middles = [int((band + 0.5) * levels / BANDS) for band in range(BANDS)]
    places = range(row * BANDS, (row + 1) * BANDS)
    noise, _ = noise_and_timesteps(seed, NO_STEP, places, shape=shape, n_train_timesteps=levels)
    ones = torch.ones(BANDS, device=device)
    return Batch(
        latents=latents[:1].expand(BANDS, *shape),
        texts=examples.texts[row, :1].expand(BANDS, *examples.texts.shape[2:]),
        noise=noise.to(device),
        timesteps=torch.tensor(middles, device=device),
        weights=ones,
        is_prior=torch.zeros_like(ones, dtype=torch.bool),
        rows=torch.full((BANDS,), row, device=device),
    )


def read_validation(path: Path) -> list[ValidationLoss]:
    """The losses that a `Validation` wrote to `path`; see `read_lines`."""

    def loss(index: str, mean: str, *bands: str) -> ValidationLoss:
        return ValidationLoss(int(index), float(mean), tuple(map(float, bands)))

    return read_lines(path, loss)


def as_line(cells: Iterable[Any]) -> str:
    """The cells as a line that `read_lines` reads."""
    return ",".join(map(str, cells)) + "\n"


def read_lines(path: Path, line: Callable[..., Any]) -> list[Any]:
    """What `line` makes of the cells of each line after the first; none without the file. A last
    line that a crash has cut is left out. Raises Problem for other lines than a run writes: each
    as wide as the first, and with a larger index than the one before."""
    if not path.exists():
        return []
    try:
        header, *cells = [each.split(",") for each in path.read_text().split("\n")[:-1]] or [""]
        found = [line(*each) for each in cells]
        indices = [0, *(each.index for each in found)]
        if indices != sorted(set(indices)) or any(len(each) != len(header) for each in cells):
            raise ValueError("other lines than a run writes")
    except (OSError, ValueError, TypeError) as error:
        do = "Move this file elsewhere: the run goes on, or is used, without it"
        raise Problem("The run's losses cannot be read", path, do) from error
    return found
