"""Textual Inversion (Gal et al. 2022, arXiv 2208.01618): the model stays as it is, and only the
embedding of a new word learns: one vector for the word, or a few."""

import copy
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from tokenizers import AddedToken
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from sdnb.config import TextualInversionConfig
from sdnb.dataset.photos import Photo
from sdnb.files import write_atomically
from sdnb.models.base import Model
from sdnb.models.conditioning import core_of
from sdnb.models.tensors import read_tensors
from sdnb.problems import Problem
from sdnb.training import common, lora
from sdnb.training.common import freeze, group, refuse_sdxl

HALF_BASE = True
RESULT = "embedding.safetensors"
KEY = "emb_params"  # kohya_ss's name of the one tensor, which the web UIs read too
TEMPLATES = (  # plain sentences, in the manner of the paper's
    "a photo of {}",
    "a close-up photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a good photo of {}",
    "the photo of {}",
)


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


def prepare(model: Model, config: TextualInversionConfig) -> list[dict]:
    """Freeze the model and add the new word, beginning with the meaning of the init word."""
    refuse_sdxl(model, "Textual Inversion")
    remove(model)
    freeze(model)
    add_word(model, config.trigger, first_rows(model, config))
    words = embeddings_of(model.text_encoder).token_embedding
    words.rows.requires_grad_(True)
    return [group(words, config.learning_rate)]


def captions(config: TextualInversionConfig, photos: list[Photo]) -> list[str]:
    """The photos' captions, or a template for each."""
    if config.templates:
        return [TEMPLATES[i % len(TEMPLATES)].format(config.trigger) for i in range(len(photos))]
    return common.captions(config, photos)


def save(model: Model, config: TextualInversionConfig, path: Path) -> None:
    """Write the new word's vectors (n, d) fp32 as the one tensor of a safetensors file."""
    rows = embeddings_of(model.text_encoder).token_embedding.rows.detach().cpu().contiguous()
    begun = first_rows(model, config)
    facts = {
        "token": config.trigger,
        "init_word": config.init_word,
        "norm": json.dumps(rows.norm(dim=1).tolist()),
        "moved": json.dumps((rows - begun.cpu()).norm(dim=1).tolist()),
    }
    write_atomically(path, to_bytes({KEY: rows}, {"format": "pt", **facts}))


def remove(model: Model) -> None:
    """Take every new word out of the model; its own weights never moved."""
    lora.remove(model)
    embeddings = embeddings_of(model.text_encoder)
    if isinstance(embeddings.token_embedding, NewWords):
        model.tokenizer = embeddings.token_embedding.tokenizer_before
        embeddings.token_embedding = embeddings.token_embedding.vocabulary


def add_word(model: Model, word: str, rows: torch.Tensor) -> None:
    """Teach the tokenizer `word` and give it the vectors `rows` (n, d). The word is read in lower
    case, as CLIP reads all text; its further vectors are the tokens word_1, word_2, ...

    Raises Problem, before anything is changed, where the word cannot be one, is in the vocabulary
    already, or could not be told from the tokens of a word that is loaded.
    """
    word = word.lower()
    known = model.tokenizer.tokenize(word)
    if not word.isidentifier() or len(known) < 2:
        raise Problem(
            f"{word!r} cannot be a new word: "
            + ("the model knows it already" if word.isidentifier() else "it is not one plain word"),
            do="Choose a made-up word of letters",
        )
    names = [word, *(f"{word}_{i}" for i in range(1, len(rows)))]
    if other := _mixed_up_with(model.tokenizer, word, names):
        raise Problem(
            f"{word!r} cannot be a new word beside {other!r}, which is loaded already: the further "
            "vectors of a word are called WORD_1, WORD_2 and so on",
            do="Unload the other one first, or give one of them another name",
        )
    embeddings = embeddings_of(model.text_encoder)
    if not isinstance(embeddings.token_embedding, NewWords):
        embeddings.token_embedding = NewWords(embeddings.token_embedding, model.tokenizer)
        model.tokenizer = copy.deepcopy(model.tokenizer)
    # whole words only: "ravo" must not be found in "bravo"
    model.tokenizer.add_tokens([AddedToken(name, single_word=True) for name in names])
    words = embeddings.token_embedding
    rows = rows.to(words.rows)
    words.rows = nn.Parameter(torch.cat([words.rows.detach(), rows]), requires_grad=False)


