import pytest
import torch
from diffusers import DDPMScheduler

from sdnb.errors import Problem
from sdnb.training.batches import Batch
from sdnb.training.loop import _weighted
from sdnb.training.loss import DenoisingLoss, min_snr_weights


def scheduler(prediction_type="epsilon", **more):
    return DDPMScheduler(
        **more,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
    )


def some_batch(n=3):
    torch.manual_seed(0)
    return Batch(
        torch.randn(n, 4, 2, 2),
        torch.zeros(n, 77, 8),
        torch.randn(n, 4, 2, 2),
        torch.tensor([0, 400, 999])[:n],
        torch.ones(n),
        torch.zeros(n, dtype=torch.bool),
        torch.arange(n),
    )


def denoiser(noisy, timesteps, texts):
    return noisy * 0.5


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_loss_on_paper(prediction_type):
    batch, kind = some_batch(), scheduler(prediction_type)
    a = kind.alphas_cumprod[batch.timesteps].reshape(-1, 1, 1, 1)
    noisy = a.sqrt() * batch.latents + (1 - a).sqrt() * batch.noise
    velocity = a.sqrt() * batch.noise - (1 - a).sqrt() * batch.latents
    target = batch.noise if prediction_type == "epsilon" else velocity
    expected = ((noisy * 0.5 - target) ** 2).mean(dim=(1, 2, 3))
    torch.testing.assert_close(DenoisingLoss(kind)(denoiser, batch), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_on_paper(prediction_type):
    batch, kind = some_batch(), scheduler(prediction_type)
    a = kind.alphas_cumprod[batch.timesteps].double()
    snr = a / (1 - a)
    divisor = snr if prediction_type == "epsilon" else snr + 1
    expected = (torch.minimum(snr, torch.tensor(5.0)) / divisor).float()
    weights = min_snr_weights(kind, batch.timesteps, 5.0)
    # 1e-4: compute_snr squares rounded square roots, and 1 - a cancels at timestep 0
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=0)
    plain = DenoisingLoss(kind)(denoiser, batch)
    weighted = DenoisingLoss(kind, snr_gamma=5.0)(denoiser, batch)
    torch.testing.assert_close(weighted, plain * weights)


def test_prior_preservation_on_paper():
    losses = torch.tensor([1.0, 3.0, 10.0, 20.0])
    batch = Batch(
        *[torch.empty(4)] * 4,
        weights=torch.tensor([1, 1, 0.3, 0.3]),
        is_prior=torch.tensor([False, False, True, True]),
        rows=torch.arange(4),
    )
    total, parts = _weighted(losses, batch)
    # mean(1, 3) + 0.3 * mean(10, 20)
    assert total.item() == pytest.approx(2 + 0.3 * 15, rel=1e-6)
    assert parts.tolist() == pytest.approx([6.5, 2, 15], rel=1e-6)


def test_an_unknown_prediction_type_is_a_problem():
    with pytest.raises(Problem, match="sample"):
        DenoisingLoss(scheduler("sample"))


def test_zero_terminal_snr_on_paper():
    """The last noise level is noise alone; the loss is scaled as sd-scripts' option
    scale_v_pred_loss_like_noise_pred: by SNR / (SNR + 1)."""
    batch, kind = some_batch(), scheduler("v_prediction", rescale_betas_zero_snr=True)
    a = kind.alphas_cumprod[batch.timesteps].double()
    assert a[-1] == 0
    a_ = a.reshape(-1, 1, 1, 1)
    noisy = a_.sqrt() * batch.latents + (1 - a_).sqrt() * batch.noise
    velocity = a_.sqrt() * batch.noise - (1 - a_).sqrt() * batch.latents
    error = ((noisy * 0.5 - velocity) ** 2).mean(dim=(1, 2, 3))
    snr = a / (1 - a)
    found = DenoisingLoss(kind)(denoiser, batch)
    torch.testing.assert_close(found, (error * snr / (snr + 1)).float(), rtol=1e-4, atol=1e-7)
    found = DenoisingLoss(kind, snr_gamma=2.0)(denoiser, batch)
    expected = (error * snr.clamp(max=2.0) / (snr + 1)).float()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_noise_cannot_be_predicted_where_nothing_else_is_left():
    with pytest.raises(Problem, match="noise alone"):
        DenoisingLoss(scheduler("epsilon", rescale_betas_zero_snr=True))
