"""Boxes in a photo, and the crop that mends it: around the subject, so that it fills the frame."""

from dataclasses import astuple, dataclass

from PIL import Image, ImageDraw

ROOM = 1.1  # a crop is at least this much wider and higher than what it shows


@dataclass(frozen=True)
class Box:
    """Left, top, right and bottom as parts of the upright picture, so that it fits a copy of any
    size: (0, 0, 1, 1) is all of it."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def share(self) -> float:
        """The part of the picture's area that lies within, between 0 and 1."""
        wide = min(self.right, 1) - max(self.left, 0)
        high = min(self.bottom, 1) - max(self.top, 0)
        return max(wide, 0) * max(high, 0)

    @property
    def outside(self) -> float:
        """The part of the box that lies outside the picture, between 0 and 1."""
        return 1 - self.share / (self.width * self.height)

    def within(self, frame: "Box") -> "Box":
        """The same box in parts of `frame`, as it stands after cropping to it."""
        left, right = ((x - frame.left) / frame.width for x in (self.left, self.right))
        top, bottom = ((y - frame.top) / frame.height for y in (self.top, self.bottom))
        return Box(left, top, right, bottom)

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The box in whole pixels of a picture, at least one each way, never over its edges."""
        left = min(max(round(self.left * width), 0), width - 1)
        top = min(max(round(self.top * height), 0), height - 1)
        right = max(min(round(self.right * width), width), left + 1)
        bottom = max(min(round(self.bottom * height), height), top + 1)
        return left, top, right, bottom

    def pixel_size(self, width: int, height: int) -> tuple[int, int]:
        """The width and height of the box in whole pixels of a picture."""
        left, top, right, bottom = self.pixels(width, height)
        return right - left, bottom - top

    def rounded(self) -> list[float]:
        """Four numbers for a file, to a ten-thousandth."""
        return [round(value, 4) for value in astuple(self)]


def box_around(centre: tuple[float, float], width: float, height: float) -> Box:
    """A box of this size around `centre`, pushed back into the picture; all in parts of it."""
    left = min(max(centre[0] - width / 2, 0), max(1 - width, 0))
    top = min(max(centre[1] - height / 2, 0), max(1 - height, 0))
    return Box(left, top, left + width, top + height)


def propose_crop(
    size: tuple[int, int], subject: Box | None, share: float | None, square: bool
) -> Box:
    """The part of a photo of `size` pixels to keep: one in which `subject` fills `share` of the
    area, square or in the photo's own shape, as far as the photo reaches.

    Without a subject it is the middle; without a `share` the largest crop there is, moved from the
    middle only as far as the subject needs. Nothing is cropped tighter than needed: where the
    subject fills more than `share` already, the crop is as large as it can be around it.
    """
    wide, high = size
    aspect = 1.0 if square else wide / high
    centre, width = (0.5, 0.5), min(wide, high * aspect)  # pixels, the widest crop of this shape
    if subject:
        across, down = subject.width * wide, subject.height * high
        centre = subject.centre
        if share:
            wanted = (across * down / share * aspect) ** 0.5
            width = min(max(wanted, ROOM * max(across, down * aspect)), width)
        else:
            free = (width / wide - subject.width, width / aspect / high - subject.height)
            centre = tuple(map(_near_the_middle, centre, free))
    return box_around(centre, width / wide, width / aspect / high)


def _near_the_middle(centre: float, free: float) -> float:
    """Where a crop's centre comes to lie that is longer by `free` than what it holds: in the
    middle of the photo, or as near as it can; on `centre` where there is nothing free."""
    room = max(free, 0) / 2
    return min(max(0.5, centre - room), centre + room)


def show_crop(picture: Image.Image, crop: Box, subject: Box | None = None) -> Image.Image:
    """A copy on which what is cropped away is pale, and the face or thing has a frame."""
    pale = Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.65)
    box = crop.pixels(*picture.size)
    pale.paste(picture.crop(box), box[:2])
    draw, line = ImageDraw.Draw(pale), max(2, picture.width // 120)
    draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline="#2e7d32", width=line)
    if subject:
        draw.rectangle(subject.pixels(*picture.size), outline="#2962ff", width=line)
    return pale
