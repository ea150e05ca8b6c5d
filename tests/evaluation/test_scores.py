import pytest
import torch

from sdnb.errors import Problem
from sdnb.evaluation import scores as module
from sdnb.evaluation.lineup import LineUp
from sdnb.evaluation.scores import (
    ImageSet,
    Number,
    distance,
    diversity,
    drift,
    fit,
    likeness,
    make_image_set,
    measure,
    prompt_fit,
)
from sdnb.mini.judge import Judge

RED, LIME, BLUE, BLACK = (1.0, 0.0), (0.0, 1.0), (0.6, 0.8), (-1.0, 0.0)
SEEN = torch.tensor([[RED, LIME], [BLUE, BLACK]])  # two prompts, two seeds


def is_number(number, mean, spread, n=2):
    assert number.mean == pytest.approx(mean, abs=1e-6)  # fp32
    assert number.spread == (None if spread is None else pytest.approx(spread, abs=1e-6))
    assert number.n == n
    return True


def test_a_number_and_how_it_is_told():
    number = Number.over(torch.tensor([0.5, 0.7]))
    assert is_number(number, 0.6, 0.02**0.5)  # deviations of 0.1 each, divided by 2 - 1
    assert str(number) == "0.60 ± 0.14" and f"{number:.3f}" == "0.600 ± 0.141"
    assert number.error == pytest.approx(0.1)  # √0.02 / √2
    alone = Number.over(torch.tensor([0.5]))
    assert is_number(alone, 0.5, None, 1) and str(alone) == "0.50" and alone.error == 0


def test_likeness_is_over_all_photos():
    # red with red and lime: 1 and 0; blue: 0.6 and 0.8; so the first seed 0.5 and 0.7
    # lime: 0 and 1; black: -1 and 0; so the second seed 0.5 and -0.5
    assert is_number(likeness(SEEN, torch.tensor([RED, LIME])), 0.3, (2 * 0.3**2) ** 0.5)


def test_fit_is_each_picture_with_its_own_prompt():
    # first prompt red: 1 and 0; second prompt lime: 0.8 and 0; seeds 0.9 and 0
    assert is_number(fit(SEEN, torch.tensor([RED, LIME])), 0.45, (2 * 0.45**2) ** 0.5)


def test_drift_is_by_prompt_and_seed():
    assert is_number(distance(SEEN, SEEN), 0, 0)
    after = torch.tensor([[LIME, LIME], [BLUE, RED]])
    # cosines 0 and 1 in the first seed, 1 and -1 in the second
    assert is_number(distance(SEEN, after), 0.75, (2 * 0.25**2) ** 0.5)


class Plain:
    """An encoder whose pictures and texts already are vectors."""

    name = "plain"

    def embed(self, pictures):
        return torch.tensor(pictures)

    embed_texts = embed


def test_pictures_with_a_prompt_each():
    # 1, 0 and 0.6 x 0.6 + 0.8 x 0.8 = 1; 1 - cosines of 1, 0 and -1
    fits = prompt_fit(Plain(), [RED, LIME, BLUE], [RED, RED, BLUE])
    assert fits == pytest.approx(2 / 3, abs=1e-6)  # fp32
    assert drift(Plain(), [RED, LIME, RED], [RED, RED, BLACK]) == pytest.approx(1, abs=1e-6)


def test_diversity_is_among_the_pictures_of_one_prompt():
    # red and lime: 1 - 0; blue and black: 1 + 0.6; with two seeds each sees the same pair
    assert is_number(diversity(SEEN), 1.3, 0)
    three = torch.tensor([[RED, RED, LIME]])
    # the pairs: 0, 1, 1; so the seeds 0.5, 0.5, 1: deviations of 1/6, 1/6, 2/6, divided by 3 - 1
    assert is_number(diversity(three), 2 / 3, (6 / 36 / 2) ** 0.5, 3)


def drawn_of(paint, *colours, prompts=("a", "b"), **more):
    return ImageSet(prompts, (0, 1), tuple(map(paint, colours)), **more)


@pytest.fixture
def drawn(painted):
    return drawn_of(painted, "red", "lime", "blue", "black")


