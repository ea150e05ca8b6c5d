"""Every notebook: stored clean, laid out like its sisters, and run from top to bottom."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))
SCREEN = 22  # lines of code that a learner sees at once

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_stored_without_outputs(path):
    for cell in cells(path, "code"):
        assert cell.outputs == [] and cell.execution_count is None, cell.source


def test_code_cells_fit_a_screen(path):
    for cell in cells(path, "code"):
        assert len(cell.source.splitlines()) <= SCREEN, cell.source


def test_opens_with_a_heading_and_three_bullets(path):
    """What the learner will make, before anything else."""
    lines = cells(path, "markdown")[0].source.splitlines()
    assert nbformat.read(path, as_version=4).cells[0].cell_type == "markdown"
    assert lines[0].startswith("# ")
    assert sum(line.startswith(("- ", "* ")) for line in lines) == 3


@pytest.mark.long
def test_runs_from_top_to_bottom(path, tmp_path):
    """nbmake runs it in a pytest of its own: on the mini model, away from the learner's project."""
    if path.stem == "quickstart" and os.environ.get("SDNB_SET") != "colab":
        pytest.skip("`make test-colab` runs this")
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "SDNB_PROFILE": "mini",
        "SDNB_PROJECT": str(tmp_path / "project"),
    }
    command = [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=600", str(path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
