"""What each method trains, leaves alone, saves and gives back."""

import json
import signal

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sdnb.adapters import load_embedding, load_lora, unload_embeddings
from sdnb.adapters.words import NewWords, add_word
from sdnb.dataset import read_photos
from sdnb.errors import Problem
from sdnb.inference import make_images
from sdnb.machine import Machine
from sdnb.models.loading import load_model
from sdnb.training.loop import fit
from sdnb.training.memory import plan
from sdnb.training.methods import METHODS, restore
from sdnb.training.methods.textual_inversion import init_tokens, initial_rows
from sdnb.training.run import prepare, train


def state_of(model) -> dict[str, torch.Tensor]:
    """Every tensor of the model itself, without what a method has put beside it."""
    return {
        f"{name}.{key.replace('base_layer.', '').replace('vocabulary.', '')}": value.clone()
        for name in ("unet", "text_encoder", "vae")
        for key, value in getattr(model, name).state_dict().items()
        if "lora_" not in key and "rows" not in key
    }


def changed(one: dict, other: dict) -> set[str]:
    assert one.keys() == other.keys()
    return {name for name in one if not torch.equal(one[name], other[name])}


@pytest.mark.parametrize("method", METHODS)
def test_what_moves_and_what_stays(tiny, configs, cpu, method):
    before, config = state_of(tiny), configs[method]
    for _ in fit(*prepare(config, read_photos(config.photos, 64), tiny, cpu)):
        pass
    moved = changed(before, state_of(tiny))
    if method == "dreambooth":
        every = {name for name in before if name.split(".")[0] != "vae"}
        assert moved == every, every - moved
    else:
        assert moved == set()
    tokenizer = tiny.tokenizer
    restore(tiny)
    assert changed(before, state_of(tiny)) == set()
    assert (len(tiny.tokenizer) < len(tokenizer)) is (method == "textual_inversion")


@pytest.mark.parametrize("method", METHODS)
def test_what_was_saved_gives_the_same_pictures(tiny, tiny_folder, configs, cpu, tmp_path, method):
    """The live model after training, and the saved result put to use: LoRA and embedding are saved
    in fp32 (one grey level for the order of sums), a DreamBooth model in fp16."""
    config = configs[method]
    for _ in fit(*prepare(config, read_photos(config.photos, 64), tiny, cpu)):
        pass
    live = make_images(tiny, "photo of ravo", [0, 1], steps=3)
    METHODS[method].save(tiny, config, tmp_path / METHODS[method].result)
    base = load_model(tiny_folder)
    plain = make_images(base, "photo of ravo", [0, 1], steps=3)
    if method == "lora":
        load_lora(base, tmp_path / "lora.safetensors")
    elif method == "textual_inversion":
        assert load_embedding(base, tmp_path / "embedding.safetensors") == "ravo"
    else:
        base = load_model(tmp_path / "model")
        assert {p.name for p in (tmp_path / "model").iterdir()} >= {"unet", "vae", "text_encoder"}
    again = make_images(base, "photo of ravo", [0, 1], steps=3)
    assert distance(live, again) <= (2 if method == "dreambooth" else 1)
    assert distance(live, plain) > 5


def distance(pictures, others) -> int:
    """The largest difference of any pixel, of 255."""
    pairs = zip(pictures, others, strict=True)
    return max(np.abs(np.array(a, int) - np.array(b, int)).max() for a, b in pairs)


@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
@pytest.mark.parametrize("layers", ["attention", "attention+feedforward+convolution"])
def test_every_kind_of_matrices_is_saved_and_put_to_use(
    tiny, tiny_folder, configs, tmp_path, kind, layers
):
    config = configs["lora"].replace(
        kind=kind, layers=layers, alpha=2.0, convolution_rank=2, convolution_alpha=1.0
    )
    torch.manual_seed(1)
    for group in METHODS["lora"].prepare(tiny, config):
        for parameter in group["params"]:
            parameter.data.normal_(std=0.3)
    live = make_images(tiny, "photo of ravo", [0], steps=2)
    METHODS["lora"].save(tiny, config, tmp_path / "lora.safetensors")
    base = load_model(tiny_folder)
    load_lora(base, tmp_path / "lora.safetensors")
    assert distance(live, make_images(base, "photo of ravo", [0], steps=2)) <= 1
    load_lora(base, tmp_path / "lora.safetensors", weight=0.0)
    plain = make_images(load_model(tiny_folder), "photo of ravo", [0], steps=2)
    assert distance(plain, make_images(base, "photo of ravo", [0], steps=2)) <= 1


def test_rank_stabilised_scales_by_the_root_of_the_rank(tiny, configs):
    METHODS["lora"].prepare(tiny, configs["lora"].replace(rank=16, alpha=8, rank_stabilised=True))
    layer = tiny.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
    assert layer.scaling["default"] == 8 / 16**0.5


