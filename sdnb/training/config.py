"""Every setting once: type, default, bounds and one sentence of help.

Forms, the command line, the glossary and the error messages are made from these classes.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import AliasChoices, Field

from sdnb.errors import Problem, about, nearest
from sdnb.settings import SHORT, Settings, read_toml
from sdnb.trials import trial

PRESETS = Path(__file__).parents[1] / "presets"
BASES = ["mini", "cartoon", "sd15", "sd21", "sdxl"]  # of the table of models; a form offers them
ASIDE = {  # what changes neither memory nor file, so that a new value of it need not be planned
    "photos": "photos",
    "trigger": "ravo",
    "class_word": "man",
    "views_per_photo": 1,
    "learning_rate": 1e-3,
    "seed": 0,
    "preview_prompts": ("ravo",),
    "preview_every": 0,
    "save_every": 1,
}


class TrainConfig(Settings):
    """What every training method has in common."""

    basics = ("photos", "trigger", "class_word", "base", "views_per_photo", "learning_rate")
    groups: ClassVar[dict[str, str]] = {
        "Previews": "preview_every preview_prompts held_out validate_every",
        "What learns": "train_text_encoder text_encoder_learning_rate kind layers dropout "
        "convolution_rank convolution_alpha rank_stabilised init_weights hold_norm",
        "How it learns": "batch_size gradient_accumulation lr_schedule warmup_steps optimizer "
        "weight_decay max_grad_norm snr_gamma noise_offset seed",
        "Others of its class (prior preservation)": "prior_weight prior_images prior_folder "
        "class_prompt",
        "Photos and captions": "resolution buckets flip caption_dropout shuffle_captions "
        "keep_tokens clip_skip instance_prompt templates",
        "Memory and speed": "gradient_checkpointing fused_backward_pass precision",
        "Saving": "save_every save_minutes keep_checkpoints",
    }
    names = ("trigger", "class_word", "base")

    photos: Path = Field(Path("photos"), title="Photo folder")
    """The folder of photos with a caption file NAME.txt beside each; 15 to 20 photos are good, with
    fewer the result copies single photos, with many more it takes longer."""
    trigger: str = Field("ravo", title="Trigger word")
    """The made-up word that will mean your subject; a real word keeps its old meaning and the
    subject mixes with it, and empty is for captions without one: all of the class changes."""
    class_word: str = Field("man", min_length=1, title="Class word")
    """What the subject is in plain English (man, woman, mug); a wrong one makes the model learn
    slowly and forget what it knew of the right one."""
    base: str = Field("mini", min_length=1, title="Base model", json_schema_extra={"known": BASES})
    """A name from the table of models, the path of a diffusers folder or of a single file, or
    owner/name of the Hugging Face Hub; sd15 and larger are slow without a GPU."""
    resolution: int | None = Field(None, ge=0, le=2048, title="Resolution")
    """Pixels a side of the photos in training; empty is safe and takes the base's own, less (768
    for SDXL) saves memory and half of the time but loses fine detail, and far from the base's own
    pictures fall apart."""
    init_weights: Path | None = Field(
        None, title="Initial weights", validation_alias=AliasChoices("init_weights", "begin_from")
    )
    """The file of an earlier LoRA or embedding to train further; usually empty, an own one of the
    same settings is safe, and one that was trained too long stays so."""
    views_per_photo: int = Field(60, ge=1, le=10_000, title="Views per photo")
    """Epochs: how often each photo is seen; 40 to 150 is safe, too few and the likeness is weak,
    too many and every picture looks like a training photo."""
    batch_size: int = Field(4, ge=1, le=64, title="Batch size")
    """Photos per step; 1 to 4 is safe, more needs more memory, fewer makes learning noisier."""
    gradient_accumulation: int = Field(1, ge=1, le=64, title="Gradient accumulation")
    """Batches summed before one update; 1 is usual, more imitates a larger batch in the same
    memory, too many leaves too few updates to learn from."""
    learning_rate: float = Field(1e-4, gt=0, le=1, title="Learning rate")
    """The size of an update; for LoRA 5e-5 to 1e-3 is safe, too low and nothing is learned, too
    high and pictures turn garish or into noise."""
    lr_schedule: Literal["constant", "linear", "cosine", "cosine_with_restarts", "polynomial"] = (
        Field("constant", title="Learning rate schedule")
    )
    """How the learning rate moves over the run; cosine and linear end at zero and give calmer
    results, constant keeps learning, and overlearning, to the last step."""
    warmup_steps: int = Field(0, ge=0, le=10_000, title="Warm-up steps")
    """Steps over which the learning rate rises from zero; up to a tenth of the run is safe, none
    can jolt the model at high rates, too many leaves little time to learn."""
    optimizer: Literal["adamw", "adamw8bit", "adafactor", "prodigy"] = Field(
        "adamw", title="Optimizer"
    )
    """What turns gradients into updates; adamw is safe, adamw8bit and adafactor save memory for
    DreamBooth, prodigy finds the learning rate itself (set that to 1)."""
    weight_decay: float = Field(0.01, ge=0, le=1, title="Weight decay")
    """How strongly weights are pulled to zero; 0 to 0.1 is safe, more than that weakens the
    likeness, none lets single weights grow."""
    max_grad_norm: float = Field(1.0, ge=0, le=1000, title="Gradient clipping")
    """The longest gradient allowed; 1 is safe, very small slows learning, very large, or 0 for no
    limit, lets one bad batch spoil the run."""
    gradient_checkpointing: bool = Field(False, title="Gradient checkpointing")
    """Whether the backward pass keeps fewer values; on saves most of the activations'
    memory and costs a quarter of the time, off is right where memory is enough."""
    snr_gamma: float | None = Field(None, gt=0, le=100, title="Min-SNR gamma")
    """Limits the weight of nearly clean pictures in the loss; 5 is the paper's value, lower favours
    layout over detail, leaving it out weighs all noise levels alike."""
    noise_offset: float = Field(0.0, ge=0, le=1, title="Noise offset")
    """A shift of the noise that is the same all over a picture; 0 to 0.1 is safe, a little allows
    very dark and very bright pictures, much washes colours out."""
    clip_skip: int = Field(0, ge=0, le=11, title="Clip skip")
    """How many of the text encoder's last layers are left out; 0 is right for nearly every base,
    1 (called 2 in other programs) for some anime models, more and words lose their meaning."""
    prior_weight: float = Field(0.0, ge=0, le=10, title="Prior preservation")
    """How much pictures of other members of the class count; 0 is off and 1 is usual, off lets
    everyone of the class begin to look like the subject, high slows the likeness."""
    prior_images: int = Field(40, ge=1, le=5000, title="Class images")
    """How many images of the class the base model makes for prior preservation; twice the number of
    photos or more is safe, too few are learned by heart, many take long to make."""
    prior_folder: Path | None = Field(None, title="Regularisation folder")
    """Your own pictures of other members of the class, with captions, in place of drawn ones; many
    different ones are safe, a few are learned by heart."""
    caption_dropout: float = Field(0.0, ge=0, le=1, title="Caption dropout")
    """The share of captions left out; 0 to 0.1 is safe, a little strengthens guidance, much shows
    the subject in pictures that did not ask for it."""
    shuffle_captions: bool = Field(False, title="Shuffle captions")
    """Whether the parts of a caption between commas change places from view to view; on suits
    lists of tags, off suits sentences, which lose their sense."""
    keep_tokens: int = Field(1, ge=0, le=20, title="Kept parts")
    """How many first parts of a caption stay in front when it is shuffled; 1 keeps the special
    word there, 0 lets it wander, many leave nothing to shuffle."""
    flip: bool = Field(False, title="Mirror photos")
    """Whether half the views are mirrored; off is right for people, whose faces are not
    symmetric, and for writing; on doubles the photos of a thing that is."""
    buckets: bool = Field(False, title="Aspect buckets")
    """Whether photos keep their shapes, at the area of a square; on loses less of wide and tall
    ones, off crops all square, which the mini model always does, for it knows squares only."""
    seed: int = Field(0, ge=0, le=2**32 - 1, title="Seed")
    """The number that all chance is drawn from; the same seed gives the same run, another seed
    shows how much is luck."""
    save_every: int = Field(100, ge=1, le=100_000, title="Save every")
    """Steps between checkpoints; 50 to 500 is safe, a low value spends time writing, a high one
    loses more work when the machine stops."""
    save_minutes: float = Field(5.0, gt=0, le=600, title="Save after minutes")
    """Minutes after which a checkpoint is saved in any case; 2 to 10 is safe, a low value spends
    time writing, a high one loses more work when the machine stops."""
    keep_checkpoints: int = Field(1, ge=1, le=100, title="Checkpoints kept")
    """How many of the last checkpoints are kept; 1 is enough to go on, more let you choose an
    earlier one, and each takes disk."""
    preview_every: int = Field(0, ge=0, le=100_000, title="Preview every")
    """Steps between preview pictures, 0 for none; 50 or more is safe, lower and more time goes into
    previews than into training."""
    preview_prompts: tuple[str, ...] = Field(
        ("photo of ravo",), min_length=1, title="Preview prompts"
    )
    """What the previews show; two to six prompts are safe, one hides whether prompts are obeyed,
    many make each preview slow."""
    held_out: Path | None = Field(None, title="Held-out photos")
    """A folder of photos that are never trained on, for an honest loss beside the training's;
    three to five that differ are good, none and you have only the training loss."""
    validate_every: int = Field(50, ge=1, le=100_000, title="Validate every")
    """Steps between two looks at the held-out photos; 20 to 200 is safe, low values cost time, high
    ones show a turn too late."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field("auto", title="Precision")
    """The number format of the calculation; auto is safe, fp32 is slower, and fp16 or bf16 are
    refused where the machine cannot do them."""

    @property
    def prior_from_photos(self) -> bool:
        """Whether prior preservation needs no class images; see `prior_preservation`."""
        return bool(self.prior_weight) and not (self.prior_images or self.prior_folder)


