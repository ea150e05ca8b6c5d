"""What is run by hand runs still: each claim's training in one step, its images in one step each.

What they find means nothing here; that all of it is called as it is now does. Each takes some
seconds, for several trainings are prepared. No daily test stands in for them.
"""

import runpy
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


@pytest.mark.parametrize(
    "name", ["wishes", "number", "frame", "named", "prior", "word", "use", "recipes"]
)
def test_a_claims_training_runs(name, trainings):
    found = trainings.TRAININGS[name](0)
    assert found and all(value >= 0 for value in found.values())


IDEAS = [
    {"own_prior": 1.0, "class_samples": 2},
    {"outside": 0.2},
    {"word_rate": 1e-2},
    {"rank_by_timestep": True},
]


@pytest.mark.parametrize("asked", IDEAS, ids=lambda asked: next(iter(asked)))
def test_an_idea_changes_what_is_learned(asked, monkeypatch, cpu):
    """Two steps with it end elsewhere than two without."""
    monkeypatch.syspath_prepend(BENCHMARKS / "methods")
    import ideas
    import torch

    from sdnb.mini.recipe.gate import photographs
    from sdnb.mini.subjects import held_out_person
    from sdnb.models.loading import load_model
    from sdnb.training import fit, prepare
    from sdnb.training.config import preset
    from sdnb.training.methods import restore

    model, person = load_model("mini"), held_out_person(4)
    config = preset("person_mini").replace(views_per_photo=2, warmup_steps=0)
    photos, ends = photographs(person, "ravo")[:4], []
    for each in (ideas.Ideas(), ideas.Ideas(**asked)):
        with ideas.method_for(each):
            prepared = prepare(config, photos, model, cpu)
        state, *rest = ideas.apply(prepared, config, photos, person, model, each)
        assert len(list(fit(state, *rest))) == 2
        ends.append(torch.cat([p.detach().flatten() for n, p in state.parameters.items()]))
        restore(model)
    assert ends[0].shape != ends[1].shape or not torch.allclose(*ends)


BY_HAND = [path for path in sorted(BENCHMARKS.rglob("*.py")) if "__name__" in path.read_text()]


@pytest.mark.parametrize("path", BY_HAND, ids=lambda path: str(path.relative_to(BENCHMARKS)))
def test_a_benchmark_finds_all_that_it_imports(path, monkeypatch):
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(sys, "path", [*sys.path])
    runpy.run_path(str(path), run_name="imported")
