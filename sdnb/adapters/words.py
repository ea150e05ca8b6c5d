"""Learned words: rows beside a text encoder's table of embeddings, put into a model from a file of
vectors (Textual Inversion, arXiv 2208.01618), and taken out again."""

import copy
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from sdnb.errors import Problem
from sdnb.models.base import Model
from sdnb.models.conditioning import core_of
from sdnb.models.tensors import read_pickle, read_tensors

PICKLES = (".pt", ".bin")  # how embeddings were saved before safetensors
LONGEST = 75  # vectors: more than that is no prompt
BUNDLED = re.compile(r"bundle_emb\.(.+)\.(string_to_param\.\*|emb_params|clip_[lh])")
WORD = re.compile(r"[^\s()\[\]:,|\\]+")  # what a prompt reads as one: bad-hands-5, <cat-toy>


class NewWords(nn.Module):
    """A token embedding with rows added for new words. The vocabulary's own rows stay in a frozen
    parameter of their own, so that no optimizer can touch them, not even by weight decay."""

    def __init__(self, vocabulary: nn.Embedding, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.vocabulary, self.tokenizer_before = vocabulary, tokenizer
        self.rows = nn.Parameter(vocabulary.weight.new_zeros(0, vocabulary.embedding_dim).float())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(n, 77) token ids to (n, 77, d); ids behind the vocabulary are the new words'."""
        size = self.vocabulary.num_embeddings
        known = self.vocabulary(ids.clamp(max=size - 1))
        if not len(self.rows):
            return known
        new = self.rows[(ids - size).clamp(min=0)].to(known.dtype)
        return torch.where((ids >= size)[..., None], new, known)


def load_embedding(model: Model, file: Path | str, word: str | None = None) -> str:
    """Teach `model` the word in `file`, a safetensors file with one tensor (n, d), beside any words
    learned before. An older .pt or .bin will do too, and a LoRA that OneTrainer bundled with words.
    Returns the word: `word`, else the one the file names, else the file's name, as the web UIs call
    it.

    Raises Problem where the file is missing, holds no embedding, or one of another family's width,
    and where the model is an SDXL, whose embeddings are pairs.
    """
    if model.text_encoder_2 is not None:
        what = "An SDXL takes embeddings of two parts, which cannot be used here"
        raise Problem(what, file, "Choose a base of SD 1 or 2")
    rows, named = read_rows(file, model, word=word)
    add_word(model, word or named, rows)
    return word or named


def unload_embeddings(model: Model) -> None:
    """Take every learned word out again; the model's own words never moved."""
    embeddings = embeddings_of(model.text_encoder)
    if isinstance(embeddings.token_embedding, NewWords):
        model.tokenizer = embeddings.token_embedding.tokenizer_before
        embeddings.token_embedding = embeddings.token_embedding.vocabulary


def add_word(model: Model, word: str, rows: torch.Tensor) -> None:
    """Teach the tokenizer `word` and give it the vectors `rows` (n, d). The word is read in lower
    case, as CLIP reads all text; its further vectors are the tokens word_1, word_2, ...

    Raises Problem, before anything is changed, where the word cannot be one, is in the vocabulary
    already, or could not be distinguished from the tokens of a word that is loaded.
    """
    word, why, do = word.lower(), "", "Choose a made-up word of letters"
    names = [word, *(f"{word}_{i}" for i in range(1, len(rows)))]
    if not WORD.fullmatch(word) or not word.isprintable():
        why = ": prompts give spaces and the signs ( ) [ ] : , | \\ another meaning"
    elif is_known(model, word):
        why = ": the model knows it already"
    elif other := _mixed_up_with(model.tokenizer, word, names):
        why = f" beside {other!r}, which is loaded already: the further vectors of a word are "
        why += "called WORD_1, WORD_2 and so on"
        do = "Unload the other one first, or give one of them another name"
    if why:
        raise Problem(f"{word!r} cannot be a new word{why}", do=do)
    embeddings = embeddings_of(model.text_encoder)
    words, tokenizer = embeddings.token_embedding, copy.deepcopy(model.tokenizer)
    if not isinstance(words, NewWords):
        words = NewWords(words, model.tokenizer)
    # whole words only: "ravo" must not be found in "bravo"
    tokenizer.add_tokens([AddedToken(name, single_word=True) for name in names])
    new = torch.cat([words.rows.detach(), rows.to(words.rows)])
    words.rows = nn.Parameter(new, requires_grad=False)
    embeddings.token_embedding, model.tokenizer = words, tokenizer


def is_known(model: Model, word: str) -> bool:
    """Whether the word is one token already: the model's own, whose meaning is not overwritten, or
    one that was learned."""
    return len(model.tokenizer.tokenize(word.lower())) < 2


def _mixed_up_with(tokenizer: CLIPTokenizer, word: str, names: list[str]) -> str:
    """A token that is there and would be read as one of the new word's, or one of its further
    vectors as this word's; empty where there is none."""
    there = tokenizer.added_tokens_encoder
    stem, _, number = word.rpartition("_")
    if number.isdigit() and stem in there:
        return stem
    return next((name for name in (*names, f"{word}_{len(names)}") if name in there), "")


def bundled_words(names: Iterable[str]) -> dict[str, str]:
    """The words in a LoRA that OneTrainer bundled with them, each with its tensor's name."""
    return {found[1]: name for name in names if (found := BUNDLED.fullmatch(name))}


def read_rows(
    file: Path | str, model: Model, vectors: int | None = None, word: str | None = None
) -> tuple[torch.Tensor, str]:
    """The vectors (n, d) in an embedding's file, and the word it names: its header's, else the
    file's own name, as the web UIs call it. In a LoRA with several words `word` says which.

    Raises Problem where the file is missing or damaged, holds no embedding, one of another
    family's width, or another number of `vectors`.
    """
    pickled = Path(file).suffix in PICKLES
    tensors, metadata = (read_pickle(file), {}) if pickled else read_tensors(file)
    named = metadata.get("token") or Path(file).stem
    width = model.text_encoder.config.hidden_size
    if words := bundled_words(tensors):
        if len(words) > 1 and word not in words:
            raise Problem(f"The file holds several words: {', '.join(words)}", file, "Name one")
        named = word if word in words else next(iter(words))
        tensors = {named: tensors[words[named]]}
    if len(tensors) != 1:
        do = "Choose a file with one tensor of vectors"
        raise Problem("The file is not an embedding", file, do)
    (rows,) = tensors.values()
    rows = rows[None] if rows.ndim == 1 else rows  # diffusers writes a word of one vector so
    if rows.ndim != 2 or rows.shape[1] != width or not 0 < len(rows) <= LONGEST:
        shape = tuple(rows.shape)
        what = f"The embedding has the shape {shape}; this base model needs (n, {width})"
        raise Problem(what, file, "Use the base model it was trained on")
    if vectors and len(rows) != vectors:
        raise Problem(f"The embedding has {len(rows)} vectors", file, f"Set vectors = {len(rows)}")
    return rows, named


def embeddings_of(encoder: CLIPTextModel) -> nn.Module:
    """The module that holds the token embedding, in both layouts of transformers."""
    return core_of(encoder).embeddings
