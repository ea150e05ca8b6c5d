import errno
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sdnb import files
from sdnb.errors import Problem
from sdnb.training.config import (
    PRESETS,
    DreamboothConfig,
    LoraConfig,
    TextualInversionConfig,
    TrainConfig,
    contradictions,
    load_config,
    preset,
    presets,
    steps,
)


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("rank = 3".encode("utf-16"), "not TOML in UTF-8"),
        ('photos = "é"'.encode("latin-1"), "not TOML in UTF-8"),
        (rb'photos = "C:\temp"', "'photos' cannot be 'C:\\temp': it holds a control character"),
        (rb'base = "models\new"', "it holds a control character"),
        (rb'photos = "C:\Users\me"', "In double quotes a backslash has a meaning of its own"),
        (rb'photos = "D:\photos"', "In double quotes a backslash has a meaning of its own"),
        ("photos = “C:/x”".encode(), "Put straight quotes"),
        (b"rank = 4\nlearning_rate = 0,0001", "Write numbers with a point"),
        (b'learning_rate = "0,0001"', "written with a point"),
        (b"learning_rate = .5", "a digit before and behind the point"),
        (b"flip = True", "true and false in small letters"),
        (b"base = sd15", "Put words in quotes"),
        (b"rank = 4\nrank = 5", "Write one `name = value` on each line"),
        (b"[network]\nrank = 4", "[network] is a section"),
    ],
)
def test_toml_as_editors_and_people_write_it_gets_a_sentence(tmp_path, content, said):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(Problem) as caught:
        load_config(file)
    assert said in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "photos"),
    [
        (b"\xef\xbb\xbfphotos = 'a'", "a"),
        (rb"photos = 'C:\temp'", r"C:\temp"),
        (b"photos = \"'my photos'\"", "my photos"),
        ("photos = '“my photos”'".encode(), "my photos"),
        (b"photos = '~/photos'", str(Path.home() / "photos")),
        (b'photos = "it\'s"', "it's"),
    ],
)
def test_paths_are_taken_as_they_are_meant(tmp_path, content, photos):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    assert load_config(file).photos == Path(photos)
    assert load_config(f'"{file}"') == load_config(file)


def test_names_lose_their_quotes_and_prompts_keep_them():
    config = LoraConfig(trigger='"ravo"', base="'sd15'", preview_prompts=('"ravo"',))
    assert (config.trigger, config.base, config.preview_prompts) == ("ravo", "sd15", ('"ravo"',))
    assert DreamboothConfig(instance_prompt='"ravo"').instance_prompt == '"ravo"'


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("network_dim", "rank"),
        ("network_alpha", "alpha"),
        ("unet_lr", "learning_rate"),
        ("text_encoder_lr", "text_encoder_learning_rate"),
        ("max_train_epochs", "views_per_photo"),
        ("max_train_steps", "views_per_photo"),
        ("train_batch_size", "batch_size"),
        ("train_data_dir", "photos"),
        ("reg_data_dir", "prior_folder"),
        ("mixed_precision", "precision"),
        ("min_snr_gamma", "snr_gamma"),
        ("lr_warmup_steps", "warmup_steps"),
        ("lr_scheduler", "lr_schedule"),
        ("optimizer_type", "optimizer"),
        ("save_every_n_epochs", "save_every"),
        ("pretrained_model_name_or_path", "base"),
        ("output_dir", ""),
        ("caption_extension", ""),
    ],
)
def test_a_setting_of_kohya_is_called_by_its_name_here(name, called):
    with pytest.raises(Problem) as caught:
        LoraConfig(**{name: 1})
    start = f"'{name}' is not a setting: "
    assert caught.value.what.startswith(start)
    assert (f"'{called}'" if called else "sdnb has no such setting") in caught.value.what


