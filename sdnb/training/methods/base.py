"""What a training method is: what trains, how its captions differ, what is saved and loaded."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.training_utils import cast_training_params

from sdnb.adapters.layers import detach
from sdnb.captioning.captions import check_captions
from sdnb.dataset.photos import Photo, unread_files
from sdnb.errors import Problem
from sdnb.models.base import Model
from sdnb.training.config import TrainConfig, contradictions
from sdnb.training.latents import wordings


class Method:
    """A training method. The loop knows nothing else of it, and no other module lists methods."""

    name: ClassVar[str]  # as the settings say it: method = "lora"
    title: ClassVar[str]  # what comes of it, in sentences
    result: ClassVar[str]  # the file or folder that `save` writes into the run
    half_base: ClassVar[bool] = True  # the base may be held in 16 bits: its own weights stay

    def prepare(self, model: Model, config: Any) -> list[dict]:
        """Freeze the model but for what trains; the optimizer's parameter groups, all fp32."""
        raise NotImplementedError

    def captions(self, config: Any, photos: list[Photo]) -> list[str]:
        """The text each photo is learned with: its own caption; without one, the plain one."""
        return [photo.caption or plain_caption(config) for photo in photos]

    def remarks(self, config: Any, photos: list[Photo], tokenizer: Any = None) -> list[str]:
        """What a run would pass over in its settings, its folder and its captions (as the base's
        `tokenizer` reads them), a sentence each. Raises Problem as `check_captions`."""
        plain, texts = plain_caption(config), self.captions(config, photos)
        said = [
            replace(photo, caption=wording if photo.caption or text != plain else "")
            for photo, text in zip(photos, texts, strict=True)
            for wording in wordings(text, config)
        ]
        beside = filter(None, (config.held_out, config.prior_folder))
        return [
            *contradictions(config, len(photos)),
            *unread_files(config.photos),
            *(f"{folder.name}: {remark}" for folder in beside for remark in unread_files(folder)),
            *check_captions(said, config.trigger, tokenizer, getattr(config, "vectors", 0)),
        ]

    def save(self, model: Model, config: Any, path: Path) -> None:
        """Write what was learned to a file or folder, whole or not at all."""
        raise NotImplementedError

    def load(self, model: Model, path: Path) -> None:
        """Load what `save` wrote into a base model, to make images with."""
        raise NotImplementedError

    def remove(self, model: Model) -> None:
        """Give the base model back as it was."""
        detach(*model.modules)

    def freeze(self, model: Model) -> None:
        """Give the base model back as it was, and let nothing in it learn."""
        self.remove(model)
        for module in model.modules:
            module.requires_grad_(False)

    def opening(self, model: Model, config: Any) -> str:
        """A sentence to say before the run; often none."""
        return ""

    def closing(self, path: Path) -> str:
        """A sentence about what was saved; often none."""
        return ""


def plain_caption(config: TrainConfig) -> str:
    """The plainest prompt that names the subject."""
    return f"photo of {config.trigger or 'a'} {config.class_word}"


def parameter_group(module: torch.nn.Module, learning_rate: float) -> dict:
    """All that trains in `module` as one parameter group of an optimizer, fp32."""
    cast_training_params(module)  # a half-precision base gives half-precision ones
    parameters = [p for p in module.parameters() if p.requires_grad]
    return {"params": parameters, "lr": learning_rate}


def refuse_sdxl(model: Model, method: str) -> None:
    """Only LoRA knows what to do with two text encoders."""
    if model.text_encoder_2 is not None:
        do = 'Choose method = "lora", or a base of SD 1 or 2'
        raise Problem(f"{method} cannot be trained on SDXL here", model.info.sources[0], do)
