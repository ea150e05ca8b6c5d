"""LoRAs and embeddings that prompts call by their files' names, and where the files are."""

import copy
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sdnb.adapters.layers import detach, reattach
from sdnb.adapters.loading import unload_lora, use_loras
from sdnb.adapters.words import PICKLES, bundled_words, embeddings_of, is_known, load_embedding
from sdnb.dataset.samples import FOLDERS
from sdnb.errors import Problem
from sdnb.files import content_hash
from sdnb.inference.config import ImageConfig
from sdnb.inference.prompts import read_prompt, without_calls
from sdnb.models.base import Model
from sdnb.models.tensors import opened, read_pickle

FILES = "[!.]*.*"  # a hidden one is half written, or a Mac's own
PLAIN = str.maketrans("", "", ":,")  # what a name before a hash goes without
Called = tuple[tuple[Path, float, float], ...]
HASH = re.compile(r"\s*([^:,]+):\s*([0-9a-f]{8,64})")  # in "ravo: 0123456789ab, x: ..."


def find_lora(name: str, folder: Path | None = None, hashes: str = "") -> Path:
    """The file of the LoRA called `name`, without its ending, in `folder` or below; else among the
    samples of the package. One that was renamed is found by its hash, where `hashes` (as the web
    UIs write them, "name: hash, name: hash") says that.

    Raises Problem where there is none (naming those of nearly that name) or more than one, and
    where it lies outside of `folder`.
    """
    files = _files(folder)
    if found := _called(name, files, folder, embedding=False):
        return found
    stems = [file.stem for file in files]
    if name in stems:
        raise Problem(f"{name!r} is an embedding, not a LoRA", do="Write its name as a word")
    if start := dict(HASH.findall(hashes.lower())).get(name.translate(PLAIN).lower()):
        for file in files:  # but no link, which may lead out
            if not file.is_symlink() and content_hash(file, True).startswith(start):
                return file
    near = " or ".join(map(repr, difflib.get_close_matches(name, stems, n=3)))
    do = f"Did you mean {near}?" if near else "Set folder to where it lies"
    raise Problem(f"There is no LoRA called {name!r}", folder, do)


def called_loras(prompt: str, folder: Path | None = None, hashes: str = "") -> Called:
    """For each call of a LoRA in the prompt, in order of name, the file, its weight on the UNet and
    on the text encoders. Raises Problem as `find_lora` does."""
    calls = sorted(read_prompt(prompt).loras)
    return tuple((find_lora(c.name, folder, hashes), c.unet, c.text_encoder) for c in calls)


def file_hashes(model: Model, config: ImageConfig) -> dict[str, str]:
    """What AUTOMATIC1111 writes into a picture's text to tell the files that made it: "Lora
    hashes", "TI hashes" and, where the base model is one file that no training has moved, "Model
    hash" (extra_networks_lora.py, modules/sd_hijack_clip.py and sd_models.py there)."""
    (prompt,), folder, base = config.prompts, config.folder, Path(model.info.sources[0])
    calls = sorted(read_prompt(prompt).loras)
    loras = zip(calls, called_loras(prompt, folder, config.lora_hashes), strict=True)
    words = filter(None, _named(f"{prompt} {config.negative}", _files(folder), folder).values())
    named = [("Lora hashes", call.name, content_hash(file, True)) for call, (file, *_) in loras]
    named += [("TI hashes", w.stem, content_hash(w)) for w in words if not is_known(model, w.stem)]
    told: dict[str, str] = {}
    for key, name, digest in dict.fromkeys(named):
        one = f"{name.translate(PLAIN)}: {digest[:12]}"
        told[key] = f"{told[key]}, {one}" if key in told else one
    if base.is_file() and not model.moved:
        told["Model hash"] = content_hash(base)[:10]
    return told


def find_embeddings(text: str, folder: Path | None = None) -> list[Path]:
    """The files of the embeddings whose names stand as words in `text`, small or large letters, in
    `folder` or below and among the samples of the package. Raises Problem as `find_lora` does."""
    files = _files(folder)
    found = _named(text, files, folder)
    for file in (f for f in files if f.suffix in PICKLES and found.get(f.stem, f) is None):
        print(f"{file.name} is not used: it cannot be read as a learned word.")
    return [file for file in found.values() if file]


