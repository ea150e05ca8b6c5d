"""Every notebook: stored clean, laid out like its sisters, and run from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbmake.nb_run import NotebookRun

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
def test_every_cell_runs(path, tmp_path, monkeypatch):
    """nbmake runs it on the mini model, away from the learner's project, and quickly: two steps of
    training, two pictures. What its numbers should be is held by `make lessons`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SDNB_PROFILE", "mini")
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("SDNB_TRIAL", "quick")
    error = NotebookRun(path, default_timeout=300).execute().error
    assert not error, error.trace
