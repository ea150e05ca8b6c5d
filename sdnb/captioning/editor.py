"""Captions to look through and to change, one by one or all at once: the editor without widgets."""

import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from sdnb.captioning.captions import MARKS, joined, write_caption
from sdnb.dataset.photos import Photo, photo_paths, read_captions

AFTER = frozenset("and or with wearing in on at of by near".split())
LEADING = AFTER | {"a", "an", "the"}  # words that lead to another and cannot stand last
GAP = f"{MARKS} "  # what may stand between two parts of a caption
BLANK = Image.new("RGB", (1, 1))  # in place of the photos: advice is about the words


class CaptionEditor:
    """The photos of a folder, one of them shown, and their captions.

    Every change is saved at once, to the captions that it changes and to no other file. `captions`
    holds the text by the photo's file name, always on one line; `watchers` are called after every
    change and every move. `trigger` is the trigger word of the set. `advise` turns a list of Photo
    (captions true, pictures blank) into remarks, as the coach does with its other arguments bound.

    Raises Problem for a missing folder, one without photos and a caption that is not text; and
    every change raises one where the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path | str,
        trigger: str = "",
        advise: Callable[[list[Photo]], list[str]] | None = None,
    ) -> None:
        self.paths, self.index = photo_paths(folder, fewest=1), 0
        self.captions = {path.name: text for path, text in read_captions(self.paths).items()}
        self.trigger, self.advise = trigger, advise
        self.watchers: list[Callable[[], object]] = []
        # what each change replaced: the photo edited ("" for everywhere), the captions before
        self._past: list[tuple[str, dict[str, str]]] = []

    @property
    def path(self) -> Path:
        """The photo that is shown."""
        return self.paths[self.index]

    @property
    def caption(self) -> str:
        """Its caption."""
        return self.captions[self.path.name]

    @property
    def place(self) -> str:
        """Where we are, as "3 of 20: person_03.jpg"."""
        return f"{self.index + 1} of {len(self.paths)}: {self.path.name}"

    @property
    def remarks(self) -> list[str]:
        """What the adviser says of all captions as they are now."""
        if not self.advise:
            return []
        return self.advise([Photo(path, BLANK, self.captions[path.name]) for path in self.paths])

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._past)

    def show(self, step: int) -> None:
        """Go to the next photo (1) or the previous (-1), as far as there is one."""
        self.go(self.index + step)

    def go(self, index: int) -> None:
        """Go to the photo of this number, counted from 0, or to the nearest there is."""
        self.index = min(max(index, 0), len(self.paths) - 1)
        self._tell()

    def edit(self, text: str) -> int:
        """Give the shown photo another caption. Returns how many captions changed: 0 or 1."""
        return self._change({self.path.name: " ".join(text.split())}, edited=self.path.name)

    def replace(self, search: str, new: str) -> int:
        """Put `new` for `search` in every caption, be its letters large or small. Returns how many
        captions changed."""
        pattern = re.compile(re.escape(search), re.IGNORECASE)
        return self._everywhere(lambda text: pattern.sub(lambda _: new, text) if search else text)

    def count(self, phrase: str) -> int:
        """How many captions hold `phrase` as whole words."""
        return len(self.holding(phrase))

    def holding(self, phrase: str) -> set[str]:
        """The names of the photos whose captions hold `phrase` as whole words."""
        found = _pattern(_bare(phrase)).search if _bare(phrase) else lambda text: False
        return {name for name, text in self.captions.items() if found(text)}

    def add(self, phrase: str) -> int:
        """Append `phrase` to every caption that lacks it. Returns how many captions changed."""
        phrase = _bare(phrase)
        return self._everywhere(
            lambda text: text if _pattern(phrase).search(text) else joined("", text, phrase)
        )

    def remove(self, phrase: str) -> int:
        """Take `phrase`, as whole words, out of every caption, with the comma or the "wearing" that
        nothing would follow. Returns how many captions changed."""
        phrase = _bare(phrase)
        return self._everywhere(lambda text: _without(text, phrase) if phrase else text)

    def undo(self) -> int:
        """Take back the last change and show a photo that it is about; edits of one photo in a row
        are one change. Returns how many captions changed."""
        if not self._past:
            return 0
        _, before = self._past[-1]
        for name, text in before.items():
            self._save(name, text)
        self._past.pop()
        if self.path.name not in before:
            self.index = next(i for i, path in enumerate(self.paths) if path.name in before)
        self._tell()
        return len(before)

    def undo_all(self) -> int:
        """Take back all changes since the editor was opened. Returns how many there were."""
        count = len(self._past)
        while self._past:
            self.undo()
        return count

    def _everywhere(self, change: Callable[[str], str]) -> int:
        return self._change({n: " ".join(change(t).split()) for n, t in self.captions.items()})

    def _change(self, captions: dict[str, str], edited: str = "") -> int:
        """Save the captions that differ, and keep what they were; also of those that were saved
        before a full disk."""
        before = {}
        try:
            for name, text in captions.items():
                if (old := self.captions[name]) != text:
                    self._save(name, text)
                    before[name] = old
        finally:
            if before:
                if not edited or not self._past or self._past[-1][0] != edited:
                    self._past.append((edited, before))
                self._tell()
        return len(before)

    def _save(self, name: str, text: str) -> None:
        """The caption's file first. a.heic and a.jpg share a.txt, and so its text."""
        photo = self.path.with_name(name)
        write_caption(photo, text)
        self.captions |= {path.name: text for path in self.paths if path.stem == photo.stem}

    def _tell(self) -> None:
        for tell in self.watchers:
            tell()


def _bare(phrase: str) -> str:
    return " ".join(phrase.split()).strip(GAP)


def _pattern(phrase: str) -> re.Pattern:
    """The phrase as whole words: "red" is neither in "red-haired" nor in "tired", and "man" not in
    "man's"."""
    return re.compile(rf"(?<![\w-])(?<!\w'){re.escape(phrase)}(?![\w-]|'\w)", re.IGNORECASE)


def _without(text: str, phrase: str) -> str:
    while found := _pattern(phrase).search(text):
        text = _mended(text[: found.start()], text[found.end() :])
    return text


def _mended(left: str, right: str) -> str:
    """What stood on either side of a phrase, as one caption again."""
    words, rest = left.rstrip(GAP).split(), right.lstrip(GAP)
    before = left[len(left.rstrip(GAP)) :].replace(" ", "")
    after = right[: len(right) - len(rest)].replace(" ", "")
    leads = bool(words) and not before and words[-1].lower() in LEADING
    if not words or before or leads:  # "wearing and a hat", ", and a coat"
        rest = re.sub(r"^(and|or)\b\s*", "", rest, flags=re.IGNORECASE)
    if leads and (after or not rest or rest.split()[0].strip(MARKS).lower() in AFTER):
        while words and words[-1].lower() in LEADING:  # "wearing , at night", "photo of in a room"
            words.pop()
    marks = before + after
    mark = marks.strip(",")[-1:] or marks[:1]  # of two marks one, rather not the comma
    if not words:
        return rest
    if not rest:
        return " ".join(words) + mark.strip(",;:")
    return f"{' '.join(words)}{mark} {rest}"
