"""Text conditioning: the text encoders' hidden states, and what SDXL takes besides.

For SD 1 and 2 it is (n, 77, d). SDXL (arXiv 2307.01952) joins the states of two encoders and adds
one vector for the whole prompt, the second encoder's pooled embedding, and the picture's size. So
that captions are kept, dealt out and dropped as one tensor whatever the family, the pooled vector
travels as a last row, filled up with zeros: (n, 78, 2048).
"""

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from sdnb.errors import Problem

SIZES = 6  # numbers that SDXL takes for each image: its height and width, the crop's, the target's


def core_of(encoder: nn.Module) -> nn.Module:
    """A text encoder's own layers, which transformers keeps in an inner `text_model` up to 5.5."""
    return getattr(encoder, "text_model", encoder)


def hidden_state(encoder: nn.Module, ids: Tensor, clip_skip: int = 0) -> Tensor:
    """(n, 77, d): what the UNet of SD 1 and 2 takes. diffusers' own clip_skip fails where the
    text encoder has lost its inner `text_model` (transformers from 5.6)."""
    if not clip_skip:
        return encoder(ids)[0]
    states = encoder(ids, output_hidden_states=True).hidden_states
    return core_of(encoder).final_layer_norm(states[-(clip_skip + 1)])


def conditioning(encoders: Sequence[nn.Module], ids: Tensor, clip_skip: int = 0) -> Tensor:
    """What one encoder makes of ids (n, 77), or SDXL's two of ids (n, 2, 77), packed as above.

    SDXL takes the last hidden state but one, without the last norm; `clip_skip` goes further back.
    Raises Problem for one that leaves no layer.
    """
    refuse_clip_skip(encoders, clip_skip)
    if len(encoders) == 1:
        return hidden_state(encoders[0], ids, clip_skip)
    pairs = zip(encoders, ids.unbind(1), strict=True)
    read = [encoder(one, output_hidden_states=True) for encoder, one in pairs]
    states = torch.cat([one.hidden_states[-(clip_skip + 2)] for one in read], dim=-1)
    return pack(states, read[1].text_embeds)


def refuse_clip_skip(encoders: Sequence[nn.Module], clip_skip: int) -> None:
    """Raises Problem where `clip_skip` leaves none of a text encoder's layers."""
    layers = min(encoder.config.num_hidden_layers for encoder in encoders) - len(encoders) + 1
    if clip_skip >= layers:
        what = f"'clip_skip' is {clip_skip}, and the text encoder has {layers} layers to leave out"
        raise Problem(what, do=f"Set clip_skip to {layers - 1} at most; 0 is right for nearly all")


def pack(states: Tensor, pooled: Tensor) -> Tensor:
    """States (n, t, d) and pooled vectors (n, p) as one tensor (n, t + 1, d)."""
    row = functional.pad(pooled, (0, states.shape[-1] - pooled.shape[-1]))
    return torch.cat([states, row[:, None].to(states)], dim=1)


def for_unet(
    unet: UNet2DConditionModel, embeddings: Tensor, size: tuple[int, int]
) -> tuple[Tensor, dict | None]:
    """The UNet's `encoder_hidden_states` and its `added_cond_kwargs` (None but for SDXL), for
    pictures of `size`: height and width in pixels, uncropped."""
    if unet.config.addition_embed_type != "text_time":
        return embeddings, None
    states, pooled = _unpack(unet, embeddings)
    times = torch.tensor([*size, 0, 0, *size], dtype=embeddings.dtype, device=embeddings.device)
    return states, {"text_embeds": pooled, "time_ids": times.expand(len(embeddings), SIZES)}


def for_pipeline(
    unet: UNet2DConditionModel, embeddings: Tensor, negative: Tensor
) -> dict[str, Tensor]:
    """The same for diffusers' pipelines: their arguments that take the place of prompts."""
    if unet.config.addition_embed_type != "text_time":
        return {"prompt_embeds": embeddings, "negative_prompt_embeds": negative}
    names = ("prompt_embeds", "pooled_prompt_embeds")
    return {
        prefix + name: part
        for prefix, packed in (("", embeddings), ("negative_", negative))
        for name, part in zip(names, _unpack(unet, packed))
    }


def _unpack(unet: UNet2DConditionModel, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    config = unet.config
    width = config.projection_class_embeddings_input_dim - SIZES * config.addition_time_embed_dim
    return embeddings[:, :-1], embeddings[:, -1, :width]
