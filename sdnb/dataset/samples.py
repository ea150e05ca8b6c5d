"""The sample photos that travel with the package."""

from pathlib import Path

from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically

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


def copy_samples(target: Path | str, name: str = "person") -> Path:
    """The photos of a sample set in `target`, as if nobody had captioned them yet; returns that
    folder. Raises Problem for another name, and where the folder cannot be written."""
    target = make_writable_folder(target)
    for photo in sample_photos(name).glob("*.jpg"):
        write_atomically(target / photo.name, photo.read_bytes())
    return target
