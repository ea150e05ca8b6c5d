"""The line-up of a learner's own photos among other members of the class."""

import json
from dataclasses import replace
from html import unescape

import pytest
import torch
from PIL import Image

from sdnb.adapters import load_lora
from sdnb.errors import Problem
from sdnb.evaluation import lineup as module, measure, photo_line_up, picker, report
from sdnb.evaluation.lineup import MEMBERS, LineUp
from sdnb.evaluation.picker import key_numbers, pick_checkpoint
from sdnb.evaluation.report import write_report
from sdnb.evaluation.scores import ImageSet, recognised
from sdnb.inference import make_images
from sdnb.models.image_encoders import load_clip
from sdnb.models.loading import load_model
from sdnb.training.run import train

RED, LIME, BLUE, BLACK = (1.0, 0.0), (0.0, 1.0), (0.6, 0.8), (-1.0, 0.0)


@pytest.fixture(scope="module")
def run(config, cpu, tmp_path_factory):
    kept = config.replace(keep_checkpoints=5)
    return train(kept, tmp_path_factory.mktemp("runs") / "kept", cpu, progress=False)


@pytest.fixture
def asked(monkeypatch):
    """The (prompt, seed) pairs of the class images, made in one step."""
    pairs = []

    def make(model, prompts, seeds, **how):
        pairs.extend(zip(prompts, seeds))
        return make_images(model, prompts, seeds, steps=1, **how)

    monkeypatch.setattr("sdnb.training.prior_preservation.make_images", make)
    return pairs


@pytest.fixture
def strangers(tmp_path, painted):
    """A folder of other people, of one colour each."""
    folder = tmp_path / "strangers"
    folder.mkdir()
    for colour in ("lime", "blue"):
        painted(colour).save(folder / f"{colour}.png")
    return folder


def test_the_subject_is_known_by_the_mean_of_its_photos():
    lineup = LineUp((), torch.tensor([RED, LIME, BLUE]), own=2)
    # (0.5, 0.5), at unit length (0.71, 0.71): to red 0.71 against 0.6, to blue 0.99 against 1, to
    # black -0.71 against -0.6; at its own length it would not be the nearest to red
    assert lineup.nearest(torch.tensor([RED, BLUE, BLACK])).tolist() == [0, 1, 1]
    one = LineUp((), torch.tensor([RED, LIME, BLACK]))
    assert one.nearest(torch.tensor([RED, BLUE, BLACK])).tolist() == [0, 1, 2]
    assert lineup.nearest(torch.tensor([[RED, BLUE], [BLACK, RED]])).tolist() == [[0, 1], [1, 0]]


def test_the_share_has_the_spread_over_seeds():
    lineup = LineUp((), torch.tensor([RED, LIME, BLUE]), own=2)
    number = recognised(torch.tensor([[RED, BLUE], [RED, RED]]), lineup)
    assert (number.mean, number.n) == (0.75, 2)
    assert number.spread == pytest.approx(0.5 * 0.5**0.5)  # shares of 1 and 0.5


def test_halves_share_no_photo_and_all_others():
    lineup = LineUp((), torch.tensor([RED, LIME, BLUE, BLACK]), own=3, encoder="x", remarks=("y",))
    first, second = lineup.half(0), lineup.half(1)
    assert first.known.tolist() == torch.tensor([RED, BLUE, BLACK]).tolist() and first.own == 2
    assert second.known.tolist() == torch.tensor([LIME, BLACK]).tolist() and second.own == 1
    assert (second.encoder, second.remarks) == ("x", ("y",))
    assert second.half(1) is second  # of one photo, or of the judge's, there is no half


def test_the_others_are_class_images_without_the_trigger(
    run, config, tiny, asked, mean_encoder, painted
):
    before = make_images(tiny, "x", [0], steps=1)[0].tobytes()
    load_lora(tiny, run.weights)
    photos = [painted("red"), painted("blue")]
    lineup = photo_line_up(config, tiny, photos, encoder=mean_encoder)
    assert make_images(tiny, "x", [0], steps=1)[0].tobytes() == before  # it is the base's work
    prompts, seeds = zip(*asked)
    captions = ["photo of a man", *(f"photo of a man number {i}" for i in range(1, 5))]
    assert prompts == tuple((captions * 4)[: MEMBERS - 1])
    assert seeds == tuple(range(5000, 5019))  # no noise that a learner's own images begin with
    images = make_images(tiny, prompts, seeds, steps=1)
    assert torch.allclose(lineup.known[2:], mean_encoder.embed(images), atol=1e-3)
    assert torch.equal(lineup.known[:2], mean_encoder.embed(photos))
    assert (lineup.own, lineup.encoder) == (2, "mean")
    (remark,) = lineup.remarks
    assert remark.startswith("Line-up: 2 photos of the subject among 19 others, seen by mean.")
    assert "not measured" in remark


