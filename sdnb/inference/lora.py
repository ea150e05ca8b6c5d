"""Put a trained LoRA into a model, and take it out again."""

import json
from dataclasses import fields
from pathlib import Path

from diffusers import StableDiffusionPipeline
from peft import LoraConfig, PeftConfig, set_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors import SafetensorError, safe_open

from sdnb.machine import mend_peft
from sdnb.models import Model, quiet
from sdnb.problems import Problem

NAME = "sdnb"


def load_lora(
    model: Model | StableDiffusionPipeline, file: Path | str, weight: float = 1.0
) -> None:
    """Add the LoRA in `file` (diffusers' or kohya's format; a LoHa or LoKr as this package saves
    it) to `model`, in place of any before.

    `weight` scales it: 0 is the base model, 1 as trained. Raises Problem where the file is missing
    or not a LoRA for this model; the model is then without any.
    """
    mend_peft()
    pipe = model.pipeline() if isinstance(model, Model) else model
    pipe.unload_lora_weights()
    if not Path(file).is_file():
        raise Problem("There is no such LoRA file", file, "Check the path")
    try:
        # transformers prints a table of "missing" weights for every LoRA on a text encoder
        with quiet(warnings=False):
            (_load_relative if _is_relative(Path(file)) else _load)(pipe, Path(file))
            pipe.set_adapters([NAME], [weight])
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        # what a failed load has registered would make the next one silently do nothing
        pipe.unload_lora_weights()
        raise Problem(
            "The file is not a LoRA for this base model",
            file,
            "Use the base model it was trained on",
        ) from error


def unload_lora(model: Model | StableDiffusionPipeline) -> None:
    """Give the base model back as it was."""
    (model.pipeline() if isinstance(model, Model) else model).unload_lora_weights()


def _load(pipe: StableDiffusionPipeline, file: Path) -> None:
    """diffusers' own two loaders, with the text encoder's names set right between.

    CLIPTextModel lost its inner `text_model` in transformers 5.6, and diffusers 0.39 does not
    take it out of the names in a file (diffusers issue 13984).
    """
    tensors, alphas, metadata = pipe.lora_state_dict(
        file.parent,
        weight_name=file.name,
        use_safetensors=True,
        local_files_only=True,
        return_lora_metadata=True,
    )
    if not all("lora" in name for name in tensors):
        raise ValueError("not a LoRA")
    metadata = metadata and _known(metadata, LoraConfig)
    if not hasattr(pipe.text_encoder, "text_model"):
        flat = ("text_encoder.text_model.", "text_encoder.")
        tensors = {name.replace(*flat): tensor for name, tensor in tensors.items()}
        alphas = alphas and {name.replace(*flat): alpha for name, alpha in alphas.items()}
    for part, load in (
        ("unet", pipe.load_lora_into_unet),
        ("text_encoder", pipe.load_lora_into_text_encoder),
    ):
        if any(name.startswith(f"{part}.") for name in tensors):
            load(
                tensors,
                alphas,
                getattr(pipe, part),
                adapter_name=NAME,
                metadata=metadata,
                _pipeline=pipe,
            )


def _is_relative(file: Path) -> bool:
    """Whether it is a LoHa or LoKr of ours, which diffusers' loaders refuse."""
    with safe_open(file, "pt") as opened:
        return any(".hada_" in name or ".lokr_" in name for name in opened.keys())


def _load_relative(pipe: StableDiffusionPipeline, file: Path) -> None:
    """peft's own way: the adapter's settings from the header, then its tensors."""
    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()["lora_adapter_metadata"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    for part in ("unet", "text_encoder"):
        own = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(part)}
        if own:
            module = getattr(pipe, part)
            module.add_adapter(_config(header, part), NAME)
            set_peft_model_state_dict(module, own, NAME)


def _config(header: dict, part: str) -> PeftConfig:
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[header[f"{part}.peft_type"]]
    values = {
        name.removeprefix(f"{part}."): value
        for name, value in _known(header, kind).items()
        if name.startswith(part) and value is not None
    }
    return kind(**{name: value for name, value in values.items() if name != "peft_type"})


def _known(header: dict, kind: type[PeftConfig]) -> dict:
    """The settings that the installed peft knows; a newer one writes more of them, for things that
    nothing here uses."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in header.items() if name.partition(".")[2] in names}
