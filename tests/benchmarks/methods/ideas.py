"""What is tried beside the methods that ship. Each idea changes what a step learns from, or what
learns; all else is `prepare` and `fit`, as in every run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import torch

from sdnb.adapters.layers import tuner_layers
from sdnb.adapters.words import add_word, embeddings_of
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import head_box
from sdnb.models.base import Model
from sdnb.models.conditioning import for_unet
from sdnb.models.loading import load_model
from sdnb.training.batches import Batch, Batches, Examples
from sdnb.training.config import TextualInversionConfig, TrainConfig
from sdnb.training.loss import DenoisingLoss, min_snr_weights
from sdnb.training.methods.lora import Lora
from sdnb.training.methods.textual_inversion import initial_rows
from sdnb.training.prior_preservation import without_trigger


@dataclass(frozen=True)
class Ideas:
    """What a recipe asks for beyond its settings; all off by default."""

    own_prior: float = 0.0  # weight of a prior from photos, for any method
    class_samples: int = 4  # how many of a batch's photos then stand for the class as well
    outside: float = 1.0  # what an error outside the head's box counts; 1 is no mask
    word_rate: float = 0.0  # learning rate of a new word beside the LoRA
    word_vectors: int = 3
    rank_by_timestep: bool = False  # T-LoRA, arXiv 2507.05964: fewer ranks where noise is high


class WordAndLora(Lora):
    """Pivotal tuning (cloneofsimo/lora; arXiv 2106.05744 gave the name): the trigger word gets
    vectors of its own, which learn together with the LoRA."""

    def __init__(self, ideas: Ideas) -> None:
        self.ideas = ideas

    def prepare(self, model: Model, config: TrainConfig) -> list[dict]:
        groups = super().prepare(model, config)
        init = config.class_word
        word = TextualInversionConfig(init_word=init, vectors=self.ideas.word_vectors)
        add_word(model, config.trigger, initial_rows(model, word))
        embedding = embeddings_of(model.text_encoder).token_embedding
        rows = embedding.rows.requires_grad_(True)
        return [*groups, {"params": [rows], "lr": self.ideas.word_rate, "weight_decay": 0.0}]


@contextmanager
def method_for(ideas: Ideas) -> Iterator[None]:
    """Inside, `prepare` takes the LoRA with a word of its own, where that is asked for."""
    if not ideas.word_rate:
        yield
        return
    with patch("sdnb.training.run.method_of", lambda config: WordAndLora(ideas)):
        yield


@dataclass(frozen=True)
class OwnPrior(Batches):
    """Batches whose class samples are `samples` of the photos with captions of the class."""

    samples: int = 0

    def at(self, step: int, micro_batch: int) -> Batch:
        batch = super().at(step, micro_batch)
        kept = torch.arange(len(batch.rows)) < self.batch_size + self.samples
        return Batch(*(value[kept.to(value.device)] for value in vars(batch).values()))


def own_prior(batches: Batches, model: Model, told: list[str], ideas: Ideas) -> Batches:
    """Batches with class samples: the photos, told as others of the class."""
    learns = batches.instance.texts.ndim == 3  # token ids
    texts = [model.token_ids([t]) if learns else model.text_embeddings([t]) for t in (*told, "")]
    prior = Examples(batches.instance.latents, torch.stack(texts).to(batches.instance.texts.device))
    weight = ideas.own_prior * batches.batch_size / ideas.class_samples
    own = {"prior": prior, "prior_weight": weight, "samples": ideas.class_samples}
    return OwnPrior(**(vars(batches) | own))


class IdeasLoss(DenoisingLoss):
    """The denoising loss with a teacher for class samples, a mask, and the timesteps told."""

    def __init__(self, loss: DenoisingLoss) -> None:
        vars(self).update(vars(loss))
        self.teacher: Model | None = None
        self.teacher_texts: torch.Tensor | None = None  # (n, 77, d)
        self.masks: torch.Tensor | None = None  # (n, 1, h, w)
        self.timesteps: torch.Tensor | None = None

    def __call__(self, denoiser, batch: Batch) -> torch.Tensor:
        self.timesteps = batch.timesteps
        noisy = self.scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
        prediction = denoiser(noisy, batch.timesteps, batch.texts).float()
        error = (prediction - self.aim(denoiser, batch, noisy)).square().mean(1, keepdim=True)
        if self.masks is not None:
            weights = self.masks[batch.rows]
            weights = torch.where(batch.is_prior[:, None, None, None], 1, weights)
            error = error * weights / weights.mean(dim=(1, 2, 3), keepdim=True)
        error = error.mean(dim=(1, 2, 3))
        if self.gamma is None:
            return error
        return error * min_snr_weights(self.scheduler, batch.timesteps, self.gamma)

    @torch.no_grad()
    def aim(self, denoiser, batch: Batch, noisy: torch.Tensor) -> torch.Tensor:
        """The target; of class samples what the untrained base predicts."""
        target, own = self.target(batch).clone(), batch.is_prior
        if self.plain is not None and own.any():
            target[own] = self._of_the_base(denoiser, batch, noisy)
        if self.teacher is None or not own.any():
            return target
        states, added = for_unet(self.teacher.unet, self.teacher_texts[batch.rows[own]], (128, 128))
        told = self.teacher.unet(noisy[own], batch.timesteps[own], states, added_cond_kwargs=added)
        target[own] = told.sample.float()
        return target


def apply(prepared, config: TrainConfig, photos, person, model: Model, ideas: Ideas):
    """(state, batches, loss) with the ideas in them."""
    if ideas == Ideas():
        return prepared
    state, batches, loss = prepared
    loss = IdeasLoss(loss)
    if ideas.own_prior:
        told = [without_trigger(photo.caption, config) for photo in photos]
        batches = own_prior(batches, model, told, ideas)
        loss.teacher = load_model(config.base).to(model.device)
        loss.teacher_texts = loss.teacher.text_embeddings(told)
    if ideas.outside != 1:
        loss.masks = masks(person, config.seed, len(photos), ideas.outside).to(model.device)
    if ideas.rank_by_timestep:
        _rank_by_timestep(model, loss)
    return state, batches, loss


def masks(person, seed: int, count: int, outside: float, side: int = 16) -> torch.Tensor:
    """(n, 1, side, side): 1 in the head's box, `outside` elsewhere, from the studio's truth."""
    found = torch.full((count, 1, side, side), outside)
    for i, scene in enumerate(photos_of(person, count, seed, glasses="round")):
        left, top, right, bottom = (max(0.0, edge) * side for edge in head_box(scene))
        found[i, :, int(top) : round(bottom + 0.5), int(left) : round(right + 0.5)] = 1.0
    return found


def _rank_by_timestep(model: Model, loss: IdeasLoss) -> None:
    """At timestep t of T a sample uses the first r/2 + r/2 (T - t)/T ranks of the UNet's LoRA."""
    total = model.scheduler.config.num_train_timesteps

    def cut(module, inputs, output):
        if not torch.is_grad_enabled():  # an image: the file is a plain LoRA
            return output
        rank = output.shape[-1]
        used = rank // 2 + (rank // 2) * (total - loss.timesteps) // total
        kept = torch.arange(rank, device=output.device) < used[:, None]
        return output * kept.view(len(used), *(1,) * (output.ndim - 2), rank)

    for layer in tuner_layers(model.unet):
        for matrix in layer.lora_A.values():
            matrix.register_forward_hook(cut)
