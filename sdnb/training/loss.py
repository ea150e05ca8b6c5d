"""The denoising loss: what the UNet should have said, and how much each noise level counts."""

import math

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import nn

from sdnb.adapters.layers import detach, reattach
from sdnb.errors import Problem
from sdnb.models.base import Model, trains
from sdnb.models.conditioning import conditioning, for_unet
from sdnb.training.batches import Batch


class Denoiser(nn.Module):
    """The modules of a training step's forward pass, as one: texts and noisy latents in, the UNet's
    prediction (n, 4, h, w) out.

    The text encoders are part of it only where something in them trains; else, and where they are
    embeddings already, `texts` are used as they are. Wrapping this object (precision, several
    processes) leaves the model untouched.
    """

    def __init__(self, model: Model, clip_skip: int = 0) -> None:
        super().__init__()
        self.unet, self.clip_skip, self.factor = model.unet, clip_skip, model.vae_factor
        learns = any(map(trains, model.encoders.values()))
        self.text_encoder = model.text_encoder if learns else None
        self.text_encoder_2 = model.text_encoder_2 if learns else None

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, texts: torch.Tensor
    ) -> torch.Tensor:
        encoders = [e for e in (self.text_encoder, self.text_encoder_2) if e is not None]
        if encoders and not texts.is_floating_point():
            texts = conditioning(encoders, texts, self.clip_skip)
        height, width = (side * self.factor for side in noisy.shape[-2:])
        states, added = for_unet(self.unet, texts, (height, width))
        return self.unet(noisy, timesteps, states, added_cond_kwargs=added).sample


class DenoisingLoss:
    """Called with (denoiser, batch), gives each sample's unweighted loss, (n,) in fp32.

    `snr_gamma` switches on min-SNR weighting. Raises Problem for a scheduler whose prediction
    type is neither epsilon nor v_prediction, or whose noise leaves nothing to predict it by.

    `plain` (n, 77, d) are captions of the class as the base understands them. Where they are given,
    a class sample shall be predicted as the base does by them, without its adapters: prior
    preservation that needs no class images, called differential output preservation elsewhere
    (ostris/ai-toolkit; kohya-ss/sd-scripts, pull request 1710).
    """

    def __init__(
        self,
        scheduler: DDPMScheduler,
        snr_gamma: float | None = None,
        plain: torch.Tensor | None = None,
    ) -> None:
        predicts, fault = scheduler.config.prediction_type, ""
        zero_snr = scheduler.config.rescale_betas_zero_snr
        if predicts not in ("epsilon", "v_prediction"):
            fault = f"A model that predicts {predicts!r} cannot be trained here"
        elif zero_snr and predicts == "epsilon":
            fault = "A model whose last noise level is noise alone cannot learn to predict noise"
        if fault:
            raise Problem(fault, do="Choose another base model")
        self.scheduler, self.plain = scheduler, plain
        # without a limit still scaled like the loss of noise: kohya_ss's
        # scale_v_pred_loss_like_noise_pred, which is usual for these models
        self.gamma = math.inf if zero_snr and snr_gamma is None else snr_gamma

    def __call__(self, denoiser: nn.Module, batch: Batch) -> torch.Tensor:
        noisy = self.scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
        prediction = denoiser(noisy, batch.timesteps, batch.texts).float()
        target = self.target(batch)
        if self.plain is not None and batch.is_prior.any():
            target = target.index_put((batch.is_prior,), self._of_the_base(denoiser, batch, noisy))
        error = (prediction - target).square().mean(dim=(1, 2, 3))
        if self.gamma is None:
            return error
        return error * min_snr_weights(self.scheduler, batch.timesteps, self.gamma)

    def target(self, batch: Batch) -> torch.Tensor:
        """The noise, or for v-prediction the velocity (Salimans & Ho 2022, arXiv 2202.00512)."""
        if self.scheduler.config.prediction_type == "epsilon":
            return batch.noise
        return self.scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)

    @torch.no_grad()
    def _of_the_base(self, denoiser: nn.Module, batch: Batch, noisy: torch.Tensor) -> torch.Tensor:
        """What the base predicts for the batch's class samples."""
        own = batch.is_prior
        taken = detach(denoiser)
        try:
            return denoiser(noisy[own], batch.timesteps[own], self.plain[batch.rows[own]]).float()
        finally:
            reattach(taken)


def min_snr_weights(
    scheduler: DDPMScheduler, timesteps: torch.Tensor, gamma: float
) -> torch.Tensor:
    """min(SNR, gamma) / SNR, or / (SNR + 1) for v-prediction; (n,) in fp32.

    Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting", arXiv 2303.09556.
    """
    snr = compute_snr(scheduler, timesteps).float()
    velocity = scheduler.config.prediction_type == "v_prediction"
    return snr.clamp(max=gamma) / (snr + 1 if velocity else snr)
