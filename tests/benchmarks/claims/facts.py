"""What needs no seed: arithmetic on the plan, on files and on what the package says."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from safetensors.torch import load_file, save_file

import sdnb
from sdnb.captioning.captioners import load_captioner
from sdnb.dataset.photos import loss_by_shape, photo_paths
from sdnb.errors import Problem
from sdnb.machine import Machine
from sdnb.training.config import DreamboothConfig, LoraConfig
from sdnb.training.memory import plan

T4 = Machine("cuda", "fp16", "for the plan", 2, 14.56, "a T4", True)
SHAPES = [(6000, 4000), (3000, 4000), (4032, 2268), (1080, 2400)]  # camera, phones, screenshot
FAMILIES = ("sd1", "sd2", "sd2-v", "sdxl")
MB = 1e6


def buckets() -> dict[str, float]:
    rows = loss_by_shape(SHAPES)
    return {
        "square loses": sum(row["square"] for row in rows) / len(rows),
        "bucket loses": sum(row["lost"] for row in rows) / len(rows),
    }


def captions() -> dict[str, float]:
    """The mini captioner on the three sample sets, with a prefix; and words of the truth found."""
    config = sdnb.CaptionConfig(prefix="photo of ravo")
    right = named = 0
    with load_captioner(config) as captioner:
        for name in ("person", "product", "style"):
            photos = sdnb.read_photos(sdnb.sample_photos(name), 256)
            written = captioner([photo.image for photo in photos])
            for photo, text in zip(photos, written, strict=True):
                place = photo.caption.split(", ")[-1].strip()
                named += 1
                right += place in text
    with TemporaryDirectory() as folder:
        for path in photo_paths(sdnb.sample_photos())[:5]:
            (Path(folder) / path.name).write_bytes(path.read_bytes())
        sdnb.captioning.make_captions(config, folder)
        texts = [path.read_text() for path in Path(folder).glob("*.txt")]
        begun = sum(text.startswith("photo of ravo") for text in texts) / len(texts)
    return {"begin with the prefix": begun, "place right": right / named}


def memory() -> dict[str, float]:
    whole = DreamboothConfig(base="sd15", batch_size=1)
    recipes = {
        "AdamW, text encoder too": whole.replace(train_text_encoder=True),
        "Adafactor, checkpointing": whole.replace(
            optimizer="adafactor", gradient_checkpointing=True
        ),
        "in 8 GiB": sdnb.preset("dreambooth_person_8gib"),
        "LoRA, batch 1": sdnb.preset("person_t4"),
        "LoRA, batch 4": sdnb.preset("person_t4").replace(batch_size=4),
    }
    found = {f"{name}, GiB": plan(config, 20, T4).memory for name, config in recipes.items()}
    return found | {"DreamBooth's file in fp16, GB": plan(whole, 20, T4).file / 1e9}


def sizes() -> dict[str, float]:
    """MB of an SD 1.5 LoRA in fp32."""
    attention = LoraConfig(base="sd15", layers="attention")
    every = attention.replace(layers="attention+feedforward+convolution")
    return {
        "rank 4, attention": plan(attention.replace(rank=4), 20, T4).file / MB,
        "rank 16, attention": plan(attention.replace(rank=16), 20, T4).file / MB,
        "rank 128, every layer": plan(every.replace(rank=128), 20, T4).file / MB,
    }


def sparse() -> dict[str, float]:
    """Every update of the sample LoRA multiplied out: its rank and its zeros."""
    learned = load_file(sdnb.sample_trained("person_lora"))
    ranks, zeros, count = [], 0, 0
    for name, down in learned.items():
        if name.endswith("lora_A.weight"):
            update = learned[name.replace("lora_A", "lora_B")] @ down
            ranks.append(int(torch.linalg.matrix_rank(update)))
            zeros, count = zeros + int((update == 0).sum()), count + update.numel()
    return {"largest rank": float(max(ranks)), "zeros": zeros / count}


def precision() -> dict[str, float]:
    """Updates of 0.0001 that are lost when added to the mini UNet's weights: which of them stay as
    they were?"""
    weights = torch.cat([p.flatten() for p in sdnb.load_model("mini").unet.parameters()]).detach()
    found = {}
    for name, dtype in (("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)):
        held = weights.to(dtype)
        found[f"lost in {name}"] = float(((held - 1e-4) == held).float().mean())
    return found


def families() -> dict[str, float]:
    """Tiny models of every family as single files, loaded and drawn with; and a LoRA for each of
    the large families put into the mini model: refused by name?"""
    sys.path.insert(0, str(Path(__file__).parents[3]))  # the tests' tiny models
    from sdnb.models import families as known
    from tests.families import tiny_parts, write_configs
    from tests.single_files import write_single_file

    drew, merges = 0, known.CONFIGS / "clip_merges.txt.gz"
    for family in FAMILIES:
        with TemporaryDirectory() as folder, patch.object(known, "CONFIGS", Path(folder)):
            parts, file = tiny_parts(family), Path(folder) / "some_model.safetensors"
            write_configs(parts, family, Path(folder))
            (Path(folder) / merges.name).write_bytes(merges.read_bytes())
            write_single_file(parts, file, family.removesuffix("-v"))
            model = sdnb.load_model(file)
            picture = sdnb.make_images(model, "a cat", [0], steps=2, size=64)[0]
            drew += model.info.family.name == family.removesuffix("-v") and picture.size == (64, 64)
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    widths = {"sd1": 768, "sd2": 1024, "sdxl": 2048}
    model, refused = sdnb.load_model("mini"), 0
    with TemporaryDirectory() as folder:
        for family, width in widths.items():
            file = Path(folder) / f"{family}.safetensors"
            halves = {f"{layer}.lora_down.weight": torch.zeros(4, width)}
            save_file(halves | {f"{layer}.lora_up.weight": torch.zeros(320, 4)}, file)
            try:
                sdnb.load_lora(model, file)
            except Problem:
                refused += 1
    return {"loaded": drew / len(FAMILIES), "other families refused": refused / len(widths)}


def places() -> dict[str, float]:
    """Where AUTOMATIC1111 looks for a learned word."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "word.safetensors"
        save_file({"emb_params": torch.zeros(1, 768)}, file)
        where = sdnb.export.where_to_install(file, "automatic1111").folder
    return {"in embeddings": float(where == "embeddings")}


EVERY = (buckets, captions, memory, sizes, sparse, precision, families, places)
FACTS = {f.__name__: f for f in EVERY}
