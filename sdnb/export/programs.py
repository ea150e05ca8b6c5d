"""Where another program looks for a finished file, what it is called there, and installing it.

Folders and sentences are in programs.toml, after Forge, AUTOMATIC1111 1.10.1 and ComfyUI
(folder_paths.py); the text beside a LoRA is what the first two read (ui_extra_networks_lora.py).
"""

import filecmp
import io
import json
import os
import re
import shutil
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from sdnb.adapters.lora_file import text_width
from sdnb.dataset.decoding import open_picture
from sdnb.errors import Problem, named, nearest
from sdnb.export.kohya import IN_PROMPTS
from sdnb.files import write_atomically, write_folder_atomically
from sdnb.models.base import find_model
from sdnb.models.families import FAMILIES, MINI, family_of
from sdnb.models.single_file import UNET, read_family
from sdnb.models.tensors import opened

TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PROGRAMS, SHELVES = TABLE["programs"], TABLE["shelves"]
OF_DIFFUSERS = r"(unet|text_encoder(_2)?|base_model)\.|lora_te[12]?_encoder_"


@dataclass(frozen=True)
class Contents:
    """What is in a file: a "lora", "embedding", "checkpoint" or "folder" (diffusers) for "SD1",
    "SD2", "SDXL", "mini" or "Unknown"; `foreign` where the layers have diffusers' names."""

    kind: str
    family: str
    foreign: bool = False
    trigger: str = ""


@dataclass(frozen=True)
class Place:
    """Where a file goes: `folder` is below the program's own ("" where it has none). `unread` says
    why the program could make nothing of the file. As a string: what a learner has to know."""

    program: str
    file: Path
    contents: Contents
    folder: str
    how: str
    unread: Problem | None = None

    def __str__(self) -> str:
        program, name = PROGRAMS[self.program], self.file.name
        put = f"Copy {name} into {self.folder} inside the folder of {program['title']}. {self.how}"
        return f"{self.unread or put} {program['note']}".rstrip()


def where_to_install(file: Path | str, program: str, trigger: str = "") -> Place:
    """Where `program` ("forge", "comfyui" or "automatic1111") looks for the file or diffusers
    folder, and how it is used there.

    What it is, its keys say. `trigger` is its word; else the one that a LoRA names itself
    (modelspec.trigger_phrase). Raises Problem for another program, for a file that is no model,
    and for a name that breaks the prompt which would use it.
    """
    file, program = Path(file), named(program, PROGRAMS)
    if program not in PROGRAMS:
        raise Problem(f"{program} is not known here", do=nearest(program, PROGRAMS))
    found = _look_into(file)
    found = replace(found, trigger=trigger or found.trigger)
    name = file.name if found.kind == "folder" else file.stem
    odd = re.search(r"^\.|[\\\x00-\x1f]", name) or set(name) & set(IN_PROMPTS.get(found.kind, ""))
    if odd or not name:
        raise Problem("The file's name does not do where it is to be used", file, "Rename it")
    shelf = SHELVES[PROGRAMS[program]["shelves"]].get(found.kind, {"folder": "", "how": ""})
    how = shelf["how"].format(name=file.name, stem=file.stem)
    if found.trigger and found.kind != "embedding":
        how += f" Its trigger word goes into the prompt: {found.trigger}."
    unread = _unread(file, PROGRAMS[program]["title"], found, shelf["folder"])
    return Place(program, file, found, shelf["folder"], how, unread)


def install(
    file: Path | str,
    installation: Path | str,
    program: str | None = None,
    *,
    trigger: str = "",
    description: str = "",
    weight: float = 1.0,
    preview: Path | str | None = None,
) -> Path:
    """Copy the file or diffusers folder to where the program in the folder `installation` looks
    for it, and return the copy.

    Beside a LoRA, Forge and AUTOMATIC1111 get NAME.json (trigger word, description, weight) and,
    from `preview`, NAME.png. Another file of the same name is never overwritten, nor is a text
    beside a LoRA that is there already, which may have been edited in the program. Of the copy's
    path only the name comes from the file. A link that stands for `models` or a folder in it is
    followed, for whoever keeps models elsewhere has made it; one in the place of the file is not.

    Raises Problem where no known program is in the folder, where it could make nothing of the
    file, where another file has its name, and where the disk is full or not writable.
    """
    file, root = Path(file), Path(installation)
    place = where_to_install(file, _recognised_program(root, program), trigger)
    if place.unread:
        raise place.unread
    target, beside = root / place.folder / file.name, {}
    if place.contents.kind == "lora" and place.program != "comfyui":
        beside[target.with_suffix(".json")] = _text_beside(place.contents, description, weight)
        if preview:
            picture = io.BytesIO()
            open_picture(Path(preview)).save(picture, "PNG")
            beside[target.with_suffix(".png")] = picture.getvalue()
    if not os.path.lexists(target):
        for path, content in beside.items():
            if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == content):
                raise _taken(path)
        _copy(file, target)
    elif not _same(file, target):
        raise _taken(target)
    for path, content in beside.items():
        if not os.path.lexists(path):
            write_atomically(path, content)
    return target


