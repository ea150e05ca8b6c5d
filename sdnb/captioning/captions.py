"""Caption files: NAME.txt beside NAME.jpg, written by a captioner without touching your own words.

Which captions are a captioner's is remembered in .captions.json in the photos' folder. One that no
longer reads as it was written there is yours, and stays.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from pydantic import TypeAdapter

from sdnb.captioning.config import CaptionConfig
from sdnb.dataset.decoding import open_picture
from sdnb.dataset.manifest import HELD_OUT
from sdnb.dataset.photos import (
    Photo,
    caption_file,
    caption_files,
    literal,
    photo_paths,
    read_caption,
    text_of,
)
from sdnb.errors import Problem, printable, some_of
from sdnb.files import make_writable_folder, ordinary, write_atomically

MEMORY = ".captions.json"
MARKS = ",.;:!?"


class Captioner(Protocol):
    """Anything that says what pictures show, `batch_size` of them at a time. Its `name` tells its
    captions from another's."""

    name: str
    batch_size: int

    def __call__(self, pictures: Sequence[Image.Image]) -> list[str]: ...


@dataclass
class Captioned:
    """What became of the photos of a folder, as their file names."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # written by hand
    unchanged: list[str] = field(default_factory=list)  # automatic, and made in the same way
    # why a photo or a caption is unreadable
    problems: dict[str, str] = field(default_factory=dict)
    remark: str = ""  # on all of them

    def __str__(self) -> str:
        new = len(self.written)
        lines = [f"{new or 'No new'} caption{'s' * (new != 1)} written."]
        if self.kept:
            lines.append(f"{len(self.kept)} of your own kept.")
        if self.unchanged:
            lines.append(f"{len(self.unchanged)} already up to date.")
        if names := ", ".join(self.problems):
            lines.append(f"Passed over {names}, because the file cannot be read.")
        return printable(" ".join([*lines, *self.problems.values(), self.remark]).strip())


def caption_photos(
    folder: Path | str, captioner: Captioner, config: CaptionConfig, progress: bool = True
) -> Captioned:
    """Write a caption for every photo of `folder`: the config's `prefix`, what `captioner` says,
    its `suffix`.

    A caption written or changed by hand is kept; one of a captioner's is made anew where the
    captioner, `prefix` or `suffix` is another now. `overwrite` makes all of them anew, your own
    too. Each batch is saved before the next one begins: interrupt it and run it again, and it goes
    on with the rest. A photo or a caption that cannot be read is passed over and listed.

    Raises Problem for a missing folder, one without photos, one that cannot be written, and, where
    nothing else is to be done, a caption that cannot be read.
    """
    folder = Path(folder)
    made = json.dumps([captioner.name, config.prefix, config.suffix], ensure_ascii=False)
    memory = _read_memory(folder)
    waiting, result = _sort(photo_paths(folder, fewest=1), memory, made, config.overwrite)
    if not waiting:
        if result.problems:
            raise Problem(" ".join(result.problems.values()))
        return result
    make_writable_folder(folder)  # tried before the captioner has worked for minutes
    from tqdm.auto import tqdm  # in a notebook it imports ipywidgets

    # miniters: no update by tqdm's own thread, which Colab would not show
    with tqdm(total=len(waiting), unit="photo", miniters=1, disable=not progress) as bar:
        for start in range(0, len(waiting), captioner.batch_size):
            batch = waiting[start : start + captioner.batch_size]
            said = _describe(batch, captioner, result)
            texts = {p: joined(config.prefix, words, config.suffix) for p, words in said.items()}
            for path, text in texts.items():
                before = "" if config.overwrite else read_caption(path)
                memory[path.name] = {"text": text, "made": made, "before": before}
            # Remembered first: should it end here, these are known as still to be written.
            _write_memory(folder, memory)
            for path, text in texts.items():
                write_caption(path, text)
                del memory[path.name]["before"]  # written by hand it would be yours
                result.written.append(path.name)
            _write_memory(folder, memory)
            bar.update(len(batch))
    return result


def write_caption(photo: Path, text: str) -> None:
    """Save the caption where the photo's stands, else in NAME.txt beside it. Raises Problem where
    the folder cannot be written."""
    write_atomically(caption_file(photo), f"{text}\n".encode() if text else b"")


def word_pattern(word: str, more: str = "") -> re.Pattern:
    """Finds a trigger word as the tokenizer finds a learned one, whole and in letters of any size:
    not in "bravo", "ravo2" or "ravo_man". `more` is a regular expression for what follows it."""
    word = re.escape(unicodedata.normalize("NFC", word))  # as captions are
    return re.compile(rf"(?<!\w){word}{more}(?!\w)", re.IGNORECASE)


def check_captions(
    photos: Sequence[Photo], trigger: str, tokenizer: Any = None, vectors: int = 0
) -> list[str]:
    """What a training would pass over in the captions of `photos`, a sentence each: where there is
    none, where the trigger word is not in it (an empty one need not be), and, as a CLIP `tokenizer`
    reads them, what is cut off. A photo may come with several captions. With Textual Inversion
    the word becomes as many tokens as `vectors`.

    Raises Problem where no caption says the trigger word, or one is cut off before it.
    """
    captioned, found = [photo for photo in photos if photo.caption], []
    if silent := [photo for photo in photos if not photo.caption]:
        found.append(
            f"{names_of(silent)} no caption: all that the photos show there becomes part of the "
            "trigger word. Write a text file of the same name beside each."
        )
    says = word_pattern(trigger).search if trigger else lambda caption: True
    without = [photo for photo in captioned if not says(photo.caption)]
    if without and len(without) == len(captioned):
        what = f"None of the captions says {trigger!r} as a word, so it would learn nothing"
        do = "let trigger be the word that they say, or empty if they say none"
        raise Problem(what, do=f"Write it into them, or {do}")
    if without:
        found.append(
            f"{names_of(without)} no {trigger!r} in the caption, so the word learns nothing there. "
            "Put it where the subject is named."
        )
    cut: dict[Path, str] = {}
    for photo in captioned if tokenizer else ():
        kept, said = _kept(photo, trigger, tokenizer, vectors)
        if says(photo.caption) and not says(kept):
            raise Problem(f"{said} It says {trigger!r}", do="Put the trigger word in front")
        if said:
            cut.setdefault(photo.path, said)
    return [*found, *cut.values()]


def _kept(photo: Photo, trigger: str, tokenizer: Any, vectors: int) -> tuple[str, str]:
    """What a model reads of a caption, and a sentence where that is not all."""
    text, room = photo.caption, tokenizer.model_max_length - 2  # without the marks of begin and end
    more = vectors and vectors - len(tokenizer.tokenize(trigger))  # tokens of a word to be learned
    more *= len(word_pattern(trigger).findall(text))
    places = tokenizer(text, return_offsets_mapping=True, verbose=False)["offset_mapping"][1:-1]
    if (count := len(places) + more) <= room:
        return text, ""
    start = places[max(room - more, 0)][0]
    return text[:start], (
        f"The caption of {photo.path.name} has {count} tokens and the model reads {room}: "
        f"{text[start:]!r} is cut off. Shorten it."
    )


def names_of(photos: Sequence[Photo]) -> str:
    """ "a.jpg has", "a.jpg and b.jpg have" or "a.jpg, b.jpg, c.jpg and 2 more have"."""
    names = list(dict.fromkeys(photo.path.name for photo in photos))
    return f"{some_of(names)} {'has' if len(names) == 1 else 'have'}"


def joined(prefix: str, text: str, suffix: str) -> str:
    """One line of the parts, a comma between them where you have put no mark of your own.

    >>> joined("photo of ravo", "a man wearing a hat.", "at night")
    'photo of ravo, a man wearing a hat, at night'
    >>> joined("drawing in ravo style", "a drawing of a cat", "")
    'drawing in ravo style of a cat'
    >>> joined("photo of ravo", "a photo of a man", "")
    'photo of ravo, a photo of a man'
    """
    prefix, text, suffix = map(literal, (prefix, text, suffix))
    if prefix:
        text = text.lstrip(f"{MARKS} ")
    called = re.match(r"an? (\w+) of (.+)", text)
    if called and prefix.split()[:1] == [called[1]] and " of " not in prefix:
        prefix, text = f"{prefix} of {called[2]}", ""  # it is called a drawing already
    if suffix:
        text = text.rstrip(f"{MARKS} ")
    line, *others = [part for part in (prefix, text, suffix) if part] or [""]
    for part in others:
        if part[0] in MARKS:
            line = line.rstrip(",") + part
        else:
            line += f" {part}" if line[-1] in MARKS else f", {part}"
    return line


def _sort(
    photos: list[Path], memory: dict[str, dict[str, str]], made: str, overwrite: bool
) -> tuple[list[Path], Captioned]:
    """The photos that wait for a caption, and what becomes of the others."""
    # a.heic and a.jpg share a.txt: the first of them is looked at
    first = {photo.stem: photo for photo in reversed(photos)}
    waiting, result = [], Captioned()
    files = caption_files(photos[0].parent.iterdir()) if photos else {}
    for photo in sorted(first.values()):
        try:
            text = "" if overwrite or photo not in files else text_of(files[photo])
        except Problem as problem:
            result.problems[files[photo].name] = str(problem)
            continue
        written = memory.get(photo.name, {})
        if text and text not in (written.get("text"), written.get("before")):
            result.kept.append(photo.name)
        elif text and (text, made) == (written.get("text"), written.get("made")):
            result.unchanged.append(photo.name)
        else:
            waiting.append(photo)
    return waiting, result


def _describe(batch: list[Path], captioner: Captioner, result: Captioned) -> dict[Path, str]:
    """What the captioner says of each photo; those that cannot be read are listed in `result`."""
    pictures = {}
    for path in batch:
        try:
            pictures[path] = open_picture(path)
        except Problem as problem:
            result.problems[path.name] = str(problem)
    said = captioner([*pictures.values()]) if pictures else []
    if len(said) != len(pictures):
        what = f"The captioner was shown {len(pictures)} pictures and gave {len(said)} captions"
        raise Problem(what, do="It has to give one for each")
    return dict(zip(pictures, said))


def _memory(folder: Path) -> Path:
    """The file of what captioners wrote: for the photos held out too, beside the others, for a
    photo may go from one folder to the other and takes its caption along."""
    return (folder.parent if folder.name == HELD_OUT else folder) / MEMORY


def _write_memory(folder: Path, memory: dict[str, dict[str, str]]) -> None:
    write_atomically(_memory(folder), json.dumps(memory, indent=1).encode())


def _read_memory(folder: Path) -> dict[str, dict[str, str]]:
    """Each photo's "text", how it was "made", and the caption "before" while that is replaced.
    Empty where the file cannot be read, so that all captions are kept."""
    try:
        content = json.loads(ordinary(_memory(folder), 100_000_000).read_text("utf-8"))
        return TypeAdapter(dict[str, dict[str, str]]).validate_python(content)
    except (OSError, ValueError):
        return {}
