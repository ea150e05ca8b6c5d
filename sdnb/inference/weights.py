"""What the UNet is told by a prompt with weights, with BREAK, or with more than 75 tokens."""

from collections.abc import Sequence

import torch

from sdnb.inference.prompts import Prompt
from sdnb.models import Model, hidden_state


@torch.no_grad()
def weighed_embeddings(model: Model, prompts: Sequence[Prompt], clip_skip: int = 0) -> torch.Tensor:
    """(n, 77 k, d) for k chunks of 75 tokens in the longest prompt, on the model's device.

    As AUTOMATIC1111's web UI does it (modules/sd_hijack_clip.py and sd_emphasis.py, "Original"):
    each chunk is read by itself, each token's hidden state is multiplied by its weight, and then
    all of the chunk by one factor that gives it back its mean. Shorter prompts are filled up with
    empty chunks. A prompt without weights of up to 75 tokens is `model.text_embeddings`.
    """
    room = model.tokenizer.model_max_length - 2  # without the marks of begin and end
    chunked = [_chunks(model, prompt, room) for prompt in prompts]
    longest = max(map(len, chunked))
    rows = [chunk for chunks in chunked for chunk in chunks + [[]] * (longest - len(chunks))]
    ids, weights = zip(*(_framed(model, chunk, room) for chunk in rows))
    device = model.text_encoder.device  # which may be parked
    states = hidden_state(model.text_encoder, torch.tensor(ids, device=device), clip_skip)
    before = states.mean((1, 2), keepdim=True)
    states = states * torch.tensor(weights, dtype=states.dtype, device=device)[..., None]
    states = states * (before / states.mean((1, 2), keepdim=True))
    return states.reshape(len(prompts), -1, states.shape[-1]).to(model.device)


def pieces(model: Model, words: str) -> list[int]:
    """The token ids of some words alone, without the marks and uncut."""
    spelled = model.spelled_out(words)
    return model.tokenizer(spelled, add_special_tokens=False, verbose=False).input_ids


def _chunks(model: Model, prompt: Prompt, room: int) -> list[list[tuple[int, float]]]:
    """The prompt's tokens with their weights, `room` to a chunk, a new one at every BREAK."""
    chunks = []
    for part in prompt.parts:
        tokens = [
            (token, span.weight) for span in part for token in pieces(model, span.text.strip())
        ]
        chunks += [tokens[at : at + room] for at in range(0, max(len(tokens), 1), room)]
    return chunks


def _framed(
    model: Model, chunk: list[tuple[int, float]], room: int
) -> tuple[list[int], list[float]]:
    """A chunk with the marks of begin and end, filled up to the text encoder's length."""
    marks = model.tokenizer
    fill = room - len(chunk)
    ids = [marks.bos_token_id, *(token for token, _ in chunk), marks.eos_token_id]
    return ids + [marks.pad_token_id] * fill, [1.0, *(w for _, w in chunk), 1.0] + [1.0] * fill
