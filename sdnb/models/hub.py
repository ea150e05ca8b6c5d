"""Base models on the Hugging Face Hub, named owner/name or owner/name@revision. What one says of
itself is fetched first, its weights when it is loaded: of each part one variant, safetensors only.
"""

import re
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import tqdm

from sdnb.errors import Problem, bytes_in_words
from sdnb.known_errors import loading_problem

NAME = re.compile(r"(?!.*\.(safetensors|ckpt)$)[a-z0-9][\w.-]*/[\w.-]+(@.+)?", re.ASCII | re.I)
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
ABOUT = ["model_index.json", "scheduler/*.json", *(f"{part}/config.json" for part in PARTS)]
ABOUT += [f"{folder}/*.{end}" for folder in ("tokenizer", "tokenizer_2") for end in ("json", "txt")]
WEIGHTS = re.compile(  # of diffusers and transformers, whole or in shards, which an index lists
    r"(diffusion_pytorch_)?model(\.fp16)?(-\d+-of-\d+)?(\.fp16)?\.safetensors"
    r"(\.index(\.fp16)?\.json)?"
)


class _NoBar(tqdm):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options | {"disable": True})


def describe(name: str) -> Path:
    """The folder of the Hub's cache with all but the weights of a base model, some megabytes.
    Raises Problem where there is none in the diffusers layout, or the Hub cannot be asked."""
    folder = _fetch(name, ABOUT, tqdm_class=_NoBar)
    if not (folder / ABOUT[0]).exists():
        what, do = "This is no base model in the diffusers layout", "Choose another one"
        single = [file for file in left(name, folder) if re.fullmatch(r"[^/]+\.safetensors", file)]
        if single:
            what = f"{what}: the repository holds single files"
            do = "Download one that is a whole base model and give its path: "
            do += ", ".join(single)
        raise Problem(what, name, do)
    return folder


def weights_of(name: str, folder: Path) -> dict[str, int]:
    """The files that hold a base model's weights, and how many bytes of each are left to fetch.
    Raises Problem where a part has none: the older .bin can run any program."""
    files = left(name, folder)
    chosen = variants(files)
    for part in PARTS:
        if f"{part}/config.json" in files and part not in chosen:
            what = f"There is no .safetensors with the weights of its {part}"
            do = "Choose another base model; if this machine is offline, connect it and try again"
            raise Problem(what, name, do)
    return {file: files[file] for _, several in chosen.values() for file in several}


def fetch(name: str, title: str) -> Path:
    """The folder of the Hub's cache with a base model, which has that `title` in sentences. Says
    beforehand how much is fetched. Raises Problem as `describe` does, and for a full disk."""
    folder = describe(name)
    files = weights_of(name, folder)
    size, free = sum(files.values()), shutil.disk_usage(folder).free
    if size > free:
        what = f"The base model {title} takes {bytes_in_words(size)} of disk, and "
        what += f"{bytes_in_words(free)} are free"
        do = "Make room, or name a folder on another disk in the variable HF_HOME"
        raise Problem(what, folder, do)
    if size:
        print(f"The base model {title} is fetched once: {bytes_in_words(size)}")
    if not all((folder / file).exists() for file in files):
        _fetch(name, list(files))
    return folder


def variants(files: Mapping[str, int]) -> dict[str, tuple[str | None, list[str]]]:
    """Of each part the variant to load, "fp16" or None for the plain one, and its files among
    `files`, of which so many bytes are left to fetch. What is whole here already is taken, the
    plain one first, and else fp16, which is half the size."""
    found = defaultdict(list)
    for name in files:
        part, _, file = name.partition("/")
        if part in PARTS and WEIGHTS.fullmatch(file):
            found[part, "fp16" if "fp16" in file else None].append(name)
    for key, several in found.items():  # some hold the same in one file and in shards
        found[key] = [name for name in several if not re.search("-of-|index", name)] or several
    chosen = {}
    for part in PARTS:
        both = [(kind, found[part, kind]) for kind in ("fp16", None) if (part, kind) in found]
        here = [(kind, names) for kind, names in both if _whole(names, files)]
        if both:
            chosen[part] = [*here[::-1], *both][0]
    return chosen


def _whole(names: list[str], files: Mapping[str, int]) -> bool:
    weights = [name for name in names if name.endswith(".safetensors")]
    of = re.search(r"-of-(\d+)", weights[0]) if weights else None
    return len(weights) == int(of[1] if of else 1) and not any(files[name] for name in names)


def here(folder: Path) -> dict[str, int]:
    """The files in a folder, of which nothing is left to fetch."""
    return {path.relative_to(folder).as_posix(): 0 for path in folder.rglob("*") if path.is_file()}


def left(name: str, folder: Path) -> dict[str, int]:
    """How many bytes are left to fetch of each file of a repository; while the Hub cannot be asked
    the files that are here."""
    repo, _, revision = name.partition("@")
    try:
        files = model_info(repo, revision=revision or None, files_metadata=True).siblings
    except (HTTPError, OSError):
        return here(folder)
    blobs, sizes = folder.parents[1] / "blobs", {}  # where the contents lie, by their digests
    for file in files or ():
        blob = blobs / (file.lfs.sha256 if file.lfs else file.blob_id or file.rfilename)
        there = blob.exists() or (folder / file.rfilename).exists()
        sizes[file.rfilename] = 0 if there else file.size or 0
    return sizes


def _fetch(name: str, patterns: list[str], **options) -> Path:
    repo, _, revision = name.partition("@")
    wanted = {"revision": revision or None, "allow_patterns": patterns}
    try:
        return Path(snapshot_download(repo, **wanted, **options))
    except Exception as error:
        raise loading_problem(f"The base model {name}", name, error) from error
