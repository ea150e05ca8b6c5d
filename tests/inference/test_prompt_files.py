"""LoRAs and embeddings called by name: found, refused, put on and taken off again."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sdnb.adapters import load_embedding, load_lora
from sdnb.adapters.loading import unload_lora, use_loras
from sdnb.dataset.samples import sample_trained
from sdnb.errors import Problem
from sdnb.inference import (
    Axis,
    config_from_infotext,
    generate,
    make_image_files,
    make_images,
    read_infotext,
    xyz_plot,
)
from sdnb.inference.config import ImageConfig
from sdnb.inference.images import remarks
from sdnb.inference.infotext import parse_infotext
from sdnb.inference.prompt_files import file_hashes, find_embeddings, find_lora
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


def told(file, start: int = 0, digits: int = 12) -> str:
    return hashlib.sha256(file.read_bytes()[start:]).hexdigest()[:digits]


def behind_header(file) -> int:
    return 8 + int.from_bytes(file.read_bytes()[:8], "little")


def test_a_renamed_lora_is_found_by_its_hash(tiny, folder, reference, capsys):
    one, now = folder / "one.safetensors", folder / "below" / "new.safetensors"
    digest = told(one, behind_header(one))
    load_lora(tiny, one, 0.8)
    wanted = reference("a")
    unload_lora(tiny)
    one.rename(now)
    # as AUTOMATIC1111 writes it, and as it is found in a folder that is named afterwards
    text = f'a <lora:one:0.8>\nSteps: 2, Sampler: DPM++ 2M, Schedule type: Uniform, Seed: 0, \
CFG scale: {tiny.info.guidance}, Size: 64x64, RNG: CPU, \
Lora hashes: "x: 00000000, one: {digest.upper()}"'
    config = config_from_infotext(parse_infotext(text)).replace(folder=folder, seeds=2)
    made = generate(tiny, config.replace(prompts=config.prompts * 2))
    for two in (made[:2], made[2:]):  # in batches of another size, one grey level
        assert np.abs(np.subtract(two, wanted, dtype=int)).max() <= 1
    assert capsys.readouterr().out == (
        "The LoRA 'one' was found by its hash: it is called 'new' now.\n"
    )
    assert find_lora("one", folder, f"one: {digest[:8]}") == now  # SD.Next writes eight digits
    assert find_lora("a:b,c", folder, f"abc: {digest}") == now  # names are written without : and ,
    for other in ("", f"two: {digest}", "one: 0123456789ab", f"one: {digest[:4]}"):
        with pytest.raises(Problem, match="no LoRA called 'one'"):
            find_lora("one", folder, other)


def test_hashes_are_read_through_no_link(folder, tmp_path):
    one = folder / "one.safetensors"
    digest = told(one, behind_header(one))
    one.rename(tmp_path / "secret.safetensors")
    (folder / "inside.safetensors").symlink_to(tmp_path / "secret.safetensors")
    with pytest.raises(Problem, match="no LoRA called 'one'"):
        find_lora("one", folder, f"one: {digest}")


def test_a_lora_called_twice_counts_twice(tiny, folder, reference, capsys):
    made = generate(tiny, steps("a <lora:one:0.3> <lora:one:0.2>", folder=folder))
    load_lora(tiny, find_lora("one", folder), 0.5)
    assert np.abs(np.subtract(made, reference("a"), dtype=int)).max() <= 1
    assert "'one' is called more than once" in capsys.readouterr().out


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


def test_a_text_tells_its_files_by_their_hashes(tiny, tiny_folder, folder, tmp_path):
    """Of the LoRAs, without header; of the words used; and of the base where it is one file."""
    save_word(folder / "man.safetensors", seed=5)  # a word of the model's own: not used
    one, two = folder / "one.safetensors", folder / "below" / "two, large.safetensors"
    prompt = "ravo man <lora:two, large:0.1> <lora:one:0.5> <lora:one:0.1>"
    config = steps(prompt, "a", folder=folder, negative="one_word")
    (first, _, plain, _) = make_image_files(tmp_path / "out", config, str(tiny_folder))
    loras = f"one: {told(one, behind_header(one))}, two large: {told(two, behind_header(two))}"
    names = ("below/Ravo.safetensors", "one_word.safetensors")
    ravo, negative = (told(folder / name) for name in names)
    more = read_infotext(first).more
    assert more["Lora hashes"] == loras
    assert more["TI hashes"] == f"Ravo: {ravo}, one_word: {negative}" and "Model hash" not in more
    assert "Lora hashes" not in read_infotext(plain).more
    xyz_plot(tiny, config.replace(prompts=(prompt,)), tmp_path / "grid", Axis("steps", (1,)))
    assert read_infotext(tmp_path / "grid" / "cell_1.png").more["Lora hashes"] == loras
    base = tmp_path / "base.safetensors"
    base.write_bytes(b"some weights")
    single = replace(tiny, info=replace(tiny.info, sources=(str(base),)))
    assert file_hashes(single, steps("a", folder=None)) == {"Model hash": told(base, digits=10)}
    single.moved = True  # a training has made another model of it
    assert file_hashes(single, steps("a", folder=None)) == {}
    before = file_hashes(tiny, steps("<lora:one>", folder=folder))
    one.write_bytes(bytes([*one.read_bytes()[:-1], one.read_bytes()[-1] ^ 1]))
    assert file_hashes(tiny, steps("<lora:one>", folder=folder)) != before


def test_a_word_of_the_models_own_is_said_once(tiny, folder, tmp_path, capsys):
    save_word(folder / "man.safetensors", seed=5)
    config = steps("a man", folder=folder)
    xyz_plot(tiny, config, tmp_path / "grid", Axis("steps", (1, 2)), Axis("guidance", (1, 2)))
    assert capsys.readouterr().out.count("man.safetensors is not used") == 1


def test_make_images_speaks_up_too(tiny, capsys):
    make_images(tiny, ["a AND b", "a AND b"], [0, 1], steps=1, negative="{c}")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "{c}" in said[0] and "AND" in said[1]
    make_images(tiny, "a AND b", [0], steps=1, quiet=True)
    assert capsys.readouterr().out == ""


def test_files_and_grids_speak_up_once(tiny, tiny_folder, tmp_path, capsys):
    config = steps(
        "a AND b", "a AND b <lora:person_lora:0:lbw=x>", folder=None, width=64, height=64
    )
    plain = config.replace(prompts=config.prompts[:1])
    make_image_files(tmp_path / "out", plain, str(tiny_folder))
    assert capsys.readouterr().out.count("AND joins") == 1
    xyz_plot(tiny, plain, tmp_path / "grid", Axis("steps", (1, 2)))
    assert capsys.readouterr().out.count("AND joins") == 1
    assert [said.split()[0] for said in remarks(config)] == ["AND", "lbw=x"]


def test_remarks_are_printed_once(tiny, capsys):
    generate(tiny, steps("a ((b)", "a ((b)", negative="c)", folder=None))
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and "never closed" in told[0] and "closes nothing" in told[1]


def test_a_file_that_is_no_word_is_said_once_for_all_images(tmp_path, capsys):
    torch.save({"state": 1}, tmp_path / "night.bin")
    wish = ImageConfig(prompts=("a man at night",), seeds=3, steps=1, folder=tmp_path)
    make_image_files(tmp_path / "out", wish)
    assert capsys.readouterr().out.count("night.bin is not used") == 1
