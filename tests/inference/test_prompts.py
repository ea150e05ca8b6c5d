"""The web UIs' prompt grammar: by hand, and on random prompts whose meaning is known."""

import random

import pytest
import torch

from sdnb.errors import Problem
from sdnb.inference.prompt_weights import token_chunks, weighted_embeddings
from sdnb.inference.prompts import (
    LoraCall,
    Span,
    escape,
    read_prompt,
    scale_loras,
    unescape,
    without_calls,
)
from sdnb.models.loading import load_model


def spans(text: str) -> list[tuple[str, float]]:
    (part,) = read_prompt(text).parts
    return [(span.text, pytest.approx(span.weight)) for span in part]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a red hat", [("a red hat", 1)]),
        ("a (red) hat", [("a ", 1), ("red", 1.1), (" hat", 1)]),
        ("a [red] hat", [("a ", 1), ("red", 1 / 1.1), (" hat", 1)]),
        ("a (red:1.3) hat", [("a ", 1), ("red", 1.3), (" hat", 1)]),
        ("((hat))", [("hat", 1.21)]),
        ("(a (hat:1.5) b:2)", [("a ", 2), ("hat", 3), (" b", 2)]),
        ("([hat])", [("hat", 1)]),
        ("a \\(red\\) hat", [("a (red) hat", 1)]),
        ("time: 12:30", [("time: 12:30", 1)]),
        ("(hat:.5)", [("hat", 0.5)]),
        ("(a:1.2)(b:1.2)", [("ab", 1.2)]),
        ("(a:-1)", [("a", -1)]),
        ("", []),
    ],
)
def test_weights(text, meant):
    assert spans(text) == meant and read_prompt(text).remarks == ()


@pytest.mark.parametrize(
    ("text", "meant", "remark"),
    [
        ("a (red hat", [("a ", 1), ("red hat", 1.1)], "'(' is never closed"),
        ("a red) hat", [("a red) hat", 1)], "')' closes nothing"),
        ("a red:1.2) hat", [("a red:1.2) hat", 1)], "')' closes nothing"),
        ("(a] b)", [("a] b", 1.1)], "']' closes nothing"),
        ("a <hypernet:x:1>hat", [("a hat", 1)], "<hypernet:x:1> is not understood"),
    ],
)
def test_what_the_writer_may_not_have_meant_is_pointed_out(text, meant, remark):
    assert spans(text) == meant
    (said,) = read_prompt(text).remarks
    assert remark in said


AS_WORDS = [  # what other programs read otherwise, the words that are left, and what is said
    ("a [cat:dog:0.5]", "a cat:dog:0.5", ["[cat:dog:0.5] changes"]),
    ("[cow|horse]", "cow|horse", ["[cow|horse] changes"]),
    ("[hat:0.3] [hat::5]", "hat:0.3 hat::5", ["[hat:0.3] changes", "[hat::5] changes"]),
    ("[a (b:1.2):5]", "a b:5", ["[a (b:1.2):5] changes"]),
    ("[a:[c:d:2]:1]", "a:c:d:2:1", ["[c:d:2] changes", "[a:[c:d:2]:1] changes"]),
    ("[hat], [time: noon], [a\\|b]", "hat, time: noon, a|b", []),
    ("a cat AND a dog AND SAND", "a cat AND a dog AND SAND", ["AND joins"]),
    ("(hat:1,3)", "hat:1,3", [":1,3) is no weight"]),
    ("(hat:1.2.3)", "hat:1.2.3", [":1.2.3) is no weight"]),
    ("(hat:130%)", "hat:130%", [":130%) is no weight"]),
    ("(hat)1.3, a", "hat1.3, a", [")1.3 is no weight"]),
    ("(hat): 1.3", "hat: 1.3", ["): 1.3 is no weight"]),
    ("hat:1.3, a", "hat:1.3, a", ["hat:1.3 is no weight"]),
    ("((hat):1.3), (two) men, 12:30", "hat, two men, 12:30", []),
    ("<ravo>, a", "<ravo>, a", ["<ravo> is no call"]),
    ("i <3 u, 2 < 3", "i <3 u, 2 < 3", []),
    ("a <lora:ravo:0.8, b", "a <lora:ravo:0.8, b", ["<lora:ravo:0.8 is never closed"]),
    ("<lora:ravo <b:1>", "<lora:ravo ", ["<b:1> is not under", "<lora:ravo is never closed"]),
    ("< lora:a:1>", "< lora:a:1>", ["< lora:a:1> is no call"]),
    ("embedding:ravo, (embedding:x.pt:1.2)", None, ["embedding:ravo is", "embedding:x.pt is"]),
    ("{a|b}", "{a|b}", ["{a|b} means more"]),
    ("{a|{2$$b|c}", "{a|{2$$b|c}", ["{a| means", "{2$$b|c} means"]),
    ("__hair/col*__ __init", "__hair/col*__ __init", ["__hair/col*__ means more"]),
    ("a # of\nb", "a # of\nb", ["# of is a comment"]),
    ("（hat：1.3）", "（hat：1.3）", ["（ does not weigh"]),
    ("\\{a\\} \\<b> \\#c \\__d__ e\\:1.3", "{a} <b> #c __d__ e:1.3", []),
    ("\\\\<lora:a:1>x\\<lora:b:1>", "\\x<lora:b:1>", []),
]


