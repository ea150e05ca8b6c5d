"""Forms: what is typed, what is wrong with it, what comes out. No browser, and widgets in
few."""

import re
import shutil

import pytest

import sdnb
from sdnb.captioning import SubjectConfig
from sdnb.captioning.captioners import HUB
from sdnb.errors import Problem
from sdnb.models.base import MODELS, find_model
from sdnb.notebook import form
from sdnb.notebook.settings_form import FormModel
from sdnb.training.config import DreamboothConfig, LoraConfig, TextualInversionConfig, load_config
from sdnb.training.memory import T4, compare_bases

CONFIGS = (sdnb.PhotoConfig, sdnb.CaptionConfig, SubjectConfig, sdnb.ImageConfig, LoraConfig)
CONFIGS += (sdnb.DreamboothConfig, sdnb.TextualInversionConfig, sdnb.mini.PersonConfig)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))


def test_every_setting_has_a_line_with_a_label_and_a_sentence():
    lines = FormModel(LoraConfig()).lines
    assert [line.name for line in lines] == [n for n in LoraConfig.model_fields if n != "method"]
    assert all(line.label and line.help.endswith(".") for line in lines)
    assert {line.name for line in lines if line.basic} == set(LoraConfig.basics)
    assert (
        next(line for line in lines if line.name == "rank").bounds == "at least 1 and at most 256"
    )


def test_bounds_are_said_in_full():
    seed = next(line for line in FormModel(LoraConfig()).lines if line.name == "seed")
    rate = next(line for line in FormModel(LoraConfig()).lines if line.name == "learning_rate")
    assert seed.bounds == "at least 0 and at most 4,294,967,295"
    assert rate.bounds == "more than 0 and at most 1"


def test_untouched_it_gives_back_what_it_began_with():
    start = sdnb.preset("person_mini")
    assert FormModel(start).config == start


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("rank", " 32 ", 32),
        ("learning_rate", "2e-4", 2e-4),
        ("learning_rate", "0,0005", 5e-4),
        ("snr_gamma", "", None),
        ("train_text_encoder", True, True),
        ("layers", "cross-attention", "cross-attention"),
        ("preview_prompts", "a man\n\n ravo at night \n", ("a man", "ravo at night")),
    ],
)
def test_what_is_typed_becomes_the_setting(name, typed, value):
    model = FormModel(LoraConfig())
    model.type(name, typed)
    assert model.config == LoraConfig(**{name: value})


@pytest.mark.parametrize("typed", ["", "x", "0", "300", "1.5"])
def test_a_line_that_cannot_be_is_a_sentence_and_goes_when_mended(typed):
    model = FormModel(LoraConfig())
    model.type("rank", typed)
    (sentence,) = model.problems
    assert sentence.startswith("Rank cannot be") and sentence.endswith(".")
    with pytest.raises(Problem):
        _ = model.config
    model.type("rank", "4")
    assert model.problems == [] and model.config.rank == 4


def test_each_line_at_fault_has_its_own_sentence():
    model = FormModel(LoraConfig())
    model.type("rank", "no")
    model.type("class_word", "")
    assert [s.split(" cannot")[0] for s in model.problems] == ["Class word", "Rank"]


def test_the_twin_says_the_same_in_python():
    model = FormModel(sdnb.preset("person_mini"))
    model.type("photos", "my photos")
    made = {"sdnb": sdnb}
    exec(model.twin, made)
    assert made["config"] == model.config
    assert FormModel(LoraConfig()).twin == "config = sdnb.LoraConfig()"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_forms_twin_is_python(config):
    made: dict = {"sdnb": sdnb}
    exec(FormModel(config()).twin, made)
    assert made["config"] == config()


