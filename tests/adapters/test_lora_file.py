"""LoRA files: every spelling read, every broken one refused with the model as it was."""

import json
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sdnb.adapters import load_embedding, load_lora, unload_lora
from sdnb.adapters.layers import inject, tuner_layers
from sdnb.adapters.loading import use_loras
from sdnb.adapters.lora_header import HEADER
from sdnb.adapters.words import embeddings_of
from sdnb.errors import Problem
from sdnb.inference import generate, make_images
from sdnb.inference.config import ImageConfig
from sdnb.models.original_keys import renamed, unet_names
from sdnb.training.loop import fit
from sdnb.training.run import photos_for, prepare, train


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """A LoRA with a text encoder part, rank 4 and alpha 2, as diffusers' format."""
    return train(config, tmp_path_factory.mktemp("run")).weights


def kohya(file, path, alpha=2.0):
    """The same by kohya_ss's names, written out here."""
    tensors = {}
    for name, tensor in load_file(file).items():
        part, _, rest = name.partition(".")
        module, half = re.fullmatch(r"(.*)\.lora_([AB])\.weight", rest).groups()
        if part == "text_encoder":
            module = "text_model." + module.removeprefix("text_model.")
        prefix = {"unet": "lora_unet_", "text_encoder": "lora_te_"}[part]
        stem = prefix + module.replace(".", "_")
        tensors[f"{stem}.lora_{'down' if half == 'A' else 'up'}.weight"] = tensor
        tensors[f"{stem}.alpha"] = torch.tensor(alpha)
    save_file(tensors, path)
    return path


def deltas(model):
    return {
        f"{part}.{name}": sum(layer.get_delta_weight(adapter) for adapter in layer.lora_A)
        for part, module in {"unet": model.unet, **model.encoders}.items()
        for name, layer in module.named_modules()
        if layer in tuner_layers(module)
    }


def test_kohyas_names_mean_the_same(tiny, trained, tmp_path):
    load_lora(tiny, trained)
    own = deltas(tiny)
    load_lora(tiny, kohya(trained, tmp_path / "kohya.safetensors"))
    theirs = deltas(tiny)
    assert own.keys() == theirs.keys() and any("text" in name for name in own)
    for name in own:
        torch.testing.assert_close(own[name], theirs[name])
    load_lora(tiny, kohya(trained, tmp_path / "kohya.safetensors", alpha=4.0))
    for name, delta in deltas(tiny).items():
        torch.testing.assert_close(delta, 2 * own[name])


def test_several_at_once_with_weights_of_their_own(tiny, trained):
    load_lora(tiny, trained)
    one = deltas(tiny)
    use_loras(tiny, [(trained, 0.5, 0.0), (trained, 0.25, 2.0)])
    for name, delta in deltas(tiny).items():
        torch.testing.assert_close(delta, one[name] * (0.75 if name.startswith("unet") else 2.0))


def broken(tensors, how):
    name = next(name for name in tensors if name.startswith("unet.") and "lora_A" in name)
    if how == "half missing":
        del tensors[name]
    elif how == "NaN":
        tensors[name] = torch.full_like(tensors[name], torch.nan)
    elif how == "whole numbers":
        tensors[name] = tensors[name].to(torch.int32)
    elif how == "another model":
        tensors = {
            k: (v.repeat(1, 24) if "attn2.to_k.lora_A" in k else v) for k, v in tensors.items()
        }
    elif how == "another layer":
        tensors[name.replace("down_blocks.0", "down_blocks.7")] = tensors.pop(name)
    elif how == "another rank":
        tensors[name] = tensors[name][:2]
    elif how == "no LoRA":
        tensors = {"some.weight": torch.zeros(3)}
    elif how == "flat":
        tensors[name] = tensors[name].flatten()
    return tensors


