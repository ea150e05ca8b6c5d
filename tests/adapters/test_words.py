"""Learned words by the names that people give them, beside one another, in any order."""

from itertools import permutations

import pytest
import torch
from safetensors.torch import save_file

from sdnb.adapters import load_embedding, unload_embeddings
from sdnb.adapters.words import NewWords, embeddings_of
from sdnb.errors import Problem
from sdnb.inference import generate
from sdnb.inference.config import ImageConfig
from sdnb.models.loading import load_model

NAMES = ["bad-hands-5", "emb_1.5", "21charturnerv2", "<cat-toy>", "ravo-v2", "ravo"]


def embedding(model, folder, name: str, vectors: int = 2, value: float = 1.0):
    width = model.text_encoder.config.hidden_size
    rows = torch.full((vectors, width), value) + torch.arange(vectors)[:, None]
    save_file({"emb_params": rows}, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


@pytest.fixture
def model(tiny_folder):
    return load_model(tiny_folder)


@pytest.mark.parametrize("name", NAMES)
def test_names_as_people_have_them(model, tmp_path, name):
    """In a prompt such a word becomes its vectors, in order, and nothing else changes."""
    plain = model.token_ids(["a, at night"])[0].tolist()
    size = embeddings_of(model.text_encoder).token_embedding.num_embeddings
    assert load_embedding(model, embedding(model, tmp_path, name)) == name
    ids = model.token_ids([f"a {name}, at night"])[0].tolist()
    assert ids[2:4] == [size, size + 1]
    assert ids[1] == plain[1] and ids[4:7] == plain[2:5]


@pytest.mark.parametrize("name", ["two words", "a(b", "a:b", "a,b", "a|b", "", "a\x00b"])
def test_what_a_prompt_cannot_say_is_refused(model, tmp_path, name):
    file = embedding(model, tmp_path, "some")
    with pytest.raises(Problem, match="cannot be a new word"):
        load_embedding(model, file, name or " ")
    assert not isinstance(embeddings_of(model.text_encoder).token_embedding, NewWords)


def test_one_name_within_another(model, tmp_path):
    """ "ravo" is not found in "ravo-v2", nor "v2" of it."""
    load_embedding(model, embedding(model, tmp_path, "ravo", 3))
    load_embedding(model, embedding(model, tmp_path, "ravo-v2", 2))
    assert model.spelled_out("Ravo and ravo-v2") == "ravo ravo_1 ravo_2 and ravo-v2 ravo-v2_1"


@pytest.mark.parametrize("order", [*permutations(["ravo", "ravo_1", "bad-hands-5"])], ids=str)
def test_rows_and_tokens_stay_in_step(model, tmp_path, order):
    """In every order: what is loaded reads its own rows; what cannot stand beside it is refused,
    and changes nothing."""
    values = {"ravo": 10.0, "ravo_1": 20.0, "bad-hands-5": 30.0}
    loaded = []
    for name in order:
        try:
            load_embedding(model, embedding(model, tmp_path, name, 2, values[name]))
            loaded.append(name)
        except Problem:
            assert {"ravo", "ravo_1"} & set(loaded)
        layer = embeddings_of(model.text_encoder).token_embedding
        for word in loaded:
            ids = model.token_ids([word])[0, 1:3]
            assert layer(ids)[:, 0].tolist() == [values[word], values[word] + 1]
    assert {"bad-hands-5"} < set(loaded)
    unload_embeddings(model)
    assert not model.tokenizer.get_added_vocab().keys() & set(order)


def test_a_file_called_as_a_word_of_the_models_own_stops_no_prompt(model, tmp_path, capsys):
    embedding(model, tmp_path, "man")
    wish = ImageConfig(prompts=("a man",), seeds=1, steps=1, folder=tmp_path)
    assert len(generate(model, wish)) == 1
    assert "man.safetensors is not used: the model has a word 'man'" in capsys.readouterr().out


def test_one_vector_as_diffusers_writes_it(model, tmp_path):
    file = tmp_path / "cat-toy.safetensors"
    save_file({"<cat-toy>": torch.ones(model.text_encoder.config.hidden_size)}, file)
    assert load_embedding(model, file) == "cat-toy"


def pickled(rows, how: str):
    """The same vectors as older programs saved them."""
    if how == "AUTOMATIC1111":
        facts = {"string_to_token": {"*": 265}, "name": "ravo", "step": 500, "sd_checkpoint": None}
        return facts | {"string_to_param": {"*": rows}}
    if how == "the first Textual Inversion":
        parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(rows)})
        return {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}
    return {"<ravo>": rows if how == "diffusers" else rows[0]}


