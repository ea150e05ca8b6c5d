"""The judge: a small network that says what a picture shows and whom it resembles.

CLIP similarity does not measure identity in this world (its captions rarely tell who somebody is),
so likeness is measured by a network of its own, trained on the studio's labelled pictures, the
autoencoder's copies among them.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from sdnb.mini.scenes import FEATURES

WEIGHTS = Path(__file__).parent / "weights" / "judge.safetensors"
SIZE, EMBEDDING, FAMILIAR = 128, 64, 0.94


def _conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


class Judge(nn.Module):
    """Pictures (n, 3, 128, 128) in -1..1 to a dict of logits by feature and identity embeddings (n,
    64), unit length. `layers` gives the maps between, for the autoencoder's perceptual loss. It is
    an image encoder: of pictures drawn here it tells who is in them."""

    name = "judge"

    def __init__(self, width: int = 32):
        super().__init__()
        w = width
        plan = (  # channels in and out, stride
            *((3, w, 2), (w, w, 1), (w, 2 * w, 2), (2 * w, 2 * w, 1)),
            *((2 * w, 3 * w, 2), (3 * w, 3 * w, 1), (3 * w, 5 * w, 2), (5 * w, 5 * w, 1)),
        )
        self.body = nn.ModuleList(_conv(*shape) for shape in plan)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(10 * w, len(values)) for name, values in FEATURES.items()}
        )
        self.identity = nn.Sequential(nn.Linear(10 * w, 192), nn.ReLU(), nn.Linear(192, EMBEDDING))

    def layers(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for block in self.body:
            pictures = block(pictures)
            maps.append(pictures)
        return maps

    def forward(self, pictures: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        last = self.layers(pictures)[-1]
        pooled = torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)
        logits = {name: head(pooled) for name, head in self.heads.items()}
        return logits, F.normalize(self.identity(pooled), dim=1)

    @torch.no_grad()
    def read(self, pictures: list[Image.Image]) -> list[dict[str, object]]:
        """What each picture shows: {"glasses": "round", "place": "beach", ...}, every feature's
        likeliest value."""
        logits, _ = self._look_at(pictures)
        best = {name: row.argmax(1).tolist() for name, row in logits.items()}
        return [
            {name: FEATURES[name][best[name][i]] for name in best} for i in range(len(pictures))
        ]

    @torch.no_grad()
    def knows(self, pictures: list[Image.Image]) -> bool:
        """Whether these pictures are of the drawn world, the only one that it and the captioner
        have seen: whether the likeliest style of each is 0.94 likely in the mean. Of drawn sets it
        was 0.97 (all too dark) to 1, of rendered toys, a cat and pasted things 0.85 to 0.92."""
        logits, _ = self._look_at(pictures)
        return logits["style"].softmax(1).amax(1).mean().item() >= FAMILIAR

    @torch.no_grad()
    def embed(self, pictures: list[Image.Image]) -> torch.Tensor:
        """Identity embeddings (n, 64), unit length."""
        return self._look_at(pictures)[1].cpu()

    def _look_at(self, pictures: list[Image.Image]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        return self(as_tensor(pictures).to(next(self.parameters()).device))


def as_tensor(pictures: list[Image.Image]) -> torch.Tensor:
    """Pictures of any size to (n, 3, 128, 128) in -1..1."""
    small = [p.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS) for p in pictures]
    return centred(torch.from_numpy(np.stack([np.asarray(p) for p in small])))


def centred(levels: torch.Tensor) -> torch.Tensor:
    """Pictures (n, h, w, 3) of levels from 0 to 255 to (n, 3, h, w) in -1..1."""
    return levels.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def load_judge(path: Path = WEIGHTS) -> Judge:
    """The judge with its weights, ready to look."""
    judge = Judge()
    judge.load_state_dict(
        {
            name: value.float() if value.is_floating_point() else value
            for name, value in load_file(path).items()
        }
    )
    return judge.eval()


def counts(readings: list[dict[str, object]], feature: str) -> dict[object, int]:
    """How often each value of `feature` was seen: {"none": 29, "round": 3}."""
    found = [reading[feature] for reading in readings]
    return {value: found.count(value) for value in FEATURES[feature] if value in found}
