"""The model card says what the model is, and nothing that a name in it would make it say."""

import ast
import re
import typing
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from sdnb.config import DreamboothConfig, LoraConfig, TextualInversionConfig
from sdnb.export.card import LICENCES, PRIVATE, CardFacts, write_card
from sdnb.models import MODELS
from sdnb.problems import Problem

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
HOSTILE = (
    """x"\n---\n# h `c` ``` <b>b</b> [l](http://a.b) ![i](j) | a: ${y} {{ z }} ' \\ *e* \u202e"""
)
FACTS = CardFacts(
    name="ravo-lora",
    method="lora",
    base="sd15",
    base_id=SD15,
    licence="CreativeML OpenRAIL-M",
    trigger="ravo",
    class_word="man",
    settings={"rank": 8, "learning_rate": 1e-4},
    numbers={"likeness": {"mean": 0.8125, "spread": 0.0443, "n": 3}},
    pictures=[("1.png", "photo of ravo man on a beach")],
)
METHODS = ("lora", "textual_inversion", "dreambooth")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "1.png").touch()
    return tmp_path


def text_of(folder, facts, **more):
    return write_card(folder, facts, **more).read_text(encoding="utf-8")


def code_in(text, language="python"):
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)
    return code


def test_the_head_is_what_the_hub_reads(folder):
    path = write_card(folder, FACTS)
    assert path == folder / "README.md"
    assert ModelCard.load(path).data.to_dict() == {
        "base_model": SD15,
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "license": "creativeml-openrail-m",
        "tags": ["stable-diffusion", "lora", "text-to-image", "sdnb"],
        "instance_prompt": "ravo man",
        "widget": [{"text": "photo of ravo man on a beach", "output": {"url": "1.png"}}],
    }


def test_the_body_says_what_a_reader_needs(folder):
    text = text_of(folder, FACTS)
    for part in (
        "added to sd15",
        'one man by the word "ravo"',
        "<lora:ravo-lora:1>",
        r"| learning\_rate | 0.0001 |",
        "| likeness | 0.812 ± 0.044 | 3 |",  # three and two digits
        "![photo of ravo man on a beach](<1.png>)",
        "only with that person's consent",
        "licence is CreativeML OpenRAIL-M",
    ):
        assert part in text, part


@pytest.mark.parametrize("info", MODELS.values(), ids=list(MODELS))
def test_every_base_models_licence_has_a_name_on_the_hub(info):
    assert info.licence in LICENCES


def test_another_licence_is_named(folder):
    path = write_card(folder, replace(FACTS, licence="Stability AI Community"))
    data = ModelCard.load(path).data
    assert (data.license, data.license_name) == ("other", "stability-ai-community")