def test_the_plan_counts_the_photos_or_says_why_it_cannot(tmp_path):
    model = FormModel(LoraConfig(photos=sdnb.sample_photos(), views_per_photo=10, batch_size=3))
    runs, cost = model.plan.split(" steps. ")
    assert runs == "20 photos, each seen 10 times, 3 in a step: 67"
    assert re.fullmatch(r"About \d.* MiB of .*; the file takes \d.* [KM]iB\. Training .*", cost)
    model.type("trigger", "zuli")
    assert "None of the captions says 'zuli'" in model.plan
    model.type("photos", str(tmp_path / "nowhere"))
    assert model.plan.startswith("The photo folder does not exist") and model.problems == []


def test_the_plan_tells_the_minutes():
    """By the operations of a step: the mini's 300 steps take 48 seconds on two cores (the lesson
    measures 0.16 s a step), and SD 1.5's 2000 some eight minutes at a T4's reported speed."""
    mini = FormModel(sdnb.preset("person_mini").replace(photos=sdnb.sample_photos()))
    assert "300 steps" in mini.plan and "about 1 minute on two idle cores" in mini.plan
    mini.type("views_per_photo", "200")
    assert "about 3 minutes on two idle cores" in mini.plan
    mini.type("views_per_photo", "20")
    assert "less than a minute" in mini.plan
    real = FormModel(sdnb.preset("person_t4").replace(photos=sdnb.sample_photos()))
    assert "2000 steps" in real.plan and "about 8 minutes on a T4" in real.plan


@pytest.mark.parametrize(
    "settings", [LoraConfig, DreamboothConfig, TextualInversionConfig], ids=lambda c: c.__name__
)
def test_every_folded_line_stands_below_one_heading(settings):
    model = FormModel(settings())
    placed = [entry.name for lines in model.folded.values() for entry in lines]
    assert sorted(placed) == sorted(entry.name for entry in model.lines if not entry.basic)
    assert "" not in model.folded and next(iter(model.folded)) == "Previews"


def test_settings_are_saved_under_a_name_and_loaded_again(tmp_path, monkeypatch):
    model = FormModel(LoraConfig(photos="mine", rank=3))
    said = model.save(" my best ")
    assert model.saved == ["my best"] and "my best.toml" in said
    other = FormModel(LoraConfig(photos="others", trigger="zuli", rank=8))
    other.load("my best")
    assert other.config == LoraConfig(photos="others", trigger="zuli", rank=3)
    assert load_config(model.shelf / "my best.toml") == model.config  # so `sdnb train` takes it
    assert FormModel(DreamboothConfig()).saved == []  # of another class
    for name in ("", "../outside", "a/b"):
        with pytest.raises(Problem, match="saved under a name"):
            model.save(name)
    with pytest.raises(Problem, match=r"nobody\.toml"):
        model.load("nobody")
    model.type("rank", "many")
    with pytest.raises(Problem):
        model.save("my best")
    assert load_config(model.shelf / "my best.toml").rank == 3


def test_the_buttons_save_and_load(monkeypatch):
    view = pytest.importorskip("sdnb.notebook.views")
    shown = []
    monkeypatch.setattr(view, "display", shown.append)
    model = FormModel(LoraConfig(rank=3))
    view.show_settings(model)
    row = next(part for part in shown[0].children if "Save" in _descriptions(part))
    name, save, load = row.children
    name.value = "best"
    save.click()
    assert name.options == ("best",) and model.saved == ["best"]
    model.type("rank", "8")
    load.click()
    assert model.config.rank == 3
    name.value = "../x"
    save.click()
    said = shown[0].children[shown[0].children.index(row) + 1]
    assert 'role="alert"' in said.value and model.saved == ["best"]


def _descriptions(part) -> list[str]:
    return [getattr(child, "description", "") for child in getattr(part, "children", ())]


