import json
import os
import shutil
import signal
import threading
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import sdnb.training.run as run_module
from sdnb.adapters import load_lora
from sdnb.dataset.photos import Photo
from sdnb.dataset.samples import sample_photos
from sdnb.errors import Problem
from sdnb.inference import make_images
from sdnb.models.loading import load_model
from sdnb.training.config import LoraConfig
from sdnb.training.loop import fit
from sdnb.training.methods import METHODS
from sdnb.training.prior_preservation import class_caption
from sdnb.training.progress import Progress
from sdnb.training.run import estimate, interruptible, prepare, train
from sdnb.training.run_folder import Run, finished_runs, own_runs


@pytest.fixture(scope="module")
def straight(config, cpu, tmp_path_factory):
    """A run from beginning to end, which no test changes."""
    return train(config, tmp_path_factory.mktemp("runs") / "straight", cpu, progress=False)


def assert_same_weights(one, other):
    left, right = load_file(one.weights), load_file(other.weights)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_finished_run(straight, config, cpu):
    assert straight.finished and len(straight.history) == 8
    assert {path.name for path in straight.folder.iterdir()} == {
        "settings.toml",
        "photos.txt",
        "format.txt",
        "machine.json",
        "history.csv",
        "lora.safetensors",
    }
    assert json.loads((straight.folder / "machine.json").read_text())["precision"] == "fp32"

    def never(step):
        raise AssertionError("trained again")

    again = train(config, straight.folder, cpu, on_step=never)
    assert again == straight


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "ravo_lora_mini"),
        ({"trigger": "mi/nka", "base": "models/My Model.safetensors"}, "mi-nka_lora_My-Model"),
        ({"trigger": "", "photos": Path("my cat"), "base": "who/xl-v1.5"}, "my-cat_lora_xl-v1-5"),
    ],
)
def test_a_run_is_called_after_what_it_learned(changes, name):
    assert Run(Path(), LoraConfig(**changes)).name == name


def test_previews_change_nothing(straight, config, cpu, tmp_path):
    other = config.replace(preview_every=2, preview_prompts=("a man", "ravo"))
    with_previews = train(other, tmp_path / "previews", cpu, progress=False)
    assert_same_weights(straight, with_previews)
    assert with_previews.history == straight.history
    sheets = sorted((with_previews.folder / "previews").iterdir())
    assert [sheet.name for sheet in sheets] == [f"step_{i:05}.png" for i in (0, 2, 4, 6, 8)]


@pytest.mark.parametrize("stop", [4, 8])
def test_an_interrupted_run_continues_to_the_same_weights(straight, config, cpu, tmp_path, stop):
    def interrupt(step):
        if step.index == stop:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    first = train(config, tmp_path / "run", cpu, progress=False, on_step=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler
    assert first.finished is (stop == 8)
    assert first.history == straight.history[:stop]
    second = train(config, tmp_path / "run", cpu, progress=False)
    assert second.finished and second.history == straight.history
    assert_same_weights(straight, second)
    assert not second.checkpoints


def test_a_crash_continues_from_the_last_checkpoint(straight, config, cpu, tmp_path):
    def crash(step):
        if step.index == 5:  # the checkpoint is of step 3
            raise MemoryError

    with pytest.raises(MemoryError):
        train(config, tmp_path / "run", cpu, progress=False, on_step=crash)
    with (tmp_path / "run" / "history.csv").open("a") as file:
        file.write("6,0.1")  # half a line, as a power cut leaves it
    second = train(config, tmp_path / "run", cpu, progress=False)
    assert second.history == straight.history
    assert_same_weights(straight, second)


def test_a_run_of_another_format_is_used_but_not_continued(straight, config, cpu, tmp_path):
    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config.replace(save_every=1), tmp_path / "begun", cpu, progress=False, on_step=stop)
    for folder in (tmp_path / "begun", shutil.copytree(straight.folder, tmp_path / "whole")):
        (folder / "format.txt").unlink()  # as before there was one
    with pytest.raises(Problem, match="another version of sdnb, which cannot be continued"):
        train(config.replace(save_every=1), tmp_path / "begun", cpu, progress=False)
    assert train(config, tmp_path / "whole", cpu, progress=False).finished
    assert [run.folder.name for run in finished_runs(tmp_path)] == ["whole"]


