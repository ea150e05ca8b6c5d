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


MARKS = {  # how a file says it: (key, metadata, .yaml beside it), and whether with zero SNR
    "v_pred": ("v_pred", {}, "", False),
    "ztsnr": ("ztsnr", {}, "", True),
    "ModelSpec": ("", {"modelspec.prediction_type": "v"}, "", False),
    "kohya_ss": ("", {"ss_zero_terminal_snr": "True"}, "", True),
    "yaml": ("", {}, 'model:\n  params:\n    parameterization: "v"\n', False),
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"], indirect=True)
def test_one_that_predicts_velocities_says_so(written, tmp_path, mark):
    """As NoobAI's v-pred files are marked: trained as epsilon it would learn the wrong thing."""
    key, metadata, yaml, zero = MARKS[mark]
    tensors = load_file(written[0]) | ({key: torch.zeros(0)} if key else {})
    save_file(tensors, tmp_path / "v.safetensors", metadata)
    (tmp_path / "v.yaml").write_text(yaml)
    model = load_model(tmp_path / "v.safetensors")
    scheduler = model.scheduler.config
    assert scheduler.prediction_type == "v_prediction" and model.info.family.v_prediction
    assert scheduler.rescale_betas_zero_snr is model.info.family.zero_snr is zero
    assert scheduler.timestep_spacing == ("trailing" if zero else "leading")
    last = model.scheduler.alphas_cumprod[-1].item()
    assert (last == 0) == zero and last < 0.01


@pytest.mark.parametrize("family", ["sd1", "sd2-v", "sdxl"], indirect=True)
def test_one_that_says_that_it_predicts_noise(written, tmp_path):
    """Also against what an SD 2 looks like by its weights."""
    metadata = {"modelspec.prediction_type": "epsilon"}
    save_file(load_file(written[0]), tmp_path / "eps.safetensors", metadata)
    (tmp_path / "eps.yaml").write_text("parameterization: eps\nuse_ema: false\n")
    info = find_model(tmp_path / "eps.safetensors")
    assert not info.family.v_prediction and not info.family.zero_snr


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["lora_unet_x.lora_down.weight"], "a LoRA"),
        (["lora_unet_x.hada_w1_a"], "a LoRA"),
        (["emb_params"], "a learned word"),
        (["clip_l", "clip_g"], "a learned word"),
        (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight"], "a FLUX"),
        (["transformer.single_transformer_blocks.0.attn.to_q.weight"], "a FLUX"),
        (["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], "Stable Diffusion 3"),
        (["model.diffusion_model.noise_refiner.0.attention.qkv.weight"], "Z-Image"),
        (["control_model.input_blocks.0.0.weight"], "a ControlNet"),
        (["conditioner.embedders.0.model.token_embedding.weight"], "the refiner"),
        (["decoder.conv_in.weight", "encoder.conv_in.weight"], "a VAE alone"),
        (["edm_vpred.sigma_max"], "another noise schedule"),
        (["scaled_fp8"], "scaled 8-bit"),
        (["x.weight"], "no whole Stable Diffusion"),
    ],
)
@pytest.mark.parametrize("family", ["sd1"], indirect=True)
def test_what_is_no_base_is_called_by_its_name(written, tmp_path, names, kind):
    tensors = {name: torch.zeros(4, 4) for name in names}
    whole = load_file(written[0]) if names[0].startswith(("edm", "scaled")) else {}
    save_file(whole | tensors, tmp_path / "other.safetensors")
    with pytest.raises(Problem, match=kind):
        find_model(tmp_path / "other.safetensors")


def test_a_gguf_is_called_by_its_name(tmp_path):
    (tmp_path / "sd.gguf").write_bytes(b"GGUF\x03" + bytes(500))
    with pytest.raises(Problem, match="is a GGUF"):
        find_model(tmp_path / "sd.gguf")


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


@pytest.mark.parametrize("family", ["sd1", "sdxl"], indirect=True)
def test_in_which_numbers_a_file_may_be(written, tmp_path):
    """Halves of both kinds are read; whole numbers, of a quantised model, are refused by name."""
    tensors, path = load_file(written[0]), tmp_path / "other.safetensors"
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, path)
        assert find_model(path).family
    tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)
    save_file(tensors, path)
    assert find_model(path).family
    for dtype in (torch.uint8, torch.int32, torch.bool):
        save_file(tensors | {single_file.FIRST: tensors[single_file.FIRST].to(dtype)}, path)
        with pytest.raises(Problem, match="whole numbers: a quantised model"):
            find_model(path)


@pytest.mark.parametrize("family", ["sd1", "sdxl"], indirect=True)
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_one_that_is_not_a_number_is_named(written, tmp_path, number):
    """As merges of models leave it behind: training would only see a loss of NaN."""
    tensors, path = load_file(written[0]), tmp_path / "merged.safetensors"
    tensors[single_file.FIRST][0, 0, 0, 0] = number
    save_file(tensors, path)
    with pytest.raises(Problem, match=r"unet\.conv_in\.weight is not a number throughout"):
        load_model(path)


@pytest.mark.parametrize("shape", [(), (4,), (4, 4, 4)])
def test_token_embeddings_of_other_dimensions_are_a_problem(tmp_path, shape):
    path, tensor = tmp_path / "odd.safetensors", torch.zeros(shape)
    for family in FAMILIES:
        save_file({family.keys[0]: tensor, FIRST: tensor.clone()}, path)
        with pytest.raises(Problem):
            load_model(path)