def _mixed_up_with(tokenizer: CLIPTokenizer, word: str, names: list[str]) -> str:
    """A token that is there and would be read as one of the new word's, or one of its further
    vectors as this word's; empty where there is none."""
    there = tokenizer.added_tokens_encoder
    stem, _, number = word.rpartition("_")
    if number.isdigit() and stem in there:
        return stem
    return next((name for name in (*names, f"{word}_{len(names)}") if name in there), "")


def first_rows(model: Model, config: TextualInversionConfig) -> torch.Tensor:
    """(vectors, d) fp32: an earlier embedding's; else the init word's, the mean of them where it
    falls into several tokens; without an init word noise as large as the vocabulary's."""
    vocabulary = embeddings_of(model.text_encoder).token_embedding
    vocabulary = getattr(vocabulary, "vocabulary", vocabulary).weight.detach().float()
    if config.begin_from:
        return read_rows(config.begin_from, model, config.vectors)[0].to(vocabulary)
    if config.init_word:
        ids = init_tokens(model, config)
        return vocabulary[list(ids.values())].mean(0).repeat(config.vectors, 1)
    generator = torch.Generator().manual_seed(config.seed)
    noise = torch.randn(config.vectors, vocabulary.shape[1], generator=generator)
    return noise.to(vocabulary) * vocabulary.std()


def init_tokens(model: Model, config: TextualInversionConfig) -> dict[str, int]:
    """The tokens that the init word falls into, with their ids: to show before a run."""
    tokens = model.tokenizer.tokenize(config.init_word)
    return dict(zip(tokens, model.tokenizer.convert_tokens_to_ids(tokens), strict=True))


def read_rows(
    file: Path | str, model: Model, vectors: int | None = None
) -> tuple[torch.Tensor, str]:
    """The vectors (n, d) in an embedding's file, and the word it names: its header's, else the
    file's own name, as the web UIs call it.

    Raises Problem where the file is missing or damaged, holds no embedding, one of another
    family's width, or another number of `vectors`.
    """
    tensors, metadata = read_tensors(file)
    width = model.text_encoder.config.hidden_size
    if len(tensors) != 1:
        raise Problem(
            "The file is not an embedding", file, "Choose a file with one tensor of vectors"
        )
    (rows,) = tensors.values()
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise Problem(
            f"The embedding has the shape {tuple(rows.shape)}; this base model needs (n, {width})",
            file,
            "Use the base model it was trained on",
        )
    if vectors and len(rows) != vectors:
        raise Problem(f"The embedding has {len(rows)} vectors", file, f"Set vectors = {len(rows)}")
    return rows, metadata.get("token") or Path(file).stem


def opening(model: Model, config: TextualInversionConfig) -> str:
    """What the new word begins with, said before the run."""
    if config.begin_from:
        return f"{config.trigger} goes on from {config.begin_from}."
    if not config.init_word:
        return f"{config.trigger} begins as noise."
    tokens = [token.removesuffix("</w>") for token in init_tokens(model, config)]
    if len(tokens) == 1:
        return f"{config.trigger} begins as {tokens[0]}."
    return (
        f"{config.trigger} begins as the mean of {len(tokens)} tokens, {', '.join(tokens)}, which "
        "means little: an init word of one token is better."
    )


def closing(path: Path) -> str:
    """How long the vectors have become, and how far they have moved."""
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    norm, moved = json.loads(facts["norm"]), json.loads(facts["moved"])
    vectors = f"{len(norm)} vector{'s' * (len(norm) > 1)}"
    return (
        f"{facts['token']}: {vectors}, {min(norm):.2f} to {max(norm):.2f} long, moved by "
        f"{min(moved):.2f} to {max(moved):.2f}."
    )


def embeddings_of(encoder: CLIPTextModel) -> nn.Module:
    """The module that holds the token embedding, in both layouts of transformers."""
    return core_of(encoder).embeddings
