"""Base models in one file: told apart by their keys, loaded without a network."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdnb.errors import Problem
from sdnb.models import single_file
from sdnb.models.base import find_model
from sdnb.models.families import FAMILIES
from sdnb.models.loading import load_model, load_tokenizer
from sdnb.models.single_file import FIRST, clip_tokenizer
from tests.families import tiny_parts, write_configs
from tests.single_files import write_single_file

SIZES = {"sd1": 512, "sd2": 512, "sd2-v": 768, "sdxl": 1024}


@pytest.fixture(params=SIZES)
def family(request):
    return request.param


@pytest.fixture
def written(family, tmp_path, monkeypatch):
    """A tiny model of the family as a single file, and its parts."""
    parts = tiny_parts(family)
    write_configs(parts, family, tmp_path / "families")
    monkeypatch.setattr("sdnb.models.families.CONFIGS", tmp_path / "families")
    path = tmp_path / "some model.safetensors"
    write_single_file(parts, path, family.removesuffix("-v"))
    return path, parts


def test_the_family_is_told_by_the_keys(written, family):
    info = find_model(written[0])
    assert (info.family.name, info.resolution) == (family.removesuffix("-v"), SIZES[family])
    assert info.name == "some model"


def test_every_number_is_read(written, family):
    path, parts = written
    model = load_model(path)
    for name, part in parts.items():
        ours, theirs = part.state_dict(), getattr(model, name).state_dict()
        theirs = {key.removeprefix("text_model."): value for key, value in theirs.items()}
        ours = {key.removeprefix("text_model."): value for key, value in ours.items()}
        for key in ours:
            if "position_ids" not in key:
                assert torch.equal(ours[key], theirs[key]), (name, key)
    kind = "v_prediction" if family == "sd2-v" else "epsilon"
    assert model.scheduler.config.prediction_type == kind
    pads = [t.pad_token for t in (model.tokenizer, model.tokenizer_2) if t]
    end = "<|endoftext|>"
    assert pads == {"sd1": [end], "sdxl": [end, "!"]}.get(family, ["!"])
    assert len(load_tokenizer(path)) == 49408


@pytest.mark.parametrize("base", ["sd15", "sd21", "sdxl"])
def test_the_words_of_large_models_are_there_before_the_models(base):
    """Every published vocabulary has 49,408 pieces; nothing is fetched here."""
    assert len(load_tokenizer(base)) == 49408


def test_clips_own_tokens():
    """OpenAI's tokenizer on the same words (CLIP's notebook and the vocabulary of 49,408)."""
    ids = clip_tokenizer()("a photo of a cat sks").input_ids
    assert ids == [49406, 320, 1125, 539, 320, 2368, 48136, 49407]


@pytest.mark.parametrize("family", ["sd1"], indirect=True)
def test_what_is_no_base_model_is_a_problem(written, tmp_path):
    path, _ = written
    tensors = load_file(path)
    bad = tmp_path / "bad.safetensors"
    save_file({k: v for k, v in tensors.items() if "diffusion_model" not in k}, bad)
    with pytest.raises(Problem, match="no whole Stable Diffusion"):
        find_model(bad)
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2, 2)}, bad)
    with pytest.raises(Problem, match="is a LoRA"):
        find_model(bad)
    save_file({k: v for k, v in tensors.items() if "output_blocks.3" not in k}, bad)
    with pytest.raises(Problem, match="could not be loaded"):
        load_model(bad)
    bad.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Problem, match="damaged"):
        find_model(bad)


@pytest.mark.parametrize("mark", ["v_pred", "ztsnr", "modelspec.prediction_type"])
@pytest.mark.parametrize("family", ["sd1", "sdxl"], indirect=True)
def test_one_that_predicts_velocities_is_refused_by_name(written, tmp_path, mark):
    """As NoobAI's v-pred files are marked: trained as epsilon it would learn the wrong thing."""
    tensors, metadata = load_file(written[0]), {"format": "pt"}
    if "." in mark:
        metadata[mark] = "v"
    else:
        tensors[mark] = torch.zeros(0)
    save_file(tensors, tmp_path / "v.safetensors", metadata)
    with pytest.raises(Problem, match="v-prediction, zero terminal SNR"):
        find_model(tmp_path / "v.safetensors")
    save_file(tensors, tmp_path / "v.safetensors", {"modelspec.prediction_type": "epsilon"})
    if "." in mark:
        assert find_model(tmp_path / "v.safetensors").family


@pytest.mark.parametrize(
    ("channels", "kind"), [(9, "for inpainting"), (8, "InstructPix2Pix"), (5, "reads 5 channels")]
)
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"], indirect=True)
def test_one_that_reads_more_than_a_picture_is_refused_by_name(written, tmp_path, channels, kind):
    tensors, path = load_file(written[0]), tmp_path / "wide.safetensors"
    first = tensors[single_file.FIRST]
    tensors[single_file.FIRST] = first.new_zeros(first.shape[0], channels, *first.shape[2:])
    save_file(tensors, path)
    with pytest.raises(Problem, match=kind):
        find_model(path)


def test_the_mini_model_is_known_as_a_single_file_too(tmp_path):
    model = load_model("mini")
    parts = {"unet": model.unet, "vae": model.vae, "text_encoder": model.text_encoder}
    path = tmp_path / "mini.safetensors"
    write_single_file(parts, path, "sd1")
    read = load_model(path)
    assert (read.info.family.name, read.info.resolution, read.info.bucket_step) == ("mini", 128, 0)
    told = [m.text_embeddings(["photo of a man, in the snow"]) for m in (model, read)]
    assert torch.equal(*told)
    assert load_tokenizer(path).get_vocab() == model.tokenizer.get_vocab()


@pytest.mark.parametrize("shape", [(), (4,), (4, 4, 4)])
def test_token_embeddings_of_other_dimensions_are_a_problem(tmp_path, shape):
    path, tensor = tmp_path / "odd.safetensors", torch.zeros(shape)
    for family in FAMILIES:
        save_file({family.keys[0]: tensor, FIRST: tensor.clone()}, path)
        with pytest.raises(Problem):
            load_model(path)
