"""Put a trained LoRA into a model, and take it out again."""

from pathlib import Path

from diffusers import StableDiffusionPipeline
from safetensors import SafetensorError

from sdnb.machine import mend_peft
from sdnb.models import Model, quiet
from sdnb.problems import Problem

NAME = "sdnb"


def load_lora(
    model: Model | StableDiffusionPipeline, file: Path | str, weight: float = 1.0
) -> None:
    """Add the LoRA in `file` (diffusers' or kohya's format) to `model`, in place of any before.

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
            _load(pipe, Path(file))
            pipe.set_adapters([NAME], [weight])
    except (OSError, SafetensorError, KeyError, IndexError, ValueError, RuntimeError) as error:
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
