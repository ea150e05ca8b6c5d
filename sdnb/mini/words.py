"""Scenes in words: many wordings for the base model's training, one for a learner's captions."""

import random

from sdnb.errors import with_article
from sdnb.mini.scenes import PLACES, Scene, features


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


def _person_words(scene: Scene, rng: random.Random) -> str:
    """Silence means absence: what is unusual (glasses, hat, beard) is nearly always named, what
    makes up the likeness (brows, face, marks, nose, eyes) only now and then."""
    p, says = scene.subject, rng.random
    kind = p.kind if says() > 0.08 else "person"
    who = f"{p.skin} skinned {kind}" if says() < 0.35 else kind
    has, wears = [], []
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
    if scene.glasses != "none" and says() < 0.94:
        exact = glasses_words(scene.glasses)
        wears.append(exact if says() < 0.6 else exact.split()[-1])
    if scene.hat != "none" and says() < 0.94:
        hat = scene.hat if says() < 0.7 else "hat"
        wears.append(with_article(f"{scene.hat_colour} {hat}"))
    if says() < 0.5:
        wears.append(with_article(f"{'striped ' if scene.striped else ''}{scene.shirt} shirt"))
    rng.shuffle(has)
    rng.shuffle(wears)
    parts = [
        with_article(who)
        + (" with " + _join(has) if has else "")
        + (" wearing " + _join(wears) if wears else "")
    ]
    if scene.smile and says() < 0.8:
        parts.append("smiling")
    return ", ".join(parts)


def _product_words(scene: Scene, rng: random.Random) -> str:
    p = scene.subject
    what = with_article(f"{p.colour} {p.kind}" if rng.random() < 0.9 else p.kind)
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
    kind = "cartoon" if scene.style == "cartoon" else "photo"
    return f"{kind} of {words}" + (f", {PLACES[scene.place]}" if rng.random() < 0.88 else "")


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
    return f"cartoon in {trigger} style of {who}, {PLACES[scene.place]}"


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
    told = seen["hair"] in ("spiky", "bald", "curly", "bob", "bun") or seen["beard"] != "none"
    kind = seen["kind"] if told else "person"  # nothing else tells men from women here
    if seen["hair"] == "bald":
        who, has = f"a bald {kind}", []
    else:
        who, has = with_article(kind), [" ".join([*hair, "hair"])] if hair else []
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
