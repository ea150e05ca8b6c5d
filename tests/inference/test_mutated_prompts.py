"""Good prompts, broken as people break them when they paste and type: every one is read, with the
break used or remarked on, or refused for the true cause."""

import random
import re
from collections.abc import Callable

import pytest

from sdnb.errors import Problem
from sdnb.inference.prompts import NUMBER, LoraCall, Prompt, read_prompt

SEEDS = (
    "photo of ravo wearing a red hat, at the beach",
    "(masterpiece:1.2), best quality, ((detailed eyes)), [blurry] <lora:ravo:0.8>",
    "a man BREAK (a forest at night:1.3), fog <lora:style one:0.5:0.9>",
    "portrait, (a (red:1.1) hat:1.2), \\(film\\), 12:30 <lora:ravo:te=0.4:unet=0.7>",
    "ravo, smiling, [[dark]] background, time: noon",
)
Mutation = Callable[[random.Random, str], tuple[str, str | Callable[[Prompt], bool]]]


def at_a_space(rng: random.Random, text: str, piece: str) -> str:
    """The text with something put in between two words, outside of calls."""
    places = [0, len(text)] + [m.start() for m in re.finditer(r" (?![^<]*>)", text)]
    place = rng.choice(places)
    return f"{text[:place]} {piece} {text[place:]}"


def inserted(piece: str, said: str) -> Mutation:
    """Puts in a piece of which a remark or a Problem must speak."""
    return lambda rng, text: (at_a_space(rng, text, piece), said)


def calling(piece: str, unet: float, text_encoder: float, said: str = "") -> Mutation:
    """Puts in a call that is understood, with these weights, though something is `said`."""

    def understood(prompt: Prompt) -> bool:
        wanted = LoraCall("new", unet, text_encoder)
        return wanted in prompt.loras and any(said in remark for remark in ("", *prompt.remarks))

    return lambda rng, text: (at_a_space(rng, text, piece), understood)


def doubled(rng: random.Random, text: str):
    call = f"<lora:twice:{rng.choice((0.3, 1))}>"
    text = at_a_space(rng, at_a_space(rng, text, call), "<lora:twice:0.5>")
    return (
        text,
        lambda prompt: (
            LoraCall("twice", 0.5, 0.5) in prompt.loras
            and sum(call.name == "twice" for call in prompt.loras) >= 2
            and any("'twice' is called more than once" in remark for remark in prompt.remarks)
        ),
    )


def unbalanced(rng: random.Random, text: str):
    """One bracket more, before or behind all others, so that it has no partner."""
    sign = rng.choice("()[]")
    opens = sign in "(["
    said = f"{sign!r} is never closed" if opens else f"{sign!r} closes nothing"
    return (f"{text} {sign}, a" if opens else f"a {sign} {text}"), said


def cut_call(rng: random.Random, text: str):
    """A call whose end was lost."""
    call = "<lora:lost:0.8"[: rng.randint(len("<lora:"), len("<lora:lost:0.8"))]
    return f"{text} {call}", "never closed by '>'"


