"""The exercises: the right answer is taken in its usual forms, a wrong one gets a hint of its own
that does not tell, and nothing at all ends in an error."""

import decimal
import fractions
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

import sdnb
from sdnb.notebook.exercises import EXERCISES, NO_NUMBER, NO_WORD

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("notebooks/[0-9]*.ipynb"))
NUMBERS = {name: asked for name, asked in EXERCISES.items() if not isinstance(asked["right"], list)}
WORDS = {name: asked for name, asked in EXERCISES.items() if name not in NUMBERS}


def typical(name: str) -> list:
    """The wrong answers that have a hint of their own, one for each hint."""
    hints = EXERCISES[name]["hints"]
    return [wrong if name in NUMBERS else wrong[0] for wrong, _ in hints]


def exercises(path: Path) -> dict[str, str]:
    """The exercises of a notebook and the answer that is told in the fold below each."""
    found, name = {}, None
    for cell in nbformat.read(path, as_version=4).cells:
        if asked := re.search(r'^print\(sdnb\.check\("(.+?)", answer', cell.source, re.MULTILINE):
            assert cell.cell_type == "code" and cell.source.startswith("answer = ...\n")
            name = asked[1]
        elif name and (told := re.search(r"<details>.*?`answer = (.+?)`", cell.source, re.DOTALL)):
            found[name], name = told[1], None
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_exercises_and_its_solutions_are_right(path):
    found = exercises(path)
    assert list(found) == [f"{path.name[:2]}.1", f"{path.name[:2]}.2"]
    for name, told in found.items():
        answer = eval(told, {"__builtins__": {}})
        right = "falls into" if name == "00.1" else "Right"
        assert right in sdnb.check(name, answer, lambda word: [word[:2], word[2:]])


def test_no_exercise_lacks_its_notebook():
    asked = {name for path in NOTEBOOKS for name in exercises(path)}
    assert asked == {"00.1", *EXERCISES}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_right_number_in_its_usual_forms(name):
    right = NUMBERS[name]["right"]
    forms = [right, float(right), f" {right} ", np.float64(right), torch.tensor(float(right))]
    forms += [decimal.Decimal(right), fractions.Fraction(right)]
    for form in forms:
        assert sdnb.check(name, form) == NUMBERS[name]["praise"], form


@pytest.mark.parametrize("name", WORDS)
def test_a_right_word_in_its_usual_forms(name):
    for right in WORDS[name]["right"]:
        for form in (right, right.upper(), f"  {right.lower()}. ", f'"{right}"', np.str_(right)):
            assert sdnb.check(name, form) == WORDS[name]["praise"], form


@pytest.mark.parametrize(
    ("name", "answer", "right"),
    [
        ("03.1", 6.9, True),  # rounded
        ("03.1", 7, False),
        ("06.1", 1.2, False),  # the typical mistake, not a rounded 1.21
        ("05.1", 17_409, False),  # a whole number is met or not
        ("05.1", 17_408.0, True),
        ("02.1", "the blue scarf", True),
        ("02.1", "scar", False),  # the beginning of scarf
        ("02.1", "scarf and ring", False),  # one of the two is wrong
        ("07.1", "SDXL 1.0", True),
        ("03.1", "6.9 GB", True),
        ("03.1", "about 6,9 GB", True),
        ("03.1", "7 GB", False),
        ("01.1", "5%", True),
        ("01.1", "5 percent", True),
        ("01.1", "1/20", True),
        ("01.1", "1/0", False),
        ("05.1", "17,408", True),
        ("05.1", "17 408 numbers", True),
        ("04.1", "2'304", True),
        ("05.2", "four", True),
        ("05.2", "Four rows", True),
        ("05.2", "not four", False),
        ("05.2", "three or four", False),
        ("08.1", "I cannot say", True),
        ("08.1", "I can't say.", True),
        ("00.2", "the seed, of course", True),
        ("00.2", "not the seed", False),
        ("00.2", "not both", False),
        ("02.1", "the scarf, not the ring", False),
        ("07.2", "on SD1.5", True),
    ],
)
def test_how_near_is_right(name, answer, right):
    assert (sdnb.check(name, answer) == EXERCISES[name]["praise"]) is right


