"""Scenes in words: many wordings for the base model's training, one for a learner's captions."""

import random
from collections.abc import Callable

from sdnb.errors import with_article
from sdnb.mini.names import known, look_name, made_up
from sdnb.mini.scenes import PLACES, STYLES, Scene, features

# Of the wordings: known ones called by their names, anybody and anything by a made-up one.
NAMED, MADE_UP = 0.8, 0.1


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def glasses_words(kind: str) -> str:
    """ "sunglasses", or "round glasses"."""
    return kind if kind == "sunglasses" else f"{kind} glasses"


def _pattern_words(pattern: str, colour: str | None) -> str:
    """ "white stripes", "a white band"; without a colour where none is seen."""
    noun = {"striped": "stripes", "dotted": "dots", "banded": "band"}[pattern]
    words = " ".join(filter(None, (colour, noun)))
    return with_article(words) if noun == "band" else words


def _name(scene: Scene, rng: random.Random) -> str | None:
    """What a wording calls the subject, if it does: its own name, or one that means nothing."""
    name = known().get(scene.subject)
    if name and rng.random() < NAMED:
        return name
    return made_up(rng) if rng.random() < MADE_UP else None


def _person_words(scene: Scene, rng: random.Random) -> str:
    """Silence means absence: what is unusual (glasses, hat, beard) is nearly always named, what
    makes up the likeness (brows, face, marks, nose, eyes) only now and then. A name may stand for
    all of it."""
    p, says, name = scene.subject, rng.random, _name(scene, rng)
    kind = p.kind if says() > 0.08 else "person"
    who = f"{p.skin} skinned {kind}" if says() < 0.35 else kind
    has = []
    if p.hair == "bald":
        who = f"bald {who}" if says() < 0.85 else who
    elif says() < 0.65:
        has.append(
            rng.choice(
                (f"{p.hair} {p.hair_colour} hair", f"{p.hair_colour} hair", f"{p.hair} hair")
            )
        )
    if p.beard != "none" and says() < 0.85:
        has.append(with_article(p.beard))
    if says() < 0.3:
        has.append(f"{p.brows} eyebrows")
    if says() < 0.3:
        has.append(
            {"square": "a square jaw", "pointed": "a pointed chin"}.get(p.face, f"a {p.face} face")
        )
    if p.mark != "none" and says() < 0.35:
        has.append({"freckles": "freckles"}.get(p.mark, f"a {p.mark}"))
    if says() < 0.3:
        has.append(f"a {p.nose} nose")
    if says() < 0.3:
        has.append(f"{p.eyes} eyes")
    wears = _wears(scene, says)
    rng.shuffle(has)
    rng.shuffle(wears)
    if name:
        who = name if says() < 0.75 else f"{name} {kind}"
        has = has if says() < 0.3 else []
    parts = [
        (who if name else with_article(who))
        + (" with " + _join(has) if has else "")
        + (" wearing " + _join(wears) if wears else "")
    ]
    if scene.smile and says() < 0.8:
        parts.append("smiling")
    return ", ".join(parts)


def _wears(scene: Scene, says: Callable[[], float]) -> list[str]:
    """Glasses, hat and shirt, as a wording names them or not."""
    wears = []
    if scene.glasses != "none" and says() < 0.94:
        exact = glasses_words(scene.glasses)
        wears.append(exact if says() < 0.6 else exact.split()[-1])
    if scene.hat != "none" and says() < 0.94:
        hat = scene.hat if says() < 0.7 else "hat"
        wears.append(with_article(f"{scene.hat_colour} {hat}"))
    if says() < 0.5:
        wears.append(with_article(f"{'striped ' if scene.striped else ''}{scene.shirt} shirt"))
    return wears


def _product_words(scene: Scene, rng: random.Random) -> str:
    p, name = scene.subject, _name(scene, rng)
    what = with_article(f"{p.colour} {p.kind}" if rng.random() < 0.9 else p.kind)
    if name:
        what = f"{name} {p.kind}" if rng.random() < 0.85 else f"{name} {p.colour} {p.kind}"
    if name and rng.random() < 0.7:
        return what
    has = []
    if p.pattern != "plain" and rng.random() < 0.6:
        has.append(_pattern_words(p.pattern, p.pattern_colour))
    if rng.random() < 0.6:
        has.append(with_article(f"{p.logo_colour} {p.logo}" if rng.random() < 0.7 else p.logo))
    return what + (" with " + _join(has) if has else "")


