"""How the tests run a lesson otherwise than a learner does. The only place that asks for it.

The variable SDNB_TRIAL holds words: `quick` (two steps of training, two of sampling, two pictures
for any number: every cell runs, and no number is to be believed), `untrained` (nothing is learned),
`swapped` (each photo is learned with another one's caption), and `seed=N` (other chance
throughout). Nobody sets it by accident; and what a trial leaves behind bears its mark, so that a
run without it never takes it for its own.
"""

import os
from dataclasses import dataclass
from typing import TypeVar

from sdnb.errors import Problem

VARIABLE = "SDNB_TRIAL"
KINDS = ("quick", "untrained", "swapped")
QUICK = 2  # steps, or pictures
APART = 10_000  # between the seeds of two trials: further than any lesson counts

T = TypeVar("T")


@dataclass(frozen=True)
class Trial:
    """What is otherwise; nothing, for a learner."""

    kinds: tuple[str, ...] = ()
    seed: int = 0

    @property
    def mark(self) -> str:
        """What marks the results of this trial; empty without one."""
        return " ".join([*self.kinds, *([f"seed={self.seed}"] if self.seed else [])])

    def capped(self, count: int) -> int:
        """So many steps, but few where it has to be quick."""
        return min(count, QUICK) if "quick" in self.kinds else count

    def few(self, items: list[T]) -> list[T]:
        """The items, or the first two."""
        return items[: self.capped(len(items))]

    def every(self, count: int) -> int:
        """Every so many steps, or at each of the few; 0 stays never."""
        return min(count, 1) if "quick" in self.kinds else count

    def steps(self, count: int) -> int:
        """So many steps of training; two are enough to learn nothing."""
        return min(count, QUICK) if self.kinds and "swapped" not in self.kinds else count

    def moved(self, seed: int) -> int:
        """The seed, or another one in its place."""
        return (seed + APART * self.seed) % 2**32

    def dealt(self, captions: list[str]) -> list[str]:
        """The captions, each to its photo; swapped, to the one half of the photos further on."""
        half = len(captions) // 2 if "swapped" in self.kinds else 0
        return captions[half:] + captions[:half]


def trial() -> Trial:
    """What the variable asks for. Raises Problem where it says anything else."""
    kinds, seed = [], 0
    for word in os.environ.get(VARIABLE, "").split():
        name, _, number = word.partition("=")
        if name == "seed" and number.isdigit():
            seed = int(number)
        elif word in KINDS:
            kinds.append(word)
        else:
            do = f"Unset {VARIABLE}: it is for the course's own tests"
            raise Problem(f"{VARIABLE} holds {word!r}, which is no trial", do=do)
    return Trial(tuple(kinds), seed)
