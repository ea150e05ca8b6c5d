"""The settings of the step from the photos to the dataset."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from sdnb.settings import Settings


class PhotoConfig(Settings):
    """From your photos to prepared copies: which ones, how they are cropped, how large they get."""

    basics = ("photos", "shape", "held_out")

    photos: Path = Field(Path("photos"), title="Photo folder")
    """The folder of your own photos, which are read and never changed; 15 to 20 are good, with
    fewer the result copies single photos, with many more it takes longer."""
    subject: Literal["person", "object", "style"] = Field("person", title="Subject")
    """What the photos show; person looks for one face, object for one thing, style for neither,
    and the wrong one gives the wrong advice."""
    size: int = Field(512, ge=64, le=2048, title="Size")
    """Pixels a side of the square; what the base model was made for is right (512 for sd15, 1024
    for sdxl), smaller loses detail, larger needs larger photos and more memory."""
    shape: Literal["square", "buckets"] = Field("square", title="Shape")
    """Whether every copy is a square or keeps about its photo's shape at the area of a square;
    square is simple, buckets lose less of wide and tall photos."""
    bucket_step: int = Field(64, ge=8, le=128, title="Bucket step")
    """Pixels between two widths of buckets, at most half the size; 64 is usual, smaller steps cut
    off less but leave few photos in each bucket."""
    target_share: float = Field(0.55, ge=0.1, le=0.95, title="Subject's share")
    """How much of the frame the head fills after cropping; 0.4 to 0.7 is safe, less loses details,
    and with more nothing around it is learned. A thing is cropped closer by you alone."""
    held_out: int = Field(0, ge=0, le=20, title="Photos held out")
    """How many photos are never trained on, for an honest look at what was learned; 3 to 5 are
    good where there are enough, 0 trains on all, many leave too few to learn from."""
    skip: tuple[str, ...] = Field((), title="Photos left out")
    """File names of photos to leave out, one a line; empty takes all, and a blurred photo or one of
    somebody else is better left out."""
