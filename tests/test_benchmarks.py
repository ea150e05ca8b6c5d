"""What is run by hand runs still: each claim's training in one step, its images in one step each.

What they find means nothing here; that all of it is called as it is now does. Each takes some
seconds, for several trainings are prepared. No daily test stands in for them.
"""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough
BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture
def trainings(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS / "claims")
    monkeypatch.delitem(sys.modules, "trainings", raising=False)
    import trainings

    monkeypatch.setattr(trainings, "STEPS", 1)
    monkeypatch.setattr(trainings, "DENOISED", 1)
    for prompts in ("BARE", "GLASSES", "HATS", "OTHERS"):
        monkeypatch.setattr(trainings, prompts, getattr(trainings, prompts)[:1])
    for look in ("product", "style"):  # dozens of images each; the gate's own test has them
        key = "line-up" if look == "product" else "style asked"
        monkeypatch.setattr(trainings, look, lambda *_, key=key: ({key: 0.0}, []))
    learn = trainings.Studio.learn

    def shortly(self, config, photos, steps, file=None):
        learn(
            self, config.replace(prior_images=1) if config.prior_weight else config, photos, 1, file
        )

    monkeypatch.setattr(trainings.Studio, "learn", shortly)
    return trainings


@pytest.mark.parametrize("name", ["wishes", "number", "frame", "named", "prior", "word", "use"])
def test_a_claims_training_runs(name, trainings):
    found = trainings.TRAININGS[name](0)
    assert found and all(value >= 0 for value in found.values())
