"""Every link within the repository leads somewhere: in the README, the other pages and the
notebooks, to files and to headings. Nothing is run."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

CHECKOUT = Path(__file__).parents[1]
# .github/site/index.md stands elsewhere once the site is built, which checks its links itself
PLACES = ("*.md", ".github/*.md", "colab/*", "data_sample/**/*.md", "notebooks/*", "sdnb/**/*.md")
PAGES = sorted(
    path for place in PLACES for path in CHECKOUT.glob(place) if path.suffix in (".md", ".ipynb")
)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:href|src)=\"([^\"]+)\"")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z]+:|\{|#?$")  # another protocol, or a blank in a template


def prose(path: Path) -> str:
    """The Markdown of a page or of a notebook's cells, without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return text


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub and the site make it: https://docs.github.com/en/get-started/
    writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-
    formatting-syntax#section-links"""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")


@cache
def anchors(path: Path) -> set[str]:
    text = prose(path)
    bare = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^\((\S+)\)=$|(?:id|name)=\"([^\"]+)\"", text, re.MULTILINE)
    named = {name for pair in found for name in pair if name}
    return named | {slug(line) for line in re.findall(r"^#+ +(.+?) *#*$", bare, re.MULTILINE)}


def broken(path: Path, text: str) -> list[str]:
    """The links of `text`, a page at `path`, that lead nowhere."""
    found = []
    for pair in LINK.findall(CODE.sub("", text)):
        link = "".join(pair)
        if ELSEWHERE.match(link):
            continue
        file, _, anchor = unquote(link).partition("#")
        target = path.parent / file if file else path
        if not target.exists() or CHECKOUT not in target.resolve().parents:
            found.append(link)
        elif anchor and target.suffix in (".md", ".ipynb") and anchor not in anchors(target):
            found.append(link)
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(path):
    assert broken(path, prose(path)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[a](README.md) [b](README.md#the-course) [c](colab) <img src="README.md">', []),
        ("[a](https://example.org/none) [b](mailto:a@b.c) `[c](none.md)`", []),
        ("[a](none.md)", ["none.md"]),
        ("[a](README.md#none)", ["README.md#none"]),
        ("[a](#none)", ["#none"]),
        ('![a](none.png "A title")', ["none.png"]),
        ('<img src="none.png">', ["none.png"]),
        ("[a](../outside.md)", ["../outside.md"]),
    ],
)
def test_a_broken_link_is_found(text, expected):
    assert broken(CHECKOUT / "README.md", text) == expected
