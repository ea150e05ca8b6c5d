"""Loading a base model: from the package, the Hub, a diffusers folder or a single file."""

from importlib.metadata import version
from pathlib import Path

import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from torch import nn
from transformers import CLIPTokenizer

from sdnb.errors import Problem
from sdnb.machine import DTYPES, Machine, find_machine
from sdnb.models import hub
from sdnb.models.base import ENCODERS, NETWORKS, Model, ModelInfo, find_model, loading
from sdnb.models.families import MINI
from sdnb.models.single_file import load_single_file, tokenizer_of


def load_model(
    name_or_path: str | Path | ModelInfo,
    dtype: torch.dtype | None = None,
    machine: Machine | None = None,
) -> Model:
    """Load a base model by its name in MODELS, from a diffusers folder, from a single file or from
    the Hugging Face Hub (owner/name or owner/name@revision), or what `find_model` found there.

    It is on the device of `machine` and makes images in its precision. Without one it takes this
    machine's; but the mini family then calculates in fp32 everywhere, as the numbers of the course
    are measured. `dtype` is that of the weights: fp32 unless given, but what the GPU calculates in
    for SDXL, which would fill a T4. The VAE's are always fp32: in fp16 SDXL's overflows.

    Raises Problem where there is no such model, no source can be reached, or it is not a Stable
    Diffusion 1, 2 or XL.
    """
    info = find_model(name_or_path)
    machine = machine or find_machine("fp32" if info.family.name == MINI.name else "auto")
    large = info.family.two_encoders and machine.device == "cuda"
    dtype = dtype or (DTYPES[machine.precision] if large else torch.float32)
    model = _read_model(info, dtype).to(machine.device)
    model.precision = machine.precision
    return model


def load_tokenizer(name_or_path: str | Path) -> CLIPTokenizer:
    """The tokenizer of a base model alone. CLIP's words come with the package, so that of the large
    models is there before they are fetched. Raises Problem as `load_model` does."""
    info = find_model(name_or_path)
    if info.folder is None:
        return tokenizer_of(info.family)
    with loading(f"The tokenizer of {info.name}", info.sources[0]):
        return CLIPTokenizer.from_pretrained(info.folder, subfolder="tokenizer")


def reload(model: Model) -> None:
    """Read the weights again that a training has moved."""
    take_weights(model, model.info)
    model.moved = False


def take_weights(model: Model, name_or_path: str | Path | ModelInfo) -> None:
    """Give the model the weights of another one of its kind: of all that a training changes."""
    other = _read_model(find_model(name_or_path))  # a GPU may lack the memory for two
    model.moved = True
    for name in ("unet", "text_encoder"):
        getattr(model, name).load_state_dict(getattr(other, name).state_dict())


def _read_model(info: ModelInfo, dtype: torch.dtype = torch.float32) -> Model:
    """The model in the computer's own memory."""
    pipeline = _from_first_source(info, dtype)
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config, **info.family.scheduler)
    names = ("tokenizer", "text_encoder", "unet", "tokenizer_2", "text_encoder_2")
    parts = {name: getattr(pipeline, name, None) for name in names}
    model = Model(**parts, vae=pipeline.vae.float(), scheduler=scheduler, info=info)
    widths = [encoder.config.hidden_size for encoder in model.encoders.values()]
    if sum(widths) != (wanted := model.unet.config.cross_attention_dim):
        what = f"The UNet takes {wanted} numbers a token, and the text encoder makes {sum(widths)}"
        raise Problem(what, info.sources[0], "Choose another base model")
    return model


def _pipeline(source: str, info: ModelInfo, dtype: torch.dtype) -> DiffusionPipeline:
    how = _dtype_argument(dtype)
    if Path(source).is_file():
        pipeline = load_single_file(Path(source), **how)
    else:
        folder = Path(source) if Path(source).exists() else hub.fetch(source, info.name)
        more = _parts(folder, source, info, dtype) | info.family.unused
        pipeline = info.family.pipeline.from_pretrained(folder, **more, **how)
    for part in (*NETWORKS, *ENCODERS):
        if module := getattr(pipeline, part, None):
            _check_weights({f"{part}.{n}": t for n, t in module.state_dict().items()}, source)
    return pipeline


def _parts(folder: Path, source: str, info: ModelInfo, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The networks of a folder, each of its own variant. What a file lacks is a Problem: in a text
    encoder transformers would draw it by chance."""
    variants, parts = hub.variants(folder), {}
    encoders = list(ENCODERS.items())[: 2 if info.family.two_encoders else 1]
    for name, network in [*NETWORKS.items(), *encoders]:
        how = _dtype_argument(dtype) if name in NETWORKS else {"dtype": dtype}
        how |= {"variant": variants.get(name), "use_safetensors": True, "output_loading_info": True}
        at = info.unet if name == "unet" and info.unet else folder / name
        parts[name], report = network.from_pretrained(at, **how)
        _refuse_gaps([f"{name}.{key}" for key in report["missing_keys"]], source)
    return parts


def _check_weights(tensors: dict[str, torch.Tensor], source: str) -> None:
    """Raises Problem where one is missing, which diffusers leaves on the meta device, or holds what
    is not a number."""
    _refuse_gaps([name for name, tensor in tensors.items() if tensor.is_meta], source)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            what = f"The base model's {name} is not a number throughout"
            do = "Choose another one: a merge or a download went wrong there"
            raise Problem(what, source, do)


def _refuse_gaps(missing: list[str], source: str) -> None:
    if missing:
        more = f" and {len(missing) - 1} more of its tensors" if missing[1:] else ""
        do = "Download or copy it again, or choose another one"
        raise Problem(f"The base model lacks {missing[0]}{more}", source, do)


def _from_first_source(info: ModelInfo, dtype: torch.dtype) -> DiffusionPipeline:
    """From the first of the model's sources that it can be loaded from."""
    problems = []
    for source in info.sources:
        try:
            with loading(f"The base model {info.name}", source):
                return _pipeline(source, info, dtype)
        except Problem as problem:
            problems.append(problem)
    raise problems[0]


def _dtype_argument(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """diffusers called the argument `torch_dtype` up to 0.39, which ignores `dtype` silently.

    It must always be given: otherwise a folder saved in fp16 loads with an fp16 text encoder
    beside an fp32 UNet.
    """
    major, minor = (int(part) for part in version("diffusers").split(".")[:2])
    return {"dtype" if (major, minor) >= (0, 42) else "torch_dtype": dtype}
