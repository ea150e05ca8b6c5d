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

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        sentences = [self.what.rstrip(".") + place, self.do.rstrip(".")]
        return " ".join(sentence + "." for sentence in sentences if sentence)
