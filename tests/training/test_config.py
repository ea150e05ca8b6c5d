import errno
import subprocess
import sys
from pathlib import Path

import pytest

from sdnb import files
from sdnb.errors import Problem
from sdnb.training.config import LoraConfig, load_config, preset, presets, steps


def test_an_unknown_setting_is_named_with_the_nearest_known_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("ranks = 4\n")
    with pytest.raises(Problem) as caught:
        LoraConfig.load(path)
    assert caught.value.where == path
    assert "'ranks' is not a setting; did you mean 'rank'?" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rank": 0}, ["'rank'", "0", "greater than or equal to 1"]),
        ({"learning_rate": float("nan")}, ["'learning_rate'", "finite"]),
        ({"learning_rate": "fast"}, ["'learning_rate'", "'fast'", "number"]),
        ({"layers": "all"}, ["'layers'", "'all'", "'attention+feedforward'"]),
        ({"rank": 0, "seed": -1}, ["'rank'", "'seed'"]),
    ],
)
def test_a_bad_value_is_one_problem_that_names_key_value_and_what_is_allowed(values, words):
    with pytest.raises(Problem) as caught:
        LoraConfig(**values)
    for word in words:
        assert word in caught.value.what


def test_settings_survive_saving(tmp_path):
    config = LoraConfig(
        photos=Path("my photos/ümlaut"), rank=3, preview_prompts=("a", 'b "c"'), snr_gamma=5.0
    )
    config.save(tmp_path / "settings.toml")
    assert LoraConfig.load(tmp_path / "settings.toml") == config


def test_settings_are_frozen_and_replace_checks():
    config = LoraConfig()
    with pytest.raises(ValueError):
        config.rank = 3
    assert config.replace(rank=3).rank == 3
    with pytest.raises(Problem):
        config.replace(rank=0)


@pytest.mark.parametrize("content", [b"rank = = 3", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_a_problem(tmp_path, content):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(Problem, match="not TOML"):
        LoraConfig.load(tmp_path / "mine.toml")
    with pytest.raises(Problem, match="cannot be read"):
        LoraConfig.load(tmp_path / "absent.toml")


def test_every_field_helps():
    for name, field in LoraConfig.model_fields.items():
        assert field.title, name
        assert field.description and field.description.endswith("."), name


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads(name):
    assert preset(name).photos == Path("photos")


def test_a_misspelt_preset_is_a_problem():
    with pytest.raises(Problem, match="Did you mean 'person_mini'"):
        preset("person_mni")


def test_steps_count_views():
    # 20 photos seen 60 times are 1200 samples; 300 steps of 4, and 7 x 3 = 21 need 6 steps of 4
    assert steps(LoraConfig(views_per_photo=60, batch_size=4), 20) == 300
    assert steps(LoraConfig(views_per_photo=3, batch_size=2, gradient_accumulation=2), 7) == 6


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "settings.toml"
    LoraConfig(rank=3).save(path)

    def half(aside):
        aside.write_bytes(b"ra")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Problem, match="disk is full"):
        files.write_atomically(path, half)
    assert LoraConfig.load(path).rank == 3
    assert list(tmp_path.iterdir()) == [path]


def test_settings_load_without_torch():
    code = "import sys, sdnb.training.config, sdnb.project; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_with_older_keys_are_read(tmp_path):
    """Until the first release; what is saved has the new ones."""
    file = tmp_path / "old.toml"
    file.write_text('method = "dreambooth"\nbegin_from = "a"\nstep_in_backward = true\n')
    config = load_config(file)
    assert (config.init_weights, config.fused_backward_pass) == (Path("a"), True)
    config.save(file)
    assert "begin_from" not in file.read_text() and load_config(file) == config
