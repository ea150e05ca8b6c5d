"""Prompts as people write them in the web UIs: weights, BREAK, and LoRAs called by name.

The grammar is AUTOMATIC1111's (modules/prompt_parser.py and extra_networks.py there), which Forge
shares: `(word)` weighs 1.1 times as much, `[word]` a 1.1th, `(word:1.3)` 1.3 times, and one within
another multiplies. A backslash makes a bracket a bracket. BREAK begins a new part of 75 tokens.
`<lora:name:0.8>` asks for a LoRA.
"""

import re
from collections.abc import Iterable
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
    calls = [*CALLS.finditer(text)]
    loras = [_lora(call) for call in calls if call[1] == "lora"]
    others = [call[0] for call in calls if call[1] != "lora"]
    remarks = [f"{call} is not understood here and is left out." for call in others]
    spans = _weighted(without_calls(text), remarks)
    groups = groupby(spans, key=lambda span: span is None)
    parts = [tuple(_merged(group)) for is_break, group in groups if not is_break]
    weights = [span.weight for part in parts for span in part]
    weights += [weight for call in loras for weight in (call.unet, call.text_encoder)]
    if not all(abs(weight) <= HEAVIEST for weight in weights):
        raise Problem(f"A weight in the prompt is above {HEAVIEST}", do="0.5 to 1.5 is usual")
    return Prompt(tuple(parts) or ((),), tuple(loras), tuple(remarks))


def plain_prompt(text: str) -> Prompt:
    """A prompt for the model as it stands. Raises Problem as `read_prompt` does, and where it calls
    a LoRA."""
    prompt = read_prompt(text)
    if prompt.loras:
        raise Problem(
            f"{prompt.loras[0]} asks for a file, and no folder is known here",
            do="Use load_lora first, or generate with a folder, and call LoRAs in prompts only",
        )
    return prompt


def without_calls(text: str) -> str:
    """The prompt without all that stands in <name:...>."""
    return CALLS.sub("", text)


def scale_loras(text: str, factor: float) -> str:
    """The prompt with the weights of its LoRA calls multiplied."""

    def scale(found: re.Match) -> str:
        if found[1] != "lora":
            return found[0]
        call = _lora(found)
        return str(LoraCall(call.name, factor * call.unet, factor * call.text_encoder))

    return CALLS.sub(scale, text)


def escape(text: str) -> str:
    """The text as a prompt that means these very words: brackets and backslashes escaped, and no
    call or BREAK left. CLIP reads neither spaces between signs nor capitals."""
    text = re.sub(r"<(?=\w+:)", "< ", re.sub(r"([()\[\]\\])", r"\\\1", text))
    return BREAK.sub(lambda found: found[0].lower(), text)


def _weighted(text: str, remarks: list[str]) -> list[Span | None]:
    """The words with their weights, and None for each BREAK."""
    spans: list[Span | None] = []
    opened: list[tuple[str, int]] = []  # the bracket, and the number of spans before it

    def close(factor: float) -> None:
        _, start = opened.pop()
        for index, span in enumerate(spans[start:], start):
            if span:
                spans[index] = Span(span.text, span.weight * factor)

    for token in TOKENS.finditer(text):
        word, weight = token[0], token[1]
        inner = opened[-1][0] if opened else ""
        if word in ("(", "["):
            opened.append((word, len(spans)))
        elif weight and inner == "(":
            close(float(weight))
        elif word in CLOSES and inner == CLOSES[word]:
            close(STEP if word == ")" else 1 / STEP)
        else:
            if word[-1] in CLOSES and len(word.lstrip("\\")) == len(word):
                remarks.append(f"A {word[-1]!r} closes nothing; write \\{word[-1]} if you mean it.")
            spans += _literal(word[1:] if re.fullmatch(r"\\.", word) else word)
    for bracket, _ in list(opened):
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
    """<lora:name:0.8>, <lora:name:0.5:0.8> (text encoder, UNet) or <lora:name:te=0.5:unet=0.8>. The
    name cannot be a path."""
    name, *rest = call[2].split(":")
    if not name.strip() or re.search(r"[/\\]|\.\.", name):
        raise Problem(f"{call[0]} names no LoRA", do="Write <lora:name:1>, the name of its file")
    weights: dict[str, float] = {}
    for place, argument in enumerate(rest):
        key, _, value = argument.rpartition("=")
        key = key.strip() or ("te", "unet")[min(place, 1)]
        if not re.fullmatch(rf"\s*{NUMBER}\s*", value):
            raise Problem(f"{call[0]}: {value!r} is no number", do="Write <lora:name:0.8>")
        weights[key] = float(value)
    text_encoder = weights.get("te", 1.0)
    return LoraCall(name.strip(), weights.get("unet", text_encoder), text_encoder)
