"""What the UNet is told by a prompt with weights, with BREAK, or with more than 75 tokens."""

from collections.abc import Sequence

import torch
from transformers import CLIPTokenizer

from sdnb.inference.prompts import Prompt
from sdnb.models.base import Model
from sdnb.models.conditioning import conditioning


@torch.no_grad()
def weighed_embeddings(model: Model, prompts: Sequence[Prompt], clip_skip: int = 0) -> torch.Tensor:
    """(n, 77 k, d) for k chunks of 75 tokens in the longest prompt, on the model's device; packed
    where the model is an SDXL, (n, 77 k + 1, d), with the first chunk's pooled vector.

    As AUTOMATIC1111's web UI does it (modules/sd_hijack_clip.py and sd_emphasis.py, "Original"):
    each chunk is read by itself, each token's hidden state is multiplied by its weight, and then
    all of the chunk by one factor that gives it back its mean. Shorter prompts are filled up with
    empty chunks. A prompt without weights of up to 75 tokens is `model.text_embeddings`.
    """
    room = model.tokenizer.model_max_length - 2  # without the marks of begin and end
    chunked = [chunks_of(model, prompt) for prompt in prompts]
    longest = max(map(len, chunked))
    rows = [chunk for chunks in chunked for chunk in chunks + [[]] * (longest - len(chunks))]
    encoders = tuple(model.encoders.values())
    device = model.text_encoder.device  # which may be parked
    tokenizers = [model.tokenizer, model.tokenizer_2][: len(encoders)]
    ids = torch.tensor([[_framed(marks, chunk, room) for marks in tokenizers] for chunk in rows])
    ids = ids if len(encoders) > 1 else ids[:, 0]
    read = conditioning(encoders, ids.to(device), clip_skip)
    states, pooled = read[:, : room + 2], read[:, room + 2 :]
    weights = torch.tensor([_weights(chunk, room) for chunk in rows]).to(states)[..., None]
    widths = [encoder.config.hidden_size for encoder in encoders]
    states = torch.cat([_emphasised(each, weights) for each in states.split(widths, -1)], -1)
    whole = states.reshape(len(prompts), -1, states.shape[-1])
    first = pooled.reshape(len(prompts), -1, states.shape[-1])[:, : pooled.shape[1]]
    return torch.cat([whole, first], dim=1).to(model.device)


def _emphasised(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """One encoder's states (n, 77, d) times the weights (n, 77, 1), with the mean they had. Where
    nothing is weighed they stay as they are, to the bit: an untrained encoder's have the mean 0,
    which no factor gives back."""
    weighed = states * weights
    factor = states.mean((1, 2), keepdim=True) / weighed.mean((1, 2), keepdim=True)
    return torch.where((weights == 1).all(1, keepdim=True), states, weighed * factor)


def pieces(model: Model, words: str) -> list[int]:
    """The token ids of some words alone, without the marks and uncut."""
    spelled = model.spelled_out(words)
    return model.tokenizer(spelled, add_special_tokens=False, verbose=False).input_ids


def chunks_of(model: Model, prompt: Prompt) -> list[list[tuple[int, float]]]:
    """The prompt's tokens with their weights, 75 to a chunk, a new one at every BREAK."""
    room, chunks = model.tokenizer.model_max_length - 2, []
    for part in prompt.parts:
        tokens = [
            (token, span.weight) for span in part for token in pieces(model, span.text.strip())
        ]
        chunks += [tokens[at : at + room] for at in range(0, max(len(tokens), 1), room)]
    return chunks


def _framed(marks: CLIPTokenizer, chunk: list[tuple[int, float]], room: int) -> list[int]:
    """A chunk's ids between the marks of begin and end, filled up to the text encoder's length."""
    ids = [marks.bos_token_id, *(token for token, _ in chunk), marks.eos_token_id]
    return ids + [marks.pad_token_id] * (room - len(chunk))


def _weights(chunk: list[tuple[int, float]], room: int) -> list[float]:
    return [1.0, *(weight for _, weight in chunk)] + [1.0] * (room - len(chunk) + 1)