class LoraConfig(TrainConfig):
    """LoRA: small matrices beside frozen layers (Hu et al. 2021, arXiv 2106.09685)."""

    basics = (*TrainConfig.basics, "rank", "alpha")

    method: Literal["lora"] = Field("lora", title="Method")
    """The training method these settings belong to; only lora is allowed here."""
    prior_images: int = Field(0, ge=0, le=5000, title="Class images")
    """How many images of the class the base model makes for prior preservation; 0 makes none, holds
    the LoRA to what the base says of the photos without your word, and did best on the mini, 40 and
    more take long to make, few are learned by heart."""
    rank: int = Field(8, ge=1, le=256, title="Rank")
    """The width of the small matrices; 4 to 32 is safe, too low misses small features, too high
    makes large files and learns backgrounds by heart."""
    alpha: float = Field(8.0, gt=0, le=1024, title="Alpha")
    """The update is scaled by alpha / rank; alpha equal to rank is safe, lower weakens learning
    like a lower learning rate, higher burns pictures."""
    rank_stabilised: bool = Field(False, title="Rank-stabilised (rsLoRA)")
    """Scales by alpha / √rank instead; off is usual, on keeps high ranks learning as fast as low
    ones, and needs a smaller alpha."""
    kind: Literal["lora", "loha", "lokr"] = Field("lora", title="Kind of matrices")
    """How the update is built from small matrices; lora is read by every program, loha and lokr
    say more with fewer numbers and are read by fewer programs."""
    dropout: float = Field(0.0, ge=0, lt=1, title="Dropout")
    """The share of inputs to the matrices left out at random; 0 to 0.1 is safe, a little keeps
    single photos from being learned by heart, much learns nothing."""
    layers: Literal[
        "cross-attention",
        "attention",
        "attention+feedforward",
        "transformer",
        "attention+feedforward+convolution",
    ] = Field("attention", title="Layers")
    """Which layers of the UNet get matrices; attention is safe, cross-attention alone can miss a
    face; transformer is what kohya_ss calls LoRA, and with convolution (LoCon) it learns more and
    overlearns sooner."""
    convolution_rank: int | None = Field(None, ge=1, le=256, title="Rank of convolutions")
    """A rank of their own for convolutions, where they get matrices; half of the rank is safe,
    empty takes the rank, high makes large files."""
    convolution_alpha: float = Field(1.0, gt=0, le=1024, title="Alpha of convolutions")
    """Alpha of convolutions that have a rank of their own; 1 is safe, higher and textures
    overlearn first."""
    train_text_encoder: bool = Field(False, title="Train the text encoder")
    """Whether the text encoder gets matrices too; off is faster, on binds the trigger word better
    but can bend the meaning of the words around it."""
    text_encoder_learning_rate: float = Field(5e-5, gt=0, le=1, title="Text encoder learning rate")
    """The size of an update of the text encoder; a tenth to all of the learning rate is safe,
    higher and prompts lose their meaning, lower and the word hardly changes."""


