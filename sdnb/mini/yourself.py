"""Draw yourself: a made-up person by a form, photographed as well or as badly as you like."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image, ImageEnhance, ImageFilter
from pydantic import Field

from sdnb.errors import Problem
from sdnb.files import make_writable_folder, write_atomically
from sdnb.mini.scenes import Scene, photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON, Person, held_out_person
from sdnb.mini.words import learner_caption
from sdnb.settings import Settings

PIXELS, MARK = 512, "studio.toml"  # a side of a photo; what shows that a folder is the studio's
OURS = re.compile(r"\d\d\.(jpg|txt)")
Place = Literal["everywhere", "beach", "forest", "city", "snow", "desert", "night", "garden"]


class PersonConfig(Settings):
    """A person to draw, and how the photos are taken."""

    basics = (
        *("kind", "skin", "hair", "hair_colour", "brows", "face", "eyes", "nose", "beard", "mark"),
        *("photos", "head_share", "glasses", "named", "place"),
    )

    kind: Literal["man", "woman"] = Field("man", title="Man or woman")
    """A man or a woman; either is good, and curly hair falls a little differently."""
    skin: Literal["pale", "light", "tan", "brown", "dark"] = Field("tan", title="Skin")
    """The skin's colour; any is good, the model has seen all of them equally often."""
    hair: Literal["short", "curly", "spiky", "bald", "long", "bob", "bun"] = Field(
        "curly", title="Hair"
    )
    """How the hair is cut; any is good, and a hat hides it."""
    hair_colour: Literal["black", "brown", "blonde", "red", "grey", "blue"] = Field(
        "red", title="Hair colour"
    )
    """The hair's colour; any is good, blue is the rarest."""
    brows: Literal["thin", "bushy", "short light", "arched"] = Field("bushy", title="Eyebrows")
    """The eyebrows; any is good, and by them one sees whether it is you or somebody alike."""
    face: Literal["round", "long", "square", "pointed"] = Field("long", title="Face")
    """The shape of the face; any is good."""
    eyes: Literal["brown", "blue", "green"] = Field("green", title="Eyes")
    """The colour of the eyes; any is good, and the smallest thing there is to learn."""
    nose: Literal["small", "big"] = Field("big", title="Nose")
    """The size of the nose; either is good."""
    beard: Literal["none", "beard", "moustache"] = Field("none", title="Beard")
    """A beard, if there is one; any is good."""
    mark: Literal["none", "mole", "freckles", "white lock"] = Field("mole", title="Mark")
    """Something that nobody else has; any is good, a white lock needs hair."""
    photos: int = Field(20, ge=3, le=30, title="Photos", json_schema_extra={"step": 1})
    """How many photos are taken; 15 to 20 are right, with few it is luck, with more it is work."""
    head_share: float = Field(
        0.55, ge=0.05, le=0.75, title="Head's share", json_schema_extra={"step": 0.05}
    )
    """How much of the photo the head fills; 0.5 to 0.65 is right, below 0.25 the face has too few
    pixels to be learned."""
    glasses: bool = Field(False, title="Always glasses")
    """Whether glasses sit on the nose in every photo; off is safe, on is a trap for captions."""
    named: bool = Field(True, title="Glasses are named")
    """Whether the captions name the glasses; on is right, without it they never come off again."""
    place: Place = Field("everywhere", title="Place")
    """Where the photos are taken; everywhere is right, a single place sneaks into the likeness
    where the captions do not name it."""
    seed: int = Field(0, ge=0, le=2**31, title="Seed")
    """Another number, other photos of the same person; any is good."""

    @property
    def person(self) -> Person:
        """Whom the photos show."""
        return Person(**{name: getattr(self, name) for name in Person.__dataclass_fields__})

    def preview(self) -> Image.Image:
        """The first of the photos, small: what a form shows while it is filled in."""
        return draw_scene(self.scenes()[0], 192)

    def scenes(self) -> list[Scene]:
        """The photos before they are drawn."""
        fixed: dict = {"share": self.head_share, "glasses": "round" if self.glasses else "none"}
        if self.place != "everywhere":
            fixed["place"] = self.place
        return photos_of(self.person, self.photos, self.seed, **fixed)


def draw_photos(config: PersonConfig, folder: Path | str, trigger: str = "ravo") -> Path:
    """Take the photos: NN.jpg of 512 pixels a side with their captions, into `folder`, in place of
    those of an earlier visit. Returns the folder.

    Raises Problem where the folder holds anything else: it may be somebody's photos.
    """
    folder = make_writable_folder(folder)
    mark = folder / MARK
    there = [path for path in folder.iterdir() if not path.name.startswith(".")]
    taken = [path for path in there if OURS.fullmatch(path.name)]
    strangers = set(there) - {mark, *taken}
    if strangers or (taken and mark not in there):
        raise Problem("The folder holds files of yours", folder, "Choose an empty one")
    config.save(mark)
    for old in taken:
        old.unlink()
    for number, scene in enumerate(config.scenes()):
        path, picture = folder / f"{number + 1:02}.jpg", draw_scene(scene, PIXELS)
        write_atomically(path, lambda aside, picture=picture: picture.save(aside, quality=90))
        told = scene if config.named else replace(scene, glasses="none")
        write_atomically(path.with_suffix(".txt"), learner_caption(told, trigger).encode())
    return folder


def spoiled_photos(folder: Path | str) -> Path:
    """Twelve photos of the sample person as people have them, 01.jpg to 12.jpg, into `folder`,
    which is returned: far away (02), half-way (03), blurred, too dark, too light, too small, with a
    friend, twins (09 and 10) and on its side (11). Raises Problem where it cannot be written."""
    folder, scenes = make_writable_folder(folder), photos_of(SAMPLE_PERSON, 12, seed=5)
    scenes[1] = replace(scenes[1], share=0.1, dx=0.2)
    scenes[2] = replace(scenes[2], share=0.3)
    scenes[9] = replace(scenes[8], dx=scenes[8].dx + 0.01, tilt=1)  # a second later
    photos = [draw_scene(scene, 1200 if scene.share < 0.4 else 640) for scene in scenes]
    photos[3] = photos[3].filter(ImageFilter.GaussianBlur(4))
    photos[4] = ImageEnhance.Brightness(photos[4]).enhance(0.3)
    photos[5] = ImageEnhance.Brightness(photos[5]).enhance(2.5)
    photos[6] = photos[6].resize((200, 200))
    alone, photos[7] = photos[7], Image.new("RGB", (1280, 640))
    photos[7].paste(alone)
    photos[7].paste(draw_scene(replace(scenes[7], subject=held_out_person(3)), 640), (640, 0))
    sideways = Image.Exif()
    sideways[0x0112] = 6  # "turn me by a quarter": how phones store what they took upright
    photos[10] = photos[10].rotate(90)
    for number, photo in enumerate(photos, 1):
        save = partial(photo.save, quality=92, exif=sideways if number == 11 else Image.Exif())
        write_atomically(folder / f"{number:02}.jpg", save)
    return folder
