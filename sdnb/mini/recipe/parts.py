"""The parts of the mini Stable Diffusion: standard classes in a small size, put together as
diffusers expects."""

import json
import random
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer

from sdnb.mini.names import CONSONANTS, VOWELS, names
from sdnb.mini.scenes import random_world
from sdnb.mini.words import caption
from sdnb.models.conditioning import core_of

SIZE, TEXT_WIDTH, POSITIONS = 128, 128, 77
START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(captions: int = 20000, merges: int = 420) -> CLIPTokenizer:
    """A byte-level BPE tokenizer of CLIP's kind (word ends marked "</w>") learned from the studio's
    captions.

    As in OpenAI's vocabulary, every byte stands there twice, inside a word and at its end, so that
    no name is unknown.
    """
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + merges,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    rng = random.Random(0)
    bpe.train_from_iterator((caption(random_world(rng), rng) for _ in range(captions)), trainer)
    learned = [
        tuple(m) if isinstance(m, list) else tuple(m.split(" "))
        for m in json.loads(bpe.to_str())["model"]["merges"]
    ]
    tokens = [
        *alphabet,
        *(c + "</w>" for c in alphabet),
        *("".join(m) for m in learned[:merges]),
        START,
        END,
    ]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=learned[:merges], model_max_length=POSITIONS)


def with_names(tokenizer: CLIPTokenizer) -> CLIPTokenizer:
    """The tokenizer with a token for each name and each syllable of names. What it knew before it
    cuts as before, and under the same numbers."""
    vocab, merges = dict(tokenizer.get_vocab()), dict.fromkeys(_merges(tokenizer))
    syllables = ((c, v + end) for c in CONSONANTS for v in VOWELS for end in ("", "</w>"))
    new = dict.fromkeys(syllables)
    while new:
        merges |= new
        for pair in merges:
            vocab.setdefault("".join(pair), len(vocab))
        tokenizer = CLIPTokenizer(vocab=vocab, merges=[*merges], model_max_length=POSITIONS)
        cuts = [cut for cut in map(tokenizer.tokenize, names()) if len(cut) > 1]
        new = dict.fromkeys((cut[-2], cut[-1]) for cut in cuts)
    return tokenizer


def _merges(tokenizer: CLIPTokenizer) -> list[tuple[str, str]]:
    """Pairs of tokens that the byte-level BPE joins, the first first."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return [tuple(pair) for pair in model["merges"]]


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """CLIP (arXiv 2103.00020) with random weights, for pictures of 128 pixels."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 4 * TEXT_WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": POSITIONS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
        "projection_dim": 128,
    }
    vision = {
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "image_size": SIZE,
        "patch_size": 16,
        "projection_dim": 128,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def text_encoder_of(clip: CLIPModel) -> CLIPTextModel:
    """CLIP's text tower as the pipeline's text encoder, whichever way transformers nests it."""
    encoder = CLIPTextModel(clip.config.text_config)
    tower = clip.text_model.state_dict()
    plain = {name.removeprefix("text_model."): value for name, value in tower.items()}
    core_of(encoder).load_state_dict(plain)
    return encoder.eval()


def build_vae() -> AutoencoderKL:
    """The autoencoder with random weights: 8 x 8 pixels a latent cell, as in Stable Diffusion."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE,
    )


def build_unet() -> UNet2DConditionModel:
    """The UNet with random weights, for latents of 16 x 16 cells."""
    return UNet2DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=(64, 112, 128),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,  # as in Stable Diffusion's own files this is the number of heads
        norm_num_groups=16,
    )


def build_scheduler() -> DDPMScheduler:
    """Stable Diffusion's noise schedule (arXiv 2112.10752): 1000 steps, betas linear in their
    square roots."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )


def take_weights(module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load an earlier version's weights; rows of what is new (words, styles) begin by chance."""
    own = module.state_dict()
    for name, value in weights.items():
        if len(own[name].shape) and len(own[name]) > len(value):
            weights[name] = torch.cat([value, own[name][len(value) :].to(value)])
    module.load_state_dict(weights)


def weights_of(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """The fp32 weights of "vae", "unet", "clip" (both towers) or "judge" from a folder that
    `save_pipeline` wrote."""
    path = next((folder / name).glob("*.safetensors"), folder / f"{name}.safetensors")
    weights = {
        key: value.float() if value.is_floating_point() else value
        for key, value in load_file(path).items()
    }
    if name == "clip":
        tower = weights_of(folder, "text_encoder")
        weights |= {f"text_model.{key.removeprefix('text_model.')}": tower[key] for key in tower}
    return weights


def save_pipeline(folder: Path, tokenizer, clip: CLIPModel, vae, unet) -> None:
    """The parts as fp16 safetensors in the standard folder layout; CLIP beside them without the
    text tower, which the text encoder's file already holds."""
    encoder = text_encoder_of(clip.cpu())
    pipe = StableDiffusionPipeline(
        vae=vae.cpu(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet.cpu(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.to(torch.float16).save_pretrained(folder)
    clip.half()
    picture_side = {
        name: value
        for name, value in clip.state_dict().items()
        if not name.startswith("text_model.")
    }
    clip.save_pretrained(folder / "clip", state_dict=picture_side)
    # transformers would calculate in the files' fp16 beside diffusers' fp32
    for path in (folder / "text_encoder" / "config.json", folder / "clip" / "config.json"):
        path.write_text(path.read_text().replace('"float16"', '"float32"'))
