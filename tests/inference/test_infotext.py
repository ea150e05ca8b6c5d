"""The web UIs' text in a PNG, there and back."""

import random
import string

import pytest
from PIL import Image, PngImagePlugin

from sdnb.inference.infotext import (
    Recipe,
    read_picture,
    read_text,
    save_picture,
    write_text,
)
from sdnb.problems import Problem

# as AUTOMATIC1111's web UI writes it
THEIRS = """photo of ravo <lora:ravo:0.8>, (red hat:1.2)
in two lines
Negative prompt: blurred, dark
Steps: 28, Sampler: Euler a, Schedule type: Automatic, CFG scale: 6.5, Seed: 1234567890, \
Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, Clip skip: 2, \
Lora hashes: "ravo: 0123456789ab, x: ff", Version: v1.10.1"""


def test_theirs_is_read():
    recipe = read_text(THEIRS)
    assert recipe == Recipe(
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
    text = write_text(Recipe("a man", "dark", 20, guidance=4.0, seed=7, size=(128, 128)))
    assert text == (
        "a man\nNegative prompt: dark\n"
        "Steps: 20, Sampler: DPM++ 2M, CFG scale: 4, Seed: 7, Size: 128x128, RNG: CPU"
    )


@pytest.mark.parametrize("seed", range(40))
def test_there_and_back(seed, tmp_path):
    rng = random.Random(seed)

    def words(letters: str) -> str:
        return "".join(rng.choice(letters) for _ in range(rng.randint(1, 30))).strip()

    spoken = string.ascii_letters + ' ,:;()"\\<>.äж🎩'
    recipe = Recipe(
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
    save_picture(Image.new("RGB", (8, 8)), tmp_path / "a.png", recipe)
    assert read_picture(tmp_path / "a.png") == recipe


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
        read_picture(tmp_path / "a.png")
    assert caught.value.where == tmp_path / "a.png"


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no picture"])
def test_what_is_no_picture(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Problem, match="cannot be read"):
        read_picture(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    with pytest.raises(Problem, match="does not say"):
        read_picture(tmp_path / "b.png")
