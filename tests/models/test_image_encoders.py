import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTModel,
)

from sdnb.errors import Problem
from sdnb.mini.judge import as_tensor, load_judge
from sdnb.models import image_encoders as module
from sdnb.models.families import SD1
from sdnb.models.image_encoders import (
    DEVIATION,
    MEAN,
    ImageTextEncoder,
    image_encoders_for,
    load_clip_encoder,
    load_dino_encoder,
)
from sdnb.models.loading import load_model
from sdnb.training.config import TextualInversionConfig
from sdnb.training.methods import method_of

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def pixels(pictures, mean, deviation) -> torch.Tensor:
    """(n, 3, h, w) normalised, of pictures that have their size already."""
    values = np.stack([np.asarray(picture) for picture in pictures]) / 255
    return torch.tensor((values - mean) / deviation).permute(0, 3, 1, 2).float()


@pytest.fixture(scope="module")
def clip_folder(tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders") / "clip"
    tokenizer = CLIPTokenizer.from_pretrained(tiny_folder / "tokenizer")
    words = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    CLIPModel(
        CLIPConfig(
            text_config={**SMALL, **words, "intermediate_size": 32},
            vision_config={**SMALL, "intermediate_size": 32, "image_size": 32, "patch_size": 8},
            projection_dim=12,
        )
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["dinov2", "dino"])
def dino_folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders") / request.param
    torch.manual_seed(0)
    if request.param == "dinov2":
        network = Dinov2Model(Dinov2Config(**SMALL, patch_size=56, image_size=112))
    else:  # whose file has no pooler
        config = ViTConfig(**SMALL, intermediate_size=32, patch_size=56, image_size=224)
        network = ViTModel(config, add_pooling_layer=False)
    network.save_pretrained(folder)
    return folder


def test_clip_sees_and_reads_as_the_whole_model_does(clip_folder):
    encoder, clip = load_clip_encoder(clip_folder), CLIPModel.from_pretrained(clip_folder).eval()
    pictures, texts = [noise(32, 32, i) for i in range(20)], ["a man", "a ravo in the snow"]
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    ids = encoder.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        whole = clip(**ids, pixel_values=pixels(pictures, mean, deviation))
    # 1e-5: fp32 in batches of another size
    assert torch.allclose(encoder.embed(pictures), whole.image_embeds, atol=1e-5)
    assert torch.allclose(encoder.embed_texts(texts), whole.text_embeds, atol=1e-5)
    assert encoder.name == "clip" and isinstance(encoder, ImageTextEncoder)


def test_dino_sees_the_middle_with_its_class_token(dino_folder):
    encoder = load_dino_encoder(dino_folder)
    pictures = [noise(256, 256, i) for i in range(3)]  # as if resized: only the middle is cut out
    middle = [picture.crop((16, 16, 240, 240)) for picture in pictures]
    with torch.no_grad():
        seen = encoder.network(pixel_values=pixels(middle, MEAN, DEVIATION)).last_hidden_state[:, 0]
    seen = seen / seen.norm(dim=1, keepdim=True)
    assert torch.allclose(encoder.embed(pictures), seen, atol=1e-5)  # fp32
    assert torch.allclose(seen.norm(dim=1), torch.ones(3), atol=1e-6)
    assert not isinstance(encoder, ImageTextEncoder) and encoder.name == dino_folder.name


def test_pictures_of_any_shape_and_mode(dino_folder):
    encoder = load_dino_encoder(dino_folder)
    wide = noise(600, 256)
    assert torch.allclose(
        encoder.embed([wide]), encoder.embed([wide.crop((172, 0, 428, 256))]), atol=1e-5
    )
    assert encoder.embed([noise(40, 90).convert("L"), noise(300, 20).convert("RGBA")]).shape == (
        2,
        16,
    )


def test_an_encoder_that_lacks_weights_is_a_problem(clip_folder, dino_folder, tmp_path):
    for folder, load in ((clip_folder, load_clip_encoder), (dino_folder, load_dino_encoder)):
        copy = shutil.copytree(folder, tmp_path / folder.name)
        weights = load_file(copy / "model.safetensors")
        gone = next(name for name in weights if "layers.1" in name or "layer.1" in name)
        rest = {name: value for name, value in weights.items() if name != gone}
        save_file(rest, copy / "model.safetensors", {"format": "pt"})
        with pytest.raises(Problem, match="lacks weights"):
            load(copy)


def test_an_encoder_that_cannot_be_loaded_is_a_problem(tmp_path, clip_folder, monkeypatch):
    for load in (load_clip_encoder, load_dino_encoder):
        with pytest.raises(Problem, match=r"could not be loaded.*Check the path"):
            load(tmp_path / "absent")
        with pytest.raises(Problem, match=r"CLIP|DINO"):  # from the Hub, which tests cannot reach
            load()
    copy = shutil.copytree(clip_folder, tmp_path / "cut")
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Problem, match="could not be loaded"):
        load_clip_encoder(copy)


def test_the_mini_models_encoders():
    model = load_model("mini")
    judge, clip = image_encoders_for(model)
    assert (judge.name, clip.name) == ("judge", "CLIP (mini)")
    pictures, texts = [noise(128, 128, i) for i in range(3)], ["a man", "a mug", "ravo"]
    assert torch.equal(judge.embed(pictures), load_judge().embed(pictures))
    with torch.no_grad():
        whole = clip.clip(model.token_ids(texts), pixel_values=as_tensor(pictures))
    assert torch.allclose(clip.embed(pictures), whole.image_embeds, atol=1e-6)
    assert torch.allclose(clip.embed_texts(texts), whole.text_embeds, atol=1e-6)

    before = clip.embed_texts(texts)  # a word that is learned later does not change what it reads
    config = TextualInversionConfig(trigger="ravo", vectors=2)
    method_of(config).prepare(model, config)
    assert torch.equal(clip.embed_texts(texts), before)


def test_other_models_get_clip_and_dinov2(tiny, monkeypatch):
    asked = []
    for name in ("load_clip_encoder", "load_dino_encoder"):
        monkeypatch.setattr(
            module, name, lambda device, name=name: asked.append((name, str(device))) or name
        )
    tiny.info = replace(tiny.info, family=SD1)
    assert image_encoders_for(tiny) == ["load_clip_encoder", "load_dino_encoder"]
    assert asked == [("load_clip_encoder", "cpu"), ("load_dino_encoder", "cpu")]
