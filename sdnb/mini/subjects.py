"""Who and what can stand before the camera: people and products by their features, the held-out
ones, lookalikes.

Everything random comes from a `random.Random` that the caller seeds: the same seed gives the same
subject.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

SKINS = ("pale", "light", "tan", "brown", "dark")
HAIR_COLOURS = ("black", "brown", "blonde", "red", "grey", "blue")
HAIR = {
    "man": ("short", "curly", "spiky", "bald", "long"),
    "woman": ("long", "bob", "curly", "bun", "short"),
}
HAIR_STYLES = ("short", "curly", "spiky", "bald", "long", "bob", "bun")
BROWS = ("thin", "bushy", "short light", "arched")
FACES = ("round", "long", "square", "pointed")
EYES = ("brown", "blue", "green")
NOSES = ("small", "big")
BEARDS = ("none", "beard", "moustache")
MARKS = ("none", "mole", "freckles", "white lock")
COLOURS = ("red", "blue", "green", "yellow", "purple", "white", "black", "orange")
PATTERNS = ("plain", "striped", "dotted", "banded")
LOGOS = ("star", "heart", "moon", "leaf", "drop", "bolt")
# The likeness of a person: these never change between two pictures of the same one.
IDENTITY = ("skin", "hair", "hair_colour", "brows", "face", "eyes", "nose", "beard", "mark")
# Small features that tell lookalikes apart even where hair and skin agree.
FINE = ("brows", "face", "mark")
PEOPLE, PRODUCTS = 300, 40  # that are well known: see names


@dataclass(frozen=True)
class Person:
    """Somebody by the features that the studio draws; each is one of the words above."""

    kind: str = "man"
    skin: str = "light"
    hair: str = "short"
    hair_colour: str = "brown"
    brows: str = "thin"
    face: str = "round"
    eyes: str = "brown"
    nose: str = "small"
    beard: str = "none"
    mark: str = "none"


@dataclass(frozen=True)
class Product:
    """A mug or a bag by its features; the three colours differ."""

    kind: str = "mug"  # or "bag"
    colour: str = "red"
    pattern: str = "plain"
    pattern_colour: str = "white"
    logo: str = "star"
    logo_colour: str = "yellow"


PRODUCT_IDENTITY = ("colour", "pattern", "pattern_colour", "logo", "logo_colour")


def random_person(rng: random.Random, kind: str | None = None) -> Person:
    """Anybody, held out or not; blue hair is rare, and half have no mark."""
    kind = kind or rng.choice(("man", "woman"))
    hair = rng.choice(HAIR[kind])
    mark = rng.choices(MARKS, (50, 18, 16, 16))[0]
    if hair == "bald" and mark == "white lock":
        mark = "mole"
    return Person(
        kind=kind,
        skin=rng.choice(SKINS),
        hair=hair,
        hair_colour=rng.choices(HAIR_COLOURS, (20, 20, 20, 18, 14, 8))[0],
        brows=rng.choice(BROWS),
        face=rng.choice(FACES),
        eyes=rng.choice(EYES),
        nose=rng.choice(NOSES),
        beard=rng.choices(BEARDS, (64, 22, 14))[0] if kind == "man" else "none",
        mark=mark,
    )


def random_product(rng: random.Random, kind: str | None = None) -> Product:
    """Anything, held out or not."""
    colour, pattern_colour, logo_colour = rng.sample(COLOURS, 3)
    return Product(
        kind or rng.choice(("mug", "bag")),
        colour,
        rng.choice(PATTERNS),
        pattern_colour,
        rng.choice(LOGOS),
        logo_colour,
    )


SAMPLE_PERSON = Person(
    "man", "light", "short", "black", "short light", "round", "blue", "small", "none", "white lock"
)
SAMPLE_PRODUCT = Product("mug", "blue", "banded", "white", "bolt", "yellow")


def held_out_person(index: int) -> Person:
    """One of forty people (0 to 39) that no picture of the base's training shows: 0 to 9 for
    tuning, 10 to 14 for the gate, the rest for lessons."""
    return random_person(random.Random(f"held out person {index}"))


def held_out_product(index: int) -> Product:
    """One of ten things (0 to 9) that no picture of the base's training shows."""
    return random_product(random.Random(f"held out product {index}"))


