"""The web UIs' text in a PNG, there and back."""

import contextlib
import random
import string
from dataclasses import replace

import pytest
from PIL import Image, PngImagePlugin

from sdnb.errors import Problem
from sdnb.inference.config import ImageConfig
from sdnb.inference.infotext import (
    GenerationInfo,
    config_from_infotext,
    generation_info,
    parse_infotext,
    read_infotext,
    save_with_infotext,
    write_infotext,
)
from sdnb.inference.samplers import SAMPLERS
from sdnb.models.base import ModelInfo, find_model
from sdnb.models.families import SD1

INFO = ModelInfo("m", SD1, 512, ())

# as AUTOMATIC1111's web UI writes it
THEIRS = """photo of ravo <lora:ravo:0.8>, (red hat:1.2)
in two lines
Negative prompt: blurred, dark
Steps: 28, Sampler: Euler a, Schedule type: Automatic, CFG scale: 6.5, Seed: 1234567890, \
Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, Clip skip: 2, \
Lora hashes: "ravo: 0123456789ab, x: ff", Version: v1.10.1"""


def test_theirs_is_read():
    info = parse_infotext(THEIRS)
    assert info == GenerationInfo(
        "photo of ravo <lora:ravo:0.8>, (red hat:1.2)\nin two lines",
        "blurred, dark",
        28,
        "Euler a",
        6.5,
        1234567890,
        (512, 768),
        "v1-5-pruned",
        1,
        {
            "Schedule type": "Automatic",
            "Model hash": "6ce0161689",
            "Lora hashes": "ravo: 0123456789ab, x: ff",
            "Version": "v1.10.1",
        },
    )


def test_ours_is_written_as_they_read_it():
    text = write_infotext(
        GenerationInfo("a man", "dark", 20, guidance=4.0, seed=7, size=(128, 128))
    )
    assert text == (
        "a man\nNegative prompt: dark\n"
        "Steps: 20, Sampler: DPM++ 2M, CFG scale: 4, Seed: 7, Size: 128x128, RNG: CPU"
    )


HIRES = (
    "Denoising strength: 0.4, Hires upscale: 2, Hires steps: 10, Hires upscaler: Latent, "
    "Refiner: xl_refiner [7440042bbd], Refiner switch at: 0.8, Some extension: a b"
)


def test_what_is_not_known_here_is_kept_and_said(capsys):
    text = f"{THEIRS}, {HIRES}"
    info = parse_infotext(text)
    for pair in HIRES.split(", "):
        key, value = pair.split(": ")
        assert info.more[key] == value
    again, before = (t.splitlines()[-1].split(", ") for t in (write_infotext(info), text))
    assert sorted(again) == sorted(before)
    assert capsys.readouterr().out == ""
    config_from_infotext(info)
    (said,) = capsys.readouterr().out.splitlines()
    assert HIRES in said and "Version" not in said and "hash" not in said


@pytest.mark.parametrize(
    ("rng", "said"),
    [
        (", RNG: CPU", ""),
        (", RNG: NV", "RNG: NV"),
        (", RNG: GPU", "RNG: GPU"),
        ("", "noise from the GPU, as no RNG is named"),
    ],
)
def test_where_the_noise_came_from_stays_and_is_said(rng, said, capsys):
    text = f"a\nSteps: 9, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64{rng}"
    info = parse_infotext(text)
    assert write_infotext(info) == text
    config_from_infotext(info)
    assert said in capsys.readouterr().out and bool(said) == bool(info.rng != "CPU")


def test_ours_says_all_that_its_settings_need(capsys):
    config_from_infotext(generation_info(ImageConfig(sampler="DPM++ 2M Karras"), INFO))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("behind", ["Template: a {b|c}, d: e, f: g, h: i", "Template: a\n\nb"])
def test_the_settings_need_not_be_the_last_line(behind, capsys):
    settings = "Steps: 9, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, RNG: CPU"
    text = f"a: b, c: d, e: f\nNegative prompt: dark\n{settings}\n{behind}"
    info = parse_infotext(text)
    assert (info.prompt, info.negative, info.seed) == ("a: b, c: d, e: f", "dark", 1)
    assert info.more == {"Text behind": behind} and write_infotext(info) == text
    config_from_infotext(info)
    assert behind in capsys.readouterr().out


@pytest.mark.parametrize("mark", ["Negative prompt:dark", "Negative prompt: dark"])
def test_lines_end_as_on_windows_and_marks_without_a_space(mark):
    text = f"a\r\nb\r\n{mark}\r\nSteps: 9, Sampler: Euler, Seed: 1, Size: 64x64\r\n"
    info = parse_infotext(text)
    assert (info.prompt, info.negative, info.size) == ("a\nb", "dark", (64, 64))