def test_measure(drawn, painted, colours, clip):
    photos = [painted("red"), painted("lime")]
    after = drawn_of(painted, "lime", "lime", "blue", "red")
    scores = measure(drawn, photos, [colours, clip], (drawn, after))
    assert [*scores.numbers] == ["likeness", "prompt fit", "drift", "diversity"]
    assert [*scores["likeness"]] == ["colours", "clip"] and [*scores["prompt fit"]] == ["clip"]
    assert is_number(scores["likeness"]["colours"], 0.3, (2 * 0.3**2) ** 0.5)
    assert is_number(scores["prompt fit"]["clip"], 0.45, (2 * 0.45**2) ** 0.5)
    assert is_number(scores["drift"]["clip"], 0.75, (2 * 0.25**2) ** 0.5)
    assert is_number(scores["diversity"]["colours"], 1.3, 0)


def test_clip_compares_with_the_texts(drawn, painted, clip):
    other = drawn_of(painted, "red", "lime", "blue", "black", texts=("b", "a"))
    # red and lime with lime: 0 and 1; blue and black with red: 0.6 and -1
    assert is_number(
        measure(other, [painted("red")], [clip])["prompt fit"]["clip"], 0.15, 0.15 * 2**0.5
    )


def test_the_line_up_is_the_judges(drawn, painted, colours):
    class Colours(Judge):
        embed = staticmethod(colours.embed)

    lineup = LineUp((None, None), torch.tensor([LIME, RED]))  # lime is the subject
    scores = measure(drawn, [], [Colours(), colours], lineup=lineup)
    # red no, lime yes; blue is nearer to lime (0.8) than to red, and so is black (0)
    assert is_number(scores["line-up"]["judge"], 0.75, 0.25 * 2**0.5)
    assert "likeness" not in scores.numbers


def test_one_seed_has_no_spread_and_no_diversity(painted, clip):
    scores = measure(ImageSet(("a",), (5,), (painted("red"),)), [painted("blue")], [clip])
    assert is_number(scores["likeness"]["clip"], 0.6, None, 1)
    assert "diversity" not in scores.numbers


def test_what_cannot_be_measured_is_a_problem(drawn, painted, clip):
    with pytest.raises(Problem, match="no photos"):
        measure(drawn, [], [clip])
    other = ImageSet(("a", "c"), (0, 1), drawn.images)
    with pytest.raises(Problem, match="Before and after"):
        measure(drawn, [painted("red")], [clip], (drawn, other))
    for prompts, seeds in (((), (0, 1)), (("a",), ())):
        with pytest.raises(Problem, match="nothing to make"):
            make_image_set("model", prompts, seeds)
    with pytest.raises(Problem, match="one text"):
        make_image_set("model", ("a", "b"), (0, 1), ("a",))


def test_a_table_fits_a_notebook(drawn, painted, colours, clip):
    colours.name = "a very long name of a folder with an encoder"
    table = str(measure(drawn, [painted("red")], [colours, clip], (drawn, drawn)))
    assert max(map(len, table.splitlines())) <= 62
    assert "likeness     clip                 0.150 ± 0.919       2" in table.splitlines()


def test_an_image_set_has_every_prompt_with_every_seed(painted, monkeypatch):
    asked = []

    def make(model, prompts, seeds, **options):
        asked.append((prompts, seeds, options))
        return [painted("red")] * len(prompts)

    monkeypatch.setattr(module, "make_images", make)
    drawn = make_image_set("model", ("x", "y"), range(3, 5), steps=2)
    assert asked == [(["x", "x", "y", "y"], [3, 4, 3, 4], {"steps": 2})]
    assert (drawn.prompts, drawn.seeds, len(drawn.images)) == (("x", "y"), (3, 4), 4)
    assert [prompt for prompt, _ in drawn] == ["x", "x", "y", "y"]


def test_halves_share_no_prompt(painted):
    pictures = tuple(painted(c) for c in ("red", "red", "lime", "lime", "blue", "blue"))
    drawn = ImageSet(("a", "b", "c"), (0, 1), pictures, ("A", "B", "C"))
    first, second = drawn.half(0), drawn.half(1)
    assert (first.prompts, first.texts) == (("a", "c"), ("A", "C"))
    assert (second.prompts, second.texts) == (("b",), ("B",))
    assert first.images == (*pictures[:2], *pictures[4:]) and second.images == pictures[2:4]
