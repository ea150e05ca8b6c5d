"""The verification on a real T4: rehearsed on the mini model, and what the README says of it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT / "colab"))
import verify_t4  # noqa: E402


def row(part, name="Tesla T4", rehearsal=False, when="2027-01-02", finished=True):
    machine = {"name": name}
    return {
        "part": part,
        "rehearsal": rehearsal,
        "when": when,
        "machine": machine,
        "finished": finished,
    }


def test_it_says_nothing_more_than_the_rows_of_a_real_t4(tmp_path):
    def told(*rows):
        for old in tmp_path.glob("*.json"):
            old.unlink()
        for one in rows:
            (tmp_path / f"{one['part']}.json").write_text(json.dumps(one))
        return verify_t4.says(tmp_path)

    unrun = "not yet run on a real T4"
    assert unrun in told()
    for no in (
        row("person_t4", rehearsal=True),
        row("person_t4", "H100"),
        row("lokr_t4", finished=False),
    ):
        assert unrun in told(no)
    some = told(row("person_t4"))
    assert "verified on a T4 on 2027-01-02, but for" in some
    lacking = some.partition("but for ")[2].rstrip(".").split(", ")
    assert lacking == [part for part in verify_t4.parts() if part != "person_t4"]
    every = told(*map(row, verify_t4.parts()))
    assert every == "The presets for a T4 are verified on a T4 on 2027-01-02."


def test_the_readme_says_the_same_where_the_site_shows_it():
    """Write what `python colab/verify_t4.py --says` prints."""
    readme = (CHECKOUT / "README.md").read_text()
    shown = readme.partition("## What it is")[2].partition("## The course")[0]
    assert verify_t4.says() in " ".join(shown.split())
    assert len(re.findall(r"not yet run on\s+a real T4|verified on a\s+T4", readme)) == 1
    site = (CHECKOUT / ".github" / "site" / "index.md").read_text()
    assert ':start-after: "## What it is"\n:end-before: "## The course"' in site


@pytest.mark.long  # trains two steps, loads two models and makes some images: half a minute
def test_a_rehearsal_leaves_a_row_and_is_not_done_twice(tmp_path):
    command = [sys.executable, CHECKOUT / "colab" / "verify_t4.py", "--tiny"]
    command += ["--folder", tmp_path, "--only", verify_t4.WHOLE]
    environment = os.environ | {"SDNB_TRIAL": "quick"}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found = json.loads((tmp_path / "whole_run.json").read_text())
    assert found["finished"] and found["rehearsal"] and found["steps"] == 2
    assert found["losses that are numbers"] == 2
    assert 0 <= found["likeness"]["recognised"] <= 1
    stages = ("training", "load", "prepare", "save")
    assert all(found[stage]["main memory"] > 0.1 for stage in stages)
    assert json.dumps(found) in said.stdout
    assert (tmp_path / "contact_sheet.png").exists()
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "whole_run: there already" in said.stdout


def test_the_notebook_runs_the_script():
    notebook = nbformat.read(CHECKOUT / "colab" / "verify_t4.ipynb", as_version=4)
    (run,) = (cell.source for cell in notebook.cells if "verify_t4.py" in cell.source)
    path = run.removeprefix("!python sdnb-course/").partition(" ")[0]
    assert (CHECKOUT / path).samefile(verify_t4.__file__)
