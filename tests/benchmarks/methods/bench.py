"""The bench: a base model, all that looks at its images, and the file of what was measured."""

import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ideas import Ideas, apply, method_for

from sdnb.dataset.photos import Photo, read_photos
from sdnb.dataset.samples import sample_photos
from sdnb.evaluation import drift, line_up
from sdnb.inference.images import make_images
from sdnb.machine import find_machine
from sdnb.mini.judge import load_judge
from sdnb.mini.recipe.gate import examine, photographs
from sdnb.mini.subjects import SAMPLE_PERSON, Person, held_out_person
from sdnb.models.image_encoders import load_clip
from sdnb.models.loading import load_model
from sdnb.training.config import TrainConfig, steps
from sdnb.training.loop import fit
from sdnb.training.methods import method_of, restore
from sdnb.training.run import prepare

HERE, SAMPLE = Path(__file__).parent, "sample"
RESULTS, PHOTOS = Path(os.environ.get("RESULTS", HERE / "results.jsonl")), 20
OTHERS = ("photo of a man, at the beach", "photo of a woman with long red hair, in a room")
OTHERS += ("photo of a green mug with a red heart", "photo of a woman wearing a hat, in the snow")


def who(name: str) -> int | str:
    """What the command line says: a held-out person's number, or "sample"."""
    return SAMPLE if name == SAMPLE else int(name)


def person_of(number: int | str) -> Person:
    """A held-out person, or the one of the sample photos."""
    return SAMPLE_PERSON if number == SAMPLE else held_out_person(number)


def photos_of(number: int | str, config: TrainConfig, side: int) -> list[Photo]:
    """A held-out person's photos of the config's seed, or the sample photos."""
    if number == SAMPLE:
        return read_photos(sample_photos(), side)
    return photographs(person_of(number), config.trigger, seed=config.seed)


class Bench:
    """A base model with all that looks at its images."""

    def __init__(self) -> None:
        self.model, self.judge = load_model("mini"), load_judge()
        self.clip, self.lineups = load_clip(self.model), {}
        self.before = self._others()

    def _others(self) -> list:
        return make_images(self.model, OTHERS * 4, range(4 * len(OTHERS)), batch=16)

    def prepared(self, config: TrainConfig, ideas: Ideas, person, photos):
        """(state, batches, loss) of a recipe."""
        with method_for(ideas):
            machine = find_machine(config.precision)
            found = prepare(config, photos, self.model, machine)
        return apply(found, config, photos, person, self.model, ideas)

    def run(self, name: str, config: TrainConfig, ideas: Ideas, number, seed: int) -> dict:
        """One line of the results."""
        person = person_of(number)
        config = config.replace(class_word=person.kind, seed=seed)
        photos = photos_of(number, config, self.model.info.resolution)
        begun = time.perf_counter()
        for _ in fit(*self.prepared(config, ideas, person, photos)):
            pass
        seconds = time.perf_counter() - begun
        method = method_of(config)
        with TemporaryDirectory() as folder:
            file = Path(folder) / method.result
            method.save(self.model, config, file)
            return self.examined(name, config, number, seconds, file)

    def examined(self, name: str, config: TrainConfig, number, seconds: float, file: Path) -> dict:
        """One line of the results, of the model as it is trained now; it is then given back as it
        was. `file` holds what it has learned."""
        if number not in self.lineups:
            self.lineups[number] = line_up(person_of(number), self.model, self.judge)
        scores, _ = examine(config, self.model, self.judge, self.lineups[number])
        scores["drift"] = drift(self.clip, self.before, self._others())
        device = find_machine(config.precision).name
        row = {"recipe": name, "person": number, "seed": config.seed, "device": device}
        row |= {key: round(value, 4) for key, value in scores.items()}
        row |= {"steps": steps(config, PHOTOS), "seconds here": round(seconds, 1)}
        row["bytes"] = sum(f.stat().st_size for f in [file, *file.rglob("*")] if f.is_file())
        restore(self.model)
        return row

    def pace(self, config: TrainConfig, ideas: Ideas) -> float:
        """Seconds a step, with nothing beside it: the mean of twenty after two."""
        person = held_out_person(0)
        config = config.replace(class_word=person.kind, views_per_photo=100)
        photos, times = photographs(person, config.trigger), []
        for step in fit(*self.prepared(config, ideas, person, photos)):
            times.append(time.perf_counter())
            if step.index == 22:
                break
        restore(self.model)
        return (times[-1] - times[1]) / 20


def read() -> list[dict]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [json.loads(line) for line in lines]


def measured() -> set[tuple]:
    """(recipe, person, seed) of what is measured; a pace has neither person nor seed."""
    return {(row["recipe"], row.get("person"), row.get("seed")) for row in read()}


def add(row: dict) -> None:
    """Say it and keep it: one short write, so that lines of several processes do not mix."""
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
