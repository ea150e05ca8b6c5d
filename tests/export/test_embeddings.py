"""A learned word in the file that the web UIs read, and diffusers too."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdnb.adapters import load_embedding
from sdnb.adapters.words import embeddings_of
from sdnb.errors import Problem
from sdnb.export import to_embedding
from sdnb.training.methods.textual_inversion import TextualInversion


@pytest.fixture
def saved(tiny, configs, tmp_path):
    """A word of two vectors, as training saves it."""
    file, config = tmp_path / "embedding.safetensors", configs["textual_inversion"]
    TextualInversion().prepare(tiny, config)
    words = embeddings_of(tiny.text_encoder).token_embedding
    torch.nn.init.normal_(words.rows, std=0.3)
    TextualInversion().save(tiny, config, file)
    rows = words.rows.detach().clone()
    TextualInversion().remove(tiny)
    return file, rows


def test_one_tensor_called_by_the_files_name(saved, tiny, tmp_path):
    file, rows = saved
    path = to_embedding(file, tmp_path / "zorbi.safetensors")
    tensors = load_file(path)
    assert tensors.keys() == {"emb_params"} and torch.equal(tensors["emb_params"], rows)
    assert load_embedding(tiny, path) == "zorbi"


def test_diffusers_reads_it(saved, tiny, tmp_path):
    file, rows = saved
    path, pipe = to_embedding(file, tmp_path / "zorbi.safetensors"), tiny.pipeline()
    pipe.load_textual_inversion(str(path), token="zorbi")
    ids = pipe.tokenizer.convert_tokens_to_ids(["zorbi", "zorbi_1"])
    table = embeddings_of(pipe.text_encoder).token_embedding.weight
    assert torch.equal(table[ids], rows)


@pytest.mark.parametrize("name", ["my word", "ravo,man", "ravo(1)", "a\\b", "a:1"])
def test_a_name_that_no_prompt_can_call(saved, tmp_path, name):
    file, _ = saved
    with pytest.raises(Problem, match="written into prompts"):
        to_embedding(file, tmp_path / f"{name}.safetensors")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("tensors", [{}, {"a": (2, 3), "b": (2, 3)}, {"a": (3,)}])
def test_what_is_no_embedding_is_a_problem(tmp_path, tensors):
    file = tmp_path / "file.safetensors"
    save_file({name: torch.ones(shape) for name, shape in tensors.items()}, file)
    with pytest.raises(Problem, match="not an embedding"):
        to_embedding(file, tmp_path / "zorbi.safetensors")
