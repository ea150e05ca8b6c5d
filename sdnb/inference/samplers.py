"""Samplers by the names that the web UIs give them.

Where a sampler adds noise on the way, each image's comes from its own seed. Those of k-diffusion
that draw it from a Brownian tree (DPM++ SDE) are therefore missing here.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from sdnb.errors import Problem, nearest

DEFAULT = "DPM++ 2M"
KARRAS = " Karras"  # behind a name: steps spaced as in Karras et al. 2022, arXiv 2206.00364
_SPACED = {"use_karras_sigmas": True}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_LATENT = {"clip_sample": False, "set_alpha_to_one": False}  # latents are not bound to -1 to 1


class EulerAncestral(EulerAncestralDiscreteScheduler):
    """With noise in fp32 whatever the UNet's output is: diffusers draws it in the output's dtype,
    and in 16 bits a seed would give other noise and another image."""

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        done = super().step(model_output.float(), timestep, sample, generator)
        done["prev_sample"] = done.prev_sample.to(sample.dtype)
        return done if return_dict else done.to_tuple()


# the pairs of names as in diffusers' own table (docs/source/en/api/schedulers/overview.md)
SAMPLERS: dict[str, tuple[type[SchedulerMixin], dict[str, Any]]] = {
    "DPM++ 2M": (DPMSolverMultistepScheduler, {}),
    "DPM++ 2M Karras": (DPMSolverMultistepScheduler, _SPACED),
    "DPM++ 2M SDE": (DPMSolverMultistepScheduler, _SDE),
    "DPM++ 2M SDE Karras": (DPMSolverMultistepScheduler, _SDE | _SPACED),
    "UniPC": (UniPCMultistepScheduler, {}),
    "Euler": (EulerDiscreteScheduler, {}),
    "Euler a": (EulerAncestral, {}),
    "Heun": (HeunDiscreteScheduler, {}),
    "LMS": (LMSDiscreteScheduler, {}),
    "DDIM": (DDIMScheduler, _LATENT),
    "PLMS": (PNDMScheduler, {"skip_prk_steps": True, "set_alpha_to_one": False}),
}


def make_sampler(name: str, scheduler_config: Mapping[str, Any]) -> SchedulerMixin:
    """The sampler for a model with this scheduler's settings, which say how noise was added and
    what the model predicts. Raises Problem as `known_sampler` does."""
    kind, arguments = SAMPLERS[known_sampler(name)]
    if scheduler_config.get("rescale_betas_zero_snr") and not _rescales(kind):
        can = ", ".join(name for name, (kind, _) in SAMPLERS.items() if _rescales(kind))
        what = f"The sampler {name} cannot begin with noise alone, as this base model does"
        raise Problem(f"{what} (zero terminal SNR)", do=f"Choose one of {can}")
    return kind.from_config(scheduler_config, **arguments)


def _rescales(kind: type[SchedulerMixin]) -> bool:
    return "rescale_betas_zero_snr" in inspect.signature(kind.__init__).parameters


def known_sampler(name: str) -> str:
    """The name; Problem where there is no such sampler."""
    if name not in SAMPLERS:
        raise Problem(f"There is no sampler called {name!r} here", do=nearest(name, SAMPLERS))
    return name
