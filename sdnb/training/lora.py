"""LoRA (Hu et al. 2021, arXiv 2106.09685): small trained matrices beside frozen layers."""

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig as PeftConfig
from peft import get_peft_model_state_dict

from sdnb.config import LoraConfig
from sdnb.dataset.photos import Photo
from sdnb.files import write_atomically
from sdnb.machine import mend_peft
from sdnb.models import Model

ATTENTION = r"(to_q|to_k|to_v|to_out\.0)"
UNET_LAYERS = {  # regular expressions over the UNet's module names
    "cross-attention": rf".*\.attn2\.{ATTENTION}",
    "attention": rf".*\.attn[12]\.{ATTENTION}",
    "attention+feedforward": rf".*\.(attn[12]\.{ATTENTION}|ff\.net\.(0\.proj|2))",
}
TEXT_LAYERS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]  # as kohya_ss


def prepare(model: Model, config: LoraConfig) -> list[dict]:
    """Freeze the model and add the matrices, drawn from `config.seed` alone. A LoRA that was
    there before is removed."""
    mend_peft()
    remove(model)
    for module in (model.unet, model.vae, model.text_encoder):
        module.requires_grad_(False)
    devices = [model.device.index or 0] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):  # the caller's own stream of chance goes on undisturbed
        torch.manual_seed(config.seed)
        model.unet.add_adapter(_adapter(config, UNET_LAYERS[config.layers]))
        groups = [_group(model.unet, config.learning_rate)]
        if config.train_text_encoder:
            model.text_encoder.add_adapter(_adapter(config, TEXT_LAYERS))
            groups.append(_group(model.text_encoder, config.text_encoder_learning_rate))
    return groups


def captions(config: LoraConfig, photos: list[Photo]) -> list[str]:
    """Each photo's own caption; without one, the plainest prompt that names the subject."""
    return [p.caption or f"photo of {config.trigger} {config.class_word}" for p in photos]


def save(model: Model, config: LoraConfig, path: Path) -> None:
    """Write the matrices in diffusers' format, fp32.

    With the adapters' own settings in the header: without them diffusers would load any alpha as
    if it were the rank.
    """
    parts = {"unet": model.unet}
    if config.train_text_encoder:
        parts["text_encoder"] = model.text_encoder
    layers = {
        f"{name}_lora_layers": get_peft_model_state_dict(part) for name, part in parts.items()
    }
    metadata = {
        f"{name}_lora_adapter_metadata": part.peft_config["default"].to_dict()
        for name, part in parts.items()
    }
    write_atomically(
        path,
        lambda aside: StableDiffusionPipeline.save_lora_weights(
            aside.parent, weight_name=aside.name, **layers, **metadata
        ),
    )


def remove(model: Model) -> None:
    """Take every LoRA off the model; its own weights never moved."""
    model.pipeline().unload_lora_weights()


def _adapter(config: LoraConfig, layers: str | list[str]) -> PeftConfig:
    return PeftConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=layers, init_lora_weights=True
    )


def _group(module: torch.nn.Module, learning_rate: float) -> dict:
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()  # a half-precision base gives half-precision ones
    return {"params": parameters, "lr": learning_rate}