def test_a_new_word_begins_as_the_init_word(tiny, configs):
    config = configs["textual_inversion"].replace(init_word="man", vectors=3)
    vocabulary = tiny.text_encoder.embeddings.token_embedding.weight.clone()
    (man,) = tiny.tokenizer("man", add_special_tokens=False).input_ids
    rows = initial_rows(tiny, config)
    assert torch.equal(rows, vocabulary[man].repeat(3, 1))
    several = initial_rows(tiny, config.replace(init_word="mat"))
    ids = init_tokens(tiny, config.replace(init_word="mat"))
    assert len(ids) > 1
    torch.testing.assert_close(several[0], vocabulary[list(ids.values())].mean(0))
    noise = initial_rows(tiny, config.replace(init_word=""))
    assert not torch.equal(noise[0], noise[1])


def test_several_vectors_stand_one_after_the_other(tiny, configs):
    size = len(tiny.tokenizer)
    add_word(tiny, "ravo", torch.arange(3)[:, None].expand(3, 32) + 0.5)
    ids = tiny.token_ids(["photo of ravo, bravo", "Ravo"])
    assert [i for i in ids[0].tolist() if i >= size] == [size, size + 1, size + 2]  # not in "bravo"
    assert ids[1, 1:4].tolist() == [size, size + 1, size + 2]
    embedded = tiny.text_encoder.embeddings.token_embedding(ids[1:])
    assert embedded[0, 1:4, 0].tolist() == [0.5, 1.5, 2.5]
    add_word(tiny, "mira", torch.zeros(1, 32))
    assert tiny.token_ids(["mira ravo"])[0, 1:5].tolist() == [size + 3, size, size + 1, size + 2]
    unload_embeddings(tiny)
    assert len(tiny.tokenizer) == size


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("ravo_1", 1), ("ravo", 2)),  # whose second vector would be called ravo_1 too
        (("ravo", 2), ("ravo_1", 1)),
        (("ravo_1", 1), ("ravo", 1)),  # "ravo" would be read as "ravo ravo_1"
        (("ravo", 1), ("ravo_1", 1)),
        (("ravo", 2), ("ravo_2", 1)),
        (("ravo", 1), ("ravo", 1)),
    ],
)
def test_words_that_would_share_a_token_are_refused(tiny, first, second):
    add_word(tiny, first[0], torch.ones(first[1], 32))
    size = len(tiny.tokenizer)
    with pytest.raises(Problem, match="cannot be a new word"):
        add_word(tiny, second[0], torch.zeros(second[1], 32))
    add_word(tiny, "mira", torch.full((1, 32), 7.0))  # the next word's row
    words = tiny.text_encoder.embeddings.token_embedding
    assert len(tiny.tokenizer) == size + 1 == len(words.rows) + words.vocabulary.num_embeddings
    assert words(tiny.token_ids(["mira"]))[0, 1, 0] == 7.0


@pytest.mark.parametrize("word", ["man", "two words", "(ravo)", "a:b"])
def test_what_cannot_be_a_new_word_is_a_problem(tiny, word):
    with pytest.raises(Problem, match="cannot be a new word"):
        add_word(tiny, word, torch.zeros(1, 32))
    assert not isinstance(tiny.text_encoder.embeddings.token_embedding, NewWords)