@pytest.mark.parametrize(
    "how",
    (
        "half missing",
        "NaN",
        "whole numbers",
        "another model",
        "another layer",
        "another rank",
        "no LoRA",
        "flat",
        "cut off",
        "a giant header",
        "overlapping",
        "a pickle",
        "empty",
        "absent",
    ),
)
def test_a_failed_load_leaves_the_model_as_it_was(tiny, trained, tmp_path, how):
    load_lora(tiny, trained, 0.7)
    before = deltas(tiny)
    bad = tmp_path / "bad.safetensors"
    whole = trained.read_bytes()
    files = {
        "cut off": whole[: len(whole) // 2],
        "a giant header": (2**60).to_bytes(8, "little") + whole[8:],
        "overlapping": overlapping(),
        "a pickle": b"\x80\x02}q\x00." + bytes(50),
        "empty": b"",
    }
    if how in files:
        bad.write_bytes(files[how])
    elif how != "absent":
        save_file(broken(load_file(trained), how), bad)
    with pytest.raises(Problem, match=re.escape(str(bad))):
        load_lora(tiny, bad)
    after = deltas(tiny)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def overlapping():
    """Two tensors that claim the same bytes."""
    one = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    header = f'{{"a.lora_A.weight":{one},"a.lora_B.weight":{one}}}'.encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


def test_another_familys_lora_is_refused_by_name(tiny, trained, tmp_path):
    wide = {
        name: tensor.repeat(1, 24) if "attn2.to_k.lora_A" in name else tensor
        for name, tensor in load_file(trained).items()
    }
    wide = {k.replace("down_blocks.0", "down_blocks.3"): v for k, v in wide.items()}
    save_file(wide, tmp_path / "sd1.safetensors")
    with pytest.raises(Problem, match=r"made for SD 1\.x, and this base model is"):
        load_lora(tiny, tmp_path / "sd1.safetensors")


def test_training_goes_on_from_an_earlier_lora(config, tiny, trained, cpu, tmp_path):
    further = config.replace(init_weights=trained, alpha=8.0)
    load_lora(tiny, trained)
    earlier = deltas(tiny)
    state, batches, loss = prepare(further, photos_for(config), tiny, cpu)
    begun = deltas(tiny)
    for name in earlier:
        torch.testing.assert_close(begun[name], earlier[name])  # whatever alpha is now
    for _ in fit(state, batches, loss):
        pass
    assert any(not torch.equal(begun[name], delta) for name, delta in deltas(tiny).items())
    for other in ({"rank": 2}, {"train_text_encoder": False}, {"kind": "loha"}):
        with pytest.raises(Problem, match="kind or rank"):
            prepare(further.replace(**other), photos_for(config), tiny, cpu)
        assert not tuner_layers(tiny.unet)


def test_training_goes_on_from_an_earlier_embedding(configs, tiny, cpu, tmp_path):
    config = configs["textual_inversion"]
    file = train(config, tmp_path / "run").weights
    rows = load_file(file)["emb_params"]
    further = config.replace(init_weights=file)
    state, *_ = prepare(further, photos_for(config), tiny, cpu)
    (begun,) = state.parameters.values()
    assert torch.equal(begun, rows)
    with pytest.raises(Problem, match="Set vectors = 2"):
        prepare(further.replace(vectors=3), photos_for(config), tiny, cpu)


@pytest.mark.parametrize("kind", ["loha", "lokr"])
def test_the_relatives_come_back_as_they_were(config, tiny, tmp_path, kind):
    small = config.replace(kind=kind, layers="attention+feedforward+convolution")
    run = train(small, tmp_path / kind)
    load_lora(tiny, run.weights)
    on = make_images(tiny, "photo of ravo man", [1], steps=2)
    load_lora(tiny, run.weights, 0.0)
    assert make_images(tiny, "photo of ravo man", [1], steps=2) != on
    with pytest.raises(Problem, match="at the same time"):
        plain = train(config, tmp_path / "plain")
        use_loras(tiny, [(run.weights, 1, 1), (plain.weights, 1, 1)])


def with_header(file, path, **more):
    """The same file whose header says `more` of each part."""
    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()[HEADER])
    for part in ("unet", "text_encoder"):
        header |= {f"{part}.{name}": value for name, value in more.items()}
    save_file(load_file(file), path, {"format": "pt", HEADER: json.dumps(header)})
    return path


