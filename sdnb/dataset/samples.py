"""The sample photos that travel with the package."""

from pathlib import Path

from sdnb.errors import Problem

HERE = Path(__file__).parents[1]
FOLDERS = (HERE / "_sample", HERE.parent / "data_sample")  # in an installed package, in a checkout


def sample_photos(name: str = "person") -> Path:
    """The folder of a sample set: "person", "product" or "style", which the mini model can draw, or
    "toy", photo-like pictures of a wooden robot-bird for a large base model. Raises Problem for
    another name."""
    for place in FOLDERS:
        if (place / name).is_dir():
            return place / name
    do = 'Choose "person", "product", "style" or "toy"'
    raise Problem(f"There is no sample set {name!r} here", do=do)


def sample_trained(name: str) -> Path:
    """What was trained on a sample set with its preset on the mini model: "person_lora",
    "person_embedding", "product_lora" or "style_lora". Raises Problem for another name."""
    for place in FOLDERS:
        if (file := place / "trained" / f"{name}.safetensors").is_file():
            return file
    raise Problem(f"There is nothing trained called {name!r} here", do='Try "person_lora"')