@pytest.mark.parametrize(("text", "words", "said"), AS_WORDS)
def test_what_other_programs_would_read_otherwise_is_said(text, words, said):
    prompt = read_prompt(text)
    assert words in (None, "".join(span.text for part in prompt.parts for span in part))
    assert len(prompt.remarks) == len(said)
    assert all(remark.startswith(start) for remark, start in zip(prompt.remarks, said, strict=True))


def test_break_begins_a_new_part_within_brackets_too():
    prompt = read_prompt("a man BREAK (in a BREAK forest:1.2), BREAKFAST")
    texts = [[(s.text, s.weight) for s in part] for part in prompt.parts]
    assert texts == [[("a man", 1)], [("in a", 1.2)], [("forest", 1.2), (", BREAKFAST", 1)]]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("<lora:ravo>", LoraCall("ravo")),
        ("<lora:ravo:0.8>", LoraCall("ravo", 0.8, 0.8)),
        ("<lora:ravo:0.5:0.9>", LoraCall("ravo", 0.9, 0.5)),
        ("<lora:my man:te=0:unet=1.2>", LoraCall("my man", 1.2, 0)),
        ("<lora:ravo:unet=0.7>", LoraCall("ravo", 0.7, 1)),
        ("<lora:ravo:unet=0.7:0.5>", LoraCall("ravo", 0.7, 0.5)),
        ("<lora:ravo: TE = 0.5 :UNet=0.7>", LoraCall("ravo", 0.7, 0.5)),
        ("<lyco:ravo:0.5:0.9>", LoraCall("ravo", 0.9, 0.5)),
        ("<Lora:ravo:0.5>", LoraCall("ravo", 0.5, 0.5)),
    ],
)
def test_loras_are_called_and_leave_the_words(text, call):
    prompt = read_prompt(f"photo of ravo{text}")
    assert prompt.loras == (call,) and prompt.parts == ((Span("photo of ravo"),),)
    assert prompt.remarks == ()


@pytest.mark.parametrize(
    ("text", "call", "unused"),
    [
        ("<lora:a:1:0.5:8>", LoraCall("a", 0.5, 1), ["dyn=8"]),
        ("<lora:a:1:0.5:8:9>", LoraCall("a", 0.5, 1), ["dyn=8", "dyn=9"]),
        ("<lora:a:0.5:lbw=IN02:start=5>", LoraCall("a", 0.5, 0.5), ["lbw=IN02", "start=5"]),
        ("<lora:a:dyn=8:te=0.5:unet=0.7>", LoraCall("a", 0.7, 0.5), ["dyn=8"]),
        ("<lora:a:te=0.3:0.8>", LoraCall("a", 0.3, 0.3), ["te=0.8"]),  # as AUTOMATIC1111 does
        ("<lora:a:te=0.3:te=0.4>", LoraCall("a", 0.4, 0.4), ["te=0.3"]),
    ],
)
def test_what_a_call_says_besides_is_not_used_but_said(text, call, unused):
    prompt = read_prompt(text)
    assert prompt.loras == (call,) and prompt.loras[0].unused == tuple(unused)
    assert prompt.remarks == tuple(f"{each} of 'a' is not used here." for each in unused)
    halved = read_prompt(scale_loras(text, 0.5)).loras  # and so in a grid
    assert halved == (LoraCall("a", call.unet / 2, call.text_encoder / 2),)
    assert set(unused) <= {*halved[0].unused, "te=0.8", "te=0.3"}


def test_a_lora_called_twice_is_said_and_both_calls_count():
    prompt = read_prompt("<lora:a:0.5><lora:b:1><lora:a:0.3>")
    assert prompt.loras == (LoraCall("a", 0.5, 0.5), LoraCall("b"), LoraCall("a", 0.3, 0.3))
    (said,) = prompt.remarks
    assert "'a' is called more than once" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<lora:ravo:much>", "'much' is no number"),
        ("<lora:ravo:nan>", "'nan' is no number"),
        ("<lora:ravo:-inf>", "'-inf' is no number"),
        ("<lora:ravo:>", "'' is no number"),
        ("<lora::1>", "names no LoRA"),
        ("<lora:../../etc/passwd:1>", "names no LoRA"),
        ("<lora:ravo:2000>", "above 1000"),
        (f"(a:{'9' * 400})", "above 1000"),
        ("(" * 4000 + "a", "above 1000"),
        ("x" * 10_000, "10000 characters"),
    ],
)
def test_what_makes_no_sense_is_a_problem(text, words):
    with pytest.raises(Problem, match=words):
        read_prompt(text)