def test_other_settings_in_the_same_folder_are_a_problem(straight, config, cpu):
    with pytest.raises(Problem, match="other settings"):
        train(config.replace(rank=2), straight.folder, cpu)
    assert straight.finished


def test_without_a_folder_the_project_keeps_the_run(config, cpu, tmp_path, monkeypatch):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path))
    first = train(config, machine=cpu, progress=False)
    assert first.folder.parent == tmp_path / "runs"
    assert train(config, machine=cpu).folder == first.folder
    assert run_module.open_run(config.replace(seed=1)).folder != first.folder


def test_a_run_is_found_again_wherever_the_photos_lie(config, cpu, tmp_path, monkeypatch):
    """The teacher's project, copied to a learner whose photos lie elsewhere."""
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "teacher"))
    first = train(config, machine=cpu, progress=False)
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "learner"))
    shutil.copytree(tmp_path / "teacher", tmp_path / "learner")
    moved = shutil.copytree(config.photos, tmp_path / "elsewhere" / config.photos.name)
    monkeypatch.setattr(run_module, "_begin", None)  # training would fail
    again = train(config.replace(photos=moved), machine=cpu, progress=False)
    assert again.folder == tmp_path / "learner" / "runs" / first.folder.name
    assert again.history == first.history and again.finished
    (found,) = finished_runs(tmp_path / "learner" / "runs")
    assert found.config.photos == moved  # what is read there is about the learner's own photos


def test_runs_made_ready_are_copied_and_only_read(config, cpu, tmp_path, monkeypatch):
    ready = tmp_path / "ready"
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "teacher"))
    first = train(config, machine=cpu, progress=False)
    shutil.copytree(first.folder.parent, ready)
    (ready / first.folder.name / ".DS_Store").touch()
    before = {path: path.stat().st_mtime_ns for path in ready.rglob("*")}
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "learner"))
    monkeypatch.setenv("SDNB_RUNS", str(ready))
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "_begin", None)  # training would fail
        again = train(config, machine=cpu, progress=False)
    assert again.folder.parent == tmp_path / "learner" / "runs"
    assert_same_weights(first, again)
    assert again.history == first.history
    assert before == {path: path.stat().st_mtime_ns for path in ready.rglob("*")}
    assert not list(again.folder.rglob(".*"))
    other = run_module.open_run(config.replace(seed=1))  # nobody made that one
    assert not other.finished and not other.history


def test_a_folder_of_ready_runs_that_cannot_be_read_is_as_none(config, tmp_path, monkeypatch):
    def refuse(run):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "learner"))
    monkeypatch.setenv("SDNB_RUNS", str(tmp_path / "absent"))
    assert not run_module.open_run(config).finished
    monkeypatch.setattr(Run, "finished", property(refuse))
    assert run_module.open_run(config).history == ()


def test_a_full_disk_keeps_the_checkpoint(straight, config, cpu, tmp_path, monkeypatch):
    """The disk fills up before the second saving; with space again the run goes on."""
    real, calls = run_module.save_checkpoint, []

    def save(state, path, keep):
        calls.append(state.step)
        if len(calls) == 2:
            monkeypatch.setattr("os.fsync", full)
        real(state, path, keep)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module, "save_checkpoint", save)
    with monkeypatch.context(), pytest.raises(Problem, match="disk is full"):
        train(config, tmp_path / "run", cpu, progress=False)
    monkeypatch.undo()
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]
    second = train(config, tmp_path / "run", cpu, progress=False)
    assert second.history == straight.history
    assert_same_weights(straight, second)


def test_a_folder_that_cannot_be_written_is_a_problem_before_anything_is_read(
    config, locked_folder, ordinary_user
):
    absent = config.replace(photos="absent", base="absent")
    assert "The folder cannot be written" in ordinary_user(train, absent, locked_folder / "run")


@pytest.mark.parametrize("changes", [{"photos": "absent"}, {"base": "absent"}])
def test_bad_inputs_are_problems(config, cpu, tmp_path, changes):
    with pytest.raises(Problem):
        train(config.replace(**changes), tmp_path / "run", cpu)
    assert not (tmp_path / "run").exists()