MUTATIONS: dict[str, Mutation] = {
    "schedule": inserted("[cat:dog:0.5]", "[cat:dog:0.5] changes"),
    "schedule of steps": inserted("[cat: dog: 12]", "[cat: dog: 12] changes"),
    "from": inserted("[fog:.3]", "[fog:.3] changes"),
    "until": inserted("[fog::7]", "[fog::7] changes"),
    "weighted schedule": inserted("[(fog:1.2):5]", "[(fog:1.2):5] changes"),
    "schedule in another": inserted("[a:[b:c:2]:9]", "[a:[b:c:2]:9] changes"),
    "in turns": inserted("[cow|horse|(dog:1.2)]", "[cow|horse|(dog:1.2)] changes"),
    "AND": inserted("AND", "AND joins"),
    "weighted AND": inserted(":1.2 AND", "AND joins"),
    "BREAK": lambda rng, text: (f"a BREAK {text}", lambda p: p.parts[0][0].text == "a"),
    "comma": inserted("(hat:1,3)", ":1,3) is no weight"),
    "two points": inserted("(hat:1.2.3)", ":1.2.3) is no weight"),
    "per cent": inserted("(hat:120%)", ":120%) is no weight"),
    "weight outside": inserted("(hat)1.3", ")1.3 is no weight"),
    "colon outside": inserted("(hat):1.3", "):1.3 is no weight"),
    "no brackets": inserted("hat:1.3,", "hat:1.3 is no weight"),
    "huge weight": inserted("(hat:99999)", "above 1000"),
    "signs around a word": inserted("<ravo>", "<ravo> is no call"),
    "ComfyUI's word": inserted("embedding:ravo", "embedding:ravo is"),
    "ComfyUI's, weighted": inserted("(embedding:ravo.pt:1.2)", "embedding:ravo.pt is"),
    "choices": inserted("{red|blue}", "{red|blue} means more"),
    "many choices": inserted("{2$$red|{pale|dark} blue}", "{pale|dark} means more"),
    "half of a choice": inserted("{red|", "{red| "),
    "wildcard": inserted("__hair/colour__", "__hair/colour__ means more"),
    "comment": inserted("# not this", "# not this"),
    "wide brackets": inserted("（hat：1.3）", "（ does not weigh"),
    "hypernetwork": inserted("<hypernet:x:1>", "<hypernet:x:1> is not understood"),
    "another call": inserted("<lora-block:x:1>", "is no call"),
    "space in the call": inserted("< lora:new:1>", "< lora:new:1> is no call"),
    "no name": inserted("<lora::1>", "names no LoRA"),
    "path": inserted("<lora:../x:1>", "names no LoRA"),
    "word for a weight": inserted("<lora:new:strong>", "'strong' is no number"),
    "comma in a call": inserted("<lora:new:0,8>", "'0,8' is no number"),
    "not a number": inserted("<lora:new:te=nan>", "'nan' is no number"),
    "LyCORIS": calling("<lyco:new:0.5:0.8>", 0.8, 0.5),
    "capitals": calling("<LORA:new:0.5>", 0.5, 0.5),
    "rank": calling("<lora:new:1:0.5:8>", 0.5, 1, "dyn=8 of 'new' is not used"),
    "blocks": calling("<lora:new:0.5:lbw=IN02>", 0.5, 0.5, "lbw=IN02 of 'new' is not used"),
    "from a step": calling("<lora:new:0.5:start=5>", 0.5, 0.5, "start=5 of 'new' is not used"),
    "named": calling("<lora:new:te=0.2:unet=0.6>", 0.6, 0.2),
    "named first": calling("<lora:new:unet=0.6:0.2>", 0.6, 0.2),
    "named twice": calling("<lora:new:te=0.2:te=0.6>", 0.6, 0.6, "te=0.2 of 'new' is not used"),
    "called twice": doubled,
    "unbalanced": unbalanced,
    "cut": cut_call,
}


GRAMMAR = {"BREAK", "lora", "lyco", "LORA", "te", "unet"}


def lost(text: str) -> set[str]:
    """Words of the prompt that are in no span, no call and no remark."""
    prompt = read_prompt(text)
    kept = [span.text for part in prompt.parts for span in part]
    kept += [*map(str, prompt.loras), *prompt.remarks]
    words = re.findall(r"\w+", re.sub(rf":\s*{NUMBER}\s*\)", ")", text))
    return set(words) - GRAMMAR - set(re.findall(r"\w+", " ".join(kept)))


def check(number: int) -> None:
    """Break the seed prompt once, or twice in two ways, and look what becomes of it."""
    rng = random.Random(number)
    text, expected = rng.choice(SEEDS), []
    names = [list(MUTATIONS)[number % len(MUTATIONS)], rng.choice(list(MUTATIONS))]
    for name in names[: rng.randint(1, 2)]:
        text, after = MUTATIONS[name](rng, text)
        expected.append((name, after))
    try:
        prompt = read_prompt(text)
    except Problem as problem:  # one cause is enough for refusing
        assert any(isinstance(said, str) and said in str(problem) for _, said in expected), text
        return
    for name, after in expected:
        told = any(after in r for r in prompt.remarks) if isinstance(after, str) else after(prompt)
        assert told, (name, text, prompt)
    assert not lost(text), text


EVERY_DAY = len(MUTATIONS)  # each break once


@pytest.mark.parametrize(
    "number",
    [*range(EVERY_DAY)]
    + [pytest.param(number, marks=pytest.mark.thorough) for number in range(EVERY_DAY, 300)],
)
def test_a_broken_prompt_is_used_remarked_on_or_refused(number):
    check(number)
