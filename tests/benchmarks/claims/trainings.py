"""What is measured by training, one seed at a time: each function trains on the mini model and
returns numbers by name. A seed takes other photos of the same subject, another course of the
training, and other noise to draw from."""

import json
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from verdicts import FEW_STEPS, LIGHT, MASKED, PHOTOS, WITH_WORD

import sdnb
from sdnb.dataset.photos import Photo
from sdnb.machine import find_machine
from sdnb.mini.recipe.gate_samples import WORDS, product, style
from sdnb.mini.scenes import PLACES, Scene, features, photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON
from sdnb.mini.words import learner_caption
from sdnb.training.config import TrainConfig
from sdnb.training.latents import encode_images
from sdnb.training.loop import fit
from sdnb.training.methods import method_of, restore
from sdnb.training.run import prepare

STEPS = 150  # of a LoRA, as in the lessons; the presets' own lengths are in the card
DENOISED = 15  # steps of an image
TAKEN, SIZE = 640, 128  # pixels of a photo as it was taken, and as the model sees it
BARE = [f"photo of {{}}, {words}" for words in PLACES.values()] * 2
GLASSES = [f"photo of {{}} wearing round glasses, {words}" for words in PLACES.values()]
WORN = ("round", "square", "sunglasses")  # on the nose, of whatever kind
HATS = [f"photo of {{}} wearing a green top hat, {words}" for words in PLACES.values()]
OTHERS = ["photo of a woman with long red hair, in the city", "photo of a green mug, in a room"]
OTHERS += ["photo of a bag, at the beach", "photo of a woman wearing a hat, in the snow"]
RECIPES = Path(__file__).parents[1] / "methods" / "results.jsonl"


def photo(scene: Scene, number: int, told: Scene | None = None, mended: bool = False) -> Photo:
    """The scene as the model sees it, with the caption of `told`; `mended`: cropped so that the
    head fills 55 %."""
    image = draw_scene(scene, TAKEN)
    if mended:
        side = TAKEN * (scene.share / 0.55) ** 0.5
        x, y = (TAKEN * (0.5 + offset) for offset in (scene.dx, scene.dy))
        corners = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        image = image.crop(tuple(map(round, corners)))
    image = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return Photo(Path(f"{number:02}.png"), image, learner_caption(told or scene, "ravo"))


@dataclass
class Studio:
    """A base model, its judge, and one seed's trainings on it."""

    seed: int
    base: str = "mini"

    @cached_property
    def model(self):
        return sdnb.load_model(self.base)

    @cached_property
    def judge(self):
        return sdnb.mini.load_judge()

    @cached_property
    def lineup(self):
        look = "cartoon" if self.base == "cartoon" else "photo"
        return sdnb.evaluation.line_up(SAMPLE_PERSON, self.model, self.judge, look)

    def photos(self, count: int = 20, **fixed) -> list[Photo]:
        scenes = photos_of(SAMPLE_PERSON, count, self.seed, **{"glasses": "round"} | fixed)
        return [photo(scene, i) for i, scene in enumerate(scenes)]

    def learn(self, config: TrainConfig, photos: list[Photo], steps: int, file: Path | None = None):
        """Train for `steps` steps on photos in memory; what was learned stays in the model."""
        views = max(1, round(steps * config.batch_size / len(photos)))
        config = config.replace(base=self.base, seed=self.seed, views_per_photo=views)
        for _ in fit(*prepare(config, photos, self.model, find_machine("fp32"))):
            pass
        if file:
            method_of(config).save(self.model, config, file)

    def make(self, prompts: list[str], word: str = "ravo") -> list[Image.Image]:
        seeds = range(1000 * self.seed + 500, 1000 * self.seed + 500 + len(prompts))
        return sdnb.make_images(
            self.model, [p.format(word) for p in prompts], seeds, steps=DENOISED
        )

    def recognised(self, prompts: list[str] = BARE) -> float:
        return self.lineup.score(self.make(prompts), self.judge)

    def share(self, pictures, feature: str, *values) -> float:
        return fmean(reading[feature] in values for reading in self.judge.read(pictures))

    def obeyed(self, pictures, places=tuple(PLACES)) -> float:
        """The share of pictures, dealt out over the places, that show the place asked for."""
        seen = [reading["place"] for reading in self.judge.read(pictures)]
        return fmean(place == places[i % len(places)] for i, place in enumerate(seen))


