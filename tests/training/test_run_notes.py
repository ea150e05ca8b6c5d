"""What a run leaves in its folder: damaged notes, other formats, disks that are only read."""

import json
import shutil

import pytest

import sdnb.training.run as run_module
from sdnb.errors import Problem
from sdnb.training.run import train
from sdnb.training.run_folder import Run, finished_runs, open_run, own_runs


@pytest.fixture(scope="module")
def done(config, cpu, tmp_path_factory):
    """A finished run with held-out photos, which no test changes."""
    config = config.replace(held_out=config.photos, validate_every=3)
    return train(config, tmp_path_factory.mktemp("runs") / "done", cpu, progress=False)


@pytest.fixture
def copies(done, tmp_path):
    """Two copies of it: the second is for damage."""
    for name in ("a", "b"):
        shutil.copytree(done.folder, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", ["history.csv", "photos.txt", "validation.csv"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"\xff\xfe\x00" * 9 + b"\n\n",
        lambda text: text[:20] + b",x\ny,\n" + text[20:],
        lambda text: text.replace(b"\n", b"\nx,", 2),
        lambda text: b"\n" * 5,
    ],
    ids=["bytes", "cells", "lines", "empty"],
)
def test_one_damaged_note_hides_no_other_run(copies, capsys, name, damage):
    file = copies / "b" / name
    file.write_bytes(damage(file.read_bytes()))
    assert [run.folder.name for run in finished_runs(copies)] == ["a"]
    told = capsys.readouterr().out
    assert "The run b is left out: " in told and name in told


@pytest.mark.parametrize("content", [b"\xff", b"rank = 0", b"a." * 50_000, b"a = " + b"[" * 9_000])
def test_damaged_settings_hide_no_other_run(copies, capsys, content):
    (copies / "b" / "settings.toml").write_bytes(content)
    assert [run.folder.name for run in finished_runs(copies)] == ["a"]
    assert "The run b is left out: " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["history.csv", "photos.txt", "validation.csv"])
def test_a_damaged_note_is_named_where_the_run_is_asked_for(done, copies, cpu, name):
    (copies / "b" / name).write_bytes(b"\xff\n\xff\n")
    with pytest.raises(Problem) as told:
        train(done.config, copies / "b", cpu)
        _ = Run(copies / "b", done.config).validation  # which only who asks for it reads
    assert told.value.where == copies / "b" / name


@pytest.mark.parametrize(("lines", "left"), [(7, 6), (2, 1), (1, 0)])
def test_a_history_with_a_hole_is_told(done, copies, cpu, capsys, lines, left):
    file = copies / "b" / "history.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:lines]))
    again = train(done.config, copies / "b", cpu)
    sentence = f"Of its 8 steps, history.csv holds {left}."
    assert again.finished and str(again).endswith(sentence) and sentence not in str(done)
    assert len(finished_runs(copies)) == 2
    assert capsys.readouterr().out == f"b: {sentence}\n"


def test_a_hole_in_a_run_that_goes_on_is_told(config, cpu, tmp_path, capsys):
    def stop(step):
        if step.index == 7:
            raise MemoryError

    straight = train(config, tmp_path / "straight", cpu, progress=False)
    with pytest.raises(MemoryError):
        train(config, tmp_path / "run", cpu, progress=False, on_step=stop)
    file = tmp_path / "run" / "history.csv"  # the checkpoint is of step 6
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:3], lines[7]]))
    again = train(config, tmp_path / "run", cpu, progress=False)
    assert "The losses of 4 of the first 6 steps are not in" in capsys.readouterr().out
    assert [step.index for step in again.history] == [1, 2, 7, 8]
    assert again.history == tuple(straight.history[i - 1] for i in (1, 2, 7, 8))
    assert again.remark == "Of its 8 steps, history.csv holds 4."


def older(folder, noted):
    """As a version before left it: it noted the photos alone, and no number of steps."""
    (folder / "format.txt").write_text(noted)
    (folder / "photos.txt").write_text((folder / "photos.txt").read_text()[:12])
    facts = json.loads((folder / "machine.json").read_text())
    (folder / "machine.json").write_text(json.dumps({**facts, "steps": None}))


@pytest.mark.parametrize("noted", ["2", "4", "", "x" * 5000, "\0"])
def test_a_run_of_another_format(done, copies, cpu, noted):
    older(copies / "b", noted)
    again = train(done.config, copies / "b", cpu)
    assert again.finished and again.history == done.history
    assert "Another version of sdnb made it, and did not note its held_out, base." in str(again)
    assert {run.folder.name for run in finished_runs(copies)} == {"a", "b"}
    (copies / "b" / "lora.safetensors").unlink()
    with pytest.raises(Problem, match="which cannot be continued: its run format is") as told:
        train(done.config, copies / "b", cpu)
    assert len(str(told.value)) < 500


def test_the_photos_of_an_older_run_are_compared(done, copies, cpu, photos_folder):
    older(copies / "b", "2")
    mine = shutil.copytree(photos_folder, copies / "photos")
    (mine / "0.txt").write_text("another caption")
    with pytest.raises(Problem, match="files of photos have changed"):
        train(done.config.replace(photos=mine), copies / "b", cpu)


def test_a_run_says_its_format(done):
    assert (done.folder / "format.txt").read_text() == "3"


@pytest.fixture
def locked(done):
    """The finished run in a folder that nobody may write."""
    parts = [done.folder, *(path for path in done.folder.rglob("*") if path.is_dir())]
    for path in parts:
        path.chmod(0o555)
    yield done
    for path in parts:
        path.chmod(0o755)


def test_a_finished_run_is_visited_where_nothing_can_be_written(
    locked, cpu, ordinary_user, tmp_path, monkeypatch, photos_folder
):
    monkeypatch.setattr(run_module, "_begin", None)  # training would fail
    moved = shutil.copytree(photos_folder, tmp_path / "moved")
    report = tmp_path / "report"  # a child's traceback is nobody's Problem

    def visit(config):
        run = train(config, locked.folder, cpu)
        report.write_text(f"{run.finished} {len(run.history)}")

    for config in (locked.config, locked.config.replace(photos=moved)):
        assert ordinary_user(visit, config) is None
        assert report.read_text() == "True 8"
        report.unlink()


def test_a_project_that_is_only_read_gives_its_runs(
    config, cpu, tmp_path, monkeypatch, ordinary_user
):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    run = train(config, machine=cpu, progress=False)
    half = run.folder / ".settings.77.toml"
    half.touch()
    for path in (run.folder, run.folder.parent, tmp_path / "project"):
        path.chmod(0o555)
    report = tmp_path / "report"
    report.touch()

    def visit():
        again = train(config, machine=cpu)
        report.write_text(f"{again.finished} {len(own_runs())}")

    told = ordinary_user(visit)
    for path in (tmp_path / "project", run.folder.parent, run.folder):
        path.chmod(0o755)
    assert told is None and report.read_text() == "True 1" and half.exists()


def test_a_run_that_is_begun_needs_a_folder_to_write(config, locked_folder, ordinary_user):
    assert "cannot be written" in ordinary_user(open_run, config, locked_folder / "run")
