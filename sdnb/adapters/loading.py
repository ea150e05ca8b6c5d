"""Put trained LoRAs into a model, take them out again, or bake them into its own weights."""

from collections.abc import Sequence
from pathlib import Path

from diffusers import DiffusionPipeline
from torch import nn

from sdnb.adapters.layers import detach, inject, reattach, tuner_layers, use_all
from sdnb.adapters.lora_file import OWN_BASE, read_lora
from sdnb.errors import Problem
from sdnb.machine import mend_peft
from sdnb.models.base import Model

PARTS = ("unet", "text_encoder", "text_encoder_2")


def load_lora(model: Model | DiffusionPipeline, file: Path | str, weight: float = 1.0) -> None:
    """Add the LoRA in `file` (LoCon, LoHa and LoKr too; see `lora_file` for the spellings that are
    read) to `model`, in place of any before. `weight` scales it: 0 is the base model, 1 as trained.

    Raises Problem where the file is missing or not a LoRA for this model; the model is then as it
    was before.
    """
    use_loras(model, [(file, weight, weight)])


def use_loras(
    model: Model | DiffusionPipeline, loras: Sequence[tuple[Path | str, float, float]]
) -> None:
    """Several LoRAs at once, in place of any before: for each the file, its weight on the UNet and
    its weight on the text encoders. Learned words that a file brings along are named in a printed
    sentence, unless the model knows them. Raises Problem as `load_lora` does."""
    mend_peft()
    parts = _parts(model)
    files = [read_lora(file, parts) for file, _, _ in loras]  # nothing has been changed yet
    kinds = {config.peft_type for file in files for config in file.configs.values()}
    if len(kinds) > 1:
        what = "A LoRA, a LoHa and a LoKr cannot work at the same time"
        raise Problem(what, files[-1].path, "Use those of one kind together")
    before = detach(*parts.values())
    try:
        for index, (file, (_, unet, text)) in enumerate(zip(files, loras, strict=True)):
            for name, config in file.configs.items():
                weight = unet if name == "unet" else text
                inject(parts[name], f"lora_{index}", config, file.layers[name], weight)
        for part in parts.values():
            use_all(part)
    except BaseException as error:  # an interrupt too: half of a LoRA must not stay
        detach(*parts.values())
        reattach(before)
        if not isinstance(error, LookupError | TypeError | ValueError | RuntimeError):
            raise
        what = "The file is not a LoRA for this base model"
        raise Problem(what, file.path, OWN_BASE) from error
    known = model.tokenizer.get_added_vocab()
    for file in files:
        for word in (word for word in file.words if word.lower() not in known):
            teach = f"load_embedding(model, file, {word!r}) teaches it to the model"
            print(f"{file.path.name} brings the word {word!r} along: {teach}.")


def unload_lora(model: Model | DiffusionPipeline) -> None:
    """Give the base model back as it was."""
    detach(*_parts(model).values())


def merge_lora(model: Model, weight: float = 1.0) -> None:
    """Add the LoRAs (LoCon, LoHa, LoKr) now in `model` to the base weights, and take their matrices
    out: the same pictures from a plain model. `weight` scales them once more; 1 is as they are
    loaded.

    Raises Problem where there is none in the model, or a sum is not a number; the model is then
    without LoRAs, and `load_model` gives it back as it was.
    """
    layers = [layer for part in model.modules for layer in tuner_layers(part)]
    if not layers:
        raise Problem("There is no LoRA in the model", do="Load one by load_lora(model, file)")
    model.moved = True
    try:
        for layer in layers:
            layer.scale_layer(weight)
            layer.merge(safe_merge=True)
    except ValueError as error:
        what = "The LoRA cannot be merged: its numbers are too large for the model's number format"
        do = "Load the model in fp32, or choose an earlier state of the LoRA"
        raise Problem(what, do=do) from error
    finally:
        detach(*model.modules)


def _parts(model: Model | DiffusionPipeline) -> dict[str, nn.Module]:
    return {name: part for name in PARTS if (part := getattr(model, name, None)) is not None}
