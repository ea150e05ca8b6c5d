"""The habits of the house, as far as they can be counted."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
SOURCES = sorted(CHECKOUT.glob("sdnb/**/*.py"))
MODULE, FUNCTION = 300, 50  # lines; the aim is 250 and 40
PACKAGE = 4500  # lines without mini/: read in an evening


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_ruff_is_content():
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "."], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_modules_and_functions_are_short(path):
    assert lines(path) <= MODULE
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION, node.name


def test_the_package_is_read_in_an_evening():
    own = [path for path in SOURCES if "mini" not in path.parts]
    assert sum(map(lines, own)) < PACKAGE


def test_google_colab_is_known_to_one_module():
    """What only Colab has is in colab.py and nowhere else."""
    knowing = {path.name for path in SOURCES if "google.colab" in path.read_text()}
    assert knowing <= {"colab.py"}