def test_for_an_object_the_class_word_is_asked():
    """A teapot is no man; and a run from before keeps its own words, whatever was said since."""
    model = FormModel(SubjectConfig())
    model.type("subject", "object")
    assert "says what it is, such as mug" in model.faults["subject"]
    model.type("class_word", "teapot")
    assert model.config.front == "photo of ravo teapot" and not model.faults
    asked = form(SubjectConfig, "subject").model
    asked.type("class_word", "teapot")
    asked.type("subject", "object")
    assert sdnb.notebook.subject_of(True).subject == "object"
    before = sdnb.notebook.subject_of(True, LoraConfig(trigger="anna", class_word="woman"))
    assert (before.subject, before.front) == ("person", "photo of anna")


def test_your_turn_previews_the_learners_own_word():
    about = SubjectConfig(trigger="zivko", class_word="teapot", subject="object")
    config = sdnb.notebook.preset_for("lora", about, sdnb.sample_photos())
    assert config.preview_prompts == ("photo of zivko teapot",)


def test_a_class_that_the_mini_never_saw_is_told():
    model = FormModel(LoraConfig(photos=sdnb.sample_photos(), class_word="teapot"))
    assert "The mini draws people, mugs and bags alone: 'teapot'" in model.plan
    for changes in ({"class_word": "mug"}, {"base": "sd15"}):
        model = FormModel(LoraConfig(photos=sdnb.sample_photos()).replace(**changes))
        assert "The mini draws" not in model.plan


def test_a_preset_fills_the_lines_but_keeps_the_photos():
    model = FormModel(LoraConfig(photos="mine", rank=3))
    model.fill(sdnb.preset("person_mini"), keep=("photos",))
    assert str(model.config.photos) == "mine" and model.config.rank == 16


def test_the_form_remembers_in_the_project_what_was_sensible():
    first = form(LoraConfig)
    first.model.type("rank", "32")
    first.model.type("alpha", "nonsense")
    with pytest.raises(Problem, match="Alpha cannot be 'nonsense'"):
        _ = first.config
    assert form(LoraConfig).config == LoraConfig(rank=32)
    assert form(LoraConfig, name="another").config == LoraConfig()


def test_what_was_not_changed_follows_a_new_beginning():
    first = form(LoraConfig(photos="old", rank=4))
    first.model.type("alpha", "2.0")
    again = form(LoraConfig(photos="new", rank=8))
    assert again.config == LoraConfig(photos="new", rank=8, alpha=2.0)


@pytest.mark.parametrize(
    "memory", ["rank = 7\n", 'rnak = "1"\n', 'rank = "no"\n', "rank", b"\xff".decode("latin1")]
)
def test_a_memory_that_does_not_fit_is_left_aside(memory):
    first = form(LoraConfig)
    first.model.type("rank", "32")
    first.memory.write_text(memory, encoding="latin1")
    assert form(LoraConfig).config == LoraConfig()


def test_pictures_have_a_form_too():
    wish = form(sdnb.ImageConfig(prompts=("a man", "a mug"), seeds=3))
    assert wish.model.plan == "2 × 3 = 6 pictures."
    wish.model.type("prompts", "")
    assert wish.model.problems == ["Prompts cannot be empty."]


def test_without_widgets_it_is_text():
    shown = form(LoraConfig(rank=4))
    assert "rank=4" in repr(shown)
    shown.model.type("rank", "no")
    assert repr(shown).startswith("Rank cannot be 'no'")


def test_widgets_follow_the_model_and_the_model_the_widgets(monkeypatch):
    view = pytest.importorskip("sdnb.notebook.views")
    shown = []
    monkeypatch.setattr(view, "display", shown.append)
    form_ = form(LoraConfig)
    view.show_settings(form_.model)
    chooser, top, folded, answer, *_ = shown[0].children
    picture, basic = top.children
    assert picture.layout.display == "none"  # settings of a training look like nothing
    lines = {box.children[0].description: box.children[0] for box in basic.children}
    below = {box.children[0].description: box.children[1] for box in basic.children}
    lines["Rank"].value = "999"
    assert 'role="alert"' in below["Rank"].value and "Rank cannot be" in below["Rank"].value
    assert "alert" not in below["Trigger word"].value and "is red" in answer.value
    lines["Rank"].value = "12"
    assert "rank=12" in answer.value and form_.config.rank == 12
    assert "alert" not in below["Rank"].value
    chooser.value = "person_mini"
    assert lines["Rank"].value == "16"
    assert folded.selected_index is None