def test_kohyas_clip_skip_is_one_more():
    with pytest.raises(Problem, match="'clip_skip' is 1 less here"):
        LoraConfig(network_dim=4, clip_skip=2)
    assert LoraConfig(clip_skip=2).clip_skip == 2


def test_the_table_of_other_names_is_true():
    table = tomllib.loads((PRESETS.parent / "settings.toml").read_text("utf-8"))["kohya"]
    here = {name for kind in TrainConfig.__subclasses__() for name in kind.model_fields}
    assert not here & table.keys()
    for name, said in table.items():
        assert set(re.findall(r"'(\w+)'", said)) <= here, name
        assert "in sdnb th" in said or "sdnb has no such setting" in said, name


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (LoraConfig, {"batch_size": 21}, "'batch_size' is 21, more than the 20 photos."),
        (
            LoraConfig,
            {"batch_size": 20, "gradient_accumulation": 64, "views_per_photo": 30},
            "seen 64 times",
        ),
        (LoraConfig, {"views_per_photo": 1, "batch_size": 12}, "each photo is seen 1.2 times"),
        (LoraConfig, {"warmup_steps": 300}, "'warmup_steps' is 300, and the run has 300 steps"),
        (LoraConfig, {"preview_every": 301}, "'preview_every' is 301, and the run has 300 steps."),
        (LoraConfig, {"save_every": 301}, "'save_every' is 301, and the run has 300 steps."),
        (LoraConfig, {"held_out": "a", "validate_every": 301}, "'validate_every' is 301, and"),
        (LoraConfig, {"validate_every": 20}, "'validate_every' does nothing without 'held_out'."),
        (LoraConfig, {"prior_images": 9}, "'prior_images' does nothing without 'prior_weight'."),
        (LoraConfig, {"prior_folder": "a"}, "'prior_folder' does nothing without 'prior_weight'."),
        (DreamboothConfig, {"class_prompt": "a"}, "nothing without 'prior_weight'."),
        (LoraConfig, {"keep_tokens": 2}, "'keep_tokens' does nothing without 'shuffle_captions'."),
        (LoraConfig, {"text_encoder_learning_rate": 1e-3}, "without 'train_text_encoder'."),
        (
            LoraConfig,
            {"prior_weight": 1, "prior_folder": "a", "prior_images": 9},
            "'prior_images' does nothing beside 'prior_folder'.",
        ),
        (TextualInversionConfig, {"init_weights": "a", "init_word": "mug"}, "'init_word' does"),
        (LoraConfig, {"convolution_rank": 4}, "do nothing for these 'layers'."),
        (LoraConfig, {"kind": "loha", "rank_stabilised": True}, "does nothing for loha."),
        (LoraConfig, {"trigger": "", "prior_weight": 1}, "'prior_weight' holds back all"),
        (LoraConfig, {"trigger": "zuli", "preview_every": 9}, "None of 'preview_prompts' says"),
    ],
)
def test_settings_that_do_not_go_together_are_remarked_on(kind, changes, said):
    """Of 20 photos, seen 60 times in fours: 300 steps."""
    assert list(contradictions(kind(), 20)) == []
    (sentence,) = contradictions(kind(**changes), 20)
    assert said in sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"warmup_steps": 299},
        {"preview_every": 300, "preview_prompts": ("ravo",)},
        {"held_out": "a", "validate_every": 300},
        {"prior_weight": 1, "prior_images": 9},
        {"prior_weight": 1, "prior_images": 9, "trigger": ""},
        {"prior_weight": 1},
        {"layers": "attention+feedforward+convolution", "convolution_rank": 4},
        {"trigger": "", "preview_every": 9},
        {"batch_size": 20},
    ],
)
def test_settings_that_go_together_are_left_in_peace(changes):
    assert list(contradictions(LoraConfig(**changes), 20)) == []


@pytest.mark.parametrize("name", presets())
def test_presets_do_not_contradict_themselves(name):
    assert list(contradictions(preset(name), 20)) == []
