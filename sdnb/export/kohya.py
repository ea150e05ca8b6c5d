"""A trained LoRA, LoCon, LoHa or LoKr, and a learned word, as kohya_ss would have saved them: the
formats that every web UI reads (networks/lora.py in kohya-ss/sd-scripts; LyCORIS for LoHa, LoKr).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from peft import PeftConfig
from peft.utils.other import get_pattern_key

from sdnb.adapters.lora_file import LoraFile, read_lora
from sdnb.errors import Problem
from sdnb.files import write_atomically
from sdnb.models.base import Model
from sdnb.models.original_keys import kohya_name, unet_names
from sdnb.models.saving import SHA256, held_in, save_tensors
from sdnb.models.tensors import read_tensors
from sdnb.training.methods.textual_inversion import KEY

# what means something there, so that no file called by its name may have it (<lora:name:1>)
IN_PROMPTS = {"lora": ":<>", "embedding": " ,:()[]<>|\\"}
SGM = "https://github.com/Stability-AI/generative-models"
MATRICES = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight"}


@dataclass(frozen=True)
class Layer:
    """One layer's matrices by peft's names. Their product counts `scale` times."""

    part: str  # "unet", "text_encoder" or "text_encoder_2"
    module: str  # its path there
    rank: int
    scale: float
    matrices: dict[str, torch.Tensor]


def to_kohya(
    model: Model,
    file: Path | str,
    path: Path | str,
    *,
    metadata: Mapping[str, str] = {},
    precision: str = "fp16",
    name_base: bool = False,
) -> Path:
    """Write the LoRA in `file`, which training saved, to `path` in kohya's format. `model` is the
    base model it was trained on. `metadata` goes into the header over what stands there by itself,
    which is nothing of the photos, the captions or this machine; with `name_base` the base model's
    name too. `precision` is "fp16", "bf16" or "fp32". The same file exported twice gives the same
    bytes; its date is the day on which `file` was written.

    Raises Problem where the file is no LoRA or not one for this base model, where a number does
    not fit into fp16 (65504), and where `path` cannot be a LoRA's.
    """
    path = _checked(path, "lora", file)
    layers = list(_layers(read_lora(file, {"unet": model.unet, **model.encoders})))
    sgm = unet_names(model.unet) if model.info.family.original_names else None
    tensors, alphas = {}, {}
    for layer in layers:
        stem = kohya_name(layer.part, layer.module, sgm)
        matrices, alpha = _as_read(layer)
        tensors |= {f"{stem}.{MATRICES.get(end, end)}": one for end, one in matrices.items()}
        alphas[f"{stem}.alpha"] = torch.tensor(alpha)
    tensors = held_in(tensors, precision, path) | alphas
    header = {
        **modelspec(model, path.stem, Path(file).stat().st_mtime, "lora"),
        **_kohya_metadata(model, layers, path.stem),
        **({"ss_sd_model_name": Path(model.info.name).name} if name_base else {}),
        **{key: str(value) for key, value in metadata.items()},
    }
    write_atomically(path, lambda aside: save_tensors(tensors, aside, header))
    return path


def to_embedding(file: Path | str, path: Path | str) -> Path:
    """Write the learned word in `file`, one tensor (n, d), to `path`, fp32. In a prompt it is
    called by `path`'s name without the ending, so give it the word's.

    Raises Problem where the file is no embedding, or the name cannot be written in a prompt.
    """
    path = _checked(path, "embedding", file)
    tensors, _ = read_tensors(file)
    rows = next(iter(tensors.values()), None)
    if len(tensors) != 1 or rows.ndim != 2:
        raise Problem("The file is not an embedding", file, "Choose a file with one learned word")
    rows = held_in({KEY: rows}, "fp32", path)
    write_atomically(path, lambda aside: save_tensors(rows, aside, {"format": "pt"}))
    return path


def modelspec(model: Model, title: str, made: float, kind: str = "") -> dict[str, str]:
    """What a file says of itself by ModelSpec 1.0.1, as kohya-ss/sd-scripts writes it
    (library/sai_model_spec.py). `made` is when, in seconds since 1970; `kind` is "lora", or nothing
    for a whole model. The mini model passes for an SD 1, whose layout it has."""
    family = model.info.family
    header = {
        "sai_model_spec": "1.0.1",
        "architecture": "/".join(filter(None, (family.architecture, kind))),
        "implementation": SGM if not kind or family.original_names else "diffusers",
        "title": title,
        "resolution": f"{model.info.resolution}x{model.info.resolution}",
        "prediction_type": "v" if family.v_prediction else "epsilon",
        "date": datetime.fromtimestamp(made, UTC).date().isoformat(),
        "hash_sha256": f"0x{SHA256}",
    }
    if model.info.licence != "unknown":
        header["license"] = model.info.licence
    return {f"modelspec.{name}": value for name, value in header.items()}


def _checked(path: Path | str, kind: str, source: Path | str) -> Path:
    """The path of a file to export. Raises Problem where it does not end in .safetensors, its name
    cannot be written in a prompt, or it is `source`."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise Problem("The web UIs find files by their ending", path, "Let it end in .safetensors")
    if found := [character for character in IN_PROMPTS[kind] if character in path.stem]:
        what = f"The file's name is written into prompts, where {found[0]!r} means something else"
        raise Problem(what, path, "Choose a name of letters and digits")
    if path.resolve() == Path(source).resolve():
        raise Problem("That would overwrite what was trained", path, "Choose another name")
    return path


