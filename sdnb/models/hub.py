"""Base models on the Hugging Face Hub, named owner/name or owner/name@revision. What one says of
itself is fetched first, its weights when it is loaded: of each part one variant, safetensors only.
What the library raises comes out as it is: see `loading`.
"""

import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import tqdm

from sdnb.errors import Problem, bytes_in_words

NAME = re.compile(r"(?!.*\.(safetensors|ckpt)$)[a-z0-9][\w.-]*/[\w.-]+(@.+)?", re.ASCII | re.I)
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
ABOUT = ["model_index.json", "scheduler/*.json", *(f"{part}/config.json" for part in PARTS)]
ABOUT += ["tokenizer/*.json", "tokenizer/*.txt", "tokenizer_2/*.json", "tokenizer_2/*.txt"]
WEIGHTS = re.compile(  # of diffusers and of transformers, whole or in shards, which an index lists
    r"\w+/(diffusion_pytorch_)?model(\.fp16)?(-\d+-of-\d+)?(\.fp16)?\.safetensors(\.index.*json)?"
)


def _in_words(record: logging.LogRecord) -> bool:
    """Of its retries, two warnings each and five of them, the library tells one, in our words."""
    if again := re.match(r"Retrying in .*Retry (\d+)/(\d+)", record.getMessage()):
        record.msg = f"The Hugging Face Hub does not answer. Trying again: {again[1]} of {again[2]}"
        record.args = ()
    return bool(again) or " thrown while requesting " not in record.getMessage()


logging.getLogger("huggingface_hub.utils._http").addFilter(_in_words)


class _NoBar(tqdm):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options | {"disable": True})


def describe(name: str) -> Path:
    """The folder of the Hub's cache with all but the weights of a base model, some megabytes.
    Raises Problem where the repository holds none in the diffusers layout."""
    folder = _snapshot(name, ABOUT, tqdm_class=_NoBar)
    if not (folder / ABOUT[0]).exists():
        single = [file for file in _left(name, folder) if re.fullmatch(r"[^/]+\.safetensors", file)]
        do = f"Download one of its single files and give its path: {', '.join(single)}"
        what = "The repository holds no base model in the diffusers layout"
        raise Problem(what, name, do if single else "Choose another one")
    return folder


def weights_of(name: str, folder: Path) -> dict[str, int]:
    """The files to load a base model's weights from, and how many bytes of each are left to fetch.
    Raises Problem where a part has none: the older .bin can run any program."""
    files = _left(name, folder)
    chosen = choose(files)
    if lacking := [p for p in PARTS if f"{p}/config.json" in files and p not in chosen]:
        what = f"There is no .safetensors with the weights of its {lacking[0]}"
        do = "Choose another base model; if this machine is offline, connect it and try again"
        raise Problem(what, name, do)
    return {file: files[file] for several in chosen.values() for file in several}


def fetch(name: str, title: str) -> Path:
    """The folder of the Hub's cache with a base model, which has that `title` in sentences. Says
    beforehand how much is fetched. Raises the Problems of the above, and one for a full disk."""
    folder = describe(name)
    files = weights_of(name, folder)
    size, free = sum(files.values()), shutil.disk_usage(folder).free
    if size > free:
        needed, there = bytes_in_words(size), bytes_in_words(free)
        what = f"The base model {title} takes {needed} of disk, and {there} are free"
        raise Problem(what, folder, "Make room, or set the variable HF_HOME to another disk")
    if size:
        print(f"The base model {title} is fetched once: {bytes_in_words(size)}")
    if not all((folder / file).exists() for file in files):
        _snapshot(name, list(files))
    return folder


def choose(files: Mapping[str, int]) -> dict[str, list[str]]:
    """Those of the `files`, of which so many bytes are left to fetch, to load each part from: a
    variant that is here already, the plain one first, or else fp16, which is half the size."""
    chosen = {}
    for part in PARTS:
        found = [name for name in files if name.startswith(f"{part}/") and WEIGHTS.match(name)]
        halves = [name for name in found if ".fp16" in name]
        kinds = [kind for kind in (halves, [n for n in found if n not in halves]) if kind]
        # some repositories hold the same in one file and in shards
        kinds = [[n for n in kind if not re.search("-of-|index", n)] or kind for kind in kinds]
        here = [kind for kind in kinds if _whole(kind) and not any(files[name] for name in kind)]
        if kinds:
            chosen[part] = [*here[::-1], *kinds][0]
    return chosen


def _whole(names: list[str]) -> bool:
    """Whether these are one file, or all shards and their index."""
    shards = re.search(r"-of-(\d+)", " ".join(names))
    return len(names) == (int(shards[1]) + 1 if shards else 1)


def variants(folder: Path) -> dict[str, str | None]:
    """The variant of each part of a model in a folder: "fp16", or None for the plain one."""
    chosen = choose(_here(folder))
    return {part: "fp16" if ".fp16" in files[0] else None for part, files in chosen.items()}


def _here(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): 0 for path in folder.rglob("*") if path.is_file()}


def _left(name: str, folder: Path) -> dict[str, int]:
    """How many bytes are left to fetch of each file of a repository; while the Hub cannot be asked
    the files that are here."""
    try:
        files = model_info(**_place(name), files_metadata=True).siblings
    except (HTTPError, OSError):
        return _here(folder)
    blobs, left = folder.parents[1] / "blobs", {}  # where the contents lie, by their digests
    for file in files or ():
        blob = blobs / (file.lfs.sha256 if file.lfs else file.blob_id or file.rfilename)
        there = blob.exists() or (folder / file.rfilename).exists()
        left[file.rfilename] = 0 if there else file.size or 0
    return left


def _snapshot(name: str, patterns: list[str], **options) -> Path:
    return Path(snapshot_download(**_place(name), allow_patterns=patterns, **options))


def _place(name: str) -> dict[str, str | None]:
    repo, _, revision = name.partition("@")
    return {"repo_id": repo, "revision": revision or None}
