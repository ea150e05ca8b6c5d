"""Settings files as people, editors and bad disks leave them: settings, or one Problem, soon."""

import json
import random
import re

import pytest
import tomli_w

from sdnb import cli
from sdnb.dataset.photos import photo_paths
from sdnb.errors import Problem
from sdnb.settings import MOST_BYTES, read_toml
from sdnb.training.config import LoraConfig, TrainConfig, load_config
from sdnb.training.run import photos_for
from sdnb.training.run_folder import open_run


@pytest.mark.parametrize(
    "content",
    [
        "a." * 40_000 + "a = 1",
        "[" + "a." * 40_000 + "a]",
        "x = {" + "a." * 40_000 + "a = 1}",
        "rank = " + "[" * 9000 + "]" * 9000,
        "rank = " + "{a = " * 3000 + "1" + "}" * 3000,
        "rank = " + "9" * 5000,
        "rank = 8\0",
        "# " + "x" * MOST_BYTES,
        "rank = 8\n\xff",
        "rank" * 20_000,
    ],
    ids=range(10),
)
def test_a_file_that_is_no_settings(tmp_path, content):
    file = tmp_path / "a.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(Problem, match="The settings file is not TOML") as told:
        load_config(file)
    assert told.value.where == file


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b", "", "."])
def test_a_path_that_no_disk_can_hold(tmp_path, name):
    for path in (name, tmp_path / name):
        with pytest.raises(Problem, match="settings file cannot be read"):
            read_toml(path)


def test_what_would_be_waited_for_is_not_opened(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", "/dev/zero", "/proc"):
        with pytest.raises(Problem, match="settings file cannot be read"):
            load_config(path)


@pytest.mark.parametrize("key", ["photos", "held_out", "prior_folder", "init_weights", "base"])
@pytest.mark.parametrize("value", ["a\0b", "x" * 300, "x/" * 3000, "é" * 200])
def test_a_value_that_no_disk_can_hold(tmp_path, key, value):
    if key == "base" and "\0" not in value:
        with pytest.raises(Problem, match="There is no such base model"):
            photos_for(LoraConfig(base=value))
        return
    try:
        config = LoraConfig(**{key: value, "prior_weight": 1.0})
    except Problem as problem:
        assert key in problem.what and len(problem.what) < 300
        return
    assert value == "x/" * 3000  # each name in it is short
    with pytest.raises(Problem, match="cannot be read: File name too long"):
        open_run(config, tmp_path / "run")


@pytest.mark.parametrize("key", ["trigger", "class_word"])
def test_no_text_holds_a_nul(key):
    with pytest.raises(Problem, match=f"'{key}' cannot be .*(the code 0|a control character)"):
        LoraConfig(**{key: "a\0"})
    with pytest.raises(Problem, match="preview_prompts"):
        LoraConfig(preview_prompts=("a man", "a\0"))


@pytest.mark.parametrize("folder", ["/proc", "/dev", "/sys"])
def test_a_folder_of_the_systems_own_has_no_photos(tmp_path, folder):
    config = LoraConfig(photos=folder, held_out=folder)
    with pytest.raises(Problem, match="There are no photos in the folder"):
        photo_paths(config.photos)
    assert not open_run(config.replace(base=folder, init_weights=folder), tmp_path / "run").finished
    with pytest.raises(Problem, match="not a Stable Diffusion model"):
        photos_for(config.replace(base=folder))


def test_of_many_faults_the_first_are_told(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("".join(f"rank{i} = 1\n" for i in range(5000)) + "rank = 'x'\n")
    with pytest.raises(Problem, match="and 4996 more") as told:
        load_config(file)
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize("value", ["x" * 50_000, ["x"] * 10_000, {"a": {"a": [1] * 999}}, 10**4000])
def test_a_long_value_is_told_in_short(value):
    with pytest.raises(Problem, match="'rank' cannot be") as told:
        LoraConfig(rank=value)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("method", [["lora"], {"a": 1}, 3, True, "x" * 9000, "\0"])
def test_a_method_of_another_type(tmp_path, method):
    (tmp_path / "a.toml").write_text(tomli_w.dumps({"method": method}))
    with pytest.raises(Problem, match="no training method called") as told:
        load_config(tmp_path / "a.toml")
    assert len(str(told.value)) < 400


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ('{"a":1}', ('{"a":1}',)),
        ("{a", ("{a",)),
        ('"x', ('"x',)),
        ("a\\", ("a\\",)),
        ("a, [b] {c}%20 \\n ü 🙂", ("a, [b] {c}%20 \\n ü 🙂",)),
        ('["a, b", "c\\" {d}"]', ("a, b", 'c" {d}')),
        ('["a", {"a": 1}]', ('["a", {"a": 1}]',)),
        ("[" * 90_000, ("[" * 90_000,)),
        ("\udcff", ("\udcff",)),
    ],
    ids=range(9),
)
def test_a_prompt_on_the_command_line_is_the_words_it_is(monkeypatch, words, expected):
    seen = []
    monkeypatch.setattr(
        "sdnb.inference.images.make_image_files", lambda out, config, *_: seen.append(config) or []
    )
    monkeypatch.setattr("sdnb.inference.images.remarks", lambda config: [])
    for arguments in (["--prompts", words], [f"--prompts={words}"]):
        assert cli.main(["generate", *arguments]) == 0
        assert seen.pop().prompts == expected


