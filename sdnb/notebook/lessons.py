"""What lessons draw of a training, and what "Your turn" begins with."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from sdnb.captioning.config import PEOPLE, SubjectConfig
from sdnb.dataset.samples import sample_photos, sample_trained
from sdnb.errors import named
from sdnb.models.base import MODELS, Model, default_base
from sdnb.models.families import MINI
from sdnb.notebook.forms import Form, form
from sdnb.training.config import TrainConfig, preset, presets
from sdnb.training.methods import method_of
from sdnb.training.run_folder import own_runs

COLOURS = {"": "none", "frozen": "#dfe3e8", "train": "#ffc46b", "saved": "#a9dfb4"}
REHEARSAL = 4  # views of each photo: enough to see that all goes well


def subject_of(photos: Any, config: TrainConfig | None = None) -> SubjectConfig:
    """The words that notebook 01 has asked for, with those of `config` where a run has its own; for
    a rehearsal, without `photos`, those of the sample person. Raises Problem where the form holds a
    fault."""
    about = form(SubjectConfig, "subject").config if photos else SubjectConfig()
    words = {"trigger": config.trigger, "class_word": config.class_word} if config else {}
    if about.subject == "object" and words.get("class_word") in PEOPLE:  # a run from before
        words["subject"] = "person"
    return about.replace(**words)


def my_settings(method: str, photos: Path | str | None, base: str = "") -> Form:
    """The form that "Your turn" of a training begins with: see `preset_for`."""
    name = f"my {method}" if photos else f"rehearsal of {method}"
    return form(preset_for(method, subject_of(photos), photos, base), name)


def preset_for(
    method: str, about: SubjectConfig, photos: Path | str | None, base: str = ""
) -> TrainConfig:
    """The preset for these photos, this subject and this base (the one for this machine unless
    given), with the subject's words; without `photos` a short one for a rehearsal."""
    base = named(base or default_base(), MODELS) if photos else "mini"
    kind = about.subject.replace("object", "product") if method == "lora" else f"{method}_person"
    small = base in MODELS and MODELS[base].family is MINI
    ends = ("mini",) if small else (f"{base}_t4", "t4")
    name = next(name for end in ends if (name := f"{kind}_{end}") in presets())
    changes = {"trigger": about.trigger, "class_word": about.class_word}
    changes["preview_prompts"] = (about.front,)
    if method == "textual_inversion":
        changes["init_word"] = about.class_word
    if not photos:
        changes["views_per_photo"] = REHEARSAL
    return preset(name).replace(base=base, photos=photos or sample_photos(), **changes)


def newest_lora() -> tuple[Path, str, SubjectConfig]:
    """The newest LoRA that was trained on photos of the learner's own, the base it was trained on,
    and its words; the sample person's where there is none."""
    runs = [run for run in own_runs() if run.config.method == "lora"]
    if not runs:
        return sample_trained("person_lora"), "mini", SubjectConfig()
    its = runs[-1].config
    return runs[-1].weights, its.base, subject_of(its.photos, its)


def training_chart(model: Model, config: TrainConfig) -> Figure:
    """What trains, what is frozen and what is saved, as boxes with arrows: each part of `model`
    with its numbers as the method of `config` leaves them. The model is given back as it was."""
    method = method_of(config)
    method.prepare(model, config)
    parts = (
        ("VAE", model.vae, (2.4, 4.2), (5.8, 3.1)),
        ("text encoder", model.text_encoder, (2.4, 2.7), (5.8, 2.7)),
        ("UNet", model.unet, (6.6, 2.7), (8.4, 2.7)),
    )
    boxes = [
        ((0.5, 4.2), "photo", "", (1.7, 4.2)),
        ((0.5, 2.7), "caption", "", (1.5, 2.7)),
        ((9.2, 2.7), "which part\nis noise?", "", None),
        ((4.5, 1.3), method.result, "saved", None),
    ]
    for name, part, (x, y), target in parts:
        numbers = {True: 0, False: 0}  # by whether they train
        for parameter in part.parameters():
            numbers[parameter.requires_grad] += parameter.numel()
        state = "frozen" if numbers[False] else "train"
        boxes.append(((x, y), f"{name}\n{numbers[state == 'train']:,}", state, target))
        if all(numbers.values()):  # beside the frozen ones
            boxes.append(((x, y - 1.4), f"+ new\n{numbers[True]:,}", "train", (x, y - 0.5)))
    method.remove(model)
    return _drawn(boxes)


def _drawn(boxes: list[tuple]) -> Figure:
    """Boxes of (middle, words, state, where the arrow points), 10 units wide."""
    figure, axes = plt.subplots(figsize=(9, 3.6))
    axes.axis((0, 10, 0.8, 4.8))
    axes.set_axis_off()
    for middle, words, state, target in boxes:
        axes.annotate(
            f"{words}\n{state}".strip(),
            target or middle,
            middle,
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.6", "facecolor": COLOURS[state], "edgecolor": "none"},
            arrowprops={"arrowstyle": "->"} if target else None,
        )
    plt.close(figure)  # returned, so that it is shown once
    return figure
