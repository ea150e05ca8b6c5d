"""A tiny random Stable Diffusion and a folder of photos, made once, without any network."""

import ctypes
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library reads it: a missing file fails at once

import pytest
import torch

from sdnb.errors import Problem

torch.set_num_threads(1)

RESOLUTION = 64


def pytest_collection_modifyitems(items):
    """The long ones first: handed out one at a time, the short ones then fill both cores to the
    end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A diffusers folder with random weights: 64 pixels, 8 x 8 latents."""
    from diffusers import (
        AutoencoderKL,
        DDPMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = letters + [f"{letter}</w>" for letter in letters]
    merges = [("m", "a"), ("ma", "n</w>")]
    words += ["ma", "man</w>", "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: index for index, word in enumerate(words)}
    torch.manual_seed(0)
    end = vocab["<|endoftext|>"]
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocab),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            bos_token_id=end - 1,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=RESOLUTION,
    )
    unet = UNet2DConditionModel(
        sample_size=RESOLUTION // 8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    scheduler = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        clip_sample=False,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        unet=unet,
        scheduler=scheduler,
        tokenizer=CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_folder, cpu):
    """The tiny model, freshly loaded, on the CPU."""
    from sdnb.models.loading import load_model

    return load_model(tiny_folder, machine=cpu)


@pytest.fixture
def locked_folder():
    """A folder of root's (or ours) that everyone may enter and nobody may write."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o555)
        yield Path(folder)
        os.chmod(folder, 0o755)


def give_up_capabilities():
    """What lets root pass over permissions, by Linux's capset(2). Another user's id would not do:
    it could not read a checkout that belongs to root."""
    version_3_of_myself, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(version_3_of_myself, none):
        raise OSError(ctypes.get_errno(), "capset")


@pytest.fixture
def ordinary_user():
    """Call a function in a forked process that may only what permissions allow (root may write
    anywhere), and give back the sentence of the Problem it raised, or None."""

    def call(function, *arguments):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                if os.getuid() == 0:
                    give_up_capabilities()
                function(*arguments)
            except Problem as problem:
                os.write(write, str(problem).encode())
            finally:
                os._exit(0)  # without pytest's own end
        os.close(write)
        os.waitpid(pid, 0)
        with os.fdopen(read) as pipe:
            return pipe.read() or None

    return call


@pytest.fixture(scope="session")
def cpu():
    """This machine's CPU in fp32, whatever else it has."""
    from sdnb.machine import Machine

    return Machine("cpu", "fp32", "for tests", 1, 1.0, "test", False)


@pytest.fixture(scope="session")
def photos_folder(tmp_path_factory):
    """Five noisy photos, four of them with captions."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    chance = np.random.default_rng(0)
    for index in range(5):
        pixels = chance.integers(0, 256, (80, 70 + index, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        if index:
            (folder / f"{index}.txt").write_text(f"photo of ravo man number {index}\n")
    return folder


@pytest.fixture(scope="session")
def config(photos_folder, tiny_folder):
    """Eight steps with everything that can train in a LoRA."""
    from sdnb.training.config import LoraConfig

    return LoraConfig(
        photos=photos_folder,
        base=str(tiny_folder),
        views_per_photo=3,
        batch_size=2,
        learning_rate=1e-2,
        text_encoder_learning_rate=1e-2,
        train_text_encoder=True,
        lr_schedule="cosine",
        warmup_steps=2,
        rank=4,
        alpha=2.0,
        save_every=3,
    )


@pytest.fixture(scope="session")
def configs(photos_folder, tiny_folder):
    """A short run of each method, everything that can train in it, at rates that show."""
    from sdnb.training.config import DreamboothConfig, LoraConfig, TextualInversionConfig

    common = {
        "photos": photos_folder,
        "base": str(tiny_folder),
        "views_per_photo": 3,
        "batch_size": 2,
        "lr_schedule": "cosine",
        "weight_decay": 0.1,
    }
    both = {"train_text_encoder": True, "text_encoder_learning_rate": 1e-2}
    return {
        "lora": LoraConfig(learning_rate=1e-2, rank=4, **both, **common),
        "dreambooth": DreamboothConfig(learning_rate=1e-3, **both, **common),
        "textual_inversion": TextualInversionConfig(learning_rate=1e-1, vectors=2, **common),
    }
