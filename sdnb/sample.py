"""The sample photos that travel with the package."""

from pathlib import Path

from sdnb.problems import Problem

HERE = Path(__file__).parent
PLACES = (HERE / "_sample", HERE.parent / "data_sample")  # in an installed package, in a checkout


def sample_photos(name: str = "person") -> Path:
    """The folder of a sample set: "person" (in every install), "product" or "style" (in the
    repository)."""
    for place in PLACES:
        if (place / name).is_dir():
            return place / name
    raise Problem(
        f"There is no sample set {name!r} here",
        do='Use "person", or take the others from the repository',
    )
