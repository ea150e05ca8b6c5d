"""What the libraries' best-known exceptions mean, in a sentence that helps: known_errors.toml holds
the table. It goes by the names of types, so that nothing need be imported, and by a text only where
a type says too little. The texts are those of the libraries at both ends of the version range.
"""

import errno
import re
import sys
import textwrap
import tomllib
from functools import cache
from pathlib import Path

from sdnb.errors import Problem


def recognised(error: BaseException) -> Problem | None:
    """What `error`, or one that led to it (its __cause__ or __context__), tells a learner; None
    where none of them is known. A Problem is its own answer."""
    if isinstance(error, Problem):
        return error
    chain = []
    while isinstance(error, Exception) and error not in chain:  # an interrupt is no problem
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    signs = {link: _signs(link) for link in chain}
    for known in _table():
        for link in chain:
            texts = [text for sign, text in known["errors"].items() if sign in signs[link]]
            if any(re.search(text, str(link)) for text in texts):
                names = ("repo_id", "filename", "name")  # what it is about, where it says so
                where = next((at for name in names if (at := getattr(link, name, None))), None)
                return Problem(known["what"], where, known["do"])
    return None


def loading_problem(what: str, source: str | Path, error: Exception) -> Problem:
    """The Problem that says why `what` could not be loaded from `source`, in the library's words
    where `error` is not known."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    do = "Check the path, or the connection if it comes from the Hub"
    reason = recognised(error) or Problem(lines[0], do=do)
    return Problem(f"{what} could not be loaded: {reason.what}", source, reason.do)


def speak_in(shell) -> None:
    """Let an IPython shell show a Problem, and an exception that is known, by its sentences alone;
    `%tb` shows the traceback, and any other exception looks as ever.

    IPython's `set_custom_exc` has room for one handler, which Colab's hint on packages takes, and
    would see mistyped cells too. So what shows a traceback is wrapped; the text comes to it by
    IPython's own `_render_traceback_`, and the cell counts as failed.
    """
    usual = shell.showtraceback

    def show(*arguments, **options) -> None:
        error = sys.exc_info()[1]  # None where %tb shows an old one again
        problem = recognised(error)
        if problem is None:
            return usual(*arguments, **options)
        error._render_traceback_ = lambda: _screen(problem)
        try:
            usual((type(error), error, error.__traceback__))
        finally:
            del error._render_traceback_

    shell.showtraceback = show


@cache
def _table() -> list[dict]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    for known in table["known"]:
        known["do"] = known["do"].replace("RESTART", table["restart"])
    return table["known"]


def _signs(error: Exception) -> set[str]:
    """All by which the table may call it."""
    signs = {kind.__name__ for kind in type(error).__mro__}
    if type(error).__name__ == "HfHubHTTPError":  # which has no type for every answer
        code = str(error.response.status_code)
        signs |= {f"HTTP{code}", f"HTTP{code[0]}xx"}
    if isinstance(error, OSError):
        signs.add(errno.errorcode.get(error.errno, ""))
    return signs


def _screen(problem: Problem) -> list[str]:
    """Lines for a notebook: what is wrong in bold red, what to do, and where the rest is."""
    whole = {"width": 88, "break_long_words": False, "break_on_hyphens": False}  # paths
    what, *do = (textwrap.fill(sentence, **whole) for sentence in problem.sentences)
    return [f"\033[1;31m{what}\033[0m", *do, "", "\033[2mMore: run %tb in a cell below.\033[0m"]
