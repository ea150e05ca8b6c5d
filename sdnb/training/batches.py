"""Which example, which noise, which timestep: chance as a function of where in the run we are.

Nothing is drawn from a running stream. A resumed run, a run with previews, accumulated batches
and several processes therefore see exactly what the plain run sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

DROPOUT, VIEW = 1, 2  # what chance decides: whether the caption is dropped; version and wording


@dataclass(frozen=True)
class Examples:
    """What there is to learn from: every photo in its versions (as it is, and mirrored where that
    is asked for), every caption in its wordings (as it is, or shuffled in several orders)."""

    latents: tuple[torch.Tensor, ...]  # n times (versions, 4, h, w) fp32; h, w differ with buckets
    texts: torch.Tensor  # (n + 1, wordings, 77, d) embeddings or (..., 77) ids; last: no caption
    names: tuple[str, ...] = ()  # of the photos, for what is said about them

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """(4, h, w) of each photo."""
        return tuple(tuple(each.shape[1:]) for each in self.latents)


@dataclass(frozen=True)
class Batch:
    """One micro-batch of n samples; with prior preservation the class samples follow."""

    latents: torch.Tensor  # (n, 4, h, w)
    texts: torch.Tensor  # (n, 77, d) or (n, 77)
    noise: torch.Tensor  # like latents
    timesteps: torch.Tensor  # (n,)
    weights: torch.Tensor  # (n,) of each sample's loss
    is_prior: torch.Tensor  # (n,) bool
    rows: torch.Tensor  # (n,) which example each sample is


@dataclass(frozen=True)
class Batches:
    """Every batch of a run, by position. `global_size` counts the instance samples of one
    optimizer step over all its micro-batches and processes. With `prior_from_photos` the first
    photo of a batch stands for the class as well, and its caption is never dropped."""

    instance: Examples
    prior: Examples | None
    prior_weight: float
    caption_dropout: float
    seed: int
    batch_size: int
    global_size: int
    n_train_timesteps: int
    noise_offset: float = 0.0
    prior_from_photos: bool = False

    def at(self, step: int, micro_batch: int) -> Batch:
        """The `micro_batch`-th batch of optimizer step `step` (both from 0, the micro-batches
        counted over all processes)."""
        start = micro_batch * self.batch_size
        positions = range(start, start + self.batch_size)
        batch = self._draw(self.instance, step, positions, 1.0)
        if self.prior is None:
            return batch
        # the class samples' noise has positions of its own, behind all instance samples
        samples = 1 if self.prior_from_photos else self.batch_size
        behind = range(start + self.global_size, start + self.global_size + samples)
        weight = self.prior_weight * self.batch_size / samples
        class_batch = self._draw(self.prior, step, behind, weight)
        return Batch(*map(torch.cat, zip(vars(batch).values(), vars(class_batch).values())))

    def name_of(self, batch: Batch, sample: int) -> str:
        """The photo that a sample of the batch shows."""
        examples = self.prior if batch.is_prior[sample] else self.instance
        row = int(batch.rows[sample])
        return examples.names[row] if examples.names else f"photo {row + 1}"

    def _draw(self, examples: Examples, step: int, positions: range, weight: float) -> Batch:
        rows, latents, texts = [], [], []
        plain = self.prior_from_photos and examples is self.prior
        share = 0 if plain else self.caption_dropout
        for position in positions:
            place = step * self.global_size + position % self.global_size
            row = example_at(self.seed, place, examples.shapes, self.batch_size)
            version, wording = self._chance(step, position, VIEW).random(2)
            dropped = self._chance(step, position, DROPOUT).random() < share
            versions, wordings = examples.latents[row], examples.texts[-1 if dropped else row]
            rows.append(row)
            latents.append(versions[int(version * len(versions))])
            texts.append(wordings[int(wording * len(wordings))])
        noise, timesteps = noise_and_timesteps(
            self.seed,
            step,
            positions,
            shape=examples.shapes[rows[0]],
            n_train_timesteps=self.n_train_timesteps,
            offset=self.noise_offset,
        )
        device = latents[0].device
        return Batch(
            latents=torch.stack(latents),
            texts=torch.stack(texts),
            noise=noise.to(device),
            timesteps=timesteps.to(device),
            weights=torch.full((len(rows),), weight, device=device),
            is_prior=torch.full((len(rows),), examples is self.prior, device=device),
            rows=torch.tensor(rows, device=device),
        )

    def _chance(self, step: int, position: int, purpose: int) -> np.random.Generator:
        """What decides one thing about one sample."""
        place = (self.seed, step, position)
        return np.random.default_rng(np.random.SeedSequence(place, spawn_key=(purpose,)))


def noise_and_timesteps(
    seed: int,
    step: int,
    positions: Sequence[int],
    *,
    shape: Sequence[int],
    n_train_timesteps: int,
    offset: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise (n, *shape) and timesteps (n,), each sample's from a CPU generator of its own.

    A sample is known by (seed, step, its position in the step's global batch), so it does not
    matter how the batch is cut up, nor on which device it is used. `offset` shifts each channel as
    a whole (Guttenberg 2023, "Diffusion with Offset Noise").
    """
    noise, timesteps = [], []
    for position in positions:
        state = np.random.SeedSequence((seed, step, position)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]))
        noise.append(torch.randn(tuple(shape), generator=generator))
        timesteps.append(torch.randint(n_train_timesteps, (), generator=generator))
        if offset:
            noise[-1] += offset * torch.randn((shape[0], 1, 1), generator=generator)
    return torch.stack(noise), torch.stack(timesteps)


def example_at(seed: int, index: int, shapes: Sequence[tuple], batch_size: int) -> int:
    """Which example is the run's `index`-th. All of one batch have one shape.

    In a cycle of as many batches as there are examples, every example lends one batch its shape, in
    an order of the cycle's own; each shape deals out its examples, every one once before any comes
    again. So all are seen equally often, and with a single shape every epoch is simply a new
    permutation of all.
    """
    batch, place = divmod(index, batch_size)
    cycle, turn = divmod(batch, len(shapes))
    order = photo_order(seed, cycle, len(shapes))
    shape = shapes[order[turn]]
    alike = [row for row, other in enumerate(shapes) if other == shape]
    batches_before = cycle * len(alike) + sum(shapes[row] == shape for row in order[:turn])
    epoch, place = divmod(batches_before * batch_size + place, len(alike))
    return alike[photo_order(seed, epoch, len(alike))[place]]


@lru_cache(maxsize=64)
def photo_order(seed: int, epoch: int, n: int) -> tuple[int, ...]:
    """The permutation of range(n) in which `epoch` shows the examples."""
    order = np.random.default_rng(np.random.SeedSequence((seed, epoch))).permutation(n)
    return tuple(int(place) for place in order)
