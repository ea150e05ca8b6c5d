"""The text embeddings of a prompt with weights, with BREAK, or with more than 75 tokens."""

from collections.abc import Sequence

import torch
from transformers import CLIPTokenizer

from sdnb.inference.prompts import Prompt
from sdnb.models.base import Model
from sdnb.models.conditioning import conditioning

Chunk = list[tuple[int, float]]  # up to 75 token ids with their weights


@torch.no_grad()
def weighted_embeddings(
    model: Model, prompts: Sequence[list[Chunk]], length: int = 1, clip_skip: int = 0
) -> torch.Tensor:
    """(n, 77 length, d) of prompts in chunks, see `token_chunks`, on the model's device. Those of
    fewer than `length` chunks are filled up with empty ones. For an SDXL it is
    (n, 77 length + 1, d), packed with the first chunk's pooled vector.

    As AUTOMATIC1111's web UI does it (modules/sd_hijack_clip.py and sd_emphasis.py, "Original"):
    the text encoder reads each chunk by itself, each token's hidden state is multiplied by its
    weight, and then the whole chunk by one factor that restores its mean. A prompt without weights
    of up to 75 tokens is `model.text_embeddings`.
    """
    room = model.tokenizer.model_max_length - 2  # without the tokens of begin and end
    rows = [chunk for chunks in prompts for chunk in chunks + [[]] * (length - len(chunks))]
    encoders = tuple(model.encoders.values())
    tokenizers = [model.tokenizer, model.tokenizer_2][: len(encoders)]
    ids = torch.tensor([[_padded_ids(each, chunk, room) for each in tokenizers] for chunk in rows])
    ids = ids if len(encoders) > 1 else ids[:, 0]
    read = conditioning(encoders, ids.to(model.text_encoder.device), clip_skip)  # may be parked
    states, pooled = read[:, : room + 2], read[:, room + 2 :]
    weights = torch.tensor([_weights(chunk, room) for chunk in rows]).to(states)[..., None]
    widths = [encoder.config.hidden_size for encoder in encoders]
    states = torch.cat([_weighted(each, weights) for each in states.split(widths, -1)], -1)
    states = states.reshape(len(prompts), -1, states.shape[-1])
    first = pooled.reshape(len(prompts), -1, states.shape[-1])[:, : pooled.shape[1]]
    return torch.cat([states, first], dim=1).to(model.device)


def token_chunks(model: Model, prompt: Prompt) -> list[Chunk]:
    """The prompt's tokens with their weights, 75 to a chunk, a new chunk at every BREAK."""
    room, chunks = model.tokenizer.model_max_length - 2, []
    for part in prompt.parts:
        tokens = [
            (token, span.weight) for span in part for token in token_ids(model, span.text.strip())
        ]
        chunks += [tokens[start : start + room] for start in range(0, max(len(tokens), 1), room)]
    return chunks


def token_ids(model: Model, words: str) -> list[int]:
    """The token ids of some words alone, without begin and end, and uncut."""
    spelled = model.spelled_out(words)
    return model.tokenizer(spelled, add_special_tokens=False, verbose=False).input_ids


def _weighted(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """One encoder's states (n, 77, d) times the weights (n, 77, 1), with their mean restored. A
    chunk without weights stays the same to the bit: an untrained encoder's states have the mean 0,
    which no factor restores."""
    product = states * weights
    factor = states.mean((1, 2), keepdim=True) / product.mean((1, 2), keepdim=True)
    return torch.where((weights == 1).all(1, keepdim=True), states, product * factor)


def _padded_ids(tokenizer: CLIPTokenizer, chunk: Chunk, room: int) -> list[int]:
    """A chunk's ids between begin and end, padded to the text encoder's length."""
    ids = [tokenizer.bos_token_id, *(token for token, _ in chunk), tokenizer.eos_token_id]
    return ids + [tokenizer.pad_token_id] * (room - len(chunk))


def _weights(chunk: Chunk, room: int) -> list[float]:
    return [1.0, *(weight for _, weight in chunk)] + [1.0] * (room - len(chunk) + 1)