LORA = sdnb.preset("person_mini")
WORD = sdnb.preset("textual_inversion_person_mini")
WHOLE = sdnb.preset("dreambooth_person_mini")


def wishes(seed: int) -> dict[str, float]:
    """A person, a thing and a style, from the sample sets."""
    studio, found = Studio(seed), {}
    for name, look in (("product", product), ("style", style)):
        config = sdnb.preset(f"{name}_mini").replace(class_word=WORDS[name])
        photos = sdnb.read_photos(sdnb.sample_photos(name), SIZE)
        key = "line-up" if name == "product" else "style asked"
        found[f"{name} before"] = look(studio.model, studio.judge, config.trigger)[0][key]
        studio.learn(config, photos, 2 * STEPS)
        found[name] = look(studio.model, studio.judge, config.trigger)[0][key]
        restore(studio.model)
    found["person before"] = studio.recognised()
    studio.learn(LORA, sdnb.read_photos(sdnb.sample_photos(), SIZE), 2 * STEPS)
    return found | {"person": studio.recognised()}


def number(seed: int) -> dict[str, float]:
    """5, 10, 15 and 20 photos at equal steps."""
    studio, found = Studio(seed), {}
    for count in (20, 15, 10, 5):
        studio.learn(LORA, studio.photos()[:count], STEPS)
        found[f"{count} photos"] = studio.recognised()
    return found


def frame(seed: int) -> dict[str, float]:
    """The same person at 60 % and 10 % of the frame, and the latter cropped."""
    studio = Studio(seed)
    far = photos_of(SAMPLE_PERSON, 20, seed, glasses="round", share=0.1)
    sets = {"60 %": studio.photos(share=0.6), "10 %": studio.photos(share=0.1)}
    sets["10 %, cropped"] = [photo(scene, i, mended=True) for i, scene in enumerate(far)]
    found = {}
    for name, photos in sets.items():
        studio.learn(LORA, photos, STEPS)
        found[name] = studio.recognised()
    return found


def named(seed: int) -> dict[str, float]:
    """Glasses on every photo, named in the captions or not."""
    studio, found = Studio(seed), {}
    scenes = photos_of(SAMPLE_PERSON, 20, seed, glasses="round")
    for name in ("named", "not named"):
        told = [scene if name == "named" else replace(scene, glasses="none") for scene in scenes]
        photos = [photo(scene, i, told[i]) for i, scene in enumerate(scenes)]
        studio.learn(LORA, photos, STEPS)
        found[f"{name}, unasked"] = studio.share(studio.make(BARE), "glasses", *WORN)
        found[f"{name}, asked"] = studio.share(studio.make(GLASSES), "glasses", *WORN)
    return found


def prior(seed: int) -> dict[str, float]:
    """DreamBooth without and with class pictures; with them a step sees twice as many pictures, so
    it makes half the steps. And: does every tensor of the UNet move?"""
    studio, found = Studio(seed), {}
    before = {name: p.detach().clone() for name, p in studio.model.unet.named_parameters()}
    kinds = {"a man": [prompt.format("a man") for prompt in BARE[:9]], "others": OTHERS}
    plain = {kind: studio.make(prompts) for kind, prompts in kinds.items()}
    clip = sdnb.models.load_clip(studio.model)
    for name, changes, steps in (
        ("without", {}, 2 * STEPS),
        ("with", {"prior_weight": 1.0, "prior_images": 24}, STEPS),
    ):
        studio.learn(WHOLE.replace(**changes), studio.photos(), steps)
        found[f"{name}: recognised"] = studio.recognised()
        for kind, prompts in kinds.items():
            drawn = studio.make(prompts)
            found[f"{name}: drift of {kind}"] = sdnb.evaluation.drift(clip, plain[kind], drawn)
            if kind == "a man":
                found[f"{name}: a man is ravo"] = studio.lineup.score(drawn, studio.judge)
        if name == "without":
            found["moved"] = fmean(
                not torch.equal(p, before[key]) for key, p in studio.model.unet.named_parameters()
            )
        restore(studio.model)
    return found


