import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdnb import project
from sdnb.cli import main
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


def test_the_course_is_opened_in_a_folder_of_the_learners_own(tmp_path, monkeypatch, capsys):
    """What is written in a copy stays, and a copy that is missing comes back."""
    called = []
    monkeypatch.setattr(subprocess, "run", called.append)
    monkeypatch.setattr(project, "find_spec", lambda name: name)
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 0
    folder = tmp_path / "sdnb_course"
    assert {"00_start_here.ipynb", "quickstart.ipynb", "for_teachers.md"} <= {
        path.name for path in folder.iterdir()
    }
    (folder / "00_start_here.ipynb").write_text("mine")
    (folder / "quickstart.ipynb").unlink()
    assert main(["lab", "sdnb_course"]) == 0
    assert (folder / "00_start_here.ipynb").read_text() == "mine"
    assert (folder / "quickstart.ipynb").exists()
    assert [command[1:4] for command in called] == [["-m", "jupyterlab", "sdnb_course"]] * 2
    assert str(folder) in capsys.readouterr().out


def test_in_a_checkout_the_course_is_opened_where_it_is(monkeypatch):
    called = []
    monkeypatch.setattr(subprocess, "run", called.append)
    monkeypatch.setattr(project, "find_spec", lambda name: name)
    monkeypatch.chdir(Path(__file__).parents[1])
    project.open_course()
    assert called[0][3] == "notebooks"


def test_without_jupyterlab_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(project, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 1
    assert "pip install jupyterlab ipywidgets pandas" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
