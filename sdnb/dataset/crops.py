"""The crop that mends a photo: around the head or the thing, so that it fills the frame."""

from PIL import Image, ImageDraw

from sdnb.dataset.boxes import Box

ROOM = 1.1  # a crop is at least this much wider and higher than what it shows


def propose_crop(size: tuple[int, int], subject: Box | None, share: float, square: bool) -> Box:
    """The part of a photo of `size` pixels to keep: one in which `subject` fills `share` of the
    area, square or in the photo's own shape, as far as the photo reaches.

    Without a subject it is the middle. Nothing is cropped tighter than needed: where the subject
    fills more than `share` already, the crop is as large as it can be around it.
    """
    wide, high = size
    aspect = 1.0 if square else wide / high
    most = min(wide, high * aspect)  # pixels, the widest crop of this shape
    if subject is None:
        return _around(size, (0.5, 0.5), most, aspect)
    across = (subject.right - subject.left) * wide
    down = (subject.bottom - subject.top) * high
    wanted = (across * down / share * aspect) ** 0.5
    least = ROOM * max(across, down * aspect)
    centre = ((subject.left + subject.right) / 2, (subject.top + subject.bottom) / 2)
    return _around(size, centre, min(max(wanted, least), most), aspect)


def _around(size: tuple[int, int], centre: tuple[float, float], width: float, aspect: float) -> Box:
    """A box `width` pixels wide around `centre`, pushed back into the photo."""
    across, down = width / size[0], width / aspect / size[1]
    left = min(max(centre[0] - across / 2, 0), max(1 - across, 0))
    top = min(max(centre[1] - down / 2, 0), max(1 - down, 0))
    return Box(left, top, left + across, top + down)


def show_crop(picture: Image.Image, crop: Box, subject: Box | None = None) -> Image.Image:
    """A copy on which what is cropped away is pale, and the head or thing has a frame."""
    pale = Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.65)
    box = crop.pixels(*picture.size)
    pale.paste(picture.crop(box), box[:2])
    draw, line = ImageDraw.Draw(pale), max(2, picture.width // 120)
    draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline="#2e7d32", width=line)
    if subject:
        draw.rectangle(subject.pixels(*picture.size), outline="#f58518", width=line)
    return pale