def test_what_a_training_would_refuse_stands_beside_its_line(monkeypatch, tmp_path):
    """Though each is a value that a setting can have: nobody knows such a base, such a folder, and
    no caption says such a word."""
    view = pytest.importorskip("sdnb.notebook.views")
    shown = []
    monkeypatch.setattr(view, "display", shown.append)
    model = FormModel(LoraConfig(photos=sdnb.sample_photos()))
    view.show_settings(model)
    basic, folded = shown[0].children[1].children[1], shown[0].children[2].children[0]
    boxes = [box for box in (*basic.children, *folded.children) if hasattr(box, "children")]
    below = {box.children[0].description: box.children[1] for box in boxes}
    for name, typed, label, said in (
        ("trigger", "zuli", "Trigger word", "None of the captions says &#x27;zuli&#x27;"),
        ("base", str(tmp_path / "no.safetensors"), "Base model", "no.safetensors"),
        ("photos", str(tmp_path / "nowhere"), "Photo folder", "does not exist"),
        ("held_out", str(tmp_path / "nowhere"), "Held-out photos", "does not exist"),
    ):
        before = model.typed[name]
        model.type(name, typed)
        assert 'role="alert"' in below[label].value and said in below[label].value
        model.type(name, before)
        assert not any("alert" in line.value for line in below.values())


def test_a_folded_line_at_fault_is_unfolded(monkeypatch):
    view = pytest.importorskip("sdnb.notebook.views")
    shown = []
    monkeypatch.setattr(view, "display", shown.append)
    model = FormModel(LoraConfig())
    view.show_settings(model)
    folded = shown[0].children[2]
    assert folded.selected_index is None
    model.type("preview_every", "-5")
    assert folded.selected_index == 0


def test_nothing_is_folded_where_all_is_shown(monkeypatch):
    view = pytest.importorskip("sdnb.notebook.views")
    shown = []
    monkeypatch.setattr(view, "display", shown.append)
    view.show_settings(FormModel(SubjectConfig()))
    assert "Accordion" not in [type(part).__name__ for part in shown[0].children]


@pytest.mark.parametrize(
    ("typed", "base"),
    [("SD 1.5", "sd15"), ("sd1.5", "sd15"), ("SDXL", "sdxl"), ("Stable Diffusion 2.1", "sd21")],
)
def test_a_base_is_known_however_it_is_written(typed, base):
    assert find_model(typed) is find_model(base)


def test_names_are_offered_and_others_taken():
    for config, name, known in (
        (LoraConfig(), "base", MODELS),
        (sdnb.CaptionConfig(), "captioner", ["mini", *HUB]),
    ):
        line = next(line for line in FormModel(config).lines if line.name == name)
        assert (line.kind, sorted(line.choices)) == ("list", sorted(known))


def test_the_widgets_say_the_plan(monkeypatch):
    view = pytest.importorskip("sdnb.notebook.views")
    shown = []
    monkeypatch.setattr(view, "display", shown.append)
    view.show_settings(FormModel(sdnb.ImageConfig()))
    *_, answer = shown[0].children
    assert "1 × 4 = 4 pictures." in answer.value


