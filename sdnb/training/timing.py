"""What a run will take, its minutes included: five real steps are tried, and nothing is kept."""

import time
from dataclasses import replace
from itertools import islice

import torch

from sdnb.dataset.photos import Photo
from sdnb.machine import Machine, find_machine
from sdnb.models.base import Model, find_model
from sdnb.models.loading import load_model
from sdnb.training.config import TrainConfig
from sdnb.training.loop import fit
from sdnb.training.memory import Plan, refuse_what_cannot_fit
from sdnb.training.methods import base_dtype
from sdnb.training.run import photos_for, prepare

STEPS = 5


def estimate(config: TrainConfig, machine: Machine | None = None) -> Plan:
    """The plan of a run with its minutes, estimated on this machine. Loads the base model for it.

    Class images, which a run makes before its first step, are not part of the minutes. Raises
    Problem where `train` would, before any training.
    """
    machine = machine or find_machine(config.precision)
    base = find_model(config.base)
    photos = photos_for(config, base)
    planned = refuse_what_cannot_fit(config, len(photos), machine, base=base)
    model = load_model(base, base_dtype(config, machine), machine)
    few = photos[: config.batch_size]  # the speed does not depend on how many there are
    others = few if config.prior_weight else []  # nor what the class images show
    tried = seconds_per_step(config, few, model, machine, others)
    return replace(planned, seconds_per_step=tried)


def seconds_per_step(
    config: TrainConfig,
    photos: list[Photo],
    model: Model,
    machine: Machine | None = None,
    class_photos: list[Photo] | None = None,
) -> float:
    """Seconds of one training step: the mean of five, after a first one, which is the slowest.
    `model` is left prepared, as by `prepare`."""
    as_long = config.replace(views_per_photo=10_000)
    run = fit(*prepare(as_long, photos, model, machine, class_photos))
    next(run)
    begun = time.perf_counter()
    for _ in islice(run, STEPS):
        pass
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / STEPS