# Mutants of a good file.

ODD = [True, -1, 0, 10**9, 2**70, 10**400, 1e308, float("inf"), float("nan"), "", "x", "\0"]
ODD += ["ü\u202e", "x" * 5000, "/proc", "../" * 999, [], [[]], ["x"] * 999, {}, {"a": {"b": 1}}]


def flip(chance, values):
    bad = bytearray(tomli_w.dumps(values).encode())
    for _ in range(chance.choice([1, 2, 9])):
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
    return bytes(bad)


def cut(chance, values):
    text = tomli_w.dumps(values).encode()
    return text[: chance.randrange(len(text))]


def other_value(chance, values):
    return tomli_w.dumps({**values, chance.choice([*values]): chance.choice(ODD)}).encode()


def odd_key(chance, values):
    keys = [
        "",
        "x" * 5000,
        "rnak",
        "RANK",
        "\0",
        "ü",
        "a" * 99 + ".b",
        *(f"k{i}" for i in range(9)),
    ]
    return tomli_w.dumps({**values, chance.choice(keys): chance.choice(ODD[:10])}).encode()


def huge(chance, values):
    part = chance.choice(["[", "{a=", "a.", "'''", "\n[a]", "#", "\\u0000", "rank = 8\n", "9" * 99])
    place, text = chance.randrange(99), tomli_w.dumps(values).encode()
    return text[:place] + part.encode() * chance.choice([9, 999, 99_999]) + text[place:]


KINDS = (flip, cut, other_value, odd_key, huge)


@pytest.mark.parametrize(
    ("first", "count"), [(0, 30), pytest.param(30, 270, marks=pytest.mark.thorough)]
)
def test_mutants_are_settings_or_a_problem(config, tmp_path, first, count):
    """What is accepted is what the file says, by another reader of TOML and by pydantic's types;
    and a run could begin with it, or be refused in a sentence."""
    values = json.loads(config.model_dump_json(exclude_none=True))
    good, refused, named = tmp_path / "good.toml", 0, 0
    config.save(good)
    before = good.read_bytes()
    for number in range(first, first + count):
        file = tmp_path / f"{number}.toml"
        file.write_bytes(KINDS[number % len(KINDS)](random.Random(number), values))
        try:
            found = load_config(file)
        except Problem as problem:
            refused += 1
            assert problem.where == file and len(str(problem)) < 3000, number
            keys = re.findall(r"'([^']*)' (?:is not|cannot)", problem.what)
            named += (
                bool(keys) or "not TOML" in problem.what or "no training method" in str(problem)
            )
            continue
        assert isinstance(found, TrainConfig)
        again = tmp_path / "again.toml"
        found.save(again)
        assert load_config(again) == found, number
        try:
            open_run(found, tmp_path / "run")
        except Problem as problem:
            assert problem.what, number
    print(f"{count} mutants: {refused} refused, {named} by their cause, the others are settings")
    assert named >= 0.9 * refused and refused > count / 3
    assert good.read_bytes() == before and load_config(good) == config