@pytest.mark.parametrize("name", EXERCISES)
def test_every_typical_mistake_has_a_hint_that_does_not_tell(name):
    asked = EXERCISES[name]
    said = [sdnb.check(name, wrong) for wrong in (*typical(name), -7 if name in NUMBERS else "zzz")]
    assert said == [*(hint for _, hint in asked["hints"]), asked["otherwise"]]
    assert len(said) >= 4 and len(set(said)) == len(said)
    assert asked["praise"].startswith("Right")
    rights = [asked["right"]] if name in NUMBERS else asked["right"][:1]
    for hint in said:
        assert not hint.startswith("Right")
        for right in rights:
            told = rf"(?<![\w.]){re.escape(str(right))}(?!\w)(?!\.\d)"
            assert not re.search(told, hint.replace(",", ""), re.IGNORECASE), (right, hint)


def test_what_is_not_replaced_or_of_another_kind():
    assert sdnb.check("05.1", ...) == NO_NUMBER and sdnb.check("02.1", ...) == NO_WORD
    assert sdnb.check("05.1", (17, 408)) == NO_NUMBER  # 17,408 without quotes
    assert sdnb.check("05.1", True) == NO_NUMBER and sdnb.check("02.1", "?!") == NO_WORD
    assert sdnb.check("05.1", 10**400) == EXERCISES["05.1"]["otherwise"]
    assert sdnb.check("05.1", float("nan")) == EXERCISES["05.1"]["otherwise"]


class Hostile:
    """Raises whatever one does with it."""

    def fail(self, *_):
        raise RuntimeError("hostile")

    __eq__ = __hash__ = __str__ = __repr__ = __bool__ = __float__ = __len__ = __iter__ = fail
    __class__ = property(fail)


class HostileText(str):
    casefold = strip = split = __eq__ = __hash__ = __str__ = __len__ = __iter__ = Hostile.fail


POOL = [None, ..., True, "", " ", "\0", "\ud800", "x" * 100_000, "1e999", "nan", "-inf", b"seed"]
POOL += [
    0,
    -1,
    1e-320,
    10**400,
    -(10**400),
    float("nan"),
    float("inf"),
    1j,
    decimal.Decimal("sNaN"),
]
POOL += [[], {}, (1, 2), {"seed"}, ["seed"], int, print, lambda: 1, Hostile(), HostileText("hat")]
POOL += [np.arange(3), np.array(["seed"]), torch.zeros(2), torch.tensor(float("nan"))]


@pytest.mark.parametrize("name", ["00.1", *EXERCISES])
def test_nothing_ends_in_an_error(name):
    for number, answer in enumerate(POOL):
        said = sdnb.check(name, answer, lambda word: [word])
        assert type(said) is str and not said.startswith("Right"), number


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("two words", "One word only"),
        ("(ravo)", "Letters and digits only"),
        ("ravo" * 6, "A shorter one"),
        ("Hat", "knows 'hat' already"),
        ("Anna", "Stable Diffusion knows 'anna'"),  # new to the mini, and not to a real base
        ("dog", "Stable Diffusion knows 'dog'"),
        (" Ravo ", "falls into ra | vo. Four blue caps beside it came out as {'cap': 4}."),
    ],
)
def test_a_new_word(word, says):
    """Nothing is drawn for a word that will not do."""
    drawn = []

    def caps(one):
        drawn.append(one)
        return {"cap": 4}

    known = {"hat": ["hat"]}
    assert says in sdnb.check("00.1", word, lambda one: known.get(one, ["ra", "vo"]), caps)
    assert drawn == (["ravo"] if "ravo" in word.lower().split() else [])


def test_an_exercise_that_does_not_exist():
    with pytest.raises(sdnb.Problem, match=r"no exercise '9.9'.*05\.1"):
        sdnb.check("9.9", 1)
