"""The quickstart for a learner who has brought photos, on the mini model; the rehearsal without any
is run with the other notebooks."""

import shutil
from pathlib import Path

import nbformat
import pytest

import sdnb
from sdnb.dataset.samples import sample_photos
from sdnb.errors import Problem

CHECKOUT = Path(__file__).parents[1]
SHORT = {
    "clip_sees(subject=SUBJECT)": "judge_sees(sdnb.mini.load_judge())",
    '"blip-base"': '"mini"',
}
SHORT |= {"range(4)": "range(1)", "seeds=3": "seeds=1, steps=2"}


def sources(folder: str) -> list[str]:
    """What a learner runs."""
    notebook = nbformat.read(CHECKOUT / folder / "quickstart.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with nine photos: one fewer than it takes to hold some out."""
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("SDNB_PROFILE", "mini")
    project = sdnb.Project()
    for photo in sorted(sample_photos().glob("*.jpg"))[:9]:
        shutil.copy(photo, project.photos)
    return project


def test_ten_cells_at_most():
    assert len(sources("colab")) <= 10


def test_own_photos_become_a_lora_in_the_learners_project(project, capsys):
    here: dict = {}
    look, prepare, fill_in, *rest = sources("notebooks")
    for source in (look, prepare, fill_in):
        exec(source, here)
    copies = sorted(project.dataset.glob("*.jpg"))
    assert len(copies) == 9 and here["settings"].config.photos == project.dataset
    assert here["settings"].config.views_per_photo == sdnb.preset("person_mini").views_per_photo
    here["settings"].model.type("views_per_photo", "1")
    here["settings"].model.type("trigger", "zavi")
    copies[0].with_suffix(".txt").write_text("photo of zavi, mine\n")
    for source in rest:
        for slow, quick in SHORT.items():
            source = source.replace(slow, quick)
        exec(source, here)
    captions = [path.with_suffix(".txt").read_text() for path in copies]
    assert captions[0] == "photo of zavi, mine\n"
    assert all(caption.startswith("photo of zavi, a ") for caption in captions[1:])
    assert here["run"].folder.parent == project.runs and here["run"].finished
    assert "No photos were held out" in capsys.readouterr().out
    shelf = project.exports / "quickstart"
    names = {path.name for path in shelf.iterdir()}
    assert names == {"before_after.png", "zavi_lora_mini.safetensors", "report.html", "report.json"}
    assert "photo of zavi, mine" not in (shelf / "report.html").read_text()
    assert not list(project.photos.glob("*.txt"))  # the originals stay as they are


@pytest.mark.parametrize(("cell", "switch"), [(0, "UPLOAD"), (7, "DOWNLOAD")])
def test_what_only_colab_can_says_so_elsewhere(project, monkeypatch, cell, switch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    lines = sources("notebooks")[cell].splitlines()
    place = lines.index(f"if {switch}:")
    first, *_ = [line for line in lines if line.startswith(f"{switch} = False  # True on Colab")]
    deed = "\n".join([first.replace("False", "True", 1), *lines[place : place + 2]])
    with pytest.raises(Problem, match="on Google Colab only"):
        exec(f"import sdnb.notebook\n{deed}", {"shelf": project.exports, "sdnb": sdnb})