def _text_beside(lora: Contents, description: str, weight: float) -> bytes:
    values = {"description": description, "sd version": lora.family}
    values |= {"activation text": lora.trigger, "preferred weight": weight}
    return json.dumps(values, indent=2, ensure_ascii=False).encode()


def _recognised_program(root: Path, program: str | None) -> str:
    """The program whose folder it is; where it holds models alone, the one that is named."""
    marks = {name: [root / mark for mark in known["marks"]] for name, known in PROGRAMS.items()}
    found = next((name for name, all_ in marks.items() if all(m.exists() for m in all_)), None)
    if found and program in (None, found):
        return found
    if program and not found and (root / "models").is_dir():
        return program
    holds = PROGRAMS[found]["title"] if found else "none of the known programs"
    do = "Choose the folder with its webui.py, or its nodes.py and comfy, or name another program"
    raise Problem(f"This folder holds {holds}", root, do)


def _look_into(file: Path) -> Contents:
    if file.is_dir():
        return Contents("folder", find_model(file).family.web_ui)
    with opened(file) as tensors:
        shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}
        header = tensors.metadata() or {}
    if any(name.startswith(UNET) for name in shapes):
        read_family(file)  # a Problem where it is not whole
        return Contents("checkpoint", _family(shapes, header))
    if any(re.search(r"\.(lora_|hada_|lokr_)", name) for name in shapes):
        foreign = any(re.match(OF_DIFFUSERS, name) for name in shapes)
        trigger = header.get("modelspec.trigger_phrase", "")
        return Contents("lora", _family(shapes, header), foreign, trigger)
    widths = [shape[1] for shape in shapes.values() if len(shape) == 2]
    if set(shapes) == {"clip_l", "clip_g"} and len(widths) == 2:
        return Contents("embedding", "SDXL")
    if len(shapes) == len(widths) == 1:
        return Contents("embedding", family_of(widths[0]).web_ui)
    raise Problem("The file is no LoRA, embedding or whole model", file, "Choose another file")


def _family(shapes: dict[str, list[int]], header: dict[str, str]) -> str:
    """By the width of the text that the first cross-attention takes; else by what the file says."""
    if width := text_width(shapes):
        return family_of(width).web_ui
    said = header.get("ss_base_model_version", "")
    alike = (family.web_ui for family in FAMILIES if said[:5] == family.kohya[:5])
    return next(alike, "Unknown")


def _unread(file: Path, title: str, found: Contents, folder: str) -> Problem | None:
    why = do = ""
    if found.family == MINI.web_ui:
        why = "it belongs to this course's mini model, which no other program knows"
        do = "Train on SD 1.5, 2.1 or XL for a file to use there"
    elif found.foreign:
        why, do = "it names its layers as diffusers does", "Export it in kohya's format"
    elif not folder:
        why, do = "it is a diffusers folder", "Export the model as a single file"
    return Problem(f"{title} cannot use it: {why}", file, do) if why else None


def _copy(file: Path, target: Path) -> None:
    if not file.is_dir():
        return write_atomically(target, lambda aside: shutil.copyfile(file, aside))
    # copyfile: without the modes, for what may not be written cannot be flushed to the disk either
    how = {"copy_function": shutil.copyfile, "dirs_exist_ok": True}
    write_folder_atomically(target, lambda aside: shutil.copytree(file, aside, **how))


def _same(one: Path, other: Path) -> bool:
    if not (one.is_dir() and other.is_dir()):
        return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)
    names = _names(one)
    return names == _names(other) and all(
        filecmp.cmp(one / n, other / n, shallow=False) for n in names
    )


def _names(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def _taken(path: Path) -> Problem:
    return Problem("Another file of this name is there", path, "Rename yours, or remove that one")