@pytest.mark.parametrize(
    "more",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "gaussian", "bias": "all"},
        {"modules_to_save": ["conv_in"]},
        {"trainable_token_indices": [1, 2]},
        {"layer_replication": [[0, 2]]},
        {"target_modules": "(((("},
    ],
    ids=str,
)
def test_a_header_says_how_large_and_how_strong_and_acts_on_nothing(tiny, trained, tmp_path, more):
    before = {k: v.clone() for part in tiny.modules for k, v in part.state_dict().items()}
    load_lora(tiny, trained)
    plain = deltas(tiny)
    load_lora(tiny, with_header(trained, tmp_path / "odd.safetensors", **more))
    odd = deltas(tiny)
    assert odd.keys() == plain.keys() and all(torch.equal(odd[k], plain[k]) for k in odd)
    unload_lora(tiny)
    after = {k: v for part in tiny.modules for k, v in part.state_dict().items()}
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    "more",
    [
        {"use_dora": True},
        {"r": "four"},
        {"r": 0},
        {"r": 10**9},
        {"r": True},
        {"lora_alpha": [1.0]},
        {"lora_alpha": float("nan")},
        {"lora_alpha": 1e300},
        {"rank_pattern": [1]},
        {"alpha_pattern": {"to_q": float("inf")}},
        {"peft_type": "OFT"},
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_refused(tiny, trained, tmp_path, more):
    load_lora(tiny, trained)
    before = deltas(tiny)
    with pytest.raises(Problem, match=r"header make no sense|is a DoRA"):
        load_lora(tiny, with_header(trained, tmp_path / "odd.safetensors", **more))
    after = deltas(tiny)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, AttributeError])
def test_a_load_that_breaks_off_between_two_parts_gives_back_what_was_there(
    tiny, trained, tmp_path, monkeypatch, error
):
    load_lora(tiny, trained, 0.7)
    before = deltas(tiny)

    def breaks_off(part, *rest):
        if part is tiny.text_encoder:
            raise error
        inject(part, *rest)

    monkeypatch.setattr("sdnb.adapters.loading.inject", breaks_off)
    with pytest.raises(error):
        load_lora(tiny, trained)
    after = deltas(tiny)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("key", ["((((", "(a+)+$", ".*to_q"])
def test_a_pattern_in_a_header_is_not_read(tiny, trained, tmp_path, key):
    """peft would take it for a regular expression, which can be broken or run for ever."""
    with pytest.raises(Problem, match="names layers by a pattern"):
        load_lora(tiny, with_header(trained, tmp_path / "odd.safetensors", rank_pattern={key: 4}))


def test_a_header_nested_a_thousand_deep_is_refused(tiny, trained, tmp_path):
    deep = {"lora_adapter_metadata": "[" * 100_000 + "]" * 100_000}
    save_file(load_file(trained), tmp_path / "deep.safetensors", deep)
    with pytest.raises(Problem, match="header cannot be read"):
        load_lora(tiny, tmp_path / "deep.safetensors")


@pytest.mark.parametrize("by", ["end", "path"])
def test_a_rank_and_an_alpha_of_its_own_by_name(tiny, trained, tmp_path, by):
    load_lora(tiny, trained)
    plain = deltas(tiny)
    layer = next(name for name in plain if name.startswith("unet") and name.endswith("attn2.to_q"))
    key = {"end": "attn2.to_q", "path": layer.partition(".")[2]}[by]
    load_lora(tiny, with_header(trained, tmp_path / "own.safetensors", alpha_pattern={key: 64.0}))
    found = deltas(tiny)
    scaled = {n for n in plain if not torch.equal(found[n], plain[n])}
    assert layer in scaled and all(n.endswith("attn2.to_q") for n in scaled)
    assert len(scaled) == 1 or by == "end"