@pytest.mark.parametrize("seed", range(40))
def test_there_and_back(seed, tmp_path):
    rng = random.Random(seed)

    def words(letters: str) -> str:
        return "".join(rng.choice(letters) for _ in range(rng.randint(1, 30))).strip()

    spoken = string.ascii_letters + ' ,:;()"\\<>.äж🎩'
    info = GenerationInfo(
        words(spoken + "\n") or "a",
        words(spoken),
        rng.randint(1, 150),
        "Euler a",
        rng.randint(2, 60) / 2,
        rng.randrange(2**32),
        (rng.randrange(64, 2048, 8), rng.randrange(64, 2048, 8)),
        words(string.ascii_letters + ',: "\\-') or "m",
        rng.randrange(3),
    )
    save_with_infotext(Image.new("RGB", (8, 8)), tmp_path / "a.png", info)
    assert read_infotext(tmp_path / "a.png") == info


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a man",
        "a man\nSteps: 20, Seed: 1",
        "a\nSteps: x, Seed: 1, Size: 1x1",
        "x" * 200_000,
        "a\nSteps: 1, Seed: 1, Size: 12, CFG scale: 7",
    ],
)
def test_broken_texts_are_a_problem_with_the_file(tmp_path, text):
    told = PngImagePlugin.PngInfo()
    told.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=told)
    with pytest.raises(Problem) as caught:
        read_infotext(tmp_path / "a.png")
    assert caught.value.where == tmp_path / "a.png"


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no picture"])
def test_what_is_no_picture(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Problem, match="cannot be read"):
        read_infotext(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    with pytest.raises(Problem, match="does not say"):
        read_infotext(tmp_path / "b.png")


def test_the_info_is_settings_again():
    config = ImageConfig(
        prompts=("a man\nand (more:1.2) <lora:x:0.5>, \\(b\\)",),
        first_seed=2**32 - 1,
        seeds=1,
        negative="dark, blurred",
        steps=7,
        guidance=6.54321,
        sampler="DPM++ 2M SDE Karras",
        width=96,
        height=64,
        clip_skip=1,
    )
    info = generation_info(config, INFO)
    last = write_infotext(info).splitlines()[-1]
    assert last == (
        "Steps: 7, Sampler: DPM++ 2M SDE, CFG scale: 6.54321, Seed: 4294967295, Size: 96x64, "
        "Model: m, Clip skip: 2, RNG: CPU, Schedule type: Karras"
    )
    assert config_from_infotext(parse_infotext(write_infotext(info))) == config
    # where no size is set, the text tells the model's
    info = generation_info(config.replace(width=None), INFO)
    assert info.size == (512, 64) and config_from_infotext(info).width == 512
    # and so where no guidance is
    assert generation_info(ImageConfig(), INFO).guidance == 7.0
    assert generation_info(ImageConfig(), find_model("mini")).guidance == 4.0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_samplers_name_survives(sampler):
    size = {"width": 64, "height": 64}
    config = ImageConfig(sampler=sampler, prompts=("a",), seeds=1, guidance=7, **size)
    text = write_infotext(generation_info(config, INFO))
    assert config_from_infotext(parse_infotext(text)) == config


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("Euler a, Schedule type: Automatic", "Euler a"),
        ("DPM++ 2M, Schedule type: Automatic", "DPM++ 2M Karras"),
        ("DPM++ 2M, Schedule type: Uniform", "DPM++ 2M"),
        ("DPM++ 2M Karras", "DPM++ 2M Karras"),  # as older web UIs write it
        ("DPM++ 2M", "DPM++ 2M"),
    ],
)
def test_the_web_uis_names_of_samplers(named, meant):
    info = parse_infotext(f"a\nSteps: 20, Sampler: {named}, Seed: 1, Size: 64x64, CFG scale: 7")
    assert config_from_infotext(info).sampler == meant


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampler": "Euler", "more": {"Schedule type": "Beta"}}, "no sampler called 'Euler Beta'"),
        ({"sampler": "DDMI"}, "Did you mean 'DDIM'"),
        ({"seed": -1}, "'first_seed' cannot be -1"),
        ({"size": (0, 64)}, "'width' cannot be 0"),
        ({"steps": 10_000}, "'steps' cannot be 10000"),
        ({"guidance": float("nan")}, "'guidance'"),
    ],
)
def test_what_cannot_be_drawn_here_is_a_problem(change, words):
    with pytest.raises(Problem, match=words):
        config_from_infotext(replace(GenerationInfo("a"), **change))


@pytest.mark.parametrize("seed", range(40))
def test_no_text_in_a_picture_ends_in_a_traceback(seed):
    """A good text with some of its signs changed is an info still, or a Problem."""
    rng = random.Random(seed)
    text = list(THEIRS)
    for _ in range(rng.randint(1, 20)):
        text[rng.randrange(len(text))] = rng.choice(',:x"\\\n -9\0ä')
    with contextlib.suppress(Problem):
        config_from_infotext(parse_infotext("".join(text)))
