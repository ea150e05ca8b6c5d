"""Every setting once: type, default, bounds and one sentence of help.

Forms, the command line, the glossary and the error messages are made from these classes.
"""

import difflib
import math
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdnb.files import write_atomically
from sdnb.problems import Problem

PRESETS = Path(__file__).parent / "presets"


class Settings(BaseModel):
    """Frozen settings that load from and save to TOML; a bad value raises one Problem."""

    # the sentence below each field becomes its description
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    basics: ClassVar[tuple[str, ...]] = ()
    """The fields a form shows at once; the rest is folded away."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self._explain(error) from error

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read settings from a TOML file; a Problem names the file and the key at fault."""
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise Problem("The settings file cannot be read", path, "Check the path") from error
        except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both ValueErrors
            raise Problem(
                f"The settings file is not TOML: {error}",
                path,
                "Write one `name = value` on each line",
            ) from error
        try:
            return cls(**values)
        except Problem as problem:
            raise Problem(problem.what, path, problem.do) from problem

    def save(self, path: Path | str) -> None:
        """Write the settings as TOML. A setting that is None is left out: TOML has no null."""
        values = self.model_dump(mode="json", exclude_none=True)
        write_atomically(path, tomli_w.dumps(values).encode())

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked like the original."""
        return type(self)(**{**self.model_dump(), **changes})

    @classmethod
    def _explain(cls, error: ValidationError) -> Problem:
        faults = [cls._explain_one(fault) for fault in error.errors()]
        return Problem("; ".join(faults), do="Correct the settings and run again")

    @classmethod
    def _explain_one(cls, fault: Any) -> str:
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, cls.model_fields, n=1)
            return f"{key!r} is not a setting" + (f"; did you mean {near[0]!r}?" if near else "")
        if fault["type"] in ("too_short", "string_too_short") and not fault["input"]:
            return f"{key!r} cannot be empty"
        allowed = fault["msg"].replace("Input should", "it should")
        return f"{key!r} cannot be {fault['input']!r}: {allowed}"


class TrainConfig(Settings):
    """What every training method has in common."""

    basics = ("photos", "trigger", "class_word", "base", "views_per_photo", "learning_rate")

    photos: Path = Field(Path("photos"), title="Photo folder")
    """The folder of photos with a caption file NAME.txt beside each; 15 to 20 photos are good, with
    fewer the result copies single photos, with many more it takes longer."""
    trigger: str = Field("ravo", min_length=1, title="Special word")
    """The made-up word that will mean your subject; a real word keeps its old meaning and the
    subject mixes with it."""
    class_word: str = Field("man", min_length=1, title="Class word")
    """What the subject is in plain English (man, woman, mug); a wrong one makes the model learn
    slowly and forget what it knew of the right one."""
    base: str = Field("mini", min_length=1, title="Base model")
    """A name from the table of models or the path of a diffusers folder; sd15 and larger are slow
    without a GPU."""
    views_per_photo: int = Field(60, ge=1, le=10_000, title="Views per photo")
    """How often each photo is seen; 40 to 150 is safe, too few and the likeness is weak, too many
    and every picture looks like a training photo."""
    batch_size: int = Field(4, ge=1, le=64, title="Batch size")
    """Photos per step; 1 to 4 is safe, more needs more memory, fewer makes learning noisier."""
    gradient_accumulation: int = Field(1, ge=1, le=64, title="Gradient accumulation")
    """Batches summed before one update; 1 is usual, more imitates a larger batch in the same
    memory, too many leaves too few updates to learn from."""
    learning_rate: float = Field(1e-4, gt=0, le=1, title="Learning rate")
    """The size of an update; for LoRA 5e-5 to 1e-3 is safe, too low and nothing is learned, too
    high and pictures turn garish or into noise."""
    lr_schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", title="Learning rate schedule"
    )
    """How the learning rate moves over the run; cosine and linear end at zero and give calmer
    results, constant keeps learning, and overlearning, to the last step."""
    warmup_steps: int = Field(0, ge=0, le=10_000, title="Warm-up steps")
    """Steps over which the learning rate rises from zero; up to a tenth of the run is safe, none
    can jolt the model at high rates, too many leaves little time to learn."""
    weight_decay: float = Field(0.01, ge=0, le=1, title="Weight decay")
    """How strongly weights are pulled to zero; 0 to 0.1 is safe, more than that weakens the
    likeness, none lets single weights grow."""
    max_grad_norm: float = Field(1.0, gt=0, le=1000, title="Gradient clipping")
    """The longest gradient allowed; 1 is safe, very small slows learning, very large lets one bad
    batch spoil the run."""
    snr_gamma: float | None = Field(None, gt=0, le=100, title="Min-SNR gamma")
    """Limits the weight of nearly clean pictures in the loss; 5 is the paper's value, lower favours
    layout over detail, leaving it out weighs all noise levels alike."""
    prior_weight: float = Field(0.0, ge=0, le=10, title="Prior preservation")
    """How much pictures of other members of the class count; 0 is off and 1 is usual, off lets
    everyone of the class begin to look like the subject, high slows the likeness."""
    prior_images: int = Field(40, ge=1, le=5000, title="Class pictures")
    """How many class pictures the base model draws for prior preservation; twice the number of
    photos or more is safe, too few are learned by heart, many take long to draw."""
    caption_dropout: float = Field(0.0, ge=0, le=1, title="Caption dropout")
    """The share of captions left out; 0 to 0.1 is safe, a little strengthens guidance, much shows
    the subject in pictures that did not ask for it."""
    seed: int = Field(0, ge=0, le=2**32 - 1, title="Seed")
    """The number that all chance is drawn from; the same seed gives the same run, another seed
    shows how much is luck."""
    save_every: int = Field(100, ge=1, le=100_000, title="Save every")
    """Steps between savings; 50 to 500 is safe, a low value spends time writing, a high one loses
    more work when the machine stops."""
    preview_every: int = Field(0, ge=0, le=100_000, title="Preview every")
    """Steps between preview pictures, 0 for none; 50 or more is safe, lower and more time goes into
    previews than into training."""
    preview_prompts: tuple[str, ...] = Field(("photo of ravo",), title="Preview prompts")
    """What the previews show; two to six prompts are safe, one hides whether prompts are obeyed,
    many make each preview slow."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field("auto", title="Precision")
    """The number format of the calculation; auto is safe, fp32 is slower, and fp16 or bf16 are
    refused where the machine cannot do them."""