def _combination(subject: Person | Product) -> tuple:
    if isinstance(subject, Product):
        return (subject.kind, subject.colour, subject.pattern, subject.logo, subject.logo_colour)
    return (
        subject.kind,
        subject.skin,
        subject.hair,
        subject.hair_colour,
        subject.brows,
        subject.face,
        subject.mark,
    )


_HELD_OUT = frozenset(
    _combination(s)
    for s in (
        SAMPLE_PERSON,
        SAMPLE_PRODUCT,
        *(held_out_person(i) for i in range(40)),
        *(held_out_product(i) for i in range(10)),
    )
)


def is_held_out(subject: Person | Product) -> bool:
    """Whether a held-out one has the same features, those that tell it at a glance."""
    return _combination(subject) in _HELD_OUT


@cache
def known_people() -> tuple[Person, ...]:
    """The well-known people; each differs from everybody held out in four features and more."""
    held_out = (SAMPLE_PERSON, *map(held_out_person, range(40)))
    return _known("person", random_person, PEOPLE, held_out, 4)


@cache
def known_products() -> tuple[Product, ...]:
    """The well-known mugs and bags; each differs from everything held out in two features."""
    held_out = (SAMPLE_PRODUCT, *map(held_out_product, range(10)))
    return _known("product", random_product, PRODUCTS, held_out, 2)


def _known(what: str, draw_one: Callable, count: int, held_out: tuple, apart: int) -> tuple:
    found: list[Person | Product] = []
    for index in range(count):
        rng = random.Random(f"known {what} {index}")
        new = draw_one(rng)
        while new in found or any(len(differences(new, other)) < apart for other in held_out):
            new = draw_one(rng)
        found.append(new)
    return tuple(found)


def differences(one: Person | Product, other: Person | Product) -> list[str]:
    """The features of likeness in which two of a kind differ."""
    names = PRODUCT_IDENTITY if isinstance(one, Product) else IDENTITY
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def random_subject(
    rng: random.Random, products: float = 0.15, famous: float = 0.0
) -> Person | Product:
    """Anybody or anything but the held-out ones; `products` is the part of things, `famous` that of
    the well-known."""
    if rng.random() < famous:
        if rng.random() < products:
            return rng.choice(known_products())
        return rng.choice(known_people())
    while True:
        subject = random_product(rng) if rng.random() < products else random_person(rng)
        if not is_held_out(subject):
            return subject


def lookalikes(subject: Person | Product, count: int, seed: int = 0) -> list[Person | Product]:
    """`count` others, each differing from `subject` in two or three features (for people at least
    one of brows, face or mark) and from one another in at least two."""
    rng, fields = random.Random(f"lookalikes {seed}"), PRODUCT_IDENTITY
    draw_other = random_product if isinstance(subject, Product) else random_person
    if isinstance(subject, Person):
        fields = tuple(name for name in IDENTITY if name != "beard" or subject.kind == "man")

    found: list[Person | Product] = []
    while len(found) < count:
        donor = draw_other(rng, subject.kind)
        changed = rng.sample(fields, rng.choice((2, 3)))
        other = replace(subject, **{name: getattr(donor, name) for name in changed})
        apart = differences(subject, other)
        if len(apart) not in (2, 3) or not _possible(other):
            continue
        if isinstance(subject, Person) and not set(apart) & set(FINE):
            continue
        if all(len(differences(one, other)) >= 2 for one in found):
            found.append(other)
    return found


def _possible(subject: Person | Product) -> bool:
    if isinstance(subject, Product):
        return len({subject.colour, subject.pattern_colour, subject.logo_colour}) == 3
    return not (subject.hair == "bald" and subject.mark == "white lock")