def test_class_images_come_from_the_base_and_are_kept(config, cpu, tmp_path):
    with_prior = config.replace(prior_weight=0.5, prior_images=4)
    run = train(with_prior, tmp_path / "run", cpu, progress=False)
    files = sorted((run.folder / "class_images").iterdir())
    assert len(files) == 4
    base = load_model(config.base)
    # the second photo is the first with a caption: "photo of ravo man number 1"
    expected = make_images(base, ["photo of a man number 1"], [1])[0]
    difference = np.array(expected, int) - np.array(Image.open(files[1]), int)
    assert np.abs(difference).max() <= 1  # drawn in a batch of four
    assert all(
        step.loss == pytest.approx(step.instance_loss + 0.5 * step.prior_loss, rel=1e-5)
        and step.prior_loss > 0
        for step in run.history
    )


def test_class_captions(config):
    changed = config.replace(trigger="ravo", class_word="man")
    for caption, expected in [
        ("photo of ravo man in a hat", "photo of a man in a hat"),
        ("ravo at the beach", "a man at the beach"),
        ("a ravost, by ravo", "a ravost, by a man"),
        ("Ravo MAN in a hat", "a man in a hat"),
    ]:
        assert class_caption(caption, changed) == expected
    assert class_caption("photo of [V] man, [V]", changed.replace(trigger="[V]")) == (
        "photo of a man, a man"
    )


def test_only_what_a_killed_run_left_is_swept_away(config, cpu, tmp_path):
    """The folder may hold more than the run: somebody's project, say."""
    strangers = [".bashrc", ".git/config", "work/.env", ".keep.me", ".settings.77.toml"]
    mark = ".sdnb-999999999-01234567-"  # no system has so many processes
    halves = [f"{mark}a.toml", f"{mark}b/x.bin", f"checkpoints/{mark}c.safetensors"]
    for name in (*strangers, *halves):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    run = train(config.replace(views_per_photo=1), tmp_path, cpu, progress=False)
    assert run.finished and all((tmp_path / name).exists() for name in strangers)
    assert not any((tmp_path / name).exists() for name in halves)


@pytest.mark.parametrize("every", [0, 2])
def test_stopped_in_a_notebook_it_shows_what_is_learned_by_now(
    straight, config, cpu, tmp_path, monkeypatch, every
):
    """Also of a run without previews; and the same again ends with the same weights."""
    monkeypatch.setattr(Progress, "pictures", True)
    wanted = config.replace(preview_every=every, preview_prompts=("ravo", "a man"))

    def interrupt(step):
        if step.index == 3:
            signal.raise_signal(signal.SIGINT)

    first = train(wanted, tmp_path / "run", cpu, progress=False, on_step=interrupt)
    assert not first.finished and len(first.history) == 3
    with pytest.raises(Problem, match="stopped after 3 steps, and nothing is ready for use"):
        _ = first.weights
    names = [path.name for path in sorted((first.folder / "previews").iterdir())]
    assert names == [f"step_0000{n}.png" for n in ((0, 2, 3) if every else (3,))]
    assert_same_weights(straight, train(wanted, first.folder, cpu, progress=False))