def _layers(file: LoraFile) -> Iterator[Layer]:
    for part, tensors in file.layers.items():
        modules: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            words = 2 if name.endswith(".weight") else 1  # lora_A.weight, but hada_w1_a
            module, *matrix = name.rsplit(".", words)
            modules.setdefault(module, {})[".".join(matrix)] = tensor
        for module, matrices in modules.items():
            yield Layer(part, module, *_rank_and_scale(file.configs[part], module), matrices)


def _rank_and_scale(config: PeftConfig, module: str) -> tuple[int, float]:
    """A layer's rank, and what its matrices' product is multiplied with, as in peft: alpha / rank,
    or alpha / √rank where the LoRA is rank-stabilised (arXiv 2312.03732)."""
    ranks, alphas = config.rank_pattern, config.alpha_pattern
    rank = ranks.get(get_pattern_key(ranks, module), config.r)
    alpha = config.lora_alpha if config.peft_type == "LORA" else config.alpha
    alpha = alphas.get(get_pattern_key(alphas, module), alpha)
    return rank, alpha / (rank**0.5 if getattr(config, "use_rslora", False) else rank)


def _as_read(layer: Layer) -> tuple[dict[str, torch.Tensor], float]:
    """The matrices and the alpha from which the web UIs calculate the layer's change as it was
    trained. They multiply by alpha / rank, but where a LoKr has both its matrices whole: they see
    no rank there and multiply by 1 (network_lokr.py in AUTOMATIC1111's web UI, ComfyUI's lokr.py),
    so that the scale goes into the first one."""
    if {"lokr_w1", "lokr_w2"} <= layer.matrices.keys():
        first = layer.matrices["lokr_w1"].float() * layer.scale
        return layer.matrices | {"lokr_w1": first}, float(layer.rank)
    return layer.matrices, layer.scale * layer.rank


def _kohya_metadata(model: Model, layers: Sequence[Layer], stem: str) -> dict[str, str]:
    """What AUTOMATIC1111's web UI and Forge tell the family by (without it the LoRA is hidden), the
    name it may be called by in <lora:name:1>, how it is built, and the hash of what stands behind
    the header, which they take for the file's own."""
    family = model.info.family
    common = next((layer for layer in layers if "attn" in layer.module), layers[0])
    convolution = next((layer for layer in layers if layer.module.endswith("conv1")), None)
    kind = next(iter(common.matrices))[:4]
    arguments = {} if kind == "lora" else {"algo": {"hada": "loha"}.get(kind, kind)}
    if convolution:
        arguments["conv_dim"] = str(convolution.rank)
        arguments["conv_alpha"] = f"{convolution.scale * convolution.rank:g}"
    marks = {"ss_zero_terminal_snr": "True"} if family.zero_snr else {}
    return marks | {
        "ss_output_name": stem,
        "ss_resolution": f"({model.info.resolution}, {model.info.resolution})",
        "sshs_model_hash": SHA256,
        "ss_v2": str(family.name == "sd2"),
        "ss_base_model_version": family.kohya,
        "ss_network_module": "networks.lora" if kind == "lora" else "lycoris.kohya",
        "ss_network_dim": str(common.rank),
        "ss_network_alpha": f"{common.scale * common.rank:g}",
        "ss_network_args": json.dumps(arguments),
    }
