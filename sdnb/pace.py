"""What a run will take, its minutes included: five real steps are tried, and nothing is kept."""

import time
from dataclasses import replace
from itertools import islice

import torch

from sdnb.config import TrainConfig
from sdnb.machine import Machine, find_machine
from sdnb.models import load_model
from sdnb.run import photos_for, prepare
from sdnb.training.fit import fit
from sdnb.training.method import base_dtype
from sdnb.training.plan import Plan, plan, refuse_what_cannot_fit

STEPS = 5


def forecast(config: TrainConfig, machine: Machine | None = None) -> Plan:
    """The plan of a run with its pace, measured on this machine. Loads the base model for it.

    Class pictures, which a run draws before its first step, are not part of the minutes. Raises
    Problem where `train` would, before any training.
    """
    machine = machine or find_machine(config.precision)
    photos = photos_for(config)
    refuse_what_cannot_fit(config, len(photos), machine)
    model = load_model(config.base, base_dtype(config, machine)).to(machine.device)
    few = photos[: config.batch_size]  # the pace does not ask how many there are
    as_long = config.replace(views_per_photo=10_000)
    others = few if config.prior_weight else []  # nor what the class pictures show
    run = fit(*prepare(as_long, few, model, machine, others))
    next(run)  # the first step is the slowest
    begun = time.perf_counter()
    for _ in islice(run, STEPS):
        pass
    if machine.device == "cuda":
        torch.cuda.synchronize()
    pace = (time.perf_counter() - begun) / STEPS
    return replace(plan(config, len(photos), machine), pace=pace)
