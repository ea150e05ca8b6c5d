"""Every notebook at full length, held to what it says: `make lessons`.

What a lesson says stands in `tests/bands/NAME.py`, which runs as one more cell at its end and
leaves `says`: the parts of a Band for each statement. The ranges come from three runs with other
chance (`tests/benchmarks/bands.py`).
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

NOTEBOOKS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))
BANDS = Path(__file__).parent / "bands"
TELL = """
import json

def plain(part):
    return part if isinstance(part, str) else float(part)

print(json.dumps([[plain(part) for part in row] for row in says]))
"""


@dataclass(frozen=True)
class Band:
    """`value`, the number of a run, has to lie from `low` to `high` for the `sentence` to be true.
    `wrong` names the trial in which it must not (see `sdnb.trials`), or is the number that
    something else gave in the same run, the untrained base say, and has to lie outside."""

    sentence: str
    value: float
    low: float
    high: float
    wrong: str | float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def told(self) -> str:
        return f"{self.sentence}: {self.value:.3g} (expected: {self.low:g} to {self.high:g})"


def bands_of(path: Path) -> str:
    """The source of the cell that holds what a notebook says."""
    return (BANDS / f"{path.stem}.py").read_text()


def run_lesson(path: Path, folder: Path, trial: str = "") -> list[Band]:
    """The bands of a notebook that ran from top to bottom on the mini model, in a project of its
    own below `folder`; `trial` as in `sdnb.trials`."""
    variables = {"HF_HUB_OFFLINE": "1", "SDNB_PROFILE": "mini", "SDNB_TRIAL": trial}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (variables | {"SDNB_PROJECT": str(folder / "project")}).items():
            patch.setenv(name, value)
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.append(new_code_cell(bands_of(path) + TELL))
        NotebookClient(notebook, timeout=1200, startup_timeout=300).execute(
            cwd=path.parent
        )  # raises with the cell
    return [Band(*row) for row in json.loads(notebook.cells[-1].outputs[-1]["text"])]


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
    assert bands, "nothing is said"
    assert not [band.told for band in bands if not band.holds(band.value)]
    assert not not_refuted(bands)


@pytest.mark.parametrize("trial", ["untrained", "swapped"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_wrong_run_is_noticed(path, tmp_path, trial):
    """Those that name the quick trial are refuted every day, in tests/test_notebooks.py."""
    if f'"{trial}"' not in bands_of(path):
        pytest.skip("no statement of this notebook names it")
    assert not not_refuted(run_lesson(path, tmp_path, trial), trial)


def test_the_demo_learns_its_person(tmp_path):
    """What the README's picture stands for: a stranger before, and ravo after."""
    command = [sys.executable, "-m", "sdnb", "demo", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "numbers.json").read_text())["line-up"]
    assert found["before"] <= 0.1 and found["after"] >= 0.6, found
