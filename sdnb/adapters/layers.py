"""The matrices beside a model's layers: injected, detached, and reattached.

peft and diffusers do this too, each with its own bookkeeping (names that stay registered after a
failure, scales that forget rank-stabilisation). Here the layers themselves say what is on them.
"""

import warnings
from dataclasses import dataclass

import torch
from peft import PeftConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn


@dataclass(frozen=True)
class Detached:
    """Layers with their matrices, detached from a model: (parent, name there, layer), and the
    settings of each part."""

    layers: tuple[tuple[nn.Module, str, BaseTunerLayer], ...]
    settings: tuple[tuple[nn.Module, dict], ...]


def add_adapter(part: nn.Module, config: PeftConfig, name: str = "default") -> None:
    """Add fresh matrices to `part`, which peft draws from torch's generator.

    By peft itself: `add_adapter` of a transformers model refuses every peft that is older than the
    one it was written beside (5.24 asks for 0.22, which PyPI does not have).
    """
    with warnings.catch_warnings():  # peft warns of a second adapter, which is what is wanted
        warnings.simplefilter("ignore", UserWarning)
        inject_adapter_in_model(config, part, name)
    part._hf_peft_config_loaded = True  # what diffusers and transformers look at


def inject(
    part: nn.Module,
    name: str,
    config: PeftConfig,
    tensors: dict[str, torch.Tensor],
    weight: float = 1.0,
) -> None:
    """Add matrices to `part` and fill them with `tensors` (peft's names). `weight` scales them.
    Raises what peft does where they do not fit; see `detach`."""
    add_adapter(part, config, name)
    for key in tensors:
        if ".lokr_" in key:  # LyCORIS splits a layer by any factor, peft by one of its own
            module, _, kind = key.rpartition(".")
            matrices = getattr(part.get_submodule(module), kind)
            matrices[name] = nn.Parameter(matrices[name].new_empty(tensors[key].shape))
    found = set_peft_model_state_dict(part, tensors, name)
    if found.unexpected_keys:
        raise ValueError(f"left over: {found.unexpected_keys[0]}")
    for layer in tuner_layers(part):
        if name in layer.scaling:
            layer.scaling[name] *= weight


def use_all(part: nn.Module) -> None:
    """Let every adapter of `part` work at once, none of them learning."""
    names = list(getattr(part, "peft_config", {}))
    for layer in tuner_layers(part):
        layer.set_adapter(names)
        for kind in layer.adapter_layer_names:
            getattr(layer, kind).requires_grad_(False)


def detach(*parts: nn.Module) -> Detached:
    """Give the layers back as they were, and hand out what was on them."""
    layers, settings = [], []
    for part in parts:
        outermost = ""
        for name, layer in list(part.named_modules()):
            inner = outermost and name.startswith(f"{outermost}.")
            if isinstance(layer, BaseTunerLayer) and not inner:
                outermost = name
                parent, _, child = name.rpartition(".")
                layers.append((part.get_submodule(parent), child, layer))
        if hasattr(part, "peft_config"):
            settings.append((part, part.peft_config))
            del part.peft_config
            part._hf_peft_config_loaded = False
    for parent, child, layer in layers:
        setattr(parent, child, layer.get_base_layer())
    return Detached(tuple(layers), tuple(settings))


def reattach(taken: Detached) -> None:
    """Undo `detach`."""
    for parent, child, layer in taken.layers:
        setattr(parent, child, layer)
    for part, settings in taken.settings:
        part.peft_config = settings
        part._hf_peft_config_loaded = True


def tuner_layers(part: nn.Module) -> list[BaseTunerLayer]:
    """The layers that have matrices beside them, as peft wraps them."""
    return [layer for layer in part.modules() if isinstance(layer, BaseTunerLayer)]
