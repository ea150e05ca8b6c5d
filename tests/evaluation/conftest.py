"""An encoder that sees colours: hand-made unit vectors for pictures of one colour."""

import pytest
import torch
from PIL import Image

VECTORS = {  # unit length, so that every cosine can be worked out on paper
    "red": (1.0, 0.0),
    "lime": (0.0, 1.0),
    "blue": (0.6, 0.8),
    "black": (-1.0, 0.0),
}
TEXTS = {"a": (1.0, 0.0), "b": (0.0, 1.0)}


def paint(colour: str) -> Image.Image:
    return Image.new("RGB", (8, 8), colour)


class ColourEncoder:
    def __init__(self, name: str = "colours") -> None:
        self.name = name

    def embed(self, pictures) -> torch.Tensor:
        names = {paint(colour).getpixel((0, 0)): colour for colour in VECTORS}
        return torch.tensor([VECTORS[names[picture.getpixel((0, 0))]] for picture in pictures])


class ColourTextEncoder(ColourEncoder):
    """Reads by the first letter."""

    def embed_texts(self, texts) -> torch.Tensor:
        return torch.tensor([TEXTS[text[0]] for text in texts])


class MeanEncoder(ColourTextEncoder):
    """Sees a picture's mean colour, of any picture."""

    def embed(self, pictures) -> torch.Tensor:
        means = [picture.convert("RGB").resize((1, 1)).getpixel((0, 0)) for picture in pictures]
        return torch.nn.functional.normalize(torch.tensor(means, dtype=torch.float32) + 1, dim=1)

    def embed_texts(self, texts) -> torch.Tensor:
        rows = torch.tensor([[len(text), 1 + text.count("a"), 1] for text in texts])
        return torch.nn.functional.normalize(rows.float(), dim=1)


@pytest.fixture
def painted():
    return paint


@pytest.fixture
def colours():
    return ColourEncoder()


@pytest.fixture
def clip():
    return ColourTextEncoder("clip")


@pytest.fixture
def mean_encoder():
    return MeanEncoder("mean")
