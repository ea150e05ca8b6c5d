"""The small world of the mini model: who and what can stand before the camera.

A `Scene` is a frozen description of one picture and therefore the whole truth about it.
`studio.draw` turns it into pixels, `caption` into words, `features` into the labels the judge
learns. Everything random comes from a `random.Random` that the caller seeds, so the same seed gives
the same scene.
"""

import json
import random
from dataclasses import asdict, dataclass, replace

from sdnb.mini.subjects import (
    BEARDS,
    BROWS,
    COLOURS,
    EYES,
    FACES,
    HAIR_COLOURS,
    HAIR_STYLES,
    IDENTITY,
    LOGOS,
    MARKS,
    NOSES,
    PATTERNS,
    PRODUCT_IDENTITY,
    SKINS,
    Person,
    Product,
    random_subject,
)

FAMOUS, LOOKED, OWN_LOOKS = 0.3, 0.12, 60  # of the base's pictures: well-known ones, in a look
GLASSES = ("none", "round", "square", "sunglasses")
HATS = ("none", "cap", "beanie", "top hat", "sun hat")
PLACES = {
    "beach": "at the beach",
    "forest": "in a forest",
    "city": "in the city",
    "snow": "in the snow",
    "desert": "in the desert",
    "night": "at night",
    "library": "in a library",
    "garden": "in a garden",
    "room": "in a room",
}
LOOKS = ("screenprint", "mosaic", "blueprint", "watercolour", "neon", "pencil")
STYLES = ("photo", "cartoon", *LOOKS)
SAMPLE_LOOK = "screenprint"  # of the sample set "style"
OTHER = "other"  # what the judge calls the looks of the world's own, "look 0" to "look 59"
HUES_GONE = ("screenprint", "blueprint", "neon", "pencil")  # looks that paint with their own inks


@dataclass(frozen=True)
class Scene:
    """One picture. `share` is the part of the frame that the subject's box fills (for a person the
    face box widened to hair and chin), `dx` and `dy` move it in parts of the frame, `tilt` is in
    degrees, `light` is the side the light comes from (-1 left, 1 right) and `seed` settles grain
    and the clutter of the place."""

    subject: Person | Product
    place: str = "room"
    style: str = "photo"
    glasses: str = "none"
    hat: str = "none"
    hat_colour: str = "red"
    smile: bool = False
    shirt: str = "blue"
    striped: bool = False
    share: float = 0.55
    dx: float = 0.0
    dy: float = 0.0
    tilt: float = 0.0
    light: float = 0.0
    seed: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def is_person(self) -> bool:
        return isinstance(self.subject, Person)


def random_scene(rng: random.Random, subject: Person | Product, **fixed) -> Scene:
    """A new picture of `subject`: place, clothes, light and camera by chance, `fixed` overrides."""
    if isinstance(subject, Product):
        wear = {"share": rng.uniform(0.35, 0.55)}
    else:
        hat = "none" if rng.random() > 0.22 else rng.choice(HATS[1:])
        glasses = "none" if rng.random() > 0.15 else rng.choice(GLASSES[1:])
        wear = {
            "glasses": glasses,
            "hat": hat,
            "hat_colour": rng.choice(COLOURS),
            "smile": rng.random() < 0.5,
            "shirt": rng.choice(COLOURS),
            "striped": rng.random() < 0.25,
            "share": rng.uniform(0.42, 0.64),
        }
    scene = Scene(
        subject,
        place=rng.choice(tuple(PLACES)),
        dx=rng.uniform(-0.06, 0.06),
        dy=rng.uniform(-0.03, 0.04),
        tilt=rng.gauss(0, 4.5),
        light=rng.uniform(-1, 1),
        seed=rng.randrange(2**31),
        **wear,
    )
    return replace(scene, **fixed)


def photos_of(subject: Person | Product, count: int, seed: int, **fixed) -> list[Scene]:
    """`count` scenes of one subject, as its owner would photograph it: bareheaded unless `fixed`
    says otherwise, the places dealt out evenly."""
    rng = random.Random(f"photos {seed}")
    places = [
        place
        for _ in range(count // len(PLACES) + 1)
        for place in rng.sample(tuple(PLACES), len(PLACES))
    ]
    plain = {} if isinstance(subject, Product) else {"hat": "none", "glasses": "none"}
    share = (0.4, 0.55) if isinstance(subject, Product) else (0.5, 0.62)
    return [
        random_scene(
            rng, subject, **{"place": place, "share": rng.uniform(*share), **plain, **fixed}
        )
        for place in places[:count]
    ]


def random_world(rng: random.Random, products: float = 0.15, cartoons: float = 0.08) -> Scene:
    """A scene for the base model's training: any subject but the held-out combinations."""
    subject, dice = random_subject(rng, products, FAMOUS), rng.random()
    style = "cartoon" if dice < cartoons else "photo"
    return random_scene(
        rng, subject, style=own_look(rng) if dice > max(cartoons, 1 - LOOKED) else style
    )


def own_look(rng: random.Random) -> str:
    """One of the looks that the base knows by name."""
    return f"look {rng.randrange(OWN_LOOKS)}"


FEATURES: dict[str, tuple] = {
    "kind": ("man", "woman", "mug", "bag"),
    "glasses": GLASSES,
    "hat": HATS,
    "hat_colour": COLOURS,
    "smile": (False, True),
    "shirt": COLOURS,
    "skin": SKINS,
    "hair": HAIR_STYLES,
    "hair_colour": HAIR_COLOURS,
    "brows": BROWS,
    "face": FACES,
    "eyes": EYES,
    "nose": NOSES,
    "beard": BEARDS,
    "mark": MARKS,
    "colour": COLOURS,
    "pattern": PATTERNS,
    "pattern_colour": COLOURS,
    "logo": LOGOS,
    "logo_colour": COLOURS,
    "place": tuple(PLACES),
    "style": (*STYLES, OTHER),
}


def features(scene: Scene) -> dict[str, object]:
    """What the picture shows, by feature; None where it cannot be seen (the hat's colour without a
    hat, hair under a hat, eyes behind sunglasses, any colour in a look that paints with its own).
    """
    truth: dict[str, object] = dict.fromkeys(FEATURES)
    style = scene.style if scene.style in STYLES else OTHER
    truth |= {"kind": scene.subject.kind, "place": scene.place, "style": style}
    if scene.is_person:
        truth |= {name: getattr(scene, name) for name in ("glasses", "hat", "smile", "shirt")}
        truth |= {name: getattr(scene.subject, name) for name in IDENTITY}
        if scene.hat == "none":
            truth["hat_colour"] = None
        else:
            truth["hat_colour"] = scene.hat_colour
            truth["hair"] = None
            truth["mark"] = None if scene.subject.mark == "white lock" else truth["mark"]
        if scene.subject.hair == "bald":
            truth["hair_colour"] = None
        if scene.glasses == "sunglasses":
            truth["eyes"] = None
    else:
        truth |= {name: getattr(scene.subject, name) for name in PRODUCT_IDENTITY}
        if scene.subject.pattern == "plain":
            truth["pattern_colour"] = None
    if style in (*HUES_GONE, OTHER):
        truth |= {
            name: None for name in truth if "colour" in name or name in ("shirt", "skin", "eyes")
        }
    return truth