class LoraConfig(TrainConfig):
    """LoRA: small matrices beside frozen layers (Hu et al. 2021, arXiv 2106.09685)."""

    basics = (*TrainConfig.basics, "rank", "alpha")

    method: Literal["lora"] = Field("lora", title="Method")
    """The training method these settings belong to; only lora is allowed here."""
    rank: int = Field(8, ge=1, le=256, title="Rank")
    """The width of the small matrices; 4 to 32 is safe, too low misses small features, too high
    makes large files and learns backgrounds by heart."""
    alpha: float = Field(8.0, gt=0, le=1024, title="Alpha")
    """The update is scaled by alpha / rank; alpha equal to rank is safe, lower weakens learning
    like a lower learning rate, higher burns pictures."""
    layers: Literal["cross-attention", "attention", "attention+feedforward"] = Field(
        "attention", title="Layers"
    )
    """Which layers of the UNet get matrices; attention is safe, cross-attention alone can miss a
    face, attention+feedforward learns more and overlearns sooner."""
    train_text_encoder: bool = Field(False, title="Train the text encoder")
    """Whether the text encoder gets matrices too; off is faster, on binds the special word better
    but can bend the meaning of the words around it."""
    text_encoder_learning_rate: float = Field(5e-5, gt=0, le=1, title="Text encoder learning rate")
    """The size of an update of the text encoder; a tenth to all of the learning rate is safe,
    higher and prompts lose their meaning, lower and the word hardly changes."""


class PictureConfig(Settings):
    """Pictures from prompts: what to draw, how often, and how."""

    basics = ("prompts", "first_seed", "seeds")

    prompts: tuple[str, ...] = Field(("photo of a man",), min_length=1, title="Prompts")
    """What to draw, one prompt a line; plain words in the order of a caption are safe, and what a
    prompt leaves out is left to the seed."""
    first_seed: int = Field(0, ge=0, le=2**32 - 1, title="First seed")
    """The seed of the first picture, the next ones count on from it; any number is good, and the
    same number gives the same picture again."""
    seeds: int = Field(4, ge=1, le=64, title="Seeds")
    """Pictures for each prompt; 4 to 8 are safe, with one you see luck instead of the model, with
    many you wait."""
    negative: str = Field("", title="Negative prompt")
    """What the pictures shall not show; empty is safe, a few words steer away from them, a long
    list makes pictures stiff."""
    steps: int = Field(20, ge=1, le=150, title="Steps")
    """Rounds of taking noise away; 15 to 30 is safe, with fewer pictures stay blurred, more cost
    time and change little."""
    guidance: float = Field(4.0, ge=1, le=30, title="Guidance")
    """How strongly the prompt is obeyed; 3 to 8 is safe, at 1 the words hardly count, high and
    colours burn."""


def steps(config: TrainConfig, photos: int) -> int:
    """Optimizer steps of a run: every one of `photos` photos is seen `views_per_photo` times."""
    return math.ceil(
        config.views_per_photo * photos / (config.batch_size * config.gradient_accumulation)
    )


def presets() -> list[str]:
    """The names of the settings that come with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset(name: str) -> LoraConfig:
    """The settings called `name`; use `.replace(photos=...)` to point them at your photos."""
    if name not in presets():
        near = difflib.get_close_matches(name, presets(), n=1)
        raise Problem(
            f"There is no preset called {name!r}",
            do=f"Did you mean {near[0]!r}?" if near else f"Choose from {presets()}",
        )
    return LoraConfig.load(PRESETS / f"{name}.toml")