def test_an_embedding_of_another_width_is_a_problem(tiny, tmp_path):
    from safetensors.torch import save_file

    save_file({"emb_params": torch.zeros(2, 48)}, tmp_path / "x.safetensors")
    with pytest.raises(Problem, match=r"needs \(n, 32\)"):
        load_embedding(tiny, tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    with pytest.raises(Problem, match="damaged"):
        load_embedding(tiny, tmp_path / "y.safetensors")


def test_the_embedding_file_says_how_far_it_moved(configs, cpu, tmp_path):
    import json

    from safetensors import safe_open

    run = train(configs["textual_inversion"], tmp_path / "run", cpu, progress=False)
    with safe_open(run.weights, "pt") as file:
        facts = file.metadata()
    (rows,) = load_file(run.weights).values()
    assert json.loads(facts["norm"]) == pytest.approx(rows.norm(dim=1).tolist())
    assert len(json.loads(facts["moved"])) == 2 and min(json.loads(facts["moved"])) > 0


def test_dreambooth_takes_one_prompt_for_all_or_the_captions(configs):
    config = configs["dreambooth"]
    photos = read_photos(config.photos, 64)
    of = METHODS["dreambooth"].captions
    assert of(config, photos)[:2] == ["photo of ravo man", "photo of ravo man number 1"]
    assert set(of(config.replace(instance_prompt="sks"), photos)) == {"sks"}


@pytest.mark.parametrize("method", ["lora", "textual_inversion"])
def test_a_base_in_sixteen_bits_trains_and_draws(tiny_folder, configs, method):
    """As on a GPU, where a frozen base is held in the format of the calculation: here in bf16."""
    machine = Machine("cpu", "bf16", "for tests", 1, 1.0, "test", False)
    model, config = load_model(tiny_folder, torch.bfloat16), configs[method]
    assert model.vae.dtype == torch.float32 and model.unet.dtype == torch.bfloat16
    state, batches, loss = prepare(config, read_photos(config.photos, 64), model, machine)
    for step in fit(state, batches, loss):
        if step.index == 2:
            pictures = make_images(model, "photo of ravo", [0], steps=2, precision="bf16")
            model.park()
    assert np.array(pictures[0]).std() > 1 and np.isfinite(step.loss)
    assert {p.dtype for p in state.parameters.values()} == {torch.float32}


def test_a_new_words_beginning_and_end_are_told(configs, cpu, tmp_path, capsys):
    config = configs["textual_inversion"]
    run = train(config.replace(init_word="man"), tmp_path / "one", cpu)
    assert "ravo begins as man." in capsys.readouterr().out
    assert "ravo: 2 vectors, " in str(run) and "long, moved by " in str(run)
    tiny = load_model(config.base)
    said = METHODS["textual_inversion"].opening(tiny, config.replace(init_word="man ax"))
    assert "the mean of 3 tokens, man, a, x" in said and "one token is better" in said
    assert "noise" in METHODS["textual_inversion"].opening(tiny, config.replace(init_word=""))


@pytest.mark.parametrize(("held", "precision"), [(False, "fp32"), (True, "fp32"), (True, "bf16")])
def test_a_new_words_norm_is_held_where_it_is_asked_for(configs, tiny_folder, held, precision):
    """At a rate that would take each vector far beyond the vocabulary's mean norm."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model, config = load_model(tiny_folder, dtype), configs["textual_inversion"]
    machine = Machine("cpu", precision, "for tests", 1, 1.0, "test", False)
    vocabulary = model.text_encoder.get_input_embeddings().weight.detach().float()
    mean = vocabulary.norm(dim=1).mean().item()
    config = config.replace(learning_rate=1.0, hold_norm=held)
    state, batches, loss = prepare(config, read_photos(config.photos, 64), model, machine)
    (rows,) = state.parameters.values()
    longest = []
    for _ in fit(state, batches, loss):
        longest.append(rows.norm(dim=1).max().item())
    assert rows.dtype == torch.float32
    if held:
        assert max(longest) <= mean * 1.0001 and longest[-1] == pytest.approx(mean, rel=1e-3)
        words = model.text_encoder.get_input_embeddings().vocabulary.weight
        assert torch.equal(words.float(), vocabulary)
    else:
        assert min(longest) > 2 * mean


def test_a_word_that_is_held_goes_on_to_the_same_vectors(configs, cpu, tmp_path):
    config = configs["textual_inversion"].replace(learning_rate=1.0, hold_norm=True, save_every=2)
    whole = train(config, tmp_path / "whole", cpu, progress=False)

    def stop(step):
        if step.index == 3:
            signal.raise_signal(signal.SIGINT)

    assert not train(config, tmp_path / "halves", cpu, progress=False, on_step=stop).finished
    halves = train(config, tmp_path / "halves", cpu, progress=False)
    one, other = (load_file(run.weights)["emb_params"] for run in (whole, halves))
    assert torch.equal(one, other) and one.norm(dim=1).max() < 1.5


def test_a_loras_file_tells_what_is_needed_and_no_more(configs, cpu, tmp_path):
    """No path of the learner's, and nothing that another version of peft would not know."""
    run = train(configs["lora"], tmp_path / "run", cpu, progress=False)
    with safe_open(run.weights, "pt") as file:
        header = json.loads(file.metadata()["lora_adapter_metadata"])
    told = {"r", "lora_alpha", "target_modules", "peft_type", "rank_pattern", "alpha_pattern"}
    assert {name.partition(".")[2] for name in header} == told
    assert configs["lora"].base not in str(header)


def test_a_file_of_a_newer_peft_loads(configs, cpu, tmp_path, tiny):
    run = train(configs["lora"], tmp_path / "run", cpu, progress=False)
    with safe_open(run.weights, "pt") as file:
        header = json.loads(file.metadata()["lora_adapter_metadata"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    newer = header | {"unet.of_tomorrow": None, "text_encoder.of_tomorrow": 3}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(newer)}
    save_file(tensors, tmp_path / "newer.safetensors", metadata)
    pictures = []
    for path in (run.weights, tmp_path / "newer.safetensors"):
        load_lora(tiny, path)
        pictures += make_images(tiny, "ravo", [1], steps=2)
    assert np.array_equal(*map(np.asarray, pictures))


@pytest.mark.parametrize("trigger", ["bad-hands-5", "<cat-toy>", "Ra-vo"])
def test_a_new_word_may_have_signs(tiny, configs, trigger):
    config = configs["textual_inversion"].replace(trigger=trigger)
    METHODS["textual_inversion"].prepare(tiny, config)
    ids = tiny.token_ids([f"a {trigger}, here"])[0].tolist()
    size = tiny.text_encoder.get_input_embeddings().vocabulary.num_embeddings
    assert [token - size for token in ids if token >= size] == [0, 1]  # its two vectors


@pytest.mark.parametrize("trigger", ["", "ravo man", "[V]"])
def test_what_cannot_be_a_new_word_is_told_by_the_plan(configs, cpu, trigger):
    with pytest.raises(Problem, match="cannot be a new word"):
        plan(configs["textual_inversion"].replace(trigger=trigger), 5, cpu)