def test_other_bases_stand_beside_the_plan_until_something_changes(monkeypatch):
    """The table of `sdnb plan`, where the learner asks for it; here with bases that are counted
    fast."""
    view = pytest.importorskip("sdnb.notebook.views")
    monkeypatch.setattr("sdnb.training.memory.CHOICES", (("sd15", 256),))
    monkeypatch.setattr("sdnb.machine.find_machine", lambda precision: T4)
    shown = []
    monkeypatch.setattr(view, "display", shown.append)
    config = LoraConfig(photos=sdnb.sample_photos(), base="sd15", resolution=320)
    model = FormModel(config)
    view.show_settings(model)
    *_, row, table = shown[0].children
    (button,) = row.children
    assert (button.description, table.value) == ("Compare base models", "")
    button.click()
    assert table.value == f"<pre>{compare_bases(config, 20, T4)}</pre>"
    assert re.findall("sd15, (320|256) pixels", table.value) == ["320", "256"]
    model.type("rank", "8")
    assert table.value == ""
    model.type("base", "mini")
    model.type("resolution", "")
    button.click()
    assert "The mini has no others beside it" in table.value
    model.type("photos", "nowhere <b>")
    button.click()
    assert "does not exist" in table.value and "<b>" not in table.value
    view.show_settings(FormModel(sdnb.DreamboothConfig()))  # which not every base can learn
    assert len(shown[1].children) == len(shown[0].children) - 2


def test_a_slider_keeps_numbers_and_the_picture_follows_it(monkeypatch):
    view = pytest.importorskip("sdnb.notebook.views")
    shown = []
    monkeypatch.setattr(view, "display", shown.append)
    form_ = form(sdnb.mini.PersonConfig)
    view.show_settings(form_.model)
    picture, basic = shown[0].children[0].children
    # to the right of the lines, above them where a cell is narrow, and never stretched
    assert shown[0].children[0].layout.flex_flow == "row-reverse wrap"
    assert basic.layout.flex == "1 1 32em" and picture.layout.align_self == "flex-start"
    lines = {box.children[0].description: box.children[0] for box in basic.children}
    before = picture.value
    assert (lines["Head's share"].min, lines["Head's share"].max) == (0.05, 0.75)
    lines["Head's share"].value = 0.1
    lines["Photos"].value = 7
    assert form_.config.head_share == 0.1 and form_.config.photos == 7
    assert picture.layout.display is None and picture.value != before
    again = form(sdnb.mini.PersonConfig)  # the next day
    assert again.config == form_.config


def test_lines_that_do_not_go_together_are_told_and_not_remembered():
    form_ = form(sdnb.CaptionConfig)
    form_.model.type("min_length", "30")
    form_.model.type("max_length", "20")
    (problem,) = form_.model.problems
    assert "Longest cannot be" in problem
    assert form(sdnb.CaptionConfig).config == sdnb.CaptionConfig(min_length=30)
    form_.model.type("max_length", "80")
    form_.model.type("min_length", "60")  # above the default of the other
    assert form_.model.problems == [] and form_.config.max_length == 80
    assert form(sdnb.CaptionConfig).config == form_.config


def test_the_plan_is_of_the_precision_that_was_chosen(monkeypatch):
    asked = []

    def machine(precision="auto"):
        asked.append(precision)
        raise Problem("This machine cannot calculate in bf16")

    monkeypatch.setattr("sdnb.machine.find_machine", machine)
    model = FormModel(LoraConfig(photos=sdnb.sample_photos(), precision="bf16", seed=77))
    assert "cannot calculate in bf16" in model.plan and asked == ["bf16"]


def test_the_plan_says_what_a_training_would_pass_over(photos_folder, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos_folder, folder)
    model = FormModel(LoraConfig(photos=folder, views_per_photo=2, batch_size=1))
    model.type("gradient_accumulation", "5")
    model.type("warmup_steps", "2")
    assert "5 in a step: 2 steps." in model.plan
    assert "Warm-up steps is 2, and the run has 2 steps" in model.plan
    for caption in folder.glob("*.txt"):
        caption.write_text("photo of bravo")
    (folder / "0.cap").write_text("ravo")
    model.type("trigger", "zuli")
    assert "None of the captions says 'zuli' as a word" in model.plan
    model.type("trigger", "ravo")
    assert "None of the captions says 'ravo' as a word" in model.plan
    model.type("trigger", "")
    assert "None of" not in model.plan and "Not read: 0.cap." in model.plan
    assert model.problems == [] and model.config.trigger == ""
