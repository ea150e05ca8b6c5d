"""LoRA (Hu et al. 2021, arXiv 2106.09685): small trained matrices beside frozen layers. Also its
relatives: LoCon (convolutions too), LoHa (arXiv 2108.06098) and LoKr (arXiv 2212.10650)."""

from pathlib import Path

import peft
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import get_pattern_key

from sdnb.adapters.layers import add_adapter, detach, inject, tuner_layers
from sdnb.adapters.loading import load_lora
from sdnb.adapters.lora_file import read_lora
from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.machine import mend_peft
from sdnb.models.base import Model
from sdnb.models.saving import finish_file
from sdnb.training.config import LoraConfig
from sdnb.training.methods.base import Method, parameter_group

ATTENTION = r"(to_q|to_k|to_v|to_out\.0)"
FEEDFORWARD = rf"attn[12]\.{ATTENTION}|ff\.net\.(0\.proj|2)"
CONVOLUTION = r"conv1|conv2|conv_shortcut|time_emb_proj|proj_in|proj_out|(down|up)samplers\.0\.conv"
UNET_LAYERS = {  # regular expressions over the UNet's module names
    "cross-attention": rf".*\.attn2\.{ATTENTION}",
    "attention": rf".*\.attn[12]\.{ATTENTION}",
    "attention+feedforward": rf".*\.({FEEDFORWARD})",
    "transformer": rf".*\.({FEEDFORWARD}|proj_in|proj_out)",  # as kohya_ss
    "attention+feedforward+convolution": rf".*\.({FEEDFORWARD}|{CONVOLUTION})",
}
PAIR = ("earlier", "default")
SCALED = ("lora_B", "hada_w1_a", "lokr_w1", "lokr_w1_a")  # one factor of each product
TEXT_LAYERS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]  # as kohya_ss


class Lora(Method):
    """Small matrices learn beside frozen layers; see the module."""

    name, title, result = "lora", "A LoRA", "lora.safetensors"

    def prepare(self, model: Model, config: LoraConfig) -> list[dict]:
        """Freeze the model and add the matrices, drawn from `config.seed` alone. A LoRA that was
        there before is removed."""
        mend_peft()
        self.freeze(model)
        devices = [model.device.index or 0] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # leaves the caller's own chance alone
            torch.manual_seed(config.seed)
            add_adapter(model.unet, _adapter(config, UNET_LAYERS[config.layers]))
            groups = [parameter_group(model.unet, config.learning_rate)]
            for encoder in model.encoders.values() if config.train_text_encoder else ():
                add_adapter(encoder, _adapter(config, TEXT_LAYERS))
                groups.append(parameter_group(encoder, config.text_encoder_learning_rate))
        if config.init_weights and model.device.type != "meta":  # a plan counts, and reads nothing
            _go_on_from(model, config)
        return groups

    def save(self, model: Model, config: LoraConfig, path: Path) -> None:
        """Write the matrices in diffusers' format, fp32.

        The adapters' settings stand in the header: without them diffusers would load any alpha as
        if it were the rank.
        """
        parts = _trained(model, config)
        pipeline = StableDiffusionXLPipeline if model.text_encoder_2 else StableDiffusionPipeline
        content = {}
        for name, part in parts.items():
            content[f"{name}_lora_layers"] = peft.get_peft_model_state_dict(part)
            content[f"{name}_lora_adapter_metadata"] = header_of(part)

        def write(aside: Path) -> None:
            pipeline.save_lora_weights(aside.parent, weight_name=aside.name, **content)
            finish_file(aside)

        write_atomically(path, write)

    def load(self, model: Model, path: Path) -> None:
        """Inject the matrices in the file."""
        load_lora(model, path)


