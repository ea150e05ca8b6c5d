"""What the judge and the autoencoder minimise."""

import torch
import torch.nn.functional as F

from sdnb.mini.judge import Judge
from sdnb.mini.recipe import data
from sdnb.mini.recipe.optimise import autocast
from sdnb.mini.scenes import FEATURES


def judge_loss(
    judge: Judge, pictures: torch.Tensor, labels: torch.Tensor, temperature: float = 0.1
) -> torch.Tensor:
    """Cross-entropy of every visible feature plus supervised contrastive loss (arXiv 2004.11362)
    between pictures of the same subject; a batch is made of whole groups of lookalikes, so the
    negatives are hard ones."""
    with autocast():
        logits, embedding = judge(pictures)
    loss = sum(
        F.cross_entropy(logits[name].float(), labels[:, i], ignore_index=-1, reduction="sum")
        / (labels[:, i] >= 0).sum().clamp(min=1)
        for i, name in enumerate(FEATURES)
    )
    embedding = F.normalize(embedding.float(), dim=1)
    who = torch.arange(len(pictures), device=pictures.device) // data.VIEWS
    itself = torch.eye(len(who), dtype=torch.bool, device=who.device)
    scores = (embedding @ embedding.T / temperature).masked_fill(itself, -1e4).log_softmax(1)
    same = (who[:, None] == who[None, :]) & ~itself
    return loss + 2.0 * -(scores * same).sum(1).div(same.sum(1)).mean()


def copy_loss(eye: Judge, copy_: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """L1, gradients and a perceptual term on pictures in -1..1."""
    with autocast():
        seen = [
            F.l1_loss(a, b)
            for a, b in zip(eye.layers(copy_)[:6], eye.layers(real)[:6], strict=True)
        ]
    copy_ = copy_.float()
    slopes = sum((copy_.diff(dim=d) - real.diff(dim=d)).abs().mean() for d in (-1, -2))
    return (
        F.l1_loss(copy_, real)
        + 0.5 * F.mse_loss(copy_, real)
        + slopes
        + 0.15 * sum(s.float() for s in seen)
    )
