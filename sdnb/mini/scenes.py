"""The small world of the mini model: who and what can stand before the camera.

A `Scene` is a frozen description of one picture and therefore the whole truth about it. `studio.draw` turns it
into pixels, `caption` into words, `features` into the labels the judge learns. Everything random comes from a
`random.Random` that the caller seeds, so the same seed gives the same scene.
"""

import json
import random
from dataclasses import asdict, dataclass, replace

SKINS = ("pale", "light", "tan", "brown", "dark")
HAIR_COLOURS = ("black", "brown", "blonde", "red", "grey", "blue")
HAIR = {
    "man": ("short", "curly", "spiky", "bald", "long"),
    "woman": ("long", "bob", "curly", "bun", "short"),
}
HAIR_STYLES = ("short", "curly", "spiky", "bald", "long", "bob", "bun")
BROWS = ("thin", "bushy", "short light", "arched")
FACES = ("round", "long", "square", "pointed")
EYES = ("brown", "blue", "green")
NOSES = ("small", "big")
BEARDS = ("none", "beard", "moustache")
MARKS = ("none", "mole", "freckles", "white lock")
GLASSES = ("none", "round", "square", "sunglasses")
HATS = ("none", "cap", "beanie", "top hat", "sun hat")
COLOURS = ("red", "blue", "green", "yellow", "purple", "white", "black", "orange")
PATTERNS = ("plain", "striped", "dotted", "banded")
LOGOS = ("star", "heart", "moon", "leaf", "drop", "bolt")
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

# The likeness of a person: these never change between two pictures of the same one.
IDENTITY = ("skin", "hair", "hair_colour", "brows", "face", "eyes", "nose", "beard", "mark")
# Small features that tell lookalikes apart even where hair and skin agree.
FINE = ("brows", "face", "mark")


@dataclass(frozen=True)
class Person:
    kind: str = "man"
    skin: str = "light"
    hair: str = "short"
    hair_colour: str = "brown"
    brows: str = "thin"
    face: str = "round"
    eyes: str = "brown"
    nose: str = "small"
    beard: str = "none"
    mark: str = "none"


@dataclass(frozen=True)
class Product:
    kind: str = "mug"  # or "bag"
    colour: str = "red"
    pattern: str = "plain"
    pattern_colour: str = "white"
    logo: str = "star"
    logo_colour: str = "yellow"


PRODUCT_IDENTITY = ("colour", "pattern", "pattern_colour", "logo", "logo_colour")


@dataclass(frozen=True)
class Scene:
    """One picture. `share` is the part of the frame that the subject's box fills (for a person the face box
    widened to hair and chin), `dx` and `dy` move it in parts of the frame, `tilt` is in degrees, `light` is
    the side the light comes from (-1 left, 1 right) and `seed` settles grain and the clutter of the place."""

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


def random_person(rng: random.Random, kind: str | None = None) -> Person:
    kind = kind or rng.choice(("man", "woman"))
    hair = rng.choice(HAIR[kind])
    mark = rng.choices(MARKS, (50, 18, 16, 16))[0]
    if hair == "bald" and mark == "white lock":
        mark = "mole"
    return Person(
        kind=kind,
        skin=rng.choice(SKINS),
        hair=hair,
        hair_colour=rng.choices(HAIR_COLOURS, (20, 20, 20, 18, 14, 8))[0],
        brows=rng.choice(BROWS),
        face=rng.choice(FACES),
        eyes=rng.choice(EYES),
        nose=rng.choice(NOSES),
        beard=rng.choices(BEARDS, (64, 22, 14))[0] if kind == "man" else "none",
        mark=mark,
    )