def test_the_others_can_be_of_the_prompts_that_are_judged(
    configs, tiny, asked, mean_encoder, painted
):
    prompts = ("photo of {}, in the snow", "Ravo man \\(old\\) at night")
    config = configs["dreambooth"].replace(class_prompt="a portrait", photos="is not read")
    lineup = photo_line_up(config, tiny, [painted("red")], prompts, mean_encoder)
    named = ["photo of a man, in the snow", "a man \\(old\\) at night"]  # already as prompts
    assert [prompt for prompt, _ in asked[:2]] == named
    assert len(asked) == 19 and asked[2][0] == asked[0][0] and len(lineup.known) == 20


def test_a_caption_is_drawn_as_the_words_it_is(config, tiny, asked, mean_encoder, tmp_path):
    for i, words in enumerate(("ravo man (red)", "[ravo] <lora:x:1>", "a hat {}")):
        Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(words)
    photo_line_up(config.replace(photos=tmp_path), tiny, encoder=mean_encoder)
    assert [prompt for prompt, _ in asked[:3]] == [
        "a man \\(red\\)",
        "\\[a man\\] \\<lora:x:1>",
        "a hat \\{\\}",
    ]


def test_without_a_trigger_word_the_subject_is_the_class(config, tiny, asked, mean_encoder):
    plain = config.replace(trigger="")
    photo_line_up(plain, tiny, others=("photo of {}", "a hat"), encoder=mean_encoder)
    assert [prompt for prompt, _ in asked[:2]] == ["photo of a man", "a hat"]


def test_an_empty_image_is_nobody(config, tiny, mean_encoder, painted, monkeypatch):
    def black(model, prompts, *rest, **how):
        return [painted("black")] * len(prompts)

    monkeypatch.setattr("sdnb.training.prior_preservation.make_images", black)
    with pytest.raises(Problem, match="empty class image for 'photo of a man'"):
        photo_line_up(config, tiny, encoder=mean_encoder)


def test_without_held_out_photos_it_says_that_it_takes_the_trainings(
    config, tiny, mean_encoder, strangers
):
    lineup = photo_line_up(config, tiny, others=strangers, encoder=mean_encoder)
    assert lineup.own == 5 and len(lineup.known) == 5 + 2
    assert lineup.remarks[0].startswith("Line-up: 5 photos of the subject among 2 others")
    assert "training's own, and the share is too high" in lineup.remarks[1]


def test_photos_that_the_run_held_out_are_the_subjects(
    config, tiny, mean_encoder, strangers, painted, tmp_path
):
    held_out = tmp_path / "held out"
    held_out.mkdir()
    painted("red").save(held_out / "red.png")
    config = config.replace(held_out=held_out)
    lineup = photo_line_up(config, tiny, others=strangers, encoder=mean_encoder)
    assert torch.equal(lineup.known[:1], mean_encoder.embed([painted("red")])) and lineup.own == 1
    assert len(lineup.remarks) == 1  # not the training's own
    given = photo_line_up(config, tiny, [painted("black")], strangers, mean_encoder)
    assert torch.equal(given.known[:1], mean_encoder.embed([painted("black")]))


def test_a_folder_takes_the_place_of_class_images(config, tiny, asked, mean_encoder, strangers):
    subject = [Image.new("RGB", (8, 8), "red")]
    lineup = photo_line_up(config, tiny, subject, strangers, mean_encoder)
    assert asked == []
    blue, lime = (Image.new("RGB", (8, 8), colour) for colour in ("blue", "lime"))  # by name
    assert torch.equal(lineup.known, mean_encoder.embed([*subject, blue, lime]))
    reddish, bluish = Image.new("RGB", (8, 8), (200, 20, 20)), Image.new("RGB", (8, 8), "navy")
    assert lineup.score([reddish, bluish, blue, reddish], mean_encoder) == 0.5