@pytest.mark.parametrize(
    ("method", "family", "calls"),
    [
        ("lora", "", ["load_lora_weights"]),
        ("lora", "sdxl", ["load_lora_weights"]),
        ("textual_inversion", "", ["load_textual_inversion"]),
        ("textual_inversion", "sdxl", ["load_textual_inversion"] * 2),
        ("dreambooth", "", []),
    ],
)
def test_the_snippet_is_python(folder, method, family, calls):
    text = text_of(folder, replace(FACTS, method=method, family=family))
    tree = ast.parse(code_in(text))
    found = [
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert [name for name in found if name.startswith("load_")] == calls
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    word = "photo of ravo" if method == "textual_inversion" else "photo of ravo man"
    assert word in constants
    assert (SD15 in constants) == (method != "dreambooth")
    assert ("ravo-lora.safetensors" in constants) == (method != "dreambooth")


@pytest.mark.parametrize("method", METHODS)
def test_hostile_words_stay_words(folder, method):
    """Rendered by mistune, a Markdown library: no tag, link, picture or row more than with plain
    words, and the head and the snippet hold the words themselves."""
    mistune = pytest.importorskip("mistune")
    hostile = replace(
        FACTS,
        method=method,
        name=HOSTILE,
        trigger=HOSTILE,
        class_word=HOSTILE,
        base=HOSTILE,
        licence=HOSTILE,
        settings={"rank": 8, HOSTILE: 1},
        numbers={HOSTILE: {"mean": 1, "spread": 1, "n": 1}},
        pictures=[("1.png", HOSTILE)],
    )
    render = mistune.create_markdown(plugins=["table", "strikethrough", "url"], escape=False)
    plain, other = (
        ModelCard(text_of(folder, facts)) for facts in (replace(FACTS, method=method), hostile)
    )
    tags = [re.findall(r"</?(\w+)", render(card.text)) for card in (plain, other)]
    assert tags[0] == tags[1]
    line = " ".join(HOSTILE.split()).replace("\u202e", "").rstrip()
    said = other.data.instance_prompt
    assert said == line if method == "textual_inversion" else said == f"{line} {line}"
    assert set(other.data.to_dict()) == set(plain.data.to_dict()) | {"license_name"}
    constants = {n.value for n in ast.walk(ast.parse(code_in(other.text))) if hasattr(n, "value")}
    assert f"photo of {said}" in constants


def test_private_settings_are_left_out_unless_asked_for(folder):
    secrets = {
        "photos": "anna_photos",
        "held_out": Path("held"),
        "instance_prompt": "photo of anna",
        "other": "C:\\anna",
        "another": Path("anna"),
    }
    facts = replace(FACTS, settings={"rank": 8, **secrets}, base_id="/home/anna/x.safetensors")
    text = text_of(folder, facts)
    assert "| rank | 8 |" in text and not re.search("anna|held", text)
    text = text_of(folder, facts, private=True)
    assert r"anna\_photos" in text and "/home" not in text


@pytest.mark.parametrize("kind", [LoraConfig, TextualInversionConfig, DreamboothConfig])
def test_every_setting_that_is_a_path_counts_as_private(kind):
    """After `model_dump(mode="json")` a path is a string like any other."""
    hints = typing.get_type_hints(kind)
    paths = {name for name, hint in hints.items() if Path in (hint, *typing.get_args(hint))}
    assert len(paths) == 4 and paths <= PRIVATE


def test_a_base_on_this_disk_is_called_by_its_last_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("anna").mkdir()
    Path("anna/mix.safetensors").touch()
    for place in ("anna/mix.safetensors", r"C:\anna\mix.safetensors"):
        facts = replace(FACTS, base=place, base_id=place, pictures=[])
        text = text_of(tmp_path, facts)
        assert "added to mix.safetensors" in text and "anna" not in text
        assert "base_model" not in ModelCard(text).data.to_dict()
        assert "PATH OF THE BASE MODEL" in code_in(text)


def test_with_nothing_measured_or_drawn_the_chapters_are_absent(tmp_path):
    text = text_of(tmp_path, replace(FACTS, settings={}, numbers={}, pictures=[]))
    assert re.findall(r"^#+ (.*)$", text, re.M) == [
        r"ravo-lora",
        "How to use it",
        "How it was made",
        "Consent and likeness",
    ]


def test_one_measurement_has_no_spread(tmp_path):
    facts = replace(FACTS, pictures=[], numbers={"drift": {"mean": 0.25, "spread": None, "n": 1}})
    assert "| drift | 0.25 | 1 |" in text_of(tmp_path, facts)


def test_a_card_is_renewed_and_another_text_kept(tmp_path):
    facts = replace(FACTS, pictures=[])
    write_card(tmp_path, facts)
    assert "# other" in text_of(tmp_path, replace(facts, name="other"))
    (tmp_path / "README.md").write_text("# My project\n")
    with pytest.raises(Problem, match="another text"):
        write_card(tmp_path, facts)
    assert (tmp_path / "README.md").read_text() == "# My project\n"


@pytest.mark.parametrize("name", ["../1.png", "/tmp/1.png", r"a\1.png", "missing.png"])
def test_pictures_must_be_beside_the_card(folder, name):
    with pytest.raises(Problem, match="beside the card"):
        write_card(folder, replace(FACTS, pictures=[(name, "photo")]))


def test_an_unknown_method_is_a_problem(folder):
    with pytest.raises(Problem, match="hypernetwork is no method"):
        write_card(folder, replace(FACTS, method="hypernetwork"))
