"""Every notebook: stored clean, laid out like its sisters, and run from top to bottom."""

from pathlib import Path
from statistics import median

import nbformat
import pytest

from tests.lessons import not_refuted, run_lesson

NOTEBOOKS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))
LONGEST, MOST, MEDIAN = 17, 12, 5  # lines of code in any cell, in nine of ten, in a usual one

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


@each
def test_stored_without_outputs(path):
    for cell in cells(path, "code"):
        assert cell.outputs == [] and cell.execution_count is None, cell.source


def test_code_cells_are_short():
    """Blank lines do not count."""
    sources = [cell.source for path in NOTEBOOKS for cell in cells(path, "code")]
    lengths = sorted(sum(map(bool, map(str.strip, text.splitlines()))) for text in sources)
    assert lengths[-1] <= LONGEST and lengths[len(lengths) * 9 // 10] <= MOST
    assert median(lengths) <= MEDIAN


@each
def test_opens_with_a_heading_and_three_bullets(path):
    """What the learner will make, before anything else."""
    lines = cells(path, "markdown")[0].source.splitlines()
    assert nbformat.read(path, as_version=4).cells[0].cell_type == "markdown"
    assert lines[0].startswith("# ")
    assert sum(line.startswith(("- ", "* ")) for line in lines) == 3


@each
@pytest.mark.long
def test_every_cell_runs(path, tmp_path):
    """Quickly: two steps of training, two pictures. Its numbers are then wrong, and the statements
    of the lesson that name this trial have to notice."""
    assert not not_refuted(run_lesson(path, tmp_path, "quick"), "quick")
