"""The checkers behind the exercises: each answer gets a sentence that moves one on, and no answer
ends in an error. The sentences stand in exercises.toml."""

import tomllib
from collections.abc import Callable
from math import inf, isclose
from pathlib import Path

from sdnb.errors import Problem

EXERCISES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NO_NUMBER = "Replace the dots by a number, without a comma; Python may do the sum: 1 / 2."
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
    try:
        given = None if answer is True or answer is False else float(answer)
    except OverflowError:
        given = inf
    except Exception:  # float() runs the answer's own code, whatever that is
        given = None
    if given is None:
        return NO_NUMBER
    rounded, near = (EXACT, EXACT) if isinstance(right, int) else (ROUNDED, NEAR)
    if isclose(given, right, rel_tol=rounded):
        return praise
    return next((hint for wrong, hint in hints if isclose(given, wrong, rel_tol=near)), otherwise)


def _word(answer: object, right: list[str], praise: str, hints: list, otherwise: str) -> str:
    """Capitals, spaces and signs do not matter, nor do words around: "the blue scarf"."""
    given = _text(answer)
    said = {_bare(word): hint for words, hint in [(right, praise), *hints] for word in words}
    found = {said[_bare(word)] for word in (given, *given.split()) if _bare(word) in said}
    if not _bare(given):
        return NO_WORD
    return found.pop() if len(found) == 1 else otherwise


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