def header_of(part: torch.nn.Module) -> dict:
    """The settings that say what the tensors mean, and no more: a newer peft's every field would
    stop an older one from loading the file, and the base's path is nobody's business. Ranks and
    alphas of their own stand there layer by layer, not by a pattern."""
    config = part.peft_config["default"]
    values, plain = config.to_dict(), type(config)().to_dict()
    kept = {name: value for name, value in values.items() if value != plain.get(name)}
    for private in ("base_model_name_or_path", "peft_version", "inference_mode"):
        kept.pop(private, None)
    alpha = "lora_alpha" if "lora_alpha" in values else "alpha"
    # diffusers asks for the patterns even where they are empty
    kept |= {n: values[n] for n in ("peft_type", "r", alpha, "rank_pattern", "alpha_pattern")}
    names = [name for name, module in part.named_modules() if isinstance(module, BaseTunerLayer)]
    for pattern in ("rank_pattern", "alpha_pattern"):
        own = {name: get_pattern_key(values[pattern], name) for name in names}
        kept[pattern] = {n: values[pattern][k] for n, k in own.items() if k in values[pattern]}
    if not isinstance(layers := values["target_modules"], str):
        kept["target_modules"] = sorted(layers)  # a set: another order in every process
    return kept


def _go_on_from(model: Model, config: LoraConfig) -> None:
    """Fill the fresh matrices with those of an earlier LoRA, of any format. Layers that it lacks
    begin as they are. Raises Problem where it has another kind or rank, or layers of its own."""
    trained = _trained(model, config)
    file = read_lora(config.init_weights, {"unet": model.unet, **model.encoders})
    for name, theirs in file.configs.items():
        part = trained.get(name)
        if part is None or part.peft_config["default"].peft_type != theirs.peft_type:
            raise _unlike(model, config)
        inject(part, "earlier", theirs, file.layers[name])
        for layer in tuner_layers(part):
            layer.set_adapter("default")
            if "earlier" in layer.scaling:
                if not _copied(layer):
                    raise _unlike(model, config)
                layer.delete_adapter("earlier")
        part.peft_config.pop("earlier")


def _copied(layer: BaseTunerLayer) -> bool:
    """Copy the matrices "earlier" to "default", scaled where alpha / rank differs; False where
    there is no place for them."""
    for kind in layer.adapter_layer_names:
        matrices = getattr(layer, kind)
        if "earlier" in matrices:
            if "default" not in matrices:
                return False
            source, target = (getattr(m, "weight", m) for m in (matrices[name] for name in PAIR))
            if source.shape != target.shape:
                return False
            ratio = layer.scaling["earlier"] / layer.scaling["default"] if kind in SCALED else 1
            target.data.copy_(source.data * ratio)
    return True


def _unlike(model: Model, config: LoraConfig) -> Problem:
    detach(*model.modules)
    what = "The LoRA to go on from has another kind or rank, or other layers than these settings"
    do = "Set kind, rank, layers and train_text_encoder as it was trained"
    return Problem(what, config.init_weights, do)


def _trained(model: Model, config: LoraConfig) -> dict[str, torch.nn.Module]:
    """What gets matrices, by name."""
    return {"unet": model.unet, **(model.encoders if config.train_text_encoder else {})}


def _adapter(config: LoraConfig, layers: str | list[str]) -> peft.PeftConfig:
    """peft's settings of the matrices. A rank of their own for convolutions as in kohya_ss."""
    patterns = {}
    if config.convolution_rank and "convolution" in config.layers and isinstance(layers, str):
        of_convolutions = rf".*\.({CONVOLUTION})"
        patterns["rank_pattern"] = {of_convolutions: config.convolution_rank}
        patterns["alpha_pattern"] = {of_convolutions: config.convolution_alpha}
    common = {"r": config.rank, "target_modules": layers, **patterns}
    if config.kind == "lora":
        own = {"lora_alpha": config.alpha, "lora_dropout": config.dropout}
        return peft.LoraConfig(use_rslora=config.rank_stabilised, **own, **common)
    kind = {"loha": peft.LoHaConfig, "lokr": peft.LoKrConfig}[config.kind]
    return kind(alpha=config.alpha, rank_dropout=config.dropout, **common)