def test_a_folder_that_is_no_gallery_is_a_problem(config, tiny, mean_encoder, strangers, tmp_path):
    def make(folder, photos=()):
        photo_line_up(config, tiny, photos, folder, mean_encoder)

    with pytest.raises(Problem, match="does not exist"):
        make(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Problem, match="no photos"):
        make(tmp_path / "empty")
    with pytest.raises(Problem, match="photo of the subject is among the others"):
        make(config.photos)
    with pytest.raises(Problem, match="photo of the subject is among the others"):
        make(strangers, [Image.new("RGB", (9, 9), "lime")])
    (strangers / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(Problem, match=r"broken\.jpg"):
        make(strangers)


def test_the_encoder_is_the_last_that_suits_the_base(
    config, tiny, mean_encoder, strangers, monkeypatch
):
    monkeypatch.setattr(module, "image_encoders_for", lambda model: [None, mean_encoder])
    assert photo_line_up(config, tiny, others=str(strangers)).encoder == "mean"


def test_only_its_own_encoder_looks(painted, colours, clip):
    drawn = ImageSet(("a",), (0, 1), (painted("red"), painted("lime")))
    lineup = LineUp((), torch.tensor([RED, BLUE]), encoder="colours", remarks=("Beware. " * 20,))
    scores = measure(drawn, [], [colours, clip], lineup=lineup)
    assert [*scores["line-up"]] == ["colours"] and scores["line-up"]["colours"].mean == 0.5
    table = str(scores).splitlines()
    assert max(map(len, table)) <= 62 and " ".join(table).count("Beware.") == 20
    with pytest.raises(Problem, match="made with colours"):
        measure(drawn, [], [clip], lineup=lineup)


def test_the_picker_and_the_report_take_it(
    run, config, tiny, mean_encoder, strangers, painted, monkeypatch, tmp_path
):
    monkeypatch.setattr(picker, "image_encoders_for", lambda model: [mean_encoder])
    halves = []
    monkeypatch.setattr(
        picker, "measure", lambda *told: halves.append((told[1], told[4])) or measure(*told)
    )
    photos = [painted("red"), painted("blue"), painted("black")]
    (strangers / "blue.png").unlink()
    lineup = photo_line_up(config, tiny, photos, strangers, mean_encoder)
    prompts = ("photo of {}", "{} at the beach")
    picked = pick_checkpoint(run, photos, tiny, lineup, prompts, seeds=(0, 1), steps=1)
    assert [(len(some), half.own) for some, half in halves] == [(2, 2), (1, 1)] * 3
    reported = picked.chosen.reported
    assert key_numbers(reported)[0] is reported["line-up"]["mean"]
    lines = str(picked).splitlines()
    assert lines[0].split()[1] == "line-up" and max(map(len, lines)) <= 62
    assert "3 photos of the subject" in " ".join(lines)
    page = write_report(run, tmp_path / "page.html", reported)
    assert lineup.remarks[0] in page.read_text()


def test_the_picker_makes_one_where_it_is_asked(run, tiny, asked, monkeypatch):
    clip = load_clip(load_model("mini"))
    monkeypatch.setattr(picker, "image_encoders_for", lambda model: [clip])
    prompts, how = ("photo of {}", "{} at the beach"), {"seeds": (0, 1), "steps": 1}
    picked = pick_checkpoint(run, (), tiny, True, prompts, **how)
    assert [prompt for prompt, _ in asked[:2]] == ["photo of a man", "a man at the beach"]
    lineup = photo_line_up(run.config, tiny, (), prompts, clip)
    by_hand = pick_checkpoint(run, (), tiny, lineup, prompts, **how)
    assert str(picked) == str(by_hand) and "No photos were held out" in str(picked)


def test_the_report_makes_one_where_it_is_asked_and_else_says_that_it_could(
    run, tiny, mean_encoder, asked, painted, monkeypatch, tmp_path
):
    monkeypatch.setattr(report, "image_encoders_for", lambda model: [None, mean_encoder])
    images = ImageSet(("photo of ravo man",), (0, 1), (painted("red"), painted("lime")))
    scores = measure(images, [painted("red")], [mean_encoder])
    page = tmp_path / "page.html"
    write_report(run, page, scores, images)
    assert "line_up=model" in page.read_text()
    write_report(run, page, scores, images, line_up=tiny)
    lineup = photo_line_up(run.config, tiny, (), images.prompts, mean_encoder)
    share = recognised(images.embed_with(mean_encoder), lineup)
    told = json.loads(page.with_suffix(".json").read_text())["scores"]
    assert [*told] == ["line-up", *scores.numbers] and told["line-up"]["mean"]["mean"] == share.mean
    assert all(remark in unescape(page.read_text()) for remark in lineup.remarks)
    assert asked[0] == ("photo of a man", 5000) and "line_up=model" not in page.read_text()
    on_mini = replace(run, config=run.config.replace(base="mini"))
    assert "line_up=model" not in write_report(on_mini, page, scores, images).read_text()
    with pytest.raises(Problem, match="no images for the line-up"):
        write_report(run, page, scores, line_up=tiny)
    write_report(run, page, None, images, line_up=tiny)  # as the only score
    assert [*json.loads(page.with_suffix(".json").read_text())["scores"]] == ["line-up"]
