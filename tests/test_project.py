import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdnb.errors import Problem
from sdnb.files import make_writable_folder
from sdnb.project import Project


def test_folders_are_made_when_asked_for(tmp_path):
    project = Project(tmp_path / "mine")
    assert not project.folder.exists()
    for name in ("photos", "dataset", "runs", "exports"):
        assert getattr(project, name) == tmp_path / "mine" / name
        assert getattr(project, name).is_dir()


def test_own_photos_are_the_copies_before_the_originals(tmp_path):
    project = Project(tmp_path)
    assert project.own_photos is None and not list(tmp_path.iterdir())
    (project.photos / ".DS_Store").touch()
    assert project.own_photos is None
    (project.photos / "a.jpg").touch()
    assert project.dataset and project.own_photos == project.photos
    (project.dataset / "a.png").touch()
    assert project.own_photos == project.dataset


def test_the_environment_names_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("SDNB_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Project().folder == Path("sdnb_project")
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path))
    assert Project().folder == tmp_path
    assert Project(tmp_path / "other").folder == tmp_path / "other"


def test_the_command_line_finds_the_notebooks_project(tmp_path, monkeypatch):
    """From the checkout too; one in the current folder goes before it."""
    monkeypatch.delenv("SDNB_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks" / "sdnb_project").mkdir(parents=True)
    assert Project().folder == Path("notebooks/sdnb_project")
    (tmp_path / "sdnb_project").mkdir()
    assert Project().folder == Path("sdnb_project")


def test_a_file_in_the_way_is_a_problem(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(Problem, match="cannot be written"):
        _ = Project(tmp_path).runs


def test_a_folder_of_somebody_else_is_a_problem(locked_folder, ordinary_user):
    for folder in (locked_folder, locked_folder / "runs"):
        assert "cannot be written" in ordinary_user(make_writable_folder, folder)


def test_importing_makes_nothing(tmp_path):
    package = Path(__file__).parents[1]
    subprocess.run(
        [sys.executable, "-c", "import sdnb.project; sdnb.project.Project()"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(package)},
        check=True,
    )
    assert not list(tmp_path.iterdir())
