"""The checkers behind the exercises: each answer gets a sentence that moves one on, and no answer
ends in an error. The sentences stand in exercises.toml."""

import re
import tomllib
from collections.abc import Callable, Iterator
from math import inf, isclose
from pathlib import Path

from sdnb.errors import Problem

EXERCISES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
KNOWN = frozenset(EXERCISES.pop("known").split())
NUMBERS = {name: number for number, name in enumerate(EXERCISES.pop("numbers").split())}
QUANTITY = re.compile(
    r"(?:about|around|ca\.?|[~≈=])?\s*([-+]?\d[\d.,_' ]*(?:e[-+]?\d+)?)"
    r"(/\s*\d+)?\s*(%|per ?cent)?\D*"
)
NOT = {"not", "no", "never", "without", "isnt", "dont", "neither"}
NO_NUMBER = "Replace the dots by a number, without a comma or in quotes; Python may do sums: 1 / 2."
NO_WORD = 'Replace the dots by a word with quotes around it: "...".'
ROUNDED, NEAR = 0.004, 0.015  # relative: 6.9 will do for 6.876, and 3.4 is meant as 3.438
EXACT = 1e-9  # of whole numbers
LONGEST = 20  # letters: the word is typed into every prompt


def check(
    exercise: str,
    answer: object,
    pieces: Callable[[str], list[str]] | None = None,
    caps: Callable[[str], object] | None = None,
) -> str:
    """What there is to say to an answer. `exercise` is the notebook and the number in it: "05.1".

    Only 00.1, where any word may be right, needs the two functions: `pieces` tells into which
    pieces the model cuts a word, `caps` draws caps beside the word and counts them. Raises Problem
    where there is no such exercise; `answer` may be anything.

    >>> check("05.1", 16 * 768)
    'That is A alone. B has work to do too.'
    """
    if exercise == "00.1":
        return _new_word(answer, pieces, caps)
    asked = EXERCISES.get(str(exercise))
    if asked is None:
        names = ", ".join(["00.1", *EXERCISES])
        raise Problem(f"There is no exercise {exercise!r}", do=f"Take one of {names}")
    judge = _number if isinstance(asked["right"], int | float) else _word
    return judge(answer, **asked)


def _number(answer: object, right: float, praise: str, hints: list, otherwise: str) -> str:
    """Whole numbers have to be met exactly, others as people round them."""
    given = list(_readings(answer))
    if not given:
        return NO_NUMBER
    rounded, near = (EXACT, EXACT) if isinstance(right, int) else (ROUNDED, NEAR)
    if any(isclose(number, right, rel_tol=rounded) for number in given):
        return praise
    pairs = ((hint, isclose(n, wrong, rel_tol=near)) for wrong, hint in hints for n in given)
    return next((hint for hint, close in pairs if close), otherwise)


def _readings(answer: object) -> Iterator[float]:
    """The numbers that it may be meant as: "6.9 GB", "5 %", "1/20" and "four" are one each, and
    "6,876" is two, for a comma parts thousands here and decimals there."""
    text = _text(answer)
    if read := QUANTITY.fullmatch(text):
        number, below, percent = read.groups()
        parts = float(below[1:] if below else 1) * (100 if percent else 1)
        number = re.sub(r"[_' ]", "", number)
        for plain in (number.replace(",", ""), number.replace(",", ".")):
            try:
                yield float(plain) / parts
            except (ValueError, ZeroDivisionError):
                continue
    elif named := {NUMBERS[word] for word in text.split() if word in NUMBERS}:
        yield from named if len(named) == 1 and not NOT & set(text.split()) else ()
    elif answer is not True and answer is not False:
        try:
            yield float(answer)
        except OverflowError:
            yield inf
        except Exception:  # float() runs the answer's own code, whatever that is
            return


def _word(answer: object, right: list[str], praise: str, hints: list, otherwise: str) -> str:
    """Capitals, spaces and signs do not matter, nor do words around: "the blue scarf". But "not the
    scarf" is no answer, nor are two answers one."""
    given = _text(answer)
    said = {word: hint for words, hint in [(right, praise), *hints] for word in words}
    if not _bare(given):
        return NO_WORD
    found, left = set(), " ".join(map(_bare, given.split()))
    for word in sorted(said, key=len, reverse=True):  # "cannot say" before the words in it
        left, times = re.subn(rf"\b{' ?'.join(map(_bare, word.split()))}\b", "", left)
        if times:
            found.add(said[word])
    return found.pop() if len(found) == 1 and not NOT & set(left.split()) else otherwise


def _new_word(answer: object, pieces: Callable | None, caps: Callable | None) -> str:
    word = _text(answer)
    if not word:
        return NO_WORD
    if len(word.split()) > 1:
        return "One word only: a space would make two of it."
    if not word.isalnum():
        return "Letters and digits only: other signs have a meaning of their own in a prompt."
    if len(word) > LONGEST:
        return "A shorter one: it will stand in every caption and every prompt."
    if word in KNOWN:
        return f"Stable Diffusion knows {word!r}; what it knows would mix with what you teach it."
    cut = pieces(word) if pieces else []
    if len(cut) == 1:
        return f"The model knows {word!r} already; its old meaning would interfere."
    drawn = f" Four blue caps beside it came out as {caps(word)}." if caps else ""
    return f"{word!r} is new to the model: it falls into {' | '.join(cut)}.{drawn}"


def _text(answer: object) -> str:
    """Small letters, without space around; "" for what is no text. By the type's own method,
    whatever the answer's class makes of it."""
    try:
        return str.casefold(answer).strip()
    except TypeError:
        return ""


def _bare(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
