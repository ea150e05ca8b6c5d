"""The caption coach: what training will make of a set's captions, in sentences, before any step.

What a caption names can be changed by words later; what it leaves out becomes part of the trigger
word (the article's "special word"). For a style it is the other way round: the captions name all
that is drawn and leave out how.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from transformers import CLIPTokenizer

from sdnb.adapters.words import WORD as ONE_WORD
from sdnb.captioning.captions import check_captions, names_of, word_pattern
from sdnb.captioning.uncaptioned import WORD, See, uncaptioned_features, words_of
from sdnb.dataset.photos import Photo
from sdnb.errors import Problem

OFTEN = 0.8  # of the captions: named so often, a phrase is the set's habit
LONGEST = 4  # words of a phrase
MANY_TOKENS = 5  # of one word: it takes as much room as a phrase
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

    `tokenizer` is the base model's (`model.tokenizer`), `style` says that the trigger word shall
    take the way of drawing and not the subject. `see` looks at the photos themselves (`judge_sees`,
    `clip_sees`): what most of them show and no caption names comes last.
    """
    captioned = [photo for photo in photos if photo.caption]
    it = trigger or "what is learned"
    try:
        advice = check_captions(photos, trigger, tokenizer)
    except Problem as problem:
        advice = [str(problem)]
    if trigger:
        advice += _known_word(trigger, tokenizer)
    advice += [*_repetitions(captioned), *_equal_captions(captioned)]
    if style:
        return [*advice, *_photos_not_drawings(captioned), *_learned_features(captioned, it, style)]
    advice += [*_learned_features(captioned, it, style), *_habits(captioned, it, class_word)]
    return advice + (uncaptioned_features(photos, see, it) if see else [])


def _known_word(trigger: str, tokenizer: CLIPTokenizer) -> Iterator[str]:
    count = len(tokenizer.tokenize(trigger))
    if not ONE_WORD.fullmatch(trigger):
        yield (
            f"{trigger!r} is not one plain word: prompts tear it apart, and Textual Inversion "
            "refuses it. Choose a made-up word of letters."
        )
    elif count > MANY_TOKENS:
        yield (
            f"{trigger!r} falls into {count} tokens of the model's vocabulary, and every "
            "prompt has to carry them. Choose a shorter made-up word."
        )
    elif count == 1:
        yield (
            f"{trigger!r} is one token of the model's vocabulary, most likely a word that it "
            "knows: its old meaning will mix with your subject. Choose a made-up word."
        )


def _repetitions(photos: Sequence[Photo]) -> Iterator[str]:
    """Captioners sometimes say "a man with a man with a man"."""
    thrice = re.compile(r"(\b\w+(?: \w+)*\b)(?: \1){2}")
    if again := [photo for photo in photos if thrice.search(photo.caption)]:
        said = "the same words three times in a row in the caption. Write it anew."
        yield f"{names_of(again)} {said}"


def _equal_captions(photos: Sequence[Photo]) -> Iterator[str]:
    for caption, count in Counter(photo.caption.lower() for photo in photos).most_common(1):
        if count >= 3 and count / len(photos) >= 0.3:
            yield (
                f"{count} photos have the caption {caption!r}. Name what differs between them "
                "(place, clothes, light), or the trigger word takes it."
            )


def _learned_features(photos: Sequence[Photo], trigger: str, style: bool) -> Iterator[str]:
    """Words for what the trigger word shall take: a likeness, or a way of drawing."""
    vocabulary, what = IDENTITY, "features of the subject's own"
    advice = "leave out what shall always be there"
    if style:
        vocabulary, what = MANNER, "words for the way of drawing"
        advice = "name what is drawn, and leave out how"
    found = [(photo, vocabulary & words_of(photo.caption.replace("-", " "))) for photo in photos]
    if naming := [photo for photo, words in found if words]:
        words = ", ".join(sorted(set().union(*(words for _, words in found))))
        yield (
            f"{names_of(naming)} {what} in the caption ({words}). What is named is not learned as "
            f"part of {trigger}: {advice}."
        )


def _photos_not_drawings(photos: Sequence[Photo]) -> Iterator[str]:
    first = re.compile(r"\W*(an? )?photo\b", re.IGNORECASE)  # then what is drawn is called one too
    said = [(photo, words_of(photo.caption), first.match(photo.caption)) for photo in photos]
    if called := [p for p, words, at in said if at or ("photo" in words and not DRAWN & words)]:
        yield (
            f"{names_of(called)} the word photo in the caption of a drawing: every photo would "
            "take the style. Say what it is, a cartoon, a painting, a drawing."
        )


def _habits(photos: Sequence[Photo], trigger: str, class_word: str) -> Iterator[str]:
    """The longest phrases that stand in nearly all captions."""
    counted = Counter(phrase for photo in photos for phrase in _phrases(photo.caption, trigger))
    often = [p for p, count in counted.items() if len(photos) > 2 and count / len(photos) > OFTEN]
    whole = [p for p in often if not any(p != other and p in other for other in often)]
    if whole := sorted(phrase for phrase in whole if phrase != class_word.lower()):
        yield (
            f"In nearly all captions: {', '.join(whole)}. You will be able to leave that out and "
            f"to ask for it; it will not be a part of {trigger}. Right for a place or clothes; "
            "wrong for what shall always be there."
        )


def _phrases(caption: str, trigger: str) -> set[str]:
    """Runs of words between the marks and the small words of the caption."""
    found, small = set(), "|".join(STOPWORDS)
    plain = word_pattern(trigger).sub(",", caption).lower()
    for part in re.split(rf"[,.;:]|\b(?:{small})\b", plain):
        words = re.findall(WORD, part)
        for first, last in combinations(range(len(words) + 1), 2):
            if last - first <= LONGEST:
                found.add(" ".join(words[first:last]))
    return found