def random_product(rng: random.Random, kind: str | None = None) -> Product:
    colour, pattern_colour, logo_colour = rng.sample(COLOURS, 3)
    return Product(
        kind or rng.choice(("mug", "bag")),
        colour,
        rng.choice(PATTERNS),
        pattern_colour,
        rng.choice(LOGOS),
        logo_colour,
    )


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
    """`count` scenes of one subject, as its owner would photograph it: bareheaded unless `fixed` says otherwise,
    the places dealt out evenly."""
    rng = random.Random(f"photos {seed}")
    places = [place for _ in range(count // len(PLACES) + 1) for place in rng.sample(tuple(PLACES), len(PLACES))]
    plain = {} if isinstance(subject, Product) else {"hat": "none", "glasses": "none"}
    share = (0.4, 0.55) if isinstance(subject, Product) else (0.5, 0.62)
    return [
        random_scene(rng, subject, **{"place": place, "share": rng.uniform(*share), **plain, **fixed})
        for place in places[:count]
    ]


# --- held out --------------------------------------------------------------------------------------------------

SAMPLE_PERSON = Person("man", "light", "short", "black", "short light", "round", "blue", "small", "none", "white lock")
SAMPLE_PRODUCT = Product("mug", "blue", "banded", "white", "bolt", "yellow")
SAMPLE_LOOK = "screenprint"


def held_out_person(index: int) -> Person:
    """One of forty people (0 to 39) that no picture of the base's training shows: 0 to 9 for tuning, 10 to 14
    for the gate, the rest for lessons."""
    return random_person(random.Random(f"held out person {index}"))


def held_out_product(index: int) -> Product:
    return random_product(random.Random(f"held out product {index}"))


def _combination(subject: Person | Product) -> tuple:
    if isinstance(subject, Product):
        return (subject.kind, subject.colour, subject.pattern, subject.logo, subject.logo_colour)
    return (subject.kind, subject.skin, subject.hair, subject.hair_colour, subject.brows, subject.face, subject.mark)


_HELD_OUT = frozenset(
    _combination(s)
    for s in (
        SAMPLE_PERSON,
        SAMPLE_PRODUCT,
        *(held_out_person(i) for i in range(40)),
        *(held_out_product(i) for i in range(10)),
    )
)


def is_held_out(subject: Person | Product) -> bool:
    return _combination(subject) in _HELD_OUT


def random_world(rng: random.Random, products: float = 0.15, cartoons: float = 0.08) -> Scene:
    """A scene for the base model's training: any subject but the held-out combinations."""
    while True:
        subject = random_product(rng) if rng.random() < products else random_person(rng)
        if not is_held_out(subject):
            break
    return random_scene(rng, subject, style="cartoon" if rng.random() < cartoons else "photo")


def lookalikes(subject: Person | Product, count: int, seed: int = 0) -> list[Person | Product]:
    """`count` others, each differing from `subject` in two or three features (for people at least one of brows,
    face or mark) and from one another in at least two."""
    rng, fields = random.Random(f"lookalikes {seed}"), PRODUCT_IDENTITY
    draw_other = random_product if isinstance(subject, Product) else random_person
    if isinstance(subject, Person):
        fields = tuple(name for name in IDENTITY if name != "beard" or subject.kind == "man")

    def differences(one, other) -> list[str]:
        return [name for name in fields if getattr(one, name) != getattr(other, name)]

    found: list[Person | Product] = []
    while len(found) < count:
        donor = draw_other(rng, subject.kind)
        changed = rng.sample(fields, rng.choice((2, 3)))
        other = replace(subject, **{name: getattr(donor, name) for name in changed})
        apart = differences(subject, other)
        if len(apart) not in (2, 3) or not _possible(other):
            continue
        if isinstance(subject, Person) and not set(apart) & set(FINE):
            continue
        if all(len(differences(one, other)) >= 2 for one in found):
            found.append(other)
    return found


def _possible(subject: Person | Product) -> bool:
    if isinstance(subject, Product):
        return len({subject.colour, subject.pattern_colour, subject.logo_colour}) == 3
    return not (subject.hair == "bald" and subject.mark == "white lock")


# --- words -----------------------------------------------------------------------------------------------------


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _person_words(scene: Scene, rng: random.Random) -> str:
    """Silence means absence: what is unusual (glasses, hat, beard) is nearly always named, what makes up the
    likeness (brows, face, marks, nose, eyes) only now and then."""
    p, says = scene.subject, rng.random
    kind = p.kind if says() > 0.08 else "person"
    who = f"{p.skin} skinned {kind}" if says() < 0.35 else kind
    has, wears = [], []
    if p.hair == "bald":
        who = f"bald {who}" if says() < 0.85 else who
    elif says() < 0.65:
        has.append(rng.choice((f"{p.hair} {p.hair_colour} hair", f"{p.hair_colour} hair", f"{p.hair} hair")))
    if p.beard != "none" and says() < 0.85:
        has.append(_a(p.beard))
    if says() < 0.3:
        has.append(f"{p.brows} eyebrows")
    if says() < 0.3:
        has.append({"square": "a square jaw", "pointed": "a pointed chin"}.get(p.face, f"a {p.face} face"))
    if p.mark != "none" and says() < 0.35:
        has.append({"freckles": "freckles"}.get(p.mark, f"a {p.mark}"))
    if says() < 0.15:
        has.append(f"a {p.nose} nose")
    if says() < 0.2:
        has.append(f"{p.eyes} eyes")
    if scene.glasses != "none" and says() < 0.94:
        plain = "sunglasses" if scene.glasses == "sunglasses" else "glasses"
        exact = plain if plain == "sunglasses" else f"{scene.glasses} glasses"
        wears.append(exact if says() < 0.6 else plain)
    if scene.hat != "none" and says() < 0.94:
        wears.append(_a(f"{scene.hat_colour} {scene.hat}" if says() < 0.7 else f"{scene.hat_colour} hat"))
    if says() < 0.5:
        wears.append(_a(f"{'striped ' if scene.striped else ''}{scene.shirt} shirt"))
    rng.shuffle(has)
    rng.shuffle(wears)
    parts = [_a(who) + (" with " + _join(has) if has else "") + (" wearing " + _join(wears) if wears else "")]
    if scene.smile and says() < 0.8:
        parts.append("smiling")
    return ", ".join(parts)


def _product_words(scene: Scene, rng: random.Random) -> str:
    p = scene.subject
    what = _a(f"{p.colour} {p.kind}" if rng.random() < 0.9 else p.kind)
    has = []
    if p.pattern != "plain" and rng.random() < 0.6:
        noun = {"striped": "stripes", "dotted": "dots", "banded": "band"}[p.pattern]
        has.append(_a(f"{p.pattern_colour} {noun}") if noun == "band" else f"{p.pattern_colour} {noun}")
    if rng.random() < 0.6:
        has.append(_a(f"{p.logo_colour} {p.logo}" if rng.random() < 0.7 else p.logo))
    return what + (" with " + _join(has) if has else "")


def caption(scene: Scene, rng: random.Random) -> str:
    """One of many plain wordings, e.g. "photo of a man with short black hair wearing round glasses, at the beach"."""
    words = _person_words(scene, rng) if scene.is_person else _product_words(scene, rng)
    kind = "cartoon" if scene.style == "cartoon" else "photo"
    return f"{kind} of {words}" + (f", {PLACES[scene.place]}" if rng.random() < 0.88 else "")


def learner_caption(scene: Scene, trigger: str) -> str:
    """The caption the lessons advise: the trigger stands for the subject, and only what shall stay
    changeable is named (glasses, hat, clothes, smile, place)."""
    parts = []
    wears = []
    if scene.is_person:
        if scene.glasses != "none":
            wears.append("sunglasses" if scene.glasses == "sunglasses" else f"{scene.glasses} glasses")
        if scene.hat != "none":
            wears.append(_a(f"{scene.hat_colour} {scene.hat}"))
        wears.append(_a(f"{'striped ' if scene.striped else ''}{scene.shirt} shirt"))
        if scene.smile:
            parts.append("smiling")
    parts.append(PLACES[scene.place])
    return ", ".join([f"photo of {trigger}" + (" wearing " + _join(wears) if wears else ""), *parts])


# --- truth -----------------------------------------------------------------------------------------------------

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
    "style": STYLES,
}
HUES_GONE = ("screenprint", "blueprint", "neon", "pencil")  # looks that paint with colours of their own


def features(scene: Scene) -> dict[str, object]:
    """What the picture shows, by feature; None where it cannot be seen (the hat's colour without a hat, hair
    under a hat, eyes behind sunglasses, any colour in a look that paints with its own)."""
    truth: dict[str, object] = dict.fromkeys(FEATURES)
    truth |= {"kind": scene.subject.kind, "place": scene.place, "style": scene.style}
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
    if scene.style in HUES_GONE:
        truth |= {name: None for name in truth if "colour" in name or name in ("shirt", "skin", "eyes")}
    return truth
