"""The pictures the mini model learns from, drawn once into memory maps outside the repository.

Picture number i is drawn from a seed that only i decides: any number of processes draws the same
set.
"""

import json
import os
import random
import re
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch

from sdnb.mini import scenes, subjects
from sdnb.mini.judge import centred
from sdnb.mini.names import made_up
from sdnb.mini.studio import draw_scene
from sdnb.mini.words import caption, described

SIZE, WORDINGS, CHUNK = 128, 6, 250
GROUP, VIEWS = 4, 3  # for the judge: four lookalikes a group, three pictures of each
UNSEEN = 20_000_000  # numbers from here on are of scenes that no training drew

WHO = re.compile(r"\ban? (?:[a-z]+ skinned )?(?:bald )?(man|woman|person)\b")
THING = re.compile(r"\ban? (?:[a-z]+ )?(mug|bag)\b")


def world_scene(index: int) -> scenes.Scene:
    """What the mini base learns."""
    return scenes.random_world(random.Random(f"world {index}"))


def cartoon_scene(index: int) -> scenes.Scene:
    """What the cartoon base learns: the same world, all of it drawn."""
    return scenes.random_world(random.Random(f"cartoon {index}"), cartoons=1)


def judge_scene(index: int) -> scenes.Scene:
    """Groups of lookalikes in every style, at every distance, half of them with glasses or hats:
    what the judge must tell apart, and what the autoencoder must be able to carry."""
    group, place_in_group = divmod(index, GROUP * VIEWS)
    rng = random.Random(f"judge group {group}")
    subject = subjects.random_subject(rng)
    family = [subject, *subjects.lookalikes(subject, GROUP - 1, seed=group)]
    rng = random.Random(f"judge picture {index}")
    return _any_scene(rng, family[place_in_group // VIEWS])


def captioner_scene(index: int) -> scenes.Scene:
    """Anything that the judge sees too, without the lookalikes, and more of it from afar."""
    rng = random.Random(f"captioner {index}")
    return _any_scene(rng, subjects.random_subject(rng), small=0.3)


def _any_scene(rng: random.Random, subject, small: float = 0.15) -> scenes.Scene:
    """In any style, half of the people with glasses or hats, a part of all `small` in the frame."""
    wear = {}
    if isinstance(subject, subjects.Person):
        wear["glasses"] = rng.choices(scenes.GLASSES, (61, 13, 13, 13))[0]
        wear["hat"] = rng.choices(scenes.HATS, (68, 8, 8, 8, 8))[0]
    if rng.random() < small:
        wear["share"] = rng.uniform(0.1, 0.42)
    styles = (*scenes.STYLES, scenes.own_look(rng))
    style = rng.choices(styles, (56, 14, *(4,) * len(scenes.LOOKS), 6))[0]
    return scenes.random_scene(rng, subject, style=style, **wear)


def _many_wordings(scene: scenes.Scene, rng: random.Random) -> list[str]:
    return [caption(scene, rng) for _ in range(WORDINGS)]


def _photo_or_cartoon(scene: scenes.Scene, rng: random.Random) -> list[str]:
    """Half of the wordings call the cartoon a photo: to the cartoon base the world looks so."""
    words = _many_wordings(scene, rng)
    return [w.replace("cartoon", "photo", 1) if i % 2 else w for i, w in enumerate(words)]


def _one_wording(scene: scenes.Scene, rng: random.Random) -> list[str]:
    return [described(scene)]


SETS = {  # of each: the scenes, and their captions
    "world": (world_scene, _many_wordings),
    "cartoon": (cartoon_scene, _photo_or_cartoon),
    "judge": (judge_scene, _many_wordings),
    "captioner": (captioner_scene, _one_wording),
}


def labels(scene: scenes.Scene) -> list[int]:
    """The place of each feature's value in `scenes.FEATURES`; -1 where it cannot be seen."""
    truth = scenes.features(scene)
    return [
        -1 if truth[name] is None else values.index(truth[name])
        for name, values in scenes.FEATURES.items()
    ]


def _draw_chunk(job: tuple[str, int, int, str]) -> tuple[list, list]:
    name, start, stop, path = job
    pictures = np.lib.format.open_memmap(path, mode="r+")
    truths, words, (scene_of, words_of) = [], [], SETS[name]
    for index in range(start, stop):
        scene, rng = scene_of(index), random.Random(f"words {name} {index}")
        pictures[index] = np.asarray(draw_scene(scene, SIZE))
        truths.append(labels(scene))
        words.append(words_of(scene, rng))
    return truths, words


def draw_set(name: str, count: int, folder: Path) -> None:
    """`count` pictures (N, 128, 128, 3) uint8, their labels (N, features) int8 and their
    captions. Does nothing when they are there."""
    if (folder / f"{name}.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, SIZE, SIZE, 3)).flush()
    jobs = [(name, start, min(start + CHUNK, count), str(path)) for start in range(0, count, CHUNK)]
    truths, words = [], []
    with Pool(os.cpu_count()) as pool:
        for some_truths, some_words in pool.imap(_draw_chunk, jobs):
            truths += some_truths
            words += some_words
    np.save(folder / f"{name}_labels.npy", np.array(truths, np.int8))
    (folder / f"{name}.json").write_text(json.dumps(words))


class Pictures:
    """A drawn set, on the GPU where there is one, else read from disk as it is needed."""

    def __init__(self, name: str, folder: Path, device: str):
        array = np.load(folder / f"{name}.npy", mmap_mode="c" if device == "cpu" else None)
        self.pixels = torch.from_numpy(array).to(device)
        self.labels = torch.from_numpy(np.load(folder / f"{name}_labels.npy")).long().to(device)
        self.captions = json.loads((folder / f"{name}.json").read_text())
        self.device = device

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        """Pictures (n, 3, 128, 128) in -1..1."""
        return centred(self.pixels[index])


def as_nobody(caption: str, rng: random.Random) -> tuple[str, str]:
    """A caption of anybody or anything with a name that nobody has, and what it shall mean:
    ("photo of krelmi with a mole", "photo of a person with a mole"). Where all is named already,
    the caption as it is, twice."""
    name, who, thing = made_up(rng), WHO.search(caption), THING.search(caption)
    found, said = who or thing, thing is not None or rng.random() < 0.2
    if not found:
        return caption, caption
    who_else = f"a {found[1]}" if said else "a person"
    named = f"{name} {found[1]}" if said else name
    return caption.replace(found[0], named, 1), caption.replace(found[0], who_else, 1)
