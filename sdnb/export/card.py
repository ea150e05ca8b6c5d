"""The model card: the README.md that says what a model is, as the Hugging Face Hub reads it.

The format is the Hub's (https://huggingface.co/docs/hub/model-cards): YAML between two lines of
dashes, then Markdown. The text is in card.md, a Jinja template.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PureWindowsPath
from urllib.parse import quote

from huggingface_hub import ModelCard, ModelCardData

from sdnb.config import CONFIGS
from sdnb.files import write_atomically
from sdnb.problems import Problem, nearest

LICENCES = {  # the Hub's names of those in our table of base models
    "Apache-2.0": "apache-2.0",
    "CreativeML OpenRAIL-M": "creativeml-openrail-m",
    "CreativeML OpenRAIL++-M": "openrail++",
    "unknown": "unknown",
}
TAG = "sdnb"
# Settings that tell of a learner's disk or captions.
PRIVATE = {"photos", "held_out", "prior_folder", "begin_from", "instance_prompt", "class_prompt"}
SPECIAL = r"([\\`*_{}\[\]()<>#|~&!$:@^=])"


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. `name` is the model file's without its ending; `base_id` the base model's
    Hub id ("" or a path where it has none); `numbers` holds {"mean", "spread", "n"} for each score;
    `pictures` are (file name, prompt), the files beside the card; `family` is "sdxl" for SDXL."""

    name: str
    method: str
    base: str
    base_id: str
    licence: str
    trigger: str
    class_word: str
    settings: dict = field(default_factory=dict)
    numbers: dict[str, dict] = field(default_factory=dict)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    family: str = ""


def write_card(path: Path | str, facts: CardFacts, private: bool = False) -> Path:
    """Write the card to `path`, or to README.md where that is a folder; an earlier card there is
    replaced. Settings that hold paths or captions are left out unless `private` is true.

    Raises Problem for an unknown method, for a picture that is not beside the card, where another
    text is in the way, and where the file cannot be written.
    """
    path = Path(path)
    path = path / "README.md" if path.is_dir() else path
    if facts.method not in CONFIGS:
        raise Problem(f"{facts.method} is no method", do=nearest(facts.method, CONFIGS))
    for name, _ in facts.pictures:
        if name != PureWindowsPath(name).name or not (path.parent / name).is_file():
            raise Problem("The picture is not beside the card", name, "Copy it there first")
    if path.exists() and f"- {TAG}\n" not in path.read_text(encoding="utf-8", errors="replace"):
        raise Problem("There is another text here", path, "Rename it first")
    card = ModelCard.from_template(
        _head(facts),
        template_str=Path(__file__).with_name("card.md").read_text(encoding="utf-8"),
        facts=facts,
        base=PureWindowsPath(facts.base).name,  # of a path the last part
        settings={k: v for k, v in facts.settings.items() if private or not _is_private(k, v)},
        line=_line,
        plain=_plain,
        code=lambda text: json.dumps(_line(text), ensure_ascii=False),  # as Python writes it too
        quote=quote,
    )
    write_atomically(path, f"{card}\n".encode())
    return path


def _head(facts: CardFacts) -> ModelCardData:
    licence = LICENCES.get(facts.licence, "other")
    named = re.sub(r"[^a-z0-9.]+", "-", facts.licence.lower()) if licence == "other" else None
    shown = [{"text": _line(told), "output": {"url": name}} for name, told in facts.pictures]
    # an embedding's word says by itself what it is
    what = "" if facts.method == "textual_inversion" else facts.class_word
    is_id = re.fullmatch(r"\w[\w.-]*/[\w.-]+", facts.base_id) and not Path(facts.base_id).exists()
    return ModelCardData(
        base_model=facts.base_id if is_id else None,  # not where the base is on this disk
        library_name="diffusers",
        pipeline_tag="text-to-image",
        license=licence,
        license_name=named,
        tags=["stable-diffusion", facts.method, "text-to-image", TAG],
        instance_prompt=_line(f"{facts.trigger} {what}"),
        widget=shown or None,
    )


def _is_private(name: str, value: object) -> bool:
    return name in PRIVATE or isinstance(value, PurePath) or bool(re.search(r"[/\\]", str(value)))


def _line(text: object) -> str:
    """One line of letters that can be seen."""
    seen = (letter for letter in str(text) if letter.isprintable() or letter.isspace())
    return " ".join("".join(seen).split())


def _plain(text: object) -> str:
    """A line that Markdown and HTML leave as it is: any ASCII punctuation may be escaped
    (CommonMark 0.31, 2.4), and the rest of it means nothing in the middle of a line."""
    return re.sub(SPECIAL, r"\\\1", _line(text))