class DreamboothConfig(TrainConfig):
    """DreamBooth: every weight of the model learns (Ruiz et al. 2022, arXiv 2208.12242)."""

    basics = (*TrainConfig.basics, "prior_weight", "train_text_encoder")

    method: Literal["dreambooth"] = Field("dreambooth", title="Method")
    """The training method these settings belong to; only dreambooth is allowed here."""
    learning_rate: float = Field(2e-6, gt=0, le=1, title="Learning rate")
    """The size of an update; for all weights of SD 1.5 1e-6 to 5e-6 is safe, too low and nothing is
    learned, too high and the model forgets everything else."""
    instance_prompt: str = Field("", title="Instance prompt")
    """One prompt for all photos, such as "photo of ravo man"; empty is better and takes each
    photo's own caption, one for all ties what the photos share to the word."""
    class_prompt: str = Field("", title="Class prompt")
    """One prompt for all class images; empty is better and takes the captions with the class word
    for the trigger word."""
    train_text_encoder: bool = Field(False, title="Train the text encoder")
    """Whether the text encoder learns too; off is faster and takes less memory, on binds the
    trigger word better but can bend the meaning of the words around it."""
    text_encoder_learning_rate: float = Field(1e-6, gt=0, le=1, title="Text encoder learning rate")
    """The size of an update of the text encoder; half of the learning rate is safe, higher and
    prompts lose their meaning, lower and the word hardly changes."""
    fused_backward_pass: bool = Field(
        False,
        title="Fused backward pass",
        validation_alias=AliasChoices("fused_backward_pass", "step_in_backward"),
    )
    """Whether each weight is updated as soon as its gradient is known; on saves the memory of all
    other gradients, and needs gradient clipping and accumulation off, off is right where memory is
    enough."""


