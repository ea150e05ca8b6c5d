"""The cells of "your turn" in notebooks 01 and 02, for a learner who has brought photos."""

import shutil
from pathlib import Path

import nbformat
import pytest

import sdnb
from sdnb.dataset.samples import sample_photos

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def cells(name: str, first: str, count: int) -> list[str]:
    """The sources of `count` code cells, the first of which begins with `first`."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    (start,) = [i for i, source in enumerate(sources) if source.startswith(first)]
    return sources[start : start + count]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with twelve photos, brought from a folder of kohya_ss's kind."""
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("SDNB_PROFILE", "mini")
    folder = tmp_path / "mine" / "10_ravo man"
    folder.mkdir(parents=True)
    for photo in sorted(sample_photos().glob("*.jpg"))[:12]:
        shutil.copy(photo, folder)
    sdnb.dataset.import_photos(folder.parent, sdnb.Project().photos)
    return tmp_path


def test_own_photos_are_prepared_and_captioned(project):
    here = {}
    for source in cells("01_dataset", "import sdnb\n\nSOURCE", 5):
        exec(source, here)
    dataset = sdnb.Project().dataset
    assert here["own"] and len(list(dataset.glob("*.jpg"))) == 9
    assert len(list((dataset / "held_out").glob("*.jpg"))) == 3

    here = {}
    choose, write, ask, show = cells("02_captioning", "import sdnb\n\nown = any", 4)
    exec(choose, here)
    assert here["own"] and here["my_settings"].config.captioner == "blip-base"
    here["my_settings"].model.type("captioner", "mini")  # the real one is on the Hub
    exec(write, here)
    exec(ask, here)
    captions = [path.read_text() for path in dataset.rglob("*.txt")]
    assert len(captions) == 12 and all(c.startswith("photo of ravo, a ") for c in captions)
    assert not list(sdnb.Project().photos.glob("*.txt"))  # the originals stay as they are

    exec(show, here)
    assert len(here["my_editor"].model.paths) == 9