def _named(text: str, files: list[Path], folder: Path | None) -> dict[str, Path | None]:
    """The embedding of each file's name that stands as a word in `text`; None where it is none."""
    words = without_calls(text)
    return {
        stem: _called(stem, files, folder, embedding=True)
        for stem in dict.fromkeys(file.stem for file in files)
        if re.search(rf"(?<!\w){re.escape(stem)}(?!\w)", words, re.IGNORECASE)
    }


@contextmanager
def loaded(
    model: Model, loras: Sequence[tuple[Path, float, float]], embeddings: Sequence[Path]
) -> Iterator[None]:
    """The model with these LoRAs (file, weight on the UNet, on the text encoders) in place of its
    own, which stay where there are none, with the words that they bring along, and with these
    embeddings, each as the word that its file is called. A word that the model has been taught
    already stays as it is; for one of its own vocabulary no file is used, and a remark is printed.
    Afterwards it is as it was. Raises Problem where a file does not suit the model."""
    words = [(file, file.stem) for file in embeddings]
    for file, *_ in loras if model.text_encoder_2 is None else ():
        with opened(file) as tensors:
            words += [(file, word) for word in bundled_words(tensors.keys())]
    with ExitStack() as undo:
        if words:
            undo.enter_context(_words_restored(model))
        for file, word in words:
            if word.lower() in model.tokenizer.get_added_vocab():
                continue
            if is_known(model, word):
                print(f"{file.name} is not used: the model has a word {word!r} of its own.")
            else:
                load_embedding(model, file, word)
        if loras:
            undo.callback(reattach, detach(model.unet, *model.encoders.values()))
            use_loras(model, loras)
            undo.callback(unload_lora, model)
        yield


@contextmanager
def _words_restored(model: Model) -> Iterator[None]:
    """Afterwards the model has forgotten the words that it has learned inside, and only those."""
    encoder, tokenizer = embeddings_of(model.text_encoder), model.tokenizer
    layer = encoder.token_embedding
    rows = getattr(layer, "rows", None)
    model.tokenizer = copy.deepcopy(tokenizer)  # new words are added in place
    try:
        yield
    finally:
        model.tokenizer, encoder.token_embedding = tokenizer, layer
        if rows is not None:
            layer.rows = rows


def _files(folder: Path | None) -> list[Path]:
    """Every file of tensors in the folder and below, and the samples whose names are still free.
    Raises Problem where there is no such folder."""
    if folder and not folder.is_dir():
        raise Problem("There is no such folder", folder, "Check the path")
    own = _models(folder.rglob(FILES)) if folder else []
    taken = {file.stem for file in own}
    samples = _models(file for place in FOLDERS for file in place.glob(f"trained/{FILES}"))
    return own + [file for file in samples if file.stem not in taken]


def _models(files: Iterable[Path]) -> list[Path]:
    """Those that may be a LoRA or an embedding, in order. A pickle only where no safetensors file
    has its name."""
    files = sorted(file for file in files if file.is_file())
    safe = [file for file in files if file.suffix == ".safetensors"]
    taken = {file.stem for file in safe}
    return safe + [file for file in files if file.suffix in PICKLES and file.stem not in taken]


def _called(stem: str, files: list[Path], folder: Path | None, embedding: bool) -> Path | None:
    """The one file of this name and kind. None is looked into that lies outside of the folder."""
    found = [file for file in files if file.stem == stem]
    homes = [home.resolve() for home in (*FOLDERS, *([folder] if folder else []))]
    for file in found:
        if not any(file.resolve().is_relative_to(home) for home in homes):
            what = "The file is a link that leads out of the folder"
            raise Problem(what, file, "Copy the file itself there")
    found = [file for file in found if _is_embedding(file) == embedding]
    if len(found) > 1:
        what = f"There are {len(found)} files called {stem!r}"
        raise Problem(what, found[1], "Rename one of them")
    return found[0] if found else None


def _is_embedding(file: Path) -> bool:
    """Whether it holds a learned word: one tensor of vectors, or SDXL's pair of them. Raises
    Problem where the file cannot be read, if it is no pickle."""
    if file.suffix in PICKLES:
        with suppress(Problem):
            return len(read_pickle(file)) == 1
        return False
    with opened(file) as tensors:
        names = list(tensors.keys())
    return len(names) == 1 or set(names) == {"clip_l", "clip_g"}
