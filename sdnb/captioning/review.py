"""The caption coach: what training will make of a set's captions, in sentences, before any step.

What a caption names can be changed by words later; what it leaves out becomes part of the special
word. For a style it is the other way round: the captions name all that is drawn and leave out how.
"""

import re
from collections import Counter
from collections.abc import Sequence

from transformers import CLIPTokenizer

from sdnb.captioning.uncaptioned import See, uncaptioned_features
from sdnb.dataset.photos import Photo

OFTEN = 0.8  # of the captions: named so often, a phrase is the set's habit
LONGEST = 4  # words of a phrase
MANY_TOKENS = 5  # of one word: it takes as much room as a phrase
FEW = 3  # files that a sentence names
STOPWORDS = frozenset("a an and at by for in of on the to with wearing photo picture".split())
IDENTITY = frozenset(  # what makes up a person's likeness
    "hair haired blonde brunette bald beard bearded moustache mustache eyebrows brows eyes eyed "
    "nose freckles mole jaw chin face faced skin skinned ears lips blond goatee".split()
)
MANNER = frozenset(  # of drawing: what a style's captions leave to its word
    "watercolour watercolor brush brushstrokes strokes pastel ink inks outline outlines flat "
    "pixelated neon monochrome sketchy hatching".split()
)
DRAWN = frozenset("cartoon drawing painting illustration sketch print comic anime artwork".split())


def coach(
    photos: Sequence[Photo],
    trigger: str,
    tokenizer: CLIPTokenizer,
    class_word: str = "",
    style: bool = False,
    see: See | None = None,
) -> list[str]:
    """Advice about the captions of `photos`, the gravest first; an empty list is praise.

    `tokenizer` is the base model's (`model.tokenizer`), `style` says that the special word shall
    take the way of drawing and not the subject. `see` looks at the photos themselves (`judge_sees`,
    `clip_sees`): what most of them show and no caption names is told last.
    """
    told = [photo for photo in photos if photo.caption]
    checks = (
        _silent(photos),
        _without_trigger(told, trigger),
        _known_word(trigger, tokenizer),
        *_cut(told, tokenizer),
        _stutter(told),
        _alike(told),
        *(_of_a_style(told, trigger) if style else [_identity(told, trigger)]),
        "" if style else _habits(told, trigger, class_word),
        *(uncaptioned_features(photos, see, trigger) if see and not style else ()),
    )
    return [advice for advice in checks if advice]


def _silent(photos: Sequence[Photo]) -> str:
    silent = [photo for photo in photos if not photo.caption]
    if not silent:
        return ""
    return (
        f"{_names(silent)} no caption: all that the photos show there becomes part of the special "
        "word. Write a text file of the same name beside each."
    )


def _without_trigger(told: Sequence[Photo], trigger: str) -> str:
    said = re.compile(rf"(?<!\w){re.escape(trigger)}(?!\w)", re.IGNORECASE)
    without = [photo for photo in told if not said.search(photo.caption)]
    if not without:
        return ""
    return (
        f"{_names(without)} no {trigger!r} in the caption, so the word learns nothing there. Put "
        "it where the subject is named."
    )


def _known_word(trigger: str, tokenizer: CLIPTokenizer) -> str:
    if not trigger.isidentifier():
        return (
            f"{trigger!r} is not one plain word: prompts tear it apart, and Textual Inversion "
            "refuses it. Choose a made-up word of letters."
        )
    tokens = tokenizer.tokenize(trigger)
    if len(tokens) > MANY_TOKENS:
        return (
            f"{trigger!r} falls into {len(tokens)} tokens of the model's vocabulary, and every "
            "prompt has to carry them. Choose a shorter made-up word."
        )
    if len(tokens) > 1 or not tokens:
        return ""
    return (
        f"{trigger!r} is one token of the model's vocabulary, most likely a word that it knows: "
        "its old meaning will mix with your subject. Choose a made-up word."
    )


