"""The one way the package tells a learner what is wrong, and helpers for its sentences."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Problem(Exception):
    """Something the learner can mend: what is wrong, which file, and what to do about it.

    >>> str(Problem("The file is empty", "photos/a.jpg", "Delete it"))
    'The file is empty (photos/a.jpg). Delete it.'
    """

    def __init__(self, what: str, where: str | Path | None = None, do: str = "") -> None:
        super().__init__(what, where, do)
        self.what, self.where, self.do = what, where, do

    @property
    def sentences(self) -> list[str]:
        """What is wrong and where, and then what to do, if anything."""
        place = f" ({self.where})" if self.where else ""
        parts = [self.what.rstrip(".") + place, self.do.rstrip(".")]
        return [f"{printable(part)}." for part in parts if part]

    def __str__(self) -> str:
        return " ".join(self.sentences)


@contextmanager
def about(file: str | Path) -> Iterator[None]:
    """Every Problem inside is one of this `file`."""
    try:
        yield
    except Problem as problem:
        raise Problem(problem.what, file, problem.do) from problem


def printable(text: str) -> str:
    r"""The text with "?" for what is no Unicode, as in old file names, and cannot be printed.

    >>> printable("caf\udce9.jpg")
    'caf?.jpg'
    """
    return text.encode("utf-8", "replace").decode()


def reason(error: Exception) -> str:
    """What the system or a library says of an error, without numbers and names of files."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def nearest(name: object, choices: Collection[str]) -> str:
    """What to do about a name that is none of the `choices`: take the one most like it, or any.

    >>> nearest("lorra", ["lora", "dreambooth"])
    "Did you mean 'lora'?"
    """
    near = difflib.get_close_matches(str(name), choices, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(choices)}"


def some_of(names: Sequence[str], few: int = 3) -> str:
    """The first of some names, and how many more there are.

    >>> some_of(["a.jpg", "b.jpg"]), some_of(list("abcde"))
    ('a.jpg and b.jpg', 'a, b, c and 2 more')
    """
    shown = [*names[:few], f"{len(names) - few} more"] if len(names) > few else names
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def named(text: str, names: Iterable[str]) -> str:
    """The one of `names` that is meant, however it is spaced and capitalised; else the text.

    >>> named("SD 1.5", ["mini", "sd15"]), named("stable-diffusion-1.5", ["sd15"])
    ('sd15', 'sd15')
    """
    plain = re.sub(r"[^a-z0-9]", "", text.lower()).replace("stablediffusion", "sd")
    return next((name for name in names if re.sub(r"[^a-z0-9]", "", name) == plain), text)


def with_article(words: str) -> str:
    """The words with "a" or "an" in front.

    >>> with_article("apple"), with_article("pear")
    ('an apple', 'a pear')
    """
    return ("an " if words[0] in "aeiouAEIOU" else "a ") + words


def bytes_in_words(count: float, binary: bool = False) -> str:
    """A size of a file in powers of 1000, or of memory in powers of 1024.

    >>> bytes_in_words(84_500), bytes_in_words(3_210_000), bytes_in_words(3 * 2**30, binary=True)
    ('84.5 kB', '3.21 MB', '3 GiB')
    """
    step, names = (1024, ("GiB", "MiB", "KiB")) if binary else (1000, ("GB", "MB", "kB"))
    units = list(zip((step**3, step**2, step), names))
    unit, name = next((pair for pair in units if count >= pair[0]), units[-1])
    return f"{count / unit:.3g} {name}"


def seconds_in_words(seconds: float) -> str:
    """
    >>> seconds_in_words(48), seconds_in_words(700), seconds_in_words(11_100)
    ('48 s', '12 min', '3 h 05 min')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
