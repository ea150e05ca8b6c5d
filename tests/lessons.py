"""Every notebook at full length, held to what it says: `make lessons`.

The statements stand in the cell tagged "bands" that ends each lesson, each with its range.
The ranges come from three runs with other chance (`tests/benchmarks/bands.py`).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from nbmake.nb_run import NotebookRun

from sdnb.notebook.lessons import MIME, Band

NOTEBOOKS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))


def run_lesson(path: Path, folder: Path, trial: str = "") -> list[Band]:
    """The bands of a notebook that ran from top to bottom on the mini model, in a project of its
    own below `folder`; `trial` as in `sdnb.trials`."""
    variables = {"HF_HUB_OFFLINE": "1", "SDNB_PROFILE": "mini", "SDNB_TRIAL": trial}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (variables | {"SDNB_PROJECT": str(folder / "project")}).items():
            patch.setenv(name, value)
        done = NotebookRun(path, default_timeout=1200).execute()
    assert not done.error, done.error.trace
    outputs = [output for cell in done.nb.cells for output in cell.get("outputs", [])]
    found = [output["data"][MIME] for output in outputs if MIME in output.get("data", {})]
    return [Band(**band) for bands in found for band in bands]


def not_refuted(bands: list[Band], trial: str = "") -> list[str]:
    """Of the statements that this trial has to refute, those that it does not: they would hold
    whatever happened. In a right run it is the numbers beside them that have to."""
    told = [(band, band.value) for band in bands if band.wrong == trial]
    if not trial:
        told = [(band, band.wrong) for band in bands if not isinstance(band.wrong, str)]
    return [f"{band.sentence}: {value:.3g} passes too" for band, value in told if band.holds(value)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_lesson_shows_what_it_says(path, tmp_path):
    bands = run_lesson(path, tmp_path)
    assert bands, "the notebook has no cell with bands"
    assert not [band.told for band in bands if not band.holds(band.value)]
    assert not not_refuted(bands)


@pytest.mark.parametrize("trial", ["untrained", "swapped"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_wrong_run_is_noticed(path, tmp_path, trial):
    """Those that name the quick trial are refuted every day, in tests/test_notebooks.py."""
    if f'"{trial}"' not in path.read_text().replace('\\"', '"'):
        pytest.skip("no statement of this notebook names it")
    assert not not_refuted(run_lesson(path, tmp_path, trial), trial)


def test_the_demo_learns_its_person(tmp_path):
    """What the README's picture stands for: a stranger before, and ravo after."""
    command = [sys.executable, "-m", "sdnb", "demo", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "numbers.json").read_text())["line-up"]
    assert found["before"] <= 0.1 and found["after"] >= 0.6, found
