"""Prompts as people write them in the web UIs: weights, BREAK, and LoRAs called by name.

The grammar is AUTOMATIC1111's (modules/prompt_parser.py and extra_networks.py there), which Forge
shares: `(word)` weighs 1.1 times as much, `[word]` a 1.1th, `(word:1.3)` 1.3 times, and one within
another multiplies. A backslash makes a bracket a bracket. BREAK begins a new part of 75 tokens.
`<lora:name:0.8>` asks for a LoRA.
"""

import re
from dataclasses import dataclass
from itertools import groupby

from sdnb.errors import Problem

STEP, LONGEST = 1.1, 5000  # a bracket's factor; characters of a prompt
HEAVIEST = 1000  # weights far below would do for noise, and endless ones for black
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
TOKENS = re.compile(rf"\\[()\[\]\\]|:\s*({NUMBER})\s*\)|[()\[\]]|[^\\()\[\]:]+|.", re.S)
CALLS = re.compile(r"<(\w+):([^<>]*)>")
BREAK = re.compile(r"\s*\bBREAK\b\s*")
CLOSES = {")": "(", "]": "["}


@dataclass(frozen=True)
class Span:
    """Words and the factor by which they count."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, order=True)
class LoraCall:
    """A LoRA by its file's name, and how strongly it works on the UNet and on the text encoder."""

    name: str
    unet: float = 1.0
    text_encoder: float = 1.0

    def __str__(self) -> str:
        """As it is written in a prompt."""
        weights = [self.unet] if self.unet == self.text_encoder else [self.text_encoder, self.unet]
        return f"<lora:{':'.join([self.name, *(f'{round(weight, 4):g}' for weight in weights)])}>"


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
        raise Problem(
            f"The prompt has {len(text)} characters, more than {LONGEST}", do="Make it shorter"
        )
    loras, remarks = [], []

    def take(call: re.Match) -> str:
        if call[1] == "lora":
            loras.append(_lora(call[0], call[2]))
        else:
            remarks.append(f"{call[0]} is not understood here and is left out.")
        return ""

    pieces = _weighed(CALLS.sub(take, text), remarks)
    parts = []
    for is_break, group in groupby(pieces, key=lambda piece: piece is None):
        if not is_break:
            parts.append(tuple(_merged(group)))
    weights = [span.weight for part in parts for span in part]
    weights += [weight for call in loras for weight in (call.unet, call.text_encoder)]
    if not all(abs(weight) <= HEAVIEST for weight in weights):
        raise Problem(f"A weight in the prompt is above {HEAVIEST}", do="0.5 to 1.5 is usual")
    return Prompt(tuple(parts) or ((),), tuple(loras), tuple(remarks))


def is_name(text: str) -> bool:
    """Whether it can be the name of a LoRA: something, and no path."""
    return bool(text.strip()) and not re.search(r"[/\\]|\.\.", text)


def without_calls(text: str) -> str:
    """The prompt without all that stands in <name:...>."""
    return CALLS.sub("", text)


def weigh_calls(text: str, factor: float) -> str:
    """The prompt with the weights of its LoRA calls multiplied."""

    def weigh(found: re.Match) -> str:
        if found[1] != "lora":
            return found[0]
        call = _lora(found[0], found[2])
        return str(LoraCall(call.name, factor * call.unet, factor * call.text_encoder))

    return CALLS.sub(weigh, text)


def escape(text: str) -> str:
    """The text as a prompt that means these very words: brackets and backslashes escaped, and no
    call or BREAK left. CLIP reads neither spaces between signs nor capitals."""
    text = re.sub(r"<(?=\w+:)", "< ", re.sub(r"([()\[\]\\])", r"\\\1", text))
    return BREAK.sub(lambda found: found[0].lower(), text)


def _weighed(text: str, remarks: list[str]) -> list[Span | None]:
    """The literal runs with their weights, and None for each BREAK."""
    pieces: list[Span | None] = []
    opened: list[tuple[str, int]] = []  # the bracket, and the piece that comes after it

    def close(factor: float) -> None:
        _, start = opened.pop()
        for index, piece in enumerate(pieces[start:], start):
            pieces[index] = piece and Span(piece.text, piece.weight * factor)

    for token in TOKENS.finditer(text):
        word, weight = token[0], token[1]
        inner = opened[-1][0] if opened else ""
        if word in ("(", "["):
            opened.append((word, len(pieces)))
        elif weight and inner == "(":
            close(float(weight))
        elif word in CLOSES and inner == CLOSES[word]:
            close(STEP if word == ")" else 1 / STEP)
        else:
            if word[-1] in CLOSES and len(word.lstrip("\\")) == len(word):
                remarks.append(f"A {word[-1]!r} closes nothing; write \\{word[-1]} if you mean it.")
            pieces += _literal(word[1:] if re.fullmatch(r"\\.", word) else word)
    for bracket, _ in list(opened):
        remarks.append(f"A {bracket!r} is never closed: it counts to the end.")
        close(STEP if opened[-1][0] == "(" else 1 / STEP)
    return pieces


def _literal(words: str) -> list[Span | None]:
    first, *others = BREAK.split(words)
    return [Span(first), *(piece for other in others for piece in (None, Span(other)))]


def _merged(pieces) -> list[Span]:
    """Neighbours of one weight as one; without empty ones."""
    groups = groupby((piece for piece in pieces if piece.text), key=lambda piece: piece.weight)
    return [Span("".join(piece.text for piece in group), weight) for weight, group in groups]


def _lora(call: str, arguments: str) -> LoraCall:
    """ "name:0.8", "name:0.5:0.8" (text encoder, UNet) or "name:te=0.5:unet=0.8"."""
    name, *rest = arguments.split(":")
    if not is_name(name):
        raise Problem(f"{call} names no LoRA", do="Write <lora:name:1>, the name of its file")
    found: dict[str, float] = {}
    for place, argument in enumerate(rest):
        key, _, value = argument.rpartition("=")
        key = key.strip() or ("te", "unet")[min(place, 1)]
        if not re.fullmatch(rf"\s*{NUMBER}\s*", value):
            raise Problem(f"{call}: {value!r} is no number", do="Write <lora:name:0.8>")
        found[key] = float(value)
    text_encoder = found.get("te", 1.0)
    return LoraCall(name.strip(), found.get("unet", text_encoder), text_encoder)
