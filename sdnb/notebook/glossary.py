"""Every setting on one page, made from the settings' own words: `sdnb glossary`, and the glossary
of the site."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from sdnb.captioning.config import CaptionConfig, SubjectConfig
from sdnb.dataset.config import PhotoConfig
from sdnb.inference.config import ImageConfig
from sdnb.mini.yourself import PersonConfig
from sdnb.notebook.settings_form import FormLine, form_line
from sdnb.settings import Settings, names_elsewhere
from sdnb.training.config import DreamboothConfig, LoraConfig, TextualInversionConfig, TrainConfig

CLASSES = (  # in the order of the course
    *(PersonConfig, PhotoConfig, SubjectConfig, CaptionConfig, TrainConfig),
    *(DreamboothConfig, TextualInversionConfig, LoraConfig, ImageConfig),
)
KINDS = {bool: "on or off", int: "a whole number", float: "a number", str: "text"}
KINDS |= {Path: "a file or folder", tuple: "lines of text"}
HEAD = """\
# All settings explained

What the forms ask, what stands in a file of settings, and what the command line takes: every
setting with its name, what it may be, what it is where you say nothing, and what it does.

## By step
"""

KOHYA = """
## From kohya_ss

What its settings, and those of diffusers' scripts, are called here.

| there | here |
| --- | --- |"""


def glossary() -> str:
    """The page as Markdown, with MyST's targets: `learning_rate` is found at `#learning-rate`, the
    settings of LoRA at `#loraconfig`."""
    titles = {name: f.title for cls in CLASSES for name, f in _own(cls).items()}
    ordered = sorted(titles, key=lambda name: (titles[name].lower(), name))
    parts = [*map(_step, CLASSES), "## From A to Z\n", *map(_explained, ordered), KOHYA, *_kohya()]
    return "\n".join([HEAD, *parts])


def anchor(name: str) -> str:
    """Where on the page a setting, or a class of them, is explained."""
    return name.lower().replace("_", "-")


def address(settings: type[Settings]) -> str | None:
    """Where the published page tells of these settings: GitHub Pages of the project's repository.
    None where the package is not installed, for only its metadata knows the repository."""
    try:
        urls = metadata("sdnb").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    repository = dict(url.split(", ", 1) for url in urls).get("Repository")
    if not repository:
        return None
    owner, name = repository.rstrip("/").split("/")[-2:]
    return f"https://{owner}.github.io/{name}/glossary.html#{anchor(settings.__name__)}"


def _own(cls: type[Settings]) -> dict[str, FieldInfo]:
    """The settings that the class has beyond its parent's, or otherwise than there."""
    return {name: f for name, f in cls.model_fields.items() if name in cls.__annotations__}


def _step(cls: type[Settings]) -> str:
    """A class, and the way to each of its settings."""
    links = " · ".join(f"[{field.title}](#{anchor(name)})" for name, field in _own(cls).items())
    said, parent = " ".join((cls.__doc__ or "").split()), cls.__base__
    beyond = f"All of {_link(parent)}, and: " if parent in CLASSES else ""
    return f"({anchor(cls.__name__)})=\n### `{cls.__name__}`\n\n{said}\n\n{beyond}{links}\n"


def _explained(name: str) -> str:
    """One name: what it does and may be, in each of the classes that have it."""
    owners = {cls: _own(cls)[name] for cls in CLASSES if name in _own(cls)}
    title = " / ".join(dict.fromkeys(field.title for field in owners.values()))
    paragraphs = []
    for cls, field in owners.items():
        entry = form_line(name, field, cls)
        facts = _facts(field, entry)
        paragraphs.append(f"{entry.help}\n\n`{name}` in {_link(cls)}: {facts}\n")
    return "\n".join([f"({anchor(name)})=\n### {title}\n", *paragraphs])


def _kohya() -> list[str]:
    """A row for each name elsewhere."""
    rows = []
    for name, said in names_elsewhere().items():
        words = re.sub("^(in sdnb (this is called|this is|these are)|sdnb has) ", "", said)
        words = re.sub("'([^']*)'", r"`\1`", words)
        rows.append(f"| `{name}` | {words} |")
    return rows


def _link(cls: type[Settings]) -> str:
    return f"[`{cls.__name__}`](#{anchor(cls.__name__)})"


def _facts(field: FieldInfo, entry: FormLine) -> str:
    """What it may be, and what it is unless said."""
    choices = " or ".join(f"`{choice}`" for choice in entry.choices)
    if len(entry.choices) == 1:
        return f"always {choices}."
    what = choices or KINDS[entry.type]
    what = f"{what}, {entry.bounds}" if entry.bounds else what
    empty = ", or empty" if entry.optional else ""
    return f"{what}{empty}; {_shown(field.get_default())} unless set."


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None or value in ("", ()):
        return "empty"
    return f"`{'` and `'.join(value) if isinstance(value, tuple) else value}`"