@pytest.mark.parametrize("ending", [".pt", ".bin"])
@pytest.mark.parametrize(
    "how", ["AUTOMATIC1111", "the first Textual Inversion", "diffusers", "diffusers, one vector"]
)
def test_words_from_before_safetensors(model, tmp_path, how, ending):
    rows = torch.randn(2, model.text_encoder.config.hidden_size)
    file = (tmp_path / "ravo").with_suffix(ending)
    torch.save(pickled(rows, how), file)
    assert load_embedding(model, file) == "ravo"
    found = embeddings_of(model.text_encoder).token_embedding.rows
    assert torch.equal(found, rows[: len(found)])


class Runs:
    """A pickle that would write a file where it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def bad_pickles(path, width):
    return {
        "a program": {"string_to_param": Runs(path)},
        "a program beside": {"string_to_param": {"*": torch.ones(1, width)}, "more": Runs(path)},
        "a giant": {"*": torch.zeros(1, 1).expand(10**9, width)},
        "words": {"string_to_param": {"*": "ravo"}},
        "nothing": {},
        "a list": [torch.ones(1, width)],
        "a sparse one": {"*": torch.ones(1, width).to_sparse()},
        "NaN": {"*": torch.full((1, width), torch.nan)},
        "whole numbers": {"*": torch.ones(1, width, dtype=torch.int64)},
        "76 vectors": {"*": torch.ones(76, width)},
        "another width": {"*": torch.ones(1, width + 1)},
        "two words": {"a": torch.ones(1, width), "b": torch.ones(1, width)},
    }


@pytest.mark.parametrize("how", [*bad_pickles("", 8), "cut off", "no pickle", "large", "absent"])
def test_a_pickle_runs_nothing_and_is_refused_if_it_is_no_word(model, tmp_path, how):
    written, file = tmp_path / "written", tmp_path / "ravo.pt"
    cases = bad_pickles(written, model.text_encoder.config.hidden_size)
    if how in cases:
        torch.save(cases[how], file)
    elif how == "cut off":
        torch.save(cases["76 vectors"], file)
        file.write_bytes(file.read_bytes()[:-500])
    elif how == "large":
        torch.save({"*": torch.ones(1, 3_000_000)}, file)
    elif how == "no pickle":
        file.write_bytes(b"not a pickle")
    with pytest.raises(Problem, match=r"ravo\.pt"):
        load_embedding(model, file)
    assert not written.exists()
    assert not isinstance(embeddings_of(model.text_encoder).token_embedding, NewWords)


def test_a_folders_pickles_are_words_or_are_remarked_on(model, tmp_path, capsys):
    rows = torch.randn(1, model.text_encoder.config.hidden_size)
    torch.save({"*": rows}, tmp_path / "zorbi.pt")
    torch.save({"state": 1}, tmp_path / "night.bin")
    torch.save({"state": 1}, tmp_path / "optimizer.bin")
    wish = ImageConfig(prompts=("zorbi at night",), seeds=1, steps=1, folder=tmp_path)
    ours = generate(model, wish)
    assert capsys.readouterr().out.count("is not used") == 1
    (tmp_path / "night.bin").unlink()
    load_embedding(model, tmp_path / "zorbi.pt")
    assert [i.tobytes() for i in generate(model, wish)] == [i.tobytes() for i in ours]
    assert "not used" not in capsys.readouterr().out
