"""LoRAs and embeddings called by name: found, refused, put on and taken off again."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sdnb.adapters import load_embedding, load_lora
from sdnb.adapters.loading import use_loras
from sdnb.dataset.samples import sample_trained
from sdnb.errors import Problem
from sdnb.inference import generate, make_images
from sdnb.inference.config import ImageConfig
from sdnb.inference.prompt_files import find_embeddings, find_lora
from tests.inference.trained import save_lora, save_word


def steps(*prompts, folder, **more) -> ImageConfig:
    return ImageConfig(prompts=prompts, seeds=2, steps=2, folder=folder, **more)


@pytest.fixture
def folder(tiny, config, tmp_path):
    """LoRAs and words of the tiny model, some of them in a subfolder."""
    home = tmp_path / "trained"
    save_lora(tiny, config, home / "one.safetensors", seed=1)
    save_lora(tiny, config, home / "below" / "two, large.safetensors", seed=2)
    save_word(home / "below" / "Ravo.safetensors", seed=3)
    save_word(home / "one_word.safetensors", seed=4)
    return home


@pytest.fixture
def reference(tiny):
    """What make_images draws by hand."""

    def drawn(*prompts, **how):
        wishes = [prompt for prompt in prompts for _ in range(2)]
        return make_images(tiny, wishes, [0, 1] * len(prompts), steps=2, **how)

    return drawn


def test_found_by_name(folder):
    assert find_lora("one", folder) == folder / "one.safetensors"
    assert find_lora("two, large", folder) == folder / "below" / "two, large.safetensors"
    words = find_embeddings("photo of (ravo:1.2), <lora:one_word:1> bravo", folder)
    assert words == [folder / "below" / "Ravo.safetensors"]
    # the samples of the package are known where the folder has none of that name
    assert find_lora("person_lora", folder) == find_lora("person_lora") != folder
    assert find_embeddings("a person_embedding") == [sample_trained("person_embedding")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("onne", "Did you mean 'one'"),
        ("Ravo", "'Ravo' is an embedding"),
        ("../trained/one", "no LoRA called"),
        ("below/one", "no LoRA called"),
        ("below\\one", "no LoRA called"),
        ("..", "no LoRA called"),
        ("", "no LoRA called"),
        ("a:b, c*", "no LoRA called"),
    ],
)
def test_what_is_not_there(folder, name, words):
    with pytest.raises(Problem, match=words):
        find_lora(name, folder)
    with pytest.raises(Problem, match="no such folder"):
        find_lora("one", folder / "absent")


def test_two_of_one_name_and_broken_ones_are_told(folder):
    (folder / "below" / "one.safetensors").write_bytes((folder / "one.safetensors").read_bytes())
    with pytest.raises(Problem, match="2 files called 'one'"):
        find_lora("one", folder)
    (folder / "half.safetensors").write_bytes(b"half")
    (folder / ".hidden.safetensors").write_bytes(b"half")
    for find in (find_lora, find_embeddings):
        with pytest.raises(Problem, match="damaged") as caught:
            find("half", folder)
        assert caught.value.where == folder / "half.safetensors"
    with pytest.raises(Problem, match="no LoRA called"):
        find_lora(".hidden", folder)


def test_no_link_leads_out_of_the_folder(folder, tmp_path, monkeypatch):
    outside = tmp_path / "secret.safetensors"
    (folder / "one.safetensors").rename(outside)
    (folder / "secret.safetensors").symlink_to(outside)
    (folder / "inside.safetensors").symlink_to(folder / "one_word.safetensors")
    (folder / "round.safetensors").symlink_to(folder / "round.safetensors")
    (folder / "away").symlink_to(tmp_path)
    monkeypatch.setattr("sdnb.inference.prompt_files.opened", None)  # nothing is even looked into
    for find in (find_lora, find_embeddings):
        with pytest.raises(Problem, match="link that leads out"):
            find("secret", folder)
    monkeypatch.undo()
    assert find_embeddings("inside", folder) == [folder / "inside.safetensors"]
    with pytest.raises(Problem, match="no LoRA called"):
        find_lora("round", folder)


def test_called_loras_work_and_are_gone_afterwards(tiny, folder, reference):
    """One prompt with none, one with one, two with two, the same in another order."""
    both = "<lora:one:0.5><lora:two, large:0.2:-0.4>"
    other = "c <lora:two, large:0.2:-0.4> d<lora:one:0.5>"
    made = generate(tiny, steps(f"a {both}", "b", "a <lora:one:0.8>", other, folder=folder))
    plain = reference("b")
    one, two = find_lora("one", folder), find_lora("two, large", folder)
    load_lora(tiny, one, 0.8)
    with_one = reference("a")
    use_loras(tiny, [(one, 0.5, 0.5), (two, -0.4, 0.2)])
    with_both = reference("a", "c d")
    expected = [*with_both[:2], *plain, *with_one, *with_both[2:]]
    # pictures drawn together in another number sum in another order: one grey level of 255
    assert np.abs(np.subtract(made, expected, dtype=int)).max() <= 1
    for one, other in ((0, 4), (0, 2)):
        assert np.abs(np.subtract(made[one], made[other], dtype=int)).max() > 10


def test_a_lora_of_before_stays_for_prompts_that_call_none(tiny, folder, reference):
    load_lora(tiny, find_lora("one", folder), 0.8)
    before = reference("a")
    made = generate(tiny, steps("a", "a <lora:two, large>", folder=folder))
    assert np.array_equal(made[:2], before) and not np.array_equal(made[2:], before)
    assert np.array_equal(reference("a"), before)


def test_words_are_learned_and_forgotten(tiny, folder, reference):
    """Beside a word that was there before."""
    before = reference("photo of ravo one_word")
    load_embedding(tiny, folder / "one_word.safetensors")
    known = tiny.tokenizer, tiny.text_encoder.state_dict()
    wish = steps("photo of ravo", folder=folder, negative="one_word")
    made = generate(tiny, wish)
    assert tiny.tokenizer is known[0] and "ravo" not in tiny.tokenizer.get_vocab()
    after = tiny.text_encoder.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in known[1].items())
    load_embedding(tiny, folder / "below" / "Ravo.safetensors", "ravo")
    assert np.array_equal(made, reference("photo of ravo", negative="one_word"))
    assert not np.array_equal(before, reference("photo of ravo one_word"))


def test_a_failure_leaves_the_model_as_it_was(tiny, folder, reference):
    load_lora(tiny, find_lora("one", folder))
    before = reference("a ravo")
    odd = {f"unet.nowhere.lora_{letter}.weight": torch.ones(1, 1) for letter in "AB"}
    save_file(odd, folder / "odd.safetensors")
    for prompt, words in (
        ("ravo <lora:odd:1>", "odd.safetensors"),
        ("ravo <lora:nobody:1>", "no LoRA called 'nobody'"),
    ):
        with pytest.raises(Problem, match=words):
            generate(tiny, steps(prompt, folder=folder))
        assert np.array_equal(reference("a ravo"), before)
    with pytest.raises(Problem, match="in prompts only"):
        generate(tiny, steps("a", negative="<lora:one:1>", folder=folder))


def test_remarks_are_printed_once(tiny, capsys):
    generate(tiny, steps("a ((b)", "a ((b)", negative="c)", folder=None))
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and "never closed" in told[0] and "closes nothing" in told[1]