def test_calls_are_weighed_and_taken_out():
    text = "a <lora:x>, (b:1.2) <lora:my man:0.5:0.8>BREAK<lora:y:te=0><hypernet:z:1>"
    halved = scale_loras(text, 0.5)
    assert halved == ("a <lora:x:0.5>, (b:1.2) <lora:my man:0.25:0.4>BREAK<lora:y:0><hypernet:z:1>")
    assert read_prompt(halved).loras == (
        LoraCall("x", 0.5, 0.5),
        LoraCall("my man", 0.4, 0.25),
        LoraCall("y", 0, 0),
    )
    assert without_calls(text) == "a , (b:1.2) BREAK"
    assert read_prompt(without_calls(text)).parts == read_prompt(text).parts


NASTY = [
    "photo of ravo (red) [hat]",
    "a :) and ((more:1.5) <lora:x:1> <<lora:../y>",
    "\\(a\\) \\\\",
    "COFFEE BREAK BREAK(BREAK)",
    "<b:0> (a:1.3",
]


@pytest.mark.parametrize("words", NASTY)
def test_escaped_words_are_read_as_the_words_they_are(words):
    """By the text encoder, within 1e-5: a caption in training and as a prompt is the same."""
    model = load_model("mini")
    prompt = read_prompt(escape(words))
    assert (prompt.loras, prompt.remarks) == ((), ())
    found = weighted_embeddings(model, [token_chunks(model, prompt)])
    torch.testing.assert_close(found, model.text_embeddings([words]), atol=1e-5, rtol=0)


SIGNS = [*"()[]{}<>\\|:#_（，）. ", "__", "a", "1.2", "AND", "BREAK", "embedding:", "<lora:", "\n"]


@pytest.mark.parametrize("seed", range(60))
def test_escaped_signs_are_themselves(seed):
    """Any words at all, without a remark."""
    rng = random.Random(seed)
    words = "".join(rng.choice(SIGNS) for _ in range(rng.randint(1, 30)))
    prompt = read_prompt(escape(words))
    (part,) = prompt.parts
    found = "".join(span.text for span in part)
    assert "".join(found.split()).lower() == "".join(words.split()).lower()
    assert {span.weight for span in part} <= {1} and (prompt.loras, prompt.remarks) == ((), ())


def test_a_backslash_alone_stays():
    assert unescape(r"\(a\) \\ \b \:") == r"(a) \ \b :"
    assert spans(r"\o/ \(a\)") == [(r"\o/ (a)", 1)]


@pytest.mark.parametrize("seed", range(40))
def test_no_prompt_at_all_ends_in_a_traceback(seed):
    """Any signs in any order are a prompt or a Problem; weights are finite."""
    rng = random.Random(seed)
    signs = [*"()[]\\:<>., ab1", "BREAK", "<lora:", ":1.2)", "\n", "🎩", "\0"]
    text = "".join(rng.choice(signs) for _ in range(rng.randint(1, 60)))
    try:
        prompt = read_prompt(text)
    except Problem:
        return
    assert all(abs(span.weight) <= 1000 for part in prompt.parts for span in part)


def written(rng: random.Random, weight: float, depth: int) -> tuple[str, list[Span]]:
    """A random prompt, and what it means: (text, spans), not merged."""
    text, meant = "", []
    for _ in range(rng.randint(1, 3)):
        word = "".join(rng.choice("ab ,()[]\\") for _ in range(rng.randint(1, 5)))
        text, meant = text + escape(word), [*meant, Span(word, weight)]
        if depth:
            kind = rng.randrange(3)
            factor = (1.1, 1 / 1.1, round(rng.uniform(0.1, 2), 2))[kind]
            inner, spans_ = written(rng, weight * factor, depth - 1)
            text += (f"({inner})", f"[{inner}]", f"({inner}:{factor})")[kind]
            meant += spans_
    return text, meant


@pytest.mark.parametrize("seed", range(60))
def test_random_prompts_mean_what_they_were_written_to_mean(seed):
    rng = random.Random(seed)
    text, meant = written(rng, 1.0, depth=3)
    (part,) = read_prompt(text).parts
    by_letter = [(letter, span.weight) for span in part for letter in span.text]
    expected = [(letter, pytest.approx(span.weight)) for span in meant for letter in span.text]
    assert by_letter == expected and read_prompt(text).remarks == ()