def spoilt(tensors, how):
    name = next(name for name in tensors if name.endswith("lora_A.weight"))
    if how == "twice":
        tensors[name.replace("lora_A.weight", "lora.down.weight")] = 2 * tensors[name]
    if how == "several":
        swaps = {"lora_A.weight": "lora_A.one.weight", "lora_B.weight": "lora_B.two.weight"}
        tensors = {
            n.replace(end, swaps[end]): t for n, t in tensors.items() for end in swaps if end in n
        }
    if how == "two alphas":
        tensors[name.replace("lora_A.weight", "alpha")] = torch.tensor([1.0, 2.0])
    if how == "a giant alpha":
        tensors[name.replace("lora_A.weight", "alpha")] = torch.tensor(1e30)
    return tensors


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("twice", "a matrix twice"),
        ("several", "several LoRAs"),
        ("two alphas", "alpha of .* makes no sense"),
        ("a giant alpha", "alpha of .* makes no sense"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tiny, trained, tmp_path, how, cause):
    load_lora(tiny, trained)
    before = deltas(tiny)
    save_file(spoilt(load_file(trained), how), tmp_path / "odd.safetensors")
    with pytest.raises(Problem, match=cause):
        load_lora(tiny, tmp_path / "odd.safetensors")
    after = deltas(tiny)
    assert all(torch.equal(before[name], after[name]) for name in before)


def respelled(model, file, folder, how):
    """The UNet's part of the file as another program writes it."""
    path, tensors = folder / "other.safetensors", {}
    for name, tensor in load_file(file).items():
        part, _, rest = name.partition(".")
        module, half = re.fullmatch(r"(.*)\.lora_([AB])\.weight", rest).groups()
        word = {"A": "down", "B": "up"}[half]
        if part != "unet" or "attn" not in module:
            continue
        if how.startswith("processor"):
            attention, _, projection = module.removesuffix(".0").rpartition(".")
            stem = f"{attention}.processor.{projection}_lora.{word}.weight"
            tensors[f"unet.{stem}" if how == "processor, unet" else stem] = tensor
        elif how == "lycoris":
            tensors[f"lycoris_{module.replace('.', '_')}.lora_{word}.weight"] = tensor
        elif how == "diffusion_model":  # ComfyUI's: the original's blocks
            original = renamed(module, unet_names(model.unet))
            tensors[f"diffusion_model.{original}.lora_{word}.weight"] = tensor
        elif how == "OneTrainer":  # its own names, before it turns them into kohya's
            tensors[f"lora_unet.{module}.lora_{word}.weight"] = tensor
        elif how == "no part":
            tensors[f"{module}.lora_{half}.weight"] = tensor
        elif how == "peft":
            tensors[f"base_model.model.{module}.lora_{half}.weight"] = tensor
        elif how == "4-D":
            stem = f"lora_unet_{module.replace('.', '_')}"
            tensors[f"{stem}.lora_{word}.weight"] = tensor[..., None, None]
    save_file(tensors, path)
    return path


@pytest.mark.parametrize(
    "how",
    [
        "processor",
        "processor, unet",
        "lycoris",
        "diffusion_model",
        "OneTrainer",
        "no part",
        "peft",
        "4-D",
    ],
)
def test_other_programs_spellings_mean_the_same(tiny, trained, tmp_path, how):
    """Within 1e-6 of what was trained; without an alpha of their own they count as alpha = rank, so
    twice as much as this LoRA of rank 4 and alpha 2."""
    load_lora(tiny, trained)
    own = {name: delta for name, delta in deltas(tiny).items() if "attn" in name}
    if how == "peft":
        (tmp_path / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 4, "bias": "all"}')
    load_lora(tiny, respelled(tiny, trained, tmp_path, how))
    theirs = deltas(tiny)
    assert theirs and theirs.keys() <= own.keys()
    for name, delta in theirs.items():
        torch.testing.assert_close(delta, 2 * own[name], rtol=1e-6, atol=1e-8)