class TextualInversionConfig(TrainConfig):
    """Textual Inversion: a new word's embedding learns, nothing else (Gal et al. 2022, arXiv
    2208.01618)."""

    basics = (*TrainConfig.basics, "init_word", "vectors")

    method: Literal["textual_inversion"] = Field("textual_inversion", title="Method")
    """The training method these settings belong to; only textual_inversion is allowed here."""
    learning_rate: float = Field(2e-3, gt=0, le=1, title="Learning rate")
    """The size of an update; for Stable Diffusion 5e-4 to 5e-3 is safe, for the mini 2e-2, too low
    and the word stays what it began as, too high and pictures turn into noise."""
    weight_decay: float = Field(0.0, ge=0, le=1, title="Weight decay")
    """How strongly the new word is pulled to zero; 0 is right, more weakens the word."""
    init_word: str = Field("man", title="Init word")
    """The word whose meaning the new one begins with; a broad class word learns fast, an unlikely
    one slowly, and empty begins with noise."""
    vectors: int = Field(1, ge=1, le=16, title="Vectors")
    """How many embeddings the word gets; 1 to 3 is safe, more hold more detail but crowd the
    rest of the prompt out."""
    templates: bool = Field(False, title="Use templates")
    """Whether to learn with plain sentences ("a close-up photo of ravo") in place of the captions;
    off is better where captions say what shall stay changeable."""
    hold_norm: bool = Field(False, title="Hold the norm")
    """Whether the new vectors stay no longer than the vocabulary's are on average; on suits long
    trainings of real bases, where a long vector drowns the rest of the prompt, off is right for
    the mini."""