def word(seed: int) -> dict[str, float]:
    """Textual Inversion: what moves, the file, the init word, the number of vectors."""
    studio, found = Studio(seed), {}
    photos = studio.photos()
    latents = encode_images(studio.model, [p.image for p in photos])
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    noise, levels = noise.to(latents.device), torch.linspace(100, 900, len(latents)).long()
    levels = levels.to(latents.device)
    noisy = studio.model.scheduler.add_noise(latents, noise, levels)

    @torch.no_grad()
    def loss() -> float:
        texts = studio.model.text_embeddings([p.caption for p in photos])
        return (studio.model.unet(noisy, levels, texts).sample - noise).square().mean().item()

    for init in ("man", "mug", ""):
        studio.learn(WORD.replace(init_word=init), photos, 60)
        found[f"loss from {init or 'noise'}"] = loss()
    parts = {"unet": studio.model.unet, "vae": studio.model.vae}
    before = {f"{k}.{n}": p.clone() for k, m in parts.items() for n, p in m.state_dict().items()}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "word.safetensors"
        for vectors in (1, 2, 3, 8):
            studio.learn(WORD.replace(vectors=vectors), photos, 250, file)
            found[f"{vectors} vectors"] = studio.recognised()
        found["file in kB"] = file.stat().st_size / 1e3
    after = {f"{k}.{n}": p for k, m in parts.items() for n, p in m.state_dict().items()}
    found["moved"] = float(
        sum(not torch.equal(before[name].cpu(), after[name].cpu()) for name in before)
    )
    return found


def use(seed: int) -> dict[str, float]:
    """A LoRA and a word put to use: weights, features, accessories, another base."""
    homes, found = {"mini": Studio(seed), "cartoon": Studio(seed, "cartoon")}, {}
    truth = features(Scene(SAMPLE_PERSON))
    with TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.safetensors" for name in (*homes, "word")}
        for name, studio in homes.items():
            studio.learn(LORA, homes["mini"].photos(), 2 * STEPS, files[name])
        restore(homes["cartoon"].model)
        homes["mini"].learn(WORD, homes["mini"].photos(), 250, files["word"])
        for studio in homes.values():
            restore(studio.model)
        mini = homes["mini"]
        for weight in (0, 0.4, 0.8, 1.2):
            sdnb.load_lora(mini.model, files["mini"], weight)
            drawn = mini.make(BARE)
            found[f"weight {weight:g}: recognised"] = mini.lineup.score(drawn, mini.judge)
            found[f"weight {weight:g}: place obeyed"] = mini.obeyed(drawn)
        sdnb.load_lora(mini.model, files["mini"], 1.0)
        found |= _worn(mini, "LoRA", truth)
        sdnb.unload_lora(mini.model)
        name = sdnb.load_embedding(mini.model, files["word"])
        found |= _worn(mini, "word", truth, name)
        sdnb.unload_embeddings(mini.model)
        found |= _carried(homes, files)
    return found


