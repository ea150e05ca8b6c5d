"""The commands: their options are the settings' own."""

import pytest
from PIL import Image

import sdnb
from sdnb.cli import main
from sdnb.inference import read_infotext
from sdnb.training.config import LoraConfig, presets
from sdnb.training.run_folder import Run


@pytest.fixture
def settings(configs, tmp_path, monkeypatch):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    path = tmp_path / "settings.toml"
    configs["lora"].save(path)
    return path


def test_train_takes_the_file_and_what_is_said_behind_it(settings, configs, tmp_path, capsys):
    said = ["--rank", "2", "--views-per-photo", "1", "--no-train-text-encoder"]
    said += ["--preview-every", "2", "--preview-prompts", "a man, at the beach"]
    assert main(["train", str(settings), *said]) == 0
    (folder,) = (tmp_path / "project" / "runs").iterdir()
    config = LoraConfig.load(folder / "settings.toml")
    changes = {"rank": 2, "views_per_photo": 1, "train_text_encoder": False, "preview_every": 2}
    prompts = ("a man, at the beach",)  # not cut at its comma
    assert config == configs["lora"].replace(preview_prompts=prompts, **changes)
    assert Run(folder, config).finished and "Finished" in capsys.readouterr().out


def test_help_shows_every_setting_of_the_files_method(settings, capsys):
    assert main(["train", str(settings), "--help"]) == 0
    shown = capsys.readouterr().out
    for name in LoraConfig.model_fields:
        assert f"--{name.replace('_', '-')}" in shown
    assert "a real word keeps its old meaning" in " ".join(shown.split())


def test_each_method_has_its_own_options(configs, tmp_path, capsys):
    configs["textual_inversion"].save(tmp_path / "word.toml")
    main(["train", str(tmp_path / "word.toml"), "--help"])
    shown = capsys.readouterr().out
    assert "--vectors" in shown and "--rank" not in shown


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["train", "missing.toml"], 1, "missing.toml"),
        (["train"], 2, "CONFIG"),
        (["train", "SETTINGS", "--rank", "many"], 1, "'rank' cannot be 'many'"),
        (["train", "SETTINGS", "--rnk", "4"], 2, "--rnk"),
        (["generate", "--lora", "missing.safetensors", "--base", "BASE"], 1, "no such"),
        (["brew"], 2, "brew"),
    ],
)
def test_slips_are_told_in_a_line(settings, configs, capsys, words, code, told):
    real = {"SETTINGS": str(settings), "BASE": configs["lora"].base}
    assert main([real.get(word, word) for word in words]) == code
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error


def test_no_command_shows_what_there_is(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("demo", "train", "plan", "generate", "doctor", "class"))


def test_generate_draws_what_is_asked(configs, tmp_path, capsys):
    words = ["--base", configs["lora"].base, "--steps", "2", "--seeds", "2", "--first-seed", "5"]
    words += ["--prompts", "a man, at the beach", "--prompts", "a mug"]
    assert main(["generate", *words, "--out", str(tmp_path / "out")]) == 0
    paths = capsys.readouterr().out.split()
    names = ["01_00005.png", "01_00006.png", "02_00005.png", "02_00006.png"]
    assert [path.rpartition("/")[2] for path in paths] == names
    assert all(Image.open(path).size == (64, 64) for path in paths)


def test_generate_calls_by_name_and_says_how_it_was_drawn(configs, tmp_path, capsys):
    (tmp_path / "wish.toml").write_text('prompts = ["a"]\nsteps = 9\nseeds = 1\n')
    words = ["--config", str(tmp_path / "wish.toml"), "--base", "mini", "--steps", "2"]
    words += ["--prompts", "a ((hat) <lora:person_lora:0.5>", "--sampler", "Euler a"]
    words += ["--width", "64", "--height", "64", "--clip-skip", "1"]
    assert main(["generate", *words, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "never closed" in shown.err
    recipe = read_infotext(shown.out.strip())
    assert recipe.prompt == "a ((hat) <lora:person_lora:0.5>"
    assert (recipe.steps, recipe.sampler, recipe.size) == (2, "Euler a", (64, 64))
    assert (recipe.model, recipe.clip_skip) == ("mini", 1)


@pytest.mark.parametrize(
    ("words", "prompts"),
    [
        (["--prompts=a man, at the beach"], ["a man, at the beach"]),
        (["--prompts", "[old] a man, at the beach"], ["[old] a man, at the beach"]),
        (["--prompts", '["a, b", "c"]'], ["a, b", "c"]),
        (["--prompts", "a, b", "--prompts", "c"], ["a, b", "c"]),
        (["--prompts", "[1"], ["[1"]),
    ],
)
def test_prompts_stay_whole(words, prompts, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "sdnb.inference.images.make_image_files", lambda out, config, *_: drawn.append(config) or []
    )
    assert main(["generate", *words]) == 0
    assert list(drawn[0].prompts) == prompts


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--prompts", "a <lora:person_lra:1>"], "Did you mean 'person_lora'"),
        (["--prompts", "a <lora:../x:1>"], "names no LoRA"),
        (["--sampler", "Euler b"], "'sampler' cannot be 'Euler b'"),
        (["--width", "60", "--height", "60"], "multiple of 16"),
        (["--folder", "absent"], "no such folder"),
    ],
)
def test_generate_says_what_it_cannot_draw(configs, tmp_path, capsys, words, told):
    words = [*words, "--base", configs["lora"].base, "--steps", "1", "--out", str(tmp_path)]
    assert main(["generate", *words]) == 1
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error


def test_plan_tries_five_steps_and_keeps_nothing(settings, tmp_path, capsys):
    assert main(["plan", str(settings)]) == 0
    shown = capsys.readouterr().out
    assert "8 steps" in shown and "minutes" in shown and "of disk" in shown
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("name", presets())
def test_every_preset_says_what_it_is(name):
    from sdnb.training.config import PRESETS

    first = (PRESETS / f"{name}.toml").read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) > 40


def test_a_file_in_quotes_and_kohyas_names_on_the_command_line(settings, capsys):
    assert main(["train", f"'{settings}'", "--views-per-photo", "0"]) == 1
    assert "'views_per_photo' cannot be '0'" in capsys.readouterr().err
    settings.write_text("network_dim = 4\n")
    assert main(["train", str(settings)]) == 1
    assert "in sdnb this is called 'rank'" in capsys.readouterr().err


def test_plan_says_what_the_training_would_pass_over(settings, capsys):
    assert main(["plan", str(settings), "--warmup-steps", "9", "--photos", "'absent'"]) == 1
    assert "does not exist (absent)" in capsys.readouterr().err
    assert main(["plan", str(settings), "--warmup-steps", "9"]) == 0
    assert "'warmup_steps' is 9, and the run has 8 steps" in capsys.readouterr().out


def test_runs_lists_what_was_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    assert main(["runs"]) == 0 and "No training yet" in capsys.readouterr().out
    config = sdnb.preset("person_mini").replace(photos=sdnb.sample_photos(), views_per_photo=1)
    monkeypatch.setenv("SDNB_TRIAL", "quick")
    run = sdnb.train(config.replace(prior_weight=0), progress=False)
    assert main(["runs"]) == 0
    said = capsys.readouterr().out
    assert (
        f"ravo_lora_mini: ravo (man), steps: {len(run.history)}" in said
        and str(run.weights) in said
    )