PARTNERS = {  # settings that do nothing without another one
    "validate_every": "held_out",
    "prior_images": "prior_weight",
    "prior_folder": "prior_weight",
    "class_prompt": "prior_weight",
    "keep_tokens": "shuffle_captions",
    "text_encoder_learning_rate": "train_text_encoder",
}
DRAWN = ("man", "woman", "person", "mug", "bag", "plain")  # what the mini has seen
RIVALS = {"prior_images": "prior_folder", "init_word": "init_weights"}  # nothing beside the other


def contradictions(config: TrainConfig, photos: int) -> Iterator[str]:
    """Settings that do not go together, or with so many photos: a sentence each."""
    fields = type(config).model_fields
    own = {name for name, field in fields.items() if getattr(config, name) != field.default}
    samples = config.batch_size * config.gradient_accumulation
    count = math.ceil(config.views_per_photo * photos / samples)
    seen, run = count * samples / photos, f"and the run has {count} step{'s' * (count > 1)}"
    if config.batch_size > photos:
        yield f"'batch_size' is {config.batch_size}, more than the {photos} photos."
    if seen > 1.1 * config.views_per_photo:
        yield f"Steps are whole: each photo is seen {seen:.3g} times, beyond 'views_per_photo'."
    if config.warmup_steps >= count:
        yield f"'warmup_steps' is {config.warmup_steps}, {run}: the full learning rate is not used."
    for name in ("preview_every", "save_every", "validate_every"):
        if name in own and getattr(config, name) > count:
            yield f"{name!r} is {getattr(config, name)}, {run}."
    for name, other in PARTNERS.items():
        if name in own and not getattr(config, other):
            yield f"{name!r} does nothing without {other!r}."
    for name, other in RIVALS.items():
        if {name, other} <= own:
            yield f"{name!r} does nothing beside {other!r}."
    if own & {"convolution_rank", "convolution_alpha"} and "convolution" not in config.layers:
        yield "'convolution_rank' and 'convolution_alpha' do nothing for these 'layers'."
    if "rank_stabilised" in own and config.kind != "lora":
        yield f"'rank_stabilised' does nothing for {config.kind}."
    if config.base in BASES[:2] and config.class_word not in DRAWN:
        words = repr(config.class_word)
        yield f"The mini draws people, mugs and bags alone: {words} comes out as one of these."
    if config.prior_from_photos and not config.trigger:
        yield "'prior_weight' holds back all that is learned: captions say the same to the base."
    from sdnb.captioning.captions import word_pattern  # with Pillow, for which no import waits

    says = word_pattern(config.trigger).search
    if config.trigger and config.preview_every and not any(map(says, config.preview_prompts)):
        yield f"None of 'preview_prompts' says {config.trigger!r}."


def steps(config: TrainConfig, photos: int, processes: int = 1) -> int:
    """Optimizer steps of a run: every one of `photos` photos is seen `views_per_photo` times."""
    samples = config.batch_size * config.gradient_accumulation * processes
    return trial().steps(math.ceil(config.views_per_photo * photos / samples))


def presets() -> list[str]:
    """The names of the settings that come with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset(name: str) -> TrainConfig:
    """The settings called `name`; use `.replace(photos=...)` to point them at your photos."""
    if name not in presets():
        raise Problem(f"There is no preset called {name!r}", do=nearest(name, presets()))
    return load_config(PRESETS / f"{name}.toml")


def config_class(method: str) -> type[TrainConfig]:
    """The settings of a training method, by its name. Raises Problem where there is none."""
    known = {each.model_fields["method"].default: each for each in TrainConfig.__subclasses__()}
    if method not in known:
        raise Problem(f"There is no training method called {method!r}", do=nearest(method, known))
    return known[method]


def load_config(path: Path | str) -> TrainConfig:
    """Training settings from a TOML file, of the class that its `method` names (lora where it
    names none)."""
    with about(path):
        kind = config_class(SHORT.repr(read_toml(path).get("method", "lora")).strip("'"))
    return kind.load(path)
