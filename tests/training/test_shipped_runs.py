"""The lessons' trainings that come with the course are found by the lessons' own settings."""

import shutil

import pytest

from sdnb.training.methods import method_of
from sdnb.training.run import train
from tests.benchmarks.shipped_runs import CELLS, SHELF, configs_of


@pytest.mark.parametrize("notebook", CELLS)
def test_a_lessons_training_is_there_already(notebook, tmp_path, monkeypatch):
    """After a change of settings or photos: `python tests/benchmarks/shipped_runs.py`. It takes
    seconds, for the notebooks' own cells load the mini."""
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("SDNB_RUNS", "shipped")
    monkeypatch.setattr("sdnb.training.run.load_model", None)  # so that nothing can train
    monkeypatch.setattr("sdnb.training.seconds_per_step", lambda *_: 0.1)
    for config in configs_of(notebook):
        run = train(config)
        assert run.finished and (SHELF / run.folder.name).is_dir()
        assert run.weights.name == method_of(config).result and len(run.history) > 100
        shutil.rmtree(run.folder)


def test_no_other_run_is_shipped_and_no_path_of_ours():
    runs = [path for path in SHELF.iterdir() if path.is_dir()]
    assert len(runs) == 4  # of 04, of 05, and two of 08
    for file in SHELF.rglob("*.*"):
        if file.suffix != ".safetensors":
            text = file.read_text()
            assert "/work" not in text and "/tmp" not in text and "home" not in text, file