def _cut(told: Sequence[Photo], tokenizer: CLIPTokenizer) -> list[str]:
    room, advice = tokenizer.model_max_length - 2, []  # without the marks of begin and end
    for photo in told:
        found = tokenizer(photo.caption, return_offsets_mapping=True, verbose=False)
        places = found["offset_mapping"][1:-1]
        if len(places) > room:
            advice.append(
                f"The caption of {photo.path.name} has {len(places)} tokens and the model reads "
                f"{room}: {photo.caption[places[room][0] :]!r} is cut off. Shorten it."
            )
    return advice


def _stutter(told: Sequence[Photo]) -> str:
    """Captioners sometimes say "a man with a man with a man"."""
    again = [photo for photo in told if re.search(r"(\b\w+(?: \w+)*\b)(?: \1){2}", photo.caption)]
    if not again:
        return ""
    return f"{_names(again)} the same words three times in a row in the caption. Write it anew."


def _alike(told: Sequence[Photo]) -> str:
    same = Counter(photo.caption.lower() for photo in told)
    caption, count = max(same.items(), key=lambda pair: pair[1], default=("", 0))
    if count < 3 or count / len(told) < 0.3:
        return ""
    return (
        f"{count} photos have the caption {caption!r}. Name what differs between them (place, "
        "clothes, light), or the special word takes it."
    )


def _identity(told: Sequence[Photo], trigger: str) -> str:
    found = [(p, IDENTITY & set(_words(p.caption.replace("-", " ")))) for p in told]
    giving = [photo for photo, words in found if words]
    if not giving:
        return ""
    words = sorted(set().union(*(words for _, words in found)))
    return (
        f"{_names(giving)} features of the subject's own in the caption ({', '.join(words)}). What "
        f"is named is not learned as part of {trigger}: leave out what shall always be there."
    )


def _of_a_style(told: Sequence[Photo], trigger: str) -> list[str]:
    manner = [(photo, MANNER & set(_words(photo.caption.replace("-", " ")))) for photo in told]
    telling = [photo for photo, words in manner if words]
    advice = [_called_photos(told)]
    if telling:
        words = ", ".join(sorted(set().union(*(words for _, words in manner))))
        advice.append(
            f"{_names(telling)} words for the way of drawing in the caption ({words}). What is "
            f"named is not learned as part of {trigger}: name what is drawn, and leave out how."
        )
    return advice


def _called_photos(told: Sequence[Photo]) -> str:
    said = [(photo, set(_words(photo.caption))) for photo in told]
    photos = [photo for photo, words in said if "photo" in words and not DRAWN & words]
    if not photos:
        return ""
    return (
        f"{_names(photos)} the word photo in the caption of a drawing: every photo would take the "
        "style. Say what it is, a cartoon, a painting, a drawing."
    )


def _habits(told: Sequence[Photo], trigger: str, class_word: str) -> str:
    """The longest phrases that stand in nearly all captions."""
    counted = Counter(phrase for photo in told for phrase in _phrases(photo.caption, trigger))
    often = [p for p, count in counted.items() if len(told) > 2 and count / len(told) > OFTEN]
    whole = [p for p in often if not any(p != other and p in other for other in often)]
    whole = sorted(phrase for phrase in whole if phrase != class_word.lower())
    if not whole:
        return ""
    return (
        f"In nearly all captions: {', '.join(whole)}. That you will be able to leave away and to "
        f"ask for; it will not be a part of {trigger}. Right for glasses and clothes; wrong for "
        "what shall always be there."
    )


def _phrases(caption: str, trigger: str) -> set[str]:
    """Runs of words between the marks and the small words of the caption."""
    found, small = set(), "|".join(sorted(STOPWORDS | {re.escape(trigger.lower())}))
    for part in re.split(rf"[,.;:]|\b(?:{small})\b", caption.lower()):
        words = _words(part)
        for length in range(1, LONGEST + 1):
            for start in range(len(words) - length + 1):
                found.add(" ".join(words[start : start + length]))
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def _names(photos: Sequence[Photo]) -> str:
    """ "a.jpg has", "a.jpg and b.jpg have" or "a.jpg, b.jpg, c.jpg and 2 more have"."""
    *others, last = [photo.path.name for photo in photos]
    if len(others) >= FEW:
        others, last = [photo.path.name for photo in photos[:FEW]], f"{len(photos) - FEW} more"
    return f"{', '.join(others)} and {last} have" if others else f"{last} has"