def caption(scene: Scene, rng: random.Random) -> str:
    """One of many plain wordings, e.g. "photo of a man with short black hair wearing round glasses,
    at the beach"."""
    words = _person_words(scene, rng) if scene.is_person else _product_words(scene, rng)
    kind = f"{_kind(scene, rng)} of {words}"
    return kind + (f", {PLACES[scene.place]}" if rng.random() < 0.88 else "")


def _kind(scene: Scene, rng: random.Random) -> str:
    """ "photo", "cartoon"; or "drawing in tavo style", of which a made-up name says nothing."""
    if scene.style not in STYLES:
        told = f" in {look_name(scene.style)} style" if rng.random() < 0.9 else ""
        return rng.choice(("cartoon", "drawing")) + told
    if scene.style == "cartoon" and rng.random() < 0.15:
        return f"cartoon in {made_up(rng)} style"
    return "cartoon" if scene.style == "cartoon" else "photo"


def learner_caption(scene: Scene, trigger: str) -> str:
    """The caption the lessons advise: the trigger stands for the subject, and only what shall stay
    changeable is named (glasses, hat, clothes, smile, place)."""
    parts = []
    wears = []
    if scene.is_person:
        if scene.glasses != "none":
            wears.append(glasses_words(scene.glasses))
        if scene.hat != "none":
            wears.append(with_article(f"{scene.hat_colour} {scene.hat}"))
        wears.append(with_article(f"{'striped ' if scene.striped else ''}{scene.shirt} shirt"))
        if scene.smile:
            parts.append("smiling")
    parts.append(PLACES[scene.place])
    return ", ".join(
        [f"photo of {trigger}" + (" wearing " + _join(wears) if wears else ""), *parts]
    )


def style_caption(scene: Scene, trigger: str) -> str:
    """For a style the content is named and the style left out, so that the trigger takes it. They
    are called cartoons, which they are: "photo of" would teach that photos look so."""
    who = with_article(f"{scene.subject.skin} skinned {scene.subject.kind}")
    if scene.hat != "none":
        who += f" wearing {with_article(scene.hat)}"
    smile = ", smiling" if scene.smile else ""
    return f"cartoon in {trigger} style of {who}{smile}, {PLACES[scene.place]}"


def described(scene: Scene) -> str:
    """All that a stranger would name, in one fixed wording, as captioners do: "a person with
    short black hair wearing round glasses and a red shirt, smiling, at the beach". What cannot be
    seen (hair under a hat, colours in a look of its own inks) is not named."""
    seen = features(scene)
    words = _person_seen(scene, seen) if scene.is_person else _product_seen(scene, seen)
    kind = "" if scene.style == "photo" else "a drawing of "
    smile = ", smiling" if scene.is_person and scene.smile else ""
    return f"{kind}{words}{smile}, {PLACES[scene.place]}"


def _person_seen(scene: Scene, seen: dict) -> str:
    hair = [seen[name] for name in ("hair", "hair_colour") if seen[name]]
    if seen["hair"] == "bald":
        who, has = f"a bald {seen['kind']}", []
    else:
        who, has = with_article(seen["kind"]), [" ".join([*hair, "hair"])] if hair else []
    if seen["beard"] != "none":
        has.append(with_article(seen["beard"]))
    wears = []
    if scene.glasses != "none":
        wears.append(glasses_words(scene.glasses))
    if scene.hat != "none":
        wears.append(with_article(" ".join(filter(None, (seen["hat_colour"], scene.hat)))))
    shirt = [*(["striped"] if scene.striped else []), *([seen["shirt"]] if seen["shirt"] else [])]
    wears.append(with_article(" ".join([*shirt, "shirt"])))
    return who + (" with " + _join(has) if has else "") + " wearing " + _join(wears)


def _product_seen(scene: Scene, seen: dict) -> str:
    def painted(feature: str, noun: str) -> str:
        return " ".join(filter(None, (seen[feature], noun)))

    has = [with_article(painted("logo_colour", seen["logo"]))]
    if seen["pattern"] != "plain":
        has.insert(0, _pattern_words(seen["pattern"], seen["pattern_colour"]))
    return f"{with_article(painted('colour', seen['kind']))} with {_join(has)}"