def test_a_preview_that_cannot_be_drawn_is_told_before_the_training(config, cpu, tmp_path):
    previews = config.replace(preview_every=2, preview_prompts=("ravo <lora:x:1>",))
    with pytest.raises(Problem, match="asks for a file"):
        train(previews, tmp_path / "run", cpu, progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(Problem, match="preview_prompts"):
        config.replace(preview_prompts=())


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_no_numbers_are_not_saved_as_the_result(
    configs, cpu, tmp_path, monkeypatch, method
):
    """The last step spoils them, which no loss sees; the checkpoint before it stays."""
    config = configs[method].replace(views_per_photo=2, save_every=2)  # five steps
    real = run_module.fit

    def spoiling(state, batches, loss):
        for step in real(state, batches, loss):
            if not state.steps_left:
                next(iter(state.parameters.values())).data.fill_(torch.nan)
            yield step

    monkeypatch.setattr(run_module, "fit", spoiling)
    with pytest.raises(Problem, match="no longer numb"):
        train(config, tmp_path, cpu, progress=False)
    assert not Run(tmp_path, config).finished and Run(tmp_path, config).checkpoints


def test_a_history_that_is_none_is_a_problem_and_no_finished_run(straight, tmp_path):
    copy = shutil.copytree(straight.folder, tmp_path / "runs" / "copy")
    (copy / "history.csv").write_text("index,loss\none,two\n")
    assert finished_runs(tmp_path / "runs") == []


def test_changed_photos_are_not_mixed_into_a_run(config, cpu, photos_folder, tmp_path):
    mine = shutil.copytree(photos_folder, tmp_path / "photos")
    run = train(config.replace(photos=mine), tmp_path / "run", cpu, progress=False)
    before = run.weights.read_bytes()
    next(mine.glob("*.png")).with_suffix(".txt").write_text("another caption")
    with pytest.raises(Problem, match="changed since this run began"):
        train(config.replace(photos=mine), tmp_path / "run", cpu)
    assert run.weights.read_bytes() == before


def test_the_base_is_looked_up_once(config, cpu, tmp_path, monkeypatch):
    module, found = import_module("sdnb.models.base"), []
    read = module._read_folder
    monkeypatch.setattr(module, "_read_folder", lambda f: found.append(f) or read(f))
    train(config, tmp_path / "run", cpu, progress=False)
    assert found == [Path(config.base)]


def test_many_trainings_on_one_loaded_base(straight, config, cpu, photos_folder):
    from sdnb.dataset.photos import read_photos

    model, photos = load_model(config.base), read_photos(photos_folder, 64)
    list(fit(*prepare(config.replace(seed=9, rank=2), photos, model, cpu)))
    state, batches, loss = prepare(config, photos, model, cpu)
    assert tuple(fit(state, batches, loss)) == straight.history
    trained = make_images(model, "ravo man", [0], steps=2)[0]
    METHODS["lora"].remove(model)
    load_lora(model, straight.weights)
    assert np.array_equal(make_images(model, "ravo man", [0], steps=2)[0], trained)


def test_a_second_interrupt_raises_and_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.is_set()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_no_handler_outside_the_main_thread():
    seen = []

    def body():
        with interruptible() as asked:
            seen.append((asked.is_set(), signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_finished_runs_are_found_again(config, tmp_path):
    run = train(config, tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "settings.toml").write_text('method = "lora"\nrank = 0\n')
    (tmp_path / "three").mkdir()
    config.save(tmp_path / "three" / "settings.toml")  # begun and not finished
    assert finished_runs(tmp_path) == [run]


def test_the_lessons_runs_are_not_the_learners_own(config, tmp_path, monkeypatch):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path))
    folders = {"own": tmp_path / "dataset", "sample": sample_photos("style")}
    folders |= {name: tmp_path / name / "learn" for name in ("notebook 08", "quickstart")}
    for name, photos in folders.items():
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        config.replace(photos=photos).save(run / "settings.toml")
        (run / "lora.safetensors").touch()
    assert len(finished_runs(tmp_path / "runs")) == 4
    assert [run.folder.name for run in own_runs()] == ["own"]


@pytest.fixture
def own(config, photos_folder, tmp_path):
    """Settings for a copy of the photos, all with captions that say "bravo" and no "ravo"."""
    folder = shutil.copytree(photos_folder, tmp_path / "own photos")
    for photo in folder.glob("*.png"):
        photo.with_suffix(".txt").write_text("photo of bravo, ravo2 or ravo_man")
    whole = {"views_per_photo": 1, "batch_size": 1, "warmup_steps": 0, "save_every": 100}
    return config.replace(photos=folder, **whole)


@pytest.mark.parametrize("method", METHODS)
def test_a_word_that_no_caption_says_is_refused(own, configs, cpu, tmp_path, method):
    asked = configs[method].replace(photos=own.photos)
    with pytest.raises(Problem, match="None of the captions says 'ravo' as a word"):
        train(asked, tmp_path / "run", cpu, progress=False)
    assert not (tmp_path / "run").exists()


def test_templates_and_an_instance_prompt_stand_for_the_captions(own, configs, cpu):
    word = configs["textual_inversion"].replace(photos=own.photos, templates=True)
    whole = configs["dreambooth"].replace(photos=own.photos, instance_prompt=r"ravo \(man\)")
    photos = run_module.photos_for(own)
    for asked in (word, whole):
        assert METHODS[asked.method].remarks(asked.replace(views_per_photo=8), photos) == []
    assert METHODS["dreambooth"].captions(whole, photos)[0] == "ravo (man)"
    with pytest.raises(Problem, match="None of the captions"):
        METHODS["dreambooth"].remarks(whole.replace(instance_prompt="a man"), photos)


def test_without_a_trigger_captions_are_taken_as_they_are(own, cpu, tmp_path, capsys):
    asked = own.replace(trigger="", prior_weight=1.0, prior_images=2)
    run = train(asked, tmp_path / "run", cpu, progress=False)
    assert run.finished and capsys.readouterr().out == ""
    assert class_caption("photo of a man", asked) == "photo of a man"


def test_what_a_run_passes_over_is_said_before_it(own, cpu, tmp_path, capsys):
    for name in ("0", "1", "2"):
        (own.photos / f"{name}.txt").write_text("photo of ravo man")
    (own.photos / "3.txt").unlink()
    (own.photos / "3.cap").write_text("ravo")
    (own.photos / "2.txt").write_text("ravo " + "man " * 80)
    asked = own.replace(warmup_steps=9)
    said = train(asked, tmp_path / "run", cpu, progress=False) and capsys.readouterr().out
    warm_up, unread, silent, without, cut = said.splitlines()
    assert warm_up.startswith("'warmup_steps' is 9, and the run has 5 steps")
    assert unread.startswith("No caption is found for 3.png. Not read: 3.cap.")
    assert silent.startswith("3.png has no caption")
    assert without.startswith("4.png has no 'ravo' in the caption")
    assert cut.startswith("The caption of 2.png has 84 tokens and the model reads 75")
    assert warm_up in str(estimate(asked, cpu))


@pytest.mark.parametrize("name", ["held_out", "prior_folder"])
def test_captions_beside_held_out_and_class_photos_are_looked_at_too(own, tmp_path, name):
    (own.photos / "1.txt").write_text("photo of ravo man")
    folder = shutil.copytree(own.photos, tmp_path / "more")
    (folder / "0.txt").unlink(missing_ok=True)
    (folder / "0.cap").write_text("ravo")
    asked = own.replace(**{name: folder, "prior_weight": 1.0})
    said = METHODS["lora"].remarks(asked, run_module.photos_for(own))
    assert [each for each in said if each.startswith("more: ") and "Not read: 0.cap" in each]


def test_shuffling_does_not_lose_the_word_behind_the_cut(own):
    parts = ", ".join(["ravo", *["man man man man"] * 20])
    photos = [Photo(Path("a.jpg"), None, parts)]
    method, tokenizer = METHODS["lora"], load_model(own.base).tokenizer
    assert len(method.remarks(own, photos, tokenizer)) == 1
    kept = own.replace(shuffle_captions=True)
    assert len(method.remarks(kept, photos, tokenizer)) == 1
    with pytest.raises(Problem, match="'ravo'"):
        method.remarks(kept.replace(keep_tokens=0), photos, tokenizer)


@pytest.mark.parametrize("layers", [2, 11])
def test_clip_skip_beyond_the_layers_is_told_before_the_training(config, cpu, tmp_path, layers):
    with pytest.raises(Problem, match=f"'clip_skip' is {layers}, and the text encoder has 2"):
        train(config.replace(clip_skip=layers), tmp_path / "run", cpu, progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(Problem, match="Set clip_skip to 1 at most"):
        make_images(load_model(config.base), "a man", [0], steps=1, clip_skip=layers)


def test_fused_settings_that_do_not_go_together_are_told_before_the_training(
    configs, cpu, tmp_path
):
    asked = configs["dreambooth"].replace(fused_backward_pass=True)
    with pytest.raises(Problem, match="max_grad_norm = 0"):
        train(asked, tmp_path / "run", cpu, progress=False)
    assert not (tmp_path / "run").exists()
