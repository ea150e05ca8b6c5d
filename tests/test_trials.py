"""What a trial changes, and that it stays apart from what learners train."""

import numpy as np
import pytest

from sdnb.errors import Problem
from sdnb.inference import make_images
from sdnb.training.loop import fit
from sdnb.training.run import photos_for, prepare, train
from sdnb.training.run_folder import finished_runs
from sdnb.trials import VARIABLE, trial
from tests.lessons import Band


@pytest.fixture
def asked(monkeypatch):
    return lambda words: monkeypatch.setenv(VARIABLE, words)


def test_a_learner_runs_none(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    learners = trial()
    assert learners.mark == "" and learners.steps(500) == 500
    assert learners.capped(20) == 20 and learners.every(0) == 0
    assert learners.few([1, 2, 3]) == [1, 2, 3] and learners.moved(7) == 7
    assert learners.dealt(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("words", ["1", "true", "Quick", "seed=x", "quick please"])
def test_nobody_asks_for_one_by_accident(asked, words):
    asked(words)
    with pytest.raises(Problem, match="which is no trial"):
        trial()


def test_quick_trains_two_steps_and_draws_two_pictures(asked, config, cpu, tiny, tmp_path):
    asked("quick")
    run = train(config.replace(preview_every=100, preview_prompts=("a man",)), tmp_path, cpu)
    assert run.finished and len(run.history) == 2
    assert len(list((tmp_path / "previews").iterdir())) == 3  # one before, and one at each
    one, two, three, four = make_images(tiny, "a man", range(4))
    assert one.tobytes() == three.tobytes() and two.tobytes() == four.tobytes()
    assert one.tobytes() != two.tobytes()


def test_untrained_learns_nothing(asked, configs, cpu, tiny):
    asked("untrained")
    config = configs["dreambooth"]
    state, *rest = prepare(config, photos_for(config), tiny, cpu)
    before = {name: p.detach().clone() for name, p in state.parameters.items()}
    assert len(list(fit(state, *rest))) == 2
    assert all(p.equal(before[name]) for name, p in state.parameters.items())


def test_swapped_deals_each_photo_another_ones_caption(asked):
    asked("swapped")
    assert trial().dealt(list("abcd")) == list("cdab") and trial().steps(500) == 500


def test_another_seed_is_another_chance(asked, tiny):
    plain = make_images(tiny, "a man", [1], steps=2)[0]
    asked("seed=1")
    assert np.any(np.subtract(plain, make_images(tiny, "a man", [1], steps=2)[0]))
    moved = make_images(tiny, "a man", [1], steps=2)[0]
    asked("")
    assert make_images(tiny, "a man", [10_001], steps=2)[0].tobytes() == moved.tobytes()


def test_a_trials_run_is_never_a_learners(asked, config, cpu, tmp_path, monkeypatch):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path))
    asked("quick")
    quick = train(config, machine=cpu)
    assert [run.folder for run in finished_runs(tmp_path / "runs")] == [quick.folder]
    asked("")
    assert finished_runs(tmp_path / "runs") == [] and not quick.finished
    with pytest.raises(Problem, match="a run of the course's tests"):
        train(config, quick.folder, cpu)
    learners = train(config, machine=cpu)
    assert learners.folder != quick.folder and len(learners.history) == 8
    asked("quick")
    with pytest.raises(Problem, match="a run of the course's tests"):
        train(config, learners.folder, cpu)


def test_a_band_tells_what_came_out_otherwise():
    good = Band("Ravo is recognised", 0.8, 0.5, 1, "quick")
    bad = Band("A word moves nobody", 0.25, 0, 0.001, 0.2)
    assert good.holds(good.value) and not bad.holds(bad.value)
    assert bad.told == "A word moves nobody: 0.25 (expected: 0 to 0.001)"
