"""The section "Your turn" of every notebook, alone in a fresh namespace: as after a restart of the
kernel, or on another day. Quickly (see `sdnb.trials`): two steps of training, of sampling."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest

import sdnb
from sdnb.dataset.samples import sample_photos
from sdnb.trials import VARIABLE

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = (
    *("01_dataset", "02_captioning", "03_dreambooth", "04_textual_inversion", "05_lora"),
    *("06_inference", "07_cross_model_transfer", "08_compare_methods"),
)
METHODS = {"03": "dreambooth", "04": "textual_inversion", "05": "lora"}


def your_turn(name: str) -> list[str]:
    """The sources of the section's code cells."""
    found, within = [], False
    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            found += [cell.source] if within else []
        elif headings := re.findall("^## (.*)", cell.source, re.MULTILINE):
            within = headings[-1] == "Your turn"
    return found


def run(name: str) -> dict:
    """Run the section; returns its names."""
    here = {"__name__": "__main__"}
    for source in your_turn(name):
        exec(source, here)
    return here


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, and nothing of any lesson's."""
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("SDNB_PROFILE", "mini")
    monkeypatch.setenv(VARIABLE, "quick")
    monkeypatch.chdir(tmp_path)
    return sdnb.Project()


def bring_photos(project: sdnb.Project, folder: Path, count: int) -> None:
    """A learner's photos, whose captions the mini captioner shall write: the real one is on the
    Hub."""
    for photo in sorted(sample_photos().glob("*.jpg"))[:count]:
        shutil.copy(photo, folder)
    (project.folder / "forms").mkdir()
    (project.folder / "forms" / "captions.toml").write_text('captioner = "mini"\n')


def test_every_notebook_but_the_first_has_one():
    with_one = [path.stem for path in sorted(NOTEBOOKS.glob("0*.ipynb")) if your_turn(path.stem)]
    assert with_one == [*NAMES]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_rehearsal_needs_no_cell_before_it(project, name):
    here = run(name)
    assert not here.get("own") and not here.get("PHOTOS")
    assert not sdnb.training.own_runs()
    if name[:2] in METHODS:
        assert here["my_run"].config.method == METHODS[name[:2]] and here["my_run"].finished


@pytest.mark.long
@pytest.mark.parametrize(
    ("word", "subject", "front"),
    [
        ("cat", "object", "photo of minka cat"),
        ("mug", "object", "photo of minka mug"),
        ("plain", "style", "drawing in minka style"),
    ],
)
def test_the_words_of_a_project_are_asked_once(project, word, subject, front):
    """In notebook 02; the captions, every training after it and all prompts take them."""
    bring_photos(project, project.dataset, 6)
    about = f'trigger = "minka"\nclass_word = "{word}"\nsubject = "{subject}"\n'
    (project.folder / "forms" / "subject.toml").write_text(about)  # as typed in 02's form
    run("02_captioning")
    captions = [path.read_text() for path in project.dataset.glob("*.txt")]
    assert len(captions) == 6 and all(c.startswith(f"{front}, ") for c in captions)
    for name in NAMES[2:5]:
        config = run(name)["my_run"].config
        assert (config.trigger, config.class_word) == ("minka", word)
        assert getattr(config, "init_word", word) == word and config.method == METHODS[name[:2]]
    assert bool(config.prior_weight) == (subject == "object")  # the preset of a thing
    here = {name[:2]: run(name) for name in NAMES[5:]}
    asked = (*here["06"]["asked"], *here["07"]["MY_PROMPTS"], *here["08"]["asked"])
    assert all(prompt.startswith(front) for prompt in asked)


@pytest.mark.long
def test_a_learners_photos_go_from_one_to_the_next(project):
    """With photos in the project's folder, a kernel for each notebook."""
    bring_photos(project, project.photos, 12)
    here = {name[:2]: run(name) for name in NAMES}

    assert here["01"]["own"] and len(list(project.dataset.glob("*.jpg"))) == 9
    assert here["02"]["mine"] == project.dataset
    captions = [path.read_text() for path in project.dataset.rglob("*.txt")]
    assert len(captions) == 12 and all(c.startswith("photo of ravo, a ") for c in captions)
    for number, method in METHODS.items():
        config = here[number]["my_run"].config
        assert (config.method, config.photos) == (method, project.dataset)
    lora = here["05"]["my_run"].weights
    assert here["06"]["MY_LORA"] == here["07"]["LORA"] == lora and here["06"]["mine"].exists()
    own = {run.folder.name: run.config.method for run in here["08"]["own"]}
    assert sorted(own.values()) == sorted(METHODS.values())
    assert here["08"]["HELD_OUT"] == project.dataset / "held_out"
    assert {path.stem for path in project.exports.glob("*.html")} == {*own}
