"""Why a loss is no longer a number: the likeliest cause, in a sentence."""

from collections.abc import Iterable

import torch

from sdnb.errors import Problem
from sdnb.training.batches import Batch, Batches

LOWER = "Lower the learning rate and train again in another folder"


def diagnose(
    losses: torch.Tensor,
    batch: Batch,
    batches: Batches,
    weights: Iterable[torch.Tensor],
    step: int,
    precision: str,
) -> Problem:
    """The Problem for `losses` (n,) of which some are NaN or infinite, at optimizer step `step`
    (from 1): weights that are lost already, a photo whose latents are, a precision too narrow, or
    else a learning rate too high. `precision` is the calculation's: "no", "fp16" or "bf16"."""
    at = f"At step {step} the loss was no longer a number"
    kept = "what was saved before is still there"
    if not all(torch.isfinite(weight).all() for weight in weights):
        grown = f"{at}, because the weights have grown beyond all bounds"
        return Problem(grown, do=f"{LOWER}; {kept}")
    bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
    names = ", ".join(dict.fromkeys(_name(batch, batches, i) for i in bad))
    if any(not torch.isfinite(batch.latents[i]).all() for i in bad):
        coded = f"{at}, because a photo cannot be encoded"
        return Problem(coded, names, "Remove it and train again")
    if precision == "fp16":
        narrow = 'Set precision = "fp32", or lower the learning rate'
        return Problem(f"{at}: a value was too large for fp16", names, f"{narrow}; {kept}")
    return Problem(f"{at}; the learning rate is the likeliest cause", names, f"{LOWER}; {kept}")


def _name(batch: Batch, batches: Batches, index: int) -> str:
    examples = batches.prior if batch.is_prior[index] else batches.instance
    row = int(batch.rows[index])
    return examples.names[row] if examples.names else f"photo {row + 1}"
