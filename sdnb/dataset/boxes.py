"""Boxes in a picture, in parts of its width and height, so that they fit a copy of any size."""

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Box:
    """Left, top, right and bottom as parts of the upright picture: (0, 0, 1, 1) is all of it."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    @property
    def share(self) -> float:
        """The part of the picture's area that lies within, between 0 and 1."""
        wide = min(self.right, 1) - max(self.left, 0)
        high = min(self.bottom, 1) - max(self.top, 0)
        return max(wide, 0) * max(high, 0)

    def within(self, frame: "Box") -> "Box":
        """The same box in parts of `frame`, as it stands after cropping to it."""
        wide, high = frame.right - frame.left, frame.bottom - frame.top
        return Box(
            (self.left - frame.left) / wide,
            (self.top - frame.top) / high,
            (self.right - frame.left) / wide,
            (self.bottom - frame.top) / high,
        )

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The box in whole pixels of a picture, at least one each way, never over its edges."""
        left = min(max(round(self.left * width), 0), width - 1)
        top = min(max(round(self.top * height), 0), height - 1)
        right = max(min(round(self.right * width), width), left + 1)
        bottom = max(min(round(self.bottom * height), height), top + 1)
        return left, top, right, bottom

    def rounded(self) -> list[float]:
        """Four numbers for a file, to a ten-thousandth."""
        return [round(value, 4) for value in astuple(self)]
