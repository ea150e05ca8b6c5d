"""Every notebook: stored clean, laid out like its sisters, and run from top to bottom."""

from pathlib import Path

import nbformat
import pytest

from tests.lessons import not_refuted, run_lesson

NOTEBOOKS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))
LONGEST = 18  # lines of code in a cell, blank ones not counted

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_stored_without_outputs(path):
    for cell in cells(path, "code"):
        assert cell.outputs == [] and cell.execution_count is None, cell.source


def test_code_cells_are_short(path):
    for cell in cells(path, "code"):
        assert sum(bool(line.strip()) for line in cell.source.splitlines()) <= LONGEST, cell.source


def test_opens_with_a_heading_and_three_bullets(path):
    """What the learner will make, before anything else."""
    lines = cells(path, "markdown")[0].source.splitlines()
    assert nbformat.read(path, as_version=4).cells[0].cell_type == "markdown"
    assert lines[0].startswith("# ")
    assert sum(line.startswith(("- ", "* ")) for line in lines) == 3


@pytest.mark.long
def test_every_cell_runs(path, tmp_path):
    """Quickly: two steps of training, two pictures. Its numbers are then wrong, and the statements
    of the lesson that name this trial have to notice."""
    assert not not_refuted(run_lesson(path, tmp_path, "quick"), "quick")
