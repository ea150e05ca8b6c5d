"""Captioners: models that say in words what a picture shows.

BLIP (arXiv 2201.12086) in three sizes, the smallest in the package, and Florence-2 (arXiv
2311.06242). No chance plays a part: the same picture gets the same words.
"""

import gc
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
)

from sdnb.captioning.captions import Captioned, caption_photos
from sdnb.captioning.config import CAPTIONERS, CaptionConfig
from sdnb.dataset.decoding import open_picture
from sdnb.dataset.photos import photo_paths
from sdnb.errors import Problem, named, nearest
from sdnb.machine import Machine, find_machine
from sdnb.mini.judge import SIZE, load_judge
from sdnb.models.base import loading
from sdnb.models.families import MINI_FOLDER

MINI = MINI_FOLDER / "captioner"
HUB = {
    "blip-base": "Salesforce/blip-image-captioning-base",
    "blip-large": "Salesforce/blip-image-captioning-large",
    "florence-2": "florence-community/Florence-2-base",  # Microsoft's own runs remote code
}
TASKS = {"blip": "", "florence2": "<CAPTION>"}  # the families, and what each is told to do
# Pillow's: torchvision, where there is one, scales pictures a little differently
SCALERS = {"blip": BlipImageProcessorPil, "florence2": CLIPImageProcessorPil}
STRANGE = (
    "The mini captioner knows drawn photos only, and most of these are none: what it wrote is a "
    "guess, and so is what the coach makes of it. Write the captions anew in the editor, or choose "
    "blip-base as the captioner."
)
WORDING = ("beams", "min_length", "max_length", "repetition_penalty", "begin")


def make_captions(
    config: CaptionConfig, folder: Path | str, machine: Machine | None = None, progress: bool = True
) -> Captioned:
    """Write a caption for every photo of `folder`, as `config` says, and free the captioner's
    memory again.

    Captions written by hand are kept, and what is up to date is not made anew: see
    `caption_photos`. Raises its Problems and those of `load_captioner`.
    """
    photo_paths(folder, fewest=1)  # checked before a captioner of a gigabyte is fetched
    with load_captioner(config, machine) as captioner:
        result = caption_photos(folder, captioner, config, progress)
    if result.written and _source(config.captioner) == str(MINI):
        pictures = [open_picture(Path(folder, name), at_least=SIZE) for name in result.written]
        result.remark = "" if load_judge().knows(pictures) else STRANGE
    return result


def load_captioner(config: CaptionConfig, machine: Machine | None = None) -> "ModelCaptioner":
    """The captioner that `config` names, in fp16 on a GPU and in fp32 on a CPU.

    Raises Problem for an unknown name, a folder without a captioner, one that cannot be loaded or
    reached, and a beginning that it cannot go on from.
    """
    source, machine = _source(config.captioner), machine or find_machine()
    with loading(f"The captioner {config.captioner}", source):
        kind = AutoConfig.from_pretrained(source).model_type
        if kind not in TASKS:
            raise Problem(f"{kind} is no captioner known here", source, "Take a BLIP or Florence-2")
        processor = AutoProcessor.from_pretrained(source)
        processor.image_processor = SCALERS[kind].from_pretrained(source)
        dtype = torch.float16 if machine.device == "cuda" else torch.float32
        model = AutoModelForImageTextToText.from_pretrained(source, dtype=dtype)
        return ModelCaptioner(config, model.to(machine.device).eval(), processor)


class ModelCaptioner(AbstractContextManager):
    """A captioner in memory. `with` it, or `close` it, and the memory is free again.

    `name` tells apart captions that were made with different settings.
    """

    def __init__(self, config: CaptionConfig, model, processor) -> None:
        self.batch_size, self.model, self.processor = config.batch_size, model, processor
        settings = (f"{name}={getattr(config, name)}" for name in WORDING)
        self.name = " ".join([config.captioner, *settings])
        self.begin, task = config.begin.strip(), TASKS[model.config.model_type]
        if task and self.begin:
            do = 'Leave begin empty, or choose captioner = "blip-base"'
            raise Problem("Florence-2 cannot go on from a beginning", do=do)
        self.text = task or self.begin
        # tokens; BLIP's answer repeats what it was given: a mark and the beginning
        self.prompt_length = 0 if task else 1
        if self.begin:  # without the mark of the end
            self.prompt_length = len(processor.tokenizer(self.begin).input_ids) - 1
        room = model.config.text_config.max_position_embeddings - self.prompt_length
        if room < 1:
            raise Problem("The beginning fills the whole caption", do="Make begin shorter")
        self.generation = {
            "num_beams": config.beams,
            "min_new_tokens": min(config.min_length, room),
            "max_new_tokens": min(config.max_length, room),
            "repetition_penalty": config.repetition_penalty,
            "do_sample": False,
        }

    def __call__(self, pictures: Sequence[Image.Image]) -> list[str]:
        """A caption for each picture. Raises Problem where the GPU's memory is not enough."""
        text = [self.text] * len(pictures) if self.text else None
        shown = self.processor(images=list(pictures), text=text, return_tensors="pt")
        try:
            shown = shown.to(self.model.device, self.model.dtype)  # ids stay whole numbers
            with torch.inference_mode():
                ids = self.model.generate(**shown, **self.generation)[:, self.prompt_length :]
        except torch.cuda.OutOfMemoryError as error:
            what = f"The GPU has too little memory free for {len(pictures)} photos at a time"
            do = "Lower batch_size, or choose a smaller captioner"
            raise Problem(what, do=do) from error
        said = self.processor.batch_decode(ids, skip_special_tokens=True)
        return [tidy(f"{self.begin} {words}") for words in said]

    def close(self) -> None:
        """Free the memory. Nothing more can be asked of it then."""
        self.model = self.processor = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __exit__(self, *_) -> None:
        self.close()


def tidy(words: str) -> str:
    """Tokens of BERT's kind as plain text.

    >>> tidy("[DEC] a man ' s t - shirt , smil ##ing")
    "a man's t-shirt, smiling"
    """
    words = re.sub(r"\[[A-Z]+\]", "", words)  # marks that the tokenizer takes for words
    words = re.sub(r" (?:##|(?=[,.;:!?]))", "", " ".join(words.split()))
    return re.sub(r"(?<=\w) (-|'(?= [st]\b)) (?=\w)", r"\1", words)


def _source(name: str) -> str:
    """The Hub id or the folder of a captioner."""
    name = named(name, CAPTIONERS)
    if name in HUB:
        return HUB[name]
    folder = MINI if name == "mini" else Path(name)
    if not (folder / "config.json").is_file():
        what = f"There is neither a captioner {name!r} nor a folder of that name with a config.json"
        raise Problem(what, do=nearest(name, CAPTIONERS))
    return str(folder)
