"""An HTML page that needs no other file: its pieces.

What others wrote (captions, names) becomes text by way of an element tree, never markup, and the
page forbids the browser to load or run anything.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from PIL import Image

SIDE = 320  # pixels of a picture on the page, the longer side
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light; --ink: #1d2433; --soft: #5c6579; --line: #dfe3ea; --tint: #f4f6f9 }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff;
  max-width: 58rem; margin: 0 auto; padding: 2.5rem 1.5rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .8rem; break-after: avoid }
p { margin: .4rem 0; color: var(--soft); max-width: 44rem }
dl { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.5rem 0 0 }
dl div { display: flex; flex: 1 1 7rem; flex-direction: column-reverse; background: var(--tint);
  border-radius: .5rem; padding: .7rem 1rem }
dd { margin: 0; font-size: 1.25rem; font-weight: 600; white-space: nowrap }
dt, figcaption, th { color: var(--soft); font-size: .82rem }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)) }
.rows { grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)) }
figure { margin: 0; break-inside: avoid }
figure div { display: grid; gap: .4rem; grid-template-columns: repeat(auto-fit, minmax(5rem, 1fr)) }
img { display: block; width: 100%; min-width: 0; aspect-ratio: 1; object-fit: contain;
  background: var(--tint); border-radius: .4rem }
figcaption { margin-top: .35rem; line-height: 1.35; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600 }
td, th { padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td { overflow-wrap: anywhere }
td.kept { white-space: nowrap }
@media (max-width: 36rem) { body { padding: 1.5rem 1rem } table { font-size: .82rem }
  td, th { padding-right: .6rem } td.kept { white-space: normal } }
@media print { body { padding: 0; font-size: 10.5pt; max-width: none }
  tr { break-inside: avoid }
  dl div { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""


def document(title: str, parts: Iterable[Element]) -> str:
    """The whole page as text."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", **{"http-equiv": "Content-Security-Policy", "content": POLICY}),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", STYLE),
    )
    html = tag("html", head, tag("body", *parts), lang="en")
    return "<!DOCTYPE html>\n" + ElementTree.tostring(html, encoding="unicode", method="html")


def tag(name: str, /, *inside: Element | str, **attributes: str) -> Element:
    """An element with either one text, whatever stands in it, or other elements inside."""
    element = Element(name, attributes)
    for part in inside:
        if isinstance(part, str):
            element.text = part
        else:
            element.append(part)
    return element


def facts(named: dict[str, str]) -> Element:
    """A row of tiles: what something is called, and in large what it is."""
    return tag("dl", *(tag("div", tag("dt", k), tag("dd", v)) for k, v in named.items()))


def gallery(pictures: Iterable[tuple[str, Image.Image]], rows: bool = False) -> Element:
    """(words, picture) pairs, the words below. With `rows`, pictures that follow each other with
    the same words stand side by side."""
    groups: list[tuple[str, list[Element]]] = []
    for words, picture in pictures:
        if not (rows and groups and groups[-1][0] == words):
            groups.append((words, []))
        groups[-1][1].append(tag("img", src=_address_of(picture), alt=words))
    figures = (
        tag("figure", tag("div", *images), tag("figcaption", words)) for words, images in groups
    )
    wide = any(len(images) > 1 for _, images in groups)
    return tag("div", *figures, **{"class": "grid rows" if wide else "grid"})


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kept: int = 0) -> Element:
    """A table; of its columns the first `kept` are not broken into lines."""
    body = [
        tag("tr", *(tag("td", c, **{"class": "kept"} if i < kept else {}) for i, c in enumerate(r)))
        for r in rows
    ]
    top = tag("thead", tag("tr", *(tag("th", cell) for cell in head)))
    return tag("table", top, tag("tbody", *body))


def thumbnail(picture: Image.Image) -> Image.Image:
    """A small copy, RGB, without what came along in the file: where a photo was taken, say."""
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return Image.frombytes("RGB", small.size, small.tobytes())


def address(content: bytes, kind: str) -> str:
    """A picture's file, a "png" or "jpeg", as the address of an <img>."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _address_of(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return address(file.getvalue(), "jpeg")


def size(count: int) -> str:
    """Bytes in words: 1.23 MB."""
    unit, name = next(((u, n) for u, n in ((1e9, "GB"), (1e6, "MB")) if count >= u), (1e3, "kB"))
    return f"{count / unit:.3g} {name}"


def time(seconds: float) -> str:
    """Seconds in words: 48 s, 12 min, 3 h 05 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
