"""Textual Inversion (Gal et al. 2022, arXiv 2208.01618): the model stays as it is, and only the
embedding of a new word learns: one vector for the word, or a few."""

import json
from pathlib import Path

import torch
from safetensors import safe_open

from sdnb.adapters.words import (
    add_word,
    embeddings_of,
    load_embedding,
    read_rows,
    unload_embeddings,
)
from sdnb.dataset.photos import Photo
from sdnb.files import write_atomically
from sdnb.models.base import Model
from sdnb.models.saving import save_tensors
from sdnb.training.config import TextualInversionConfig
from sdnb.training.methods.base import Method, parameter_group, refuse_sdxl

KEY = "emb_params"  # kohya_ss's name of the one tensor, which the web UIs read too
TEMPLATES = (  # plain sentences, in the manner of the paper's
    "a photo of {}",
    "a close-up photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a good photo of {}",
    "the photo of {}",
)


class TextualInversion(Method):
    """The embedding of a new word learns; see the module."""

    name, title, result = "textual_inversion", "A new word", "embedding.safetensors"

    def prepare(self, model: Model, config: TextualInversionConfig) -> list[dict]:
        """Freeze the model and add the new word, beginning with the meaning of the init word."""
        refuse_sdxl(model, "Textual Inversion")
        self.freeze(model)
        add_word(model, config.trigger, initial_rows(model, config))
        words = embeddings_of(model.text_encoder).token_embedding
        words.rows.requires_grad_(True)
        group = parameter_group(words, config.learning_rate)
        if config.hold_norm and model.device.type != "meta":  # a plan counts, and reads nothing
            norms = words.vocabulary.weight.float().norm(dim=1)
            group["longest"] = norms.mean().item()  # the optimizer holds each row to it
        return [group]

    def captions(self, config: TextualInversionConfig, photos: list[Photo]) -> list[str]:
        """The photos' captions, or a template for each."""
        if config.templates:
            templates = [template.format(config.trigger) for template in TEMPLATES]
            return [templates[i % len(templates)] for i in range(len(photos))]
        return super().captions(config, photos)

    def save(self, model: Model, config: TextualInversionConfig, path: Path) -> None:
        """Write the new word's vectors (n, d) fp32 as the one tensor of a safetensors file."""
        rows = embeddings_of(model.text_encoder).token_embedding.rows.detach().cpu().contiguous()
        begun = initial_rows(model, config)
        facts = {
            "token": config.trigger,
            "init_word": config.init_word,
            "norm": json.dumps(rows.norm(dim=1).tolist()),
            "moved": json.dumps((rows - begun.cpu()).norm(dim=1).tolist()),
        }
        header = {"format": "pt", **facts}
        write_atomically(path, lambda aside: save_tensors({KEY: rows}, aside, header))

    def remove(self, model: Model) -> None:
        """Take every new word out of the model; its own weights never moved."""
        super().remove(model)
        unload_embeddings(model)

    def load(self, model: Model, path: Path) -> None:
        """Teach the model the word in the file."""
        load_embedding(model, path)

    def opening(self, model: Model, config: TextualInversionConfig) -> str:
        """What the new word begins with, said before the run."""
        if config.init_weights:
            return f"{config.trigger} goes on from {config.init_weights}."
        if not config.init_word:
            return f"{config.trigger} begins as noise."
        tokens = [token.removesuffix("</w>") for token in init_tokens(model, config)]
        if len(tokens) == 1:
            return f"{config.trigger} begins as {tokens[0]}."
        return (
            f"{config.trigger} begins as the mean of {len(tokens)} tokens, {', '.join(tokens)}, "
            "which means little: an init word of one token is better."
        )

    def closing(self, path: Path) -> str:
        """How long the vectors have become, and how far they have moved."""
        with safe_open(path, "pt") as file:
            facts = file.metadata()
        norm, moved = json.loads(facts["norm"]), json.loads(facts["moved"])
        vectors = f"{len(norm)} vector{'s' * (len(norm) > 1)}"
        return (
            f"{facts['token']}: {vectors}, {min(norm):.2f} to {max(norm):.2f} long, moved by "
            f"{min(moved):.2f} to {max(moved):.2f}."
        )


def initial_rows(model: Model, config: TextualInversionConfig) -> torch.Tensor:
    """(vectors, d) fp32: an earlier embedding's; else the init word's, the mean of them where it
    falls into several tokens; without an init word noise as large as the vocabulary's."""
    vocabulary = embeddings_of(model.text_encoder).token_embedding
    vocabulary = getattr(vocabulary, "vocabulary", vocabulary).weight.detach().float()
    if config.init_weights:
        return read_rows(config.init_weights, model, config.vectors)[0].to(vocabulary)
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
