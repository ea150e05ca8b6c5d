"""The one way the package tells a learner what is wrong."""

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
        return [f"{part}." for part in parts if part]

    def __str__(self) -> str:
        return " ".join(self.sentences)
