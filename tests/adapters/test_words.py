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
