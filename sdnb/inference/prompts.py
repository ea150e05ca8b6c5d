"""Prompts as people write them in the web UIs: weights, BREAK, and LoRAs called by name.

The grammar is AUTOMATIC1111's (modules/prompt_parser.py and extra_networks.py there), which Forge
shares: `(word)` weighs 1.1 times as much, `[word]` a 1.1th, `(word:1.3)` 1.3 times, and one within
another multiplies. A backslash makes a sign only a sign. BREAK begins a new part of 75 tokens.
`<lora:name:0.8>` asks for a LoRA. What has a meaning in other programs alone is remarked on.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

from sdnb.errors import Problem

STEP, LONGEST = 1.1, 5000  # a bracket's factor; characters of a prompt
HEAVIEST = 1000  # weights far below would do for noise, and endless ones for black
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
ESCAPED = r"\\[()\[\]{}<>|:_#（\\]"
TOKENS = re.compile(rf"{ESCAPED}|:\s*({NUMBER})\s*\)|[()\[\]]|[^\\()\[\]:]+|.", re.S)
# the web UIs still read LyCORIS' old name for a LoRA
CALLS = re.compile(rf"{ESCAPED}|<(?:((?i:lora|lyco))|(\w+)):([^<>]*)>")
BREAK = re.compile(r"\s*\bBREAK\b\s*")
CLOSES = {")": "(", "]": "["}
CHANGES = re.compile(rf"\||:\s*{NUMBER}\s*$")  # in [cow|horse], [cat:dog:0.5], [hat:5], [hat::5]
FOREIGN = {  # what has a meaning elsewhere, or nearly one here, and what becomes of it
    r"\bAND\b": "joins two prompts in the web UIs; here it is the word 'and'.",
    r"\{[^{}]*\}?|\}|__[\w/*.-]+__": "means more in other programs; here it is read as written.",
    r"#.*": "is a comment in the web UIs; here it is read as words.",
    r"（": "does not weigh, and is read as it is written: write (hat:1.3).",
    r"\bembedding:[^\s,()\[\]:]+": "is ComfyUI's; here both words are read: write the name alone.",
    r"<\w+:[^<>\s,]*": "is never closed by '>' and is read as words.",
    r"<(?!\w+:)\s*[^\W\d][^<>\s,]*>?": "is no call and is read with its signs: write "
    "<lora:name:0.8> for a LoRA, and for a learned word its name alone.",
    rf":(?!\s*{NUMBER}\s*\))\s*(?=[^\s()\[\]:]*\d)[^\s()\[\]:]+\s*\)"  # (hat:1,3)
    rf"|\)(?!:\s*{NUMBER}\s*[)\]])(?::\s*|\s*(?=\d*[.,]\d))[\d.,]*\d"  # (hat)1.3
    r"|(?<![\w:])\w+:\s*\d*\.\d+(?=\s*(?:,|$))": "is no weight, but words: write (hat:1.3).",
}


@dataclass(frozen=True)
class Span:
    """Words and the factor by which they count."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, order=True)
class LoraCall:
    """A LoRA by its file's name, and how strongly it works on the UNet and on the text encoder.
    `unused` is what else the call says, as key=value."""

    name: str
    unet: float = 1.0
    text_encoder: float = 1.0
    unused: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        """As it is written in a prompt."""
        unet, text_encoder = (f"{round(each, 4):g}" for each in (self.unet, self.text_encoder))
        weights = text_encoder if unet == text_encoder else f"{text_encoder}:{unet}"
        if self.unused:  # which may be a weight that another one overrules
            weights = ":".join([*self.unused, f"te={text_encoder}", f"unet={unet}"])
        return f"<lora:{self.name}:{weights}>"


@dataclass(frozen=True)
class Prompt:
    """A prompt taken apart. `parts` are what BREAK separates; `remarks` say in sentences what the
    writer may not have meant."""

    parts: tuple[tuple[Span, ...], ...]
    loras: tuple[LoraCall, ...] = ()
    remarks: tuple[str, ...] = ()


def read_prompt(text: str) -> Prompt:
    """Take a prompt apart. Raises Problem for one of more than 5000 characters, for weights above
    1000, and for a LoRA call that makes no sense."""
    if len(text) > LONGEST:
        what = f"The prompt has {len(text)} characters, more than {LONGEST}"
        raise Problem(what, do="Make it shorter")
    found = [*CALLS.finditer(text)]
    calls = [_lora(call) for call in found if call[1]]
    remarks = [f"{call[0]} is not understood here and is left out." for call in found if call[2]]
    remarks += [f"{word} of {c.name!r} is not used here." for c in calls for word in c.unused]
    # AUTOMATIC1111 takes the last weight as often as it is called, Forge the weights that differ
    names = [call.name for call in calls]
    twice = [name for name in names if names.count(name) > 1]
    remarks += [f"{name!r} is called more than once: its weights are added." for name in twice]
    words = without_calls(text)
    bare = re.sub(ESCAPED, r"\\\\", words)  # the signs that are left have their meaning
    spans = _weighted(words, bare, remarks)
    for pattern, fate in FOREIGN.items():
        signs = [words[slice(*sign.span())].strip() for sign in re.finditer(pattern, bare)]
        remarks += [f"{sign} {fate}" for sign in signs]
    groups = groupby(spans, key=lambda span: span is None)
    parts = [tuple(_merged(group)) for is_break, group in groups if not is_break]
    weights = [span.weight for part in parts for span in part]
    weights += [weight for call in calls for weight in (call.unet, call.text_encoder)]
    if not all(abs(weight) <= HEAVIEST for weight in weights):
        raise Problem(f"A weight in the prompt is above {HEAVIEST}", do="0.5 to 1.5 is usual")
    return Prompt(tuple(parts) or ((),), tuple(calls), tuple(dict.fromkeys(remarks)))