def _worn(studio: Studio, method: str, truth: dict, name: str = "ravo") -> dict[str, float]:
    """Features kept, and accessories asked and not asked."""
    bare, glasses, hats = (studio.make(prompts, name) for prompts in (BARE, GLASSES, HATS))
    kept = {f"{method}: {f}": studio.share(bare, f, truth[f]) for f in ("brows", "face", "hair")}
    return kept | {
        f"{method}: hat asked": studio.share(hats, "hat", "top hat"),
        f"{method}: hat unasked": 1 - studio.share(bare, "hat", "none"),
        f"{method}: glasses asked": studio.share(glasses, "glasses", *WORN),
        f"{method}: glasses unasked": studio.share(bare, "glasses", *WORN),
    }


def _carried(homes: dict[str, Studio], files: dict[str, Path]) -> dict[str, float]:
    """What was learned on each base, used on both."""
    found = {}
    for used, studio in homes.items():
        look = "cartoon" if used == "cartoon" else "photo"
        for learned in (*homes, "word"):
            name = "ravo"
            if learned == "word":
                name = sdnb.load_embedding(studio.model, files[learned])
            else:
                sdnb.load_lora(studio.model, files[learned], 1.0)
            drawn = studio.make(BARE, name)
            sdnb.unload_lora(studio.model), sdnb.unload_embeddings(studio.model)
            found[f"{learned} on {used}: recognised"] = studio.lineup.score(drawn, studio.judge)
            found[f"{learned} on {used}: style kept"] = studio.share(drawn, "style", look)
    return found


def recipes(seed: int) -> dict[str, float]:
    """What the benchmark of recipes has found with this seed: the means of five people."""
    runs = [json.loads(line) for line in RECIPES.read_text().splitlines()]
    found = {}
    for name in ("LoRA", LIGHT, PHOTOS, MASKED, FEW_STEPS, WITH_WORD):
        ours = [r for r in runs if r["recipe"] == name and r.get("seed") == seed]
        if name in ("LoRA", LIGHT, PHOTOS):
            (sample,) = (run for run in ours if run["person"] == "sample")
            found[f"{name}: places on the sample"] = sample["place"]
        ours = [run for run in ours if run["person"] in range(10, 15)]
        assert len(ours) == 5, f"{name}: {len(ours)} people"
        for key in ("line-up", "leak", "drift"):
            found[f"{name}: {key}"] = fmean(run[key] for run in ours)
    return found


def pace(seed: int) -> dict[str, float]:
    """Seconds a step of the three methods, in turns, as ratios to LoRA's; and one time budget for
    the ported presets. On the processor, and alone: times mean nothing beside other work."""
    from sdnb.training.run import seconds_per_step

    studio, machine = Studio(seed), find_machine("fp32")
    photos = studio.photos()
    plain = LORA.replace(prior_weight=0)  # as the others: none of them looks at the class
    configs = {"LoRA": plain, "Textual Inversion": WORD, "DreamBooth": WHOLE}
    turns = [
        {k: seconds_per_step(c, photos, studio.model, machine) for k, c in configs.items()}
        for _ in range(3)
    ]
    best = {name: min(turn[name] for turn in turns) for name in configs}
    found = {f"{name}, times LoRA": best[name] / best["LoRA"] for name in configs}
    contest = {"person_mini": LORA}
    for name in ("edg_lora_opti_t4", "edg_locon_opti_t4", "edg_loha_opti_t4", "lokr_t4"):
        preset = sdnb.preset(name)
        rates = ("learning_rate", "text_encoder_learning_rate")
        faster = {rate: 10 * getattr(preset, rate) for rate in rates}
        contest[name] = preset.replace(base="mini", precision="fp32", clip_skip=0, **faster)
    for name, config in contest.items():
        config = config.replace(seed=seed, views_per_photo=60)
        state, batches, loss = prepare(config, photos, studio.model, machine)
        begun = time.perf_counter()
        for _ in fit(state, batches, loss):
            if time.perf_counter() - begun > 20:
                break
        found[f"{name} in 20 s"] = studio.recognised()
    return found


TRAININGS = {f.__name__: f for f in (wishes, number, frame, named, prior, word, use, recipes, pace)}