def test_pefts_own_file_needs_its_settings(tiny, trained, tmp_path):
    with pytest.raises(Problem, match=r"alpha stands in adapter_config\.json"):
        load_lora(tiny, respelled(tiny, trained, tmp_path, "peft"))


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("dora_scale", "a DoRA"),
        ("lora_mid.weight", "Tucker"),
        ("diff", "whole weights"),
        ("diff_b", "whole weights"),
        ("w_norm", "whole weights"),
        ("scalar", "trained scalar"),
        ("oft_blocks", "an OFT or a BOFT"),
        ("boft_R", "an OFT or a BOFT"),
        ("a1.weight", "a GLoRA"),
        ("on_input", "an \\(IA\\)³"),
    ],
)
def test_another_kind_is_refused_by_its_own_name(tiny, trained, tmp_path, ending, kind):
    tensors = load_file(kohya(trained, tmp_path / "kohya.safetensors"))
    stem = next(iter(tensors)).partition(".")[0]
    save_file(tensors | {f"{stem}.{ending}": torch.ones(1)}, tmp_path / "kind.safetensors")
    with pytest.raises(Problem, match=f"is {kind}|{kind}"):
        load_lora(tiny, tmp_path / "kind.safetensors")


def test_a_convolutions_matrices_may_be_flat(tiny, tmp_path):
    out, inner, *kernel = tiny.unet.conv_in.weight.shape
    down, up = torch.randn(2, inner, *kernel), torch.randn(out, 2, 1, 1)
    found = []
    for shape in (lambda matrix: matrix, lambda matrix: matrix.flatten(1)):
        tensors = {"lora_unet_conv_in.lora_down.weight": shape(down)}
        tensors["lora_unet_conv_in.lora_up.weight"] = shape(up)
        save_file(tensors, tmp_path / "conv.safetensors")
        load_lora(tiny, tmp_path / "conv.safetensors")
        found.append(deltas(tiny)["unet.conv_in"])
    assert torch.equal(*found)
    wanted = torch.einsum("or,rikl->oikl", up.flatten(1), down)
    torch.testing.assert_close(found[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "stem",
    [
        "text_encoders.clip_l.transformer.text_model.{}",  # ComfyUI's
        "clip_l.transformer.text_model.{}",
        "clip_l.text_model.{}",
        "clip_l.{}",
        "text_encoder.text_model.{}",
        "lora_te.text_model.{}",
        "lora_te1_text_model_{}",
    ],
)
def test_the_text_encoders_spellings_mean_the_same(tiny, trained, tmp_path, stem):
    load_lora(tiny, trained)
    own = {n: d for n, d in deltas(tiny).items() if n.startswith("text_encoder.")}
    tensors = {}
    for name, tensor in load_file(trained).items():
        if name.startswith("text_encoder."):
            module = name.removeprefix("text_encoder.").removeprefix("text_model.")
            module, half = re.fullmatch(r"(.*)\.lora_([AB])\.weight", module).groups()
            module = module.replace(".", "_") if stem.endswith("model_{}") else module
            tensors[f"{stem.format(module)}.lora_{'down' if half == 'A' else 'up'}.weight"] = tensor
    save_file(tensors, tmp_path / "other.safetensors")
    load_lora(tiny, tmp_path / "other.safetensors")
    theirs = deltas(tiny)
    assert theirs.keys() == own.keys()
    for name in own:  # rank 4, alpha 2 in the header alone
        torch.testing.assert_close(theirs[name], 2 * own[name], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lora_unet_double_blocks_0_img_attn_proj", "FLUX"),
        ("transformer.single_transformer_blocks.0.attn.to_q", "FLUX"),
        ("lora_unet_joint_blocks_0_x_block_attn_qkv", "SD 3"),
        ("down_blocks.0.motion_modules.0.temporal_transformer.proj_in", "videos"),
    ],
)
def test_a_lora_of_another_world_is_refused_by_its_name(tiny, tmp_path, name, kind):
    halves = {f"{name}.lora_down.weight": torch.ones(2, 32)}
    halves[f"{name}.lora_up.weight"] = torch.ones(32, 2)
    save_file(halves, tmp_path / "other.safetensors")
    with pytest.raises(Problem, match=f"a LoRA for {kind}"):
        load_lora(tiny, tmp_path / "other.safetensors")