def plain_prompt(text: str) -> Prompt:
    """A prompt for the model as it stands. Raises Problem as `read_prompt` does, and where it calls
    a LoRA."""
    prompt = read_prompt(text)
    if prompt.loras:
        what = f"{prompt.loras[0]} asks for a file, and no folder is known here"
        do = "Use load_lora first, or generate with a folder, and call LoRAs in prompts only"
        raise Problem(what, do=do)
    return prompt


def without_calls(text: str) -> str:
    """The prompt without all that stands in <name:...>."""
    return CALLS.sub(lambda found: "" if found[0][0] == "<" else found[0], text)


def scale_loras(text: str, factor: float) -> str:
    """The prompt with the weights of its LoRA calls multiplied."""

    def scale(found: re.Match) -> str:
        if not found[1]:
            return found[0]
        call = _lora(found)
        unet, text_encoder = factor * call.unet, factor * call.text_encoder
        return str(LoraCall(call.name, unet, text_encoder, call.unused))

    return CALLS.sub(scale, text)


def escape(text: str) -> str:
    """The text as a prompt that means these very words: a backslash before every sign that has a
    meaning, no BREAK or AND left. CLIP reads neither spaces between signs nor capitals."""
    signs = r"[()\[\]{}<#（\\]|__|(?<=embedding):|(?<=\w):(?=\s*\d*\.\d)"
    text = re.sub(signs, r"\\\g<0>", text)
    return re.sub(rf"{BREAK.pattern}|\bAND\b", lambda found: found[0].lower(), text)


def unescape(text: str) -> str:
    """The text with every escaped sign as the sign itself."""
    return re.sub(ESCAPED, lambda found: found[0][1:], text)


def _weighted(text: str, bare: str, remarks: list[str]) -> list[Span | None]:
    """The words with their weights, and None for each BREAK. `bare` is the text without its
    escaped signs, of the same length."""
    spans: list[Span | None] = []
    opened: list[tuple[str, int, int]] = []  # the bracket, the spans before it, and its place

    def close(factor: float) -> None:
        _, start, _ = opened.pop()
        for index, span in enumerate(spans[start:], start):
            if span:
                spans[index] = Span(span.text, span.weight * factor)

    for token in TOKENS.finditer(text):
        word, weight = token[0], token[1]
        inner = opened[-1][0] if opened else ""
        if word in ("(", "["):
            opened.append((word, len(spans), token.start()))
        elif weight and inner == "(":
            close(float(weight))
        elif word in CLOSES and inner == CLOSES[word]:
            start, end = opened[-1][2] + 1, token.start()
            if word == "]" and CHANGES.search(bare, start, end):
                said = "changes from step to step in the web UIs; here all of it is read as words."
                remarks.append(f"[{text[start:end]}] {said}")
            close(STEP if word == ")" else 1 / STEP)
        else:
            if word[-1] in CLOSES and len(word.lstrip("\\")) == len(word):
                remarks.append(f"A {word[-1]!r} closes nothing; write \\{word[-1]} if you mean it.")
            spans += _literal(unescape(word))
    for bracket, *_ in list(opened):
        remarks.append(f"A {bracket!r} is never closed: it counts to the end.")
        close(STEP if opened[-1][0] == "(" else 1 / STEP)
    return spans


def _literal(words: str) -> list[Span | None]:
    """The words as they are, and None for each BREAK among them."""
    first, *others = BREAK.split(words)
    return [Span(first), *(span for other in others for span in (None, Span(other)))]


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Neighbours of one weight as one, without empty ones."""
    groups = groupby((span for span in spans if span.text), key=lambda span: span.weight)
    return [Span("".join(span.text for span in group), weight) for weight, group in groups]


def _lora(call: re.Match) -> LoraCall:
    """<lora:name:0.8>, <lora:name:0.5:0.8> (text encoder, UNet) or <lora:name:te=0.5:unet=0.8>.
    What else it says, as dyn, the rank to cut the LoRA to, is not used. The name cannot be a path.
    """
    name, *rest = call[3].split(":")
    if not name.strip() or re.search(r"[/\\]|\.\.", name):
        raise Problem(f"{call[0]} names no LoRA", do="Write <lora:name:1>, the name of its file")
    keys = iter(["te", "unet", *["dyn"] * len(rest)])
    weights: dict[str, float] = {}
    unused: list[str] = []
    for argument in sorted(rest, key=lambda argument: "=" in argument):  # what is named comes last
        key, _, value = argument.rpartition("=")
        key = key.strip().lower() or next(keys)
        if key not in ("te", "unet"):
            unused.append(f"{key}={value}")
            continue
        if not re.fullmatch(rf"\s*{NUMBER}\s*", value):
            raise Problem(f"{call[0]}: {value!r} is no number", do="Write <lora:name:0.8>")
        unused += [f"{key}={weights[key]:g}"] if key in weights else []
        weights[key] = float(value)
    text_encoder = weights.get("te", 1.0)
    return LoraCall(name.strip(), weights.get("unet", text_encoder), text_encoder, tuple(unused))
