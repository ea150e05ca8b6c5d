"""Names of the little world. Well-known people, things and looks have one each, which the base
knows as Stable Diffusion knows the famous; every other name means nothing to it.
"""

import random
from collections.abc import Callable
from functools import cache

from sdnb.mini.scenes import OWN_LOOKS
from sdnb.mini.subjects import PEOPLE, PRODUCTS, Person, Product, known_people, known_products

CONSONANTS, VOWELS = "bdfgklmnrtvz", "aeiou"
# No training saw these words: what an unknown name does is measured with them, and with "ravo".
UNHEARD = tuple(
    "minka sks ohwx zwx tok lumo kavi zelda brint quip pelor tavi nuri goba fenek mirla dosh "
    "vexi rulo sanda wimp jorra hekto yula crob plimo tegan obrix ansel kizz".split()
)
COMMON = frozenset(
    "mole nose face with hair hat cap bag mug man bun bob tan red big the and not jaw chin long "
    "pale dark city snow room photo blue bald star moon leaf drop bolt night desert "
    "nazi nigi nigo nigu nigga kaka nada dodo dildo".split()
)


def _syllables(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(count))


@cache
def names() -> tuple[str, ...]:
    """All that are known: people's, things', looks'. Each is one token, as a famous word may be;
    what falls into pieces means nothing."""
    rng, found = random.Random("names"), {}
    while len(found) < PEOPLE + PRODUCTS + OWN_LOOKS:
        name = _syllables(rng, 2)
        if name[-1] != "e" and name not in {*COMMON, *UNHEARD, "ravo"}:  # hardly an English word
            found[name] = None
    return tuple(found)


@cache
def known() -> dict[Person | Product, str]:
    """The well-known people and things with their names."""
    return dict(zip((*known_people(), *known_products()), names(), strict=False))


def look_name(style: str) -> str:
    """The name of a look of the world's own, "look 0" to "look 59"."""
    return names()[PEOPLE + PRODUCTS + int(style.split()[1])]


def made_up(rng: random.Random) -> str:
    """A name that nobody has: "tabo", "krelmi", "sdq"; or "plimo", though there is a "limo"."""
    shapes: tuple[tuple[float, Callable[[], str]], ...] = (
        (0.4, lambda: _syllables(rng, 2)),
        (0.15, lambda: _syllables(rng, 2) + rng.choice(CONSONANTS)),
        (0.15, lambda: _syllables(rng, 1) + rng.choice(CONSONANTS) + _syllables(rng, 1)),
        (0.1, lambda: _syllables(rng, 3)),
        (0.1, lambda: rng.choice(CONSONANTS + "ps") + rng.choice(names())),
        (0.1, lambda: "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 5)))),
    )
    parts, makers = zip(*shapes, strict=True)
    while True:
        word = rng.choices(makers, parts)[0]()
        if word not in {*COMMON, *UNHEARD, *names(), "ravo"}:
            return word