def lokr(weight, factor, rank, seed):
    """A layer's LoKr as LyCORIS splits it by `factor`, and its change, calculated here. With a
    `rank` the second factor is a product."""
    torch.manual_seed(seed)
    out, inner = len(weight), weight[0].numel() // weight[0, 0].numel()
    first = torch.randn(min(factor, out // factor), min(factor, inner // factor))
    size = (out // len(first), inner // first.shape[1], *weight.shape[2:])
    second = torch.randn(size)
    tensors = {"lokr_w1": first, "lokr_w2": second}
    if rank:
        a, b = torch.randn(size[0], rank), torch.randn(rank, second[0].numel())
        second = (a @ b).reshape(size)
        tensors = {"lokr_w1": first, "lokr_w2_a": a, "lokr_w2_b": b}
    wide = first[(...,) + (None,) * (weight.ndim - 2)]
    return tensors, torch.kron(wide, second)


@pytest.mark.parametrize("factors", [(2,), (4,), (8,), (16,), (32,), (2, 16, 4, 8)], ids=str)
@pytest.mark.parametrize("rank", [0, 2])
def test_a_lokr_of_any_factor(tiny, tmp_path, factors, rank):
    """Also with another one for each layer, and on convolutions. alpha 1."""
    layers = [n for n, m in tiny.unet.named_modules() if n.endswith((".attn1.to_q", ".attn2.to_k"))]
    layers += ["down_blocks.0.resnets.0.conv1"]
    tensors, wanted = {}, {}
    for i, layer in enumerate(layers):
        weight = tiny.unet.get_submodule(layer).weight
        own, change = lokr(weight, factors[i % len(factors)], rank, i)
        stem = f"lora_unet_{layer.replace('.', '_')}"
        tensors |= {f"{stem}.{end}": tensor for end, tensor in own.items()}
        tensors[f"{stem}.alpha"] = torch.tensor(1.0)
        wanted[layer] = change / (rank or 1)  # two whole factors have the scale 1
    save_file(tensors, tmp_path / "lokr.safetensors")
    load_lora(tiny, tmp_path / "lokr.safetensors")
    found = {layer: tiny.unet.get_submodule(layer).get_delta_weight("lora_0") for layer in layers}
    for layer in layers:
        torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-6, atol=1e-5)


@pytest.fixture
def bundled(tiny, trained, tmp_path):
    """A LoRA with two words, as OneTrainer puts them into its file."""
    width = tiny.text_encoder.config.hidden_size
    more = {"bundle_emb.zorbi.string_to_param.*": torch.ones(2, width)}
    more["bundle_emb.kemo-2.clip_l"] = 3 * torch.ones(1, width)
    more["bundle_emb.zorbi.string_to_param.*_out"] = torch.ones(2, width)
    path = kohya(trained, tmp_path / "both.safetensors")
    save_file(load_file(path) | more, path)
    return path


def test_words_that_come_with_a_lora(tiny, trained, bundled, capsys):
    """They are offered; the LoRA is loaded as it is without them."""
    load_lora(tiny, trained)
    own = deltas(tiny)
    load_lora(tiny, bundled)
    assert all(torch.equal(delta, own[name]) for name, delta in deltas(tiny).items())
    told = capsys.readouterr().out
    assert "brings the word 'zorbi'" in told and "brings the word 'kemo-2'" in told
    with pytest.raises(Problem, match="several words: "):
        load_embedding(tiny, bundled)
    assert load_embedding(tiny, bundled, "kemo-2") == "kemo-2"
    assert embeddings_of(tiny.text_encoder).token_embedding.rows[:, 0].tolist() == [3.0]
    load_lora(tiny, bundled)
    assert "kemo-2" not in capsys.readouterr().out


def test_a_prompt_that_calls_the_lora_knows_its_words(tiny, bundled, tmp_path, capsys):
    prompt = "zorbi man <lora:both:1>"
    wish = ImageConfig(prompts=(prompt,), seeds=1, steps=2, folder=tmp_path)
    (ours,) = generate(tiny, wish)
    assert "brings the word" not in capsys.readouterr().out
    assert "zorbi" not in tiny.tokenizer.get_added_vocab()  # afterwards the model is as it was
    load_lora(tiny, bundled)
    load_embedding(tiny, bundled, "zorbi")
    (wanted,) = make_images(tiny, "zorbi man", [0], steps=2)
    assert ours.tobytes() == wanted.tobytes()
