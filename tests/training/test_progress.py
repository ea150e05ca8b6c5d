"""What a run shows of itself while it trains."""

import re

import IPython.display
import pytest
from PIL import Image

from sdnb.training.loop import Step
from sdnb.training.progress import COLUMNS, POINTS, Line, Live, watch
from sdnb.training.validation import ValidationLoss


def steps_of(*losses, first=1):
    return [Step(first + i, loss, loss, 0.0, 1e-3) for i, loss in enumerate(losses)]


@pytest.fixture
def screen(monkeypatch):
    """All that reaches the notebook: a list of lists, one for each display, first state first."""
    shown = []

    class Handle:
        def __init__(self, thing):
            shown.append([repr(thing)])
            self.states = shown[-1]

        def update(self, thing):
            self.states.append(repr(thing))

    monkeypatch.setattr(IPython.display, "display", lambda thing, display_id: Handle(thing))
    return shown


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def test_the_notebook_display_replaces_itself_twice_a_second_at_most(screen):
    clock = Clock()
    live = Live(40, [], clock)
    for step in steps_of(*[1.0] * 40):
        clock.seconds += 0.125
        live.show(step)
    live.close()
    assert len(screen) == 1 and len(screen[0]) == 1 + 40 / 4 + 1
    assert screen[0][1] == "step 4 of 40, loss 1.0000, about 4 s left"  # 36 steps of 1/8 s
    assert screen[0][-1] == "step 40 of 40, loss 1.0000, done in 5 s"


def test_a_run_taken_up_again_shows_the_whole_line_and_the_time_of_its_own_steps(screen):
    clock = Clock()
    live = Live(400, steps_of(*[2.0] * 100), clock)
    clock.seconds = 1.0
    live.show(*steps_of(4.0, first=101))
    assert repr(live) == "step 101 of 400, loss 2.1000, about 4:59 min left"  # 2 + 0.05 * (4 - 2)
    live.close()
    assert screen[0][-1] == "step 101 of 400, loss 2.1000, stopped; the same again continues it"


def test_the_loss_line_stays_short_however_long_the_run(screen):
    live = Live(10_000, steps_of(*[1.0, 3.0] * 5000))
    lines = re.findall(r'points="([^"]*)"', live._repr_html_())
    assert [len(line.split()) for line in lines] == [POINTS + 4] * 2  # every 33rd of 10 000
    assert lines[0].split()[0] == "0.0,60.0" and lines[0].split()[1] == "2.0,0.0"  # 1 of 3, 3 of 3


def test_previews_are_a_strip_that_grows_in_a_display_of_its_own(monkeypatch, tmp_path):
    """The first at the left, the last at the right, some of the others between."""
    strips = []

    class Handle:
        def __init__(self, thing):
            self.update(thing)

        def update(self, thing):
            strips.extend([thing] if isinstance(thing, Image.Image) else [])

    monkeypatch.setattr(IPython.display, "display", lambda thing, display_id: Handle(thing))
    live = Live(10, [])
    colours = ["red", *["green"] * COLUMNS, "blue"]
    for step, colour in zip(steps_of(*[1.0] * len(colours)), colours):
        live.preview(tmp_path / "step.png", [Image.new("RGB", (64, 64), colour)] * 2, ("a", "b"))
        live.show(step)
    widths = [strip.width for strip in strips]
    assert widths == sorted(widths) and len(strips) == len(colours)
    assert widths[COLUMNS - 2] < widths[COLUMNS - 1] == widths[-1]
    assert {strip.height for strip in strips} == {strips[0].height}
    row = [strips[-1].getpixel((x, strips[-1].height - 20)) for x in range(widths[-1])]
    red, green, blue = (row.index(c) for c in ((255, 0, 0), (0, 128, 0), (0, 0, 255)))
    assert red < green < blue and row.count((0, 128, 0)) == (COLUMNS - 2) * row.count((255, 0, 0))


def test_the_loss_has_axes_and_a_legend(screen):
    live = Live(40, steps_of(0.5, 0.25))
    shown = live._repr_html_()
    for words in (">0.5<", ">0<", ">step 0<", ">40<", "each step", "mean of the last"):
        assert words in shown, words
    assert "held out" not in shown.split("loss: ")[1]
    live.validated(ValidationLoss(2, 0.4, (0.4,)))
    assert "held out" in live._repr_html_().split("loss: ")[1]


def test_outside_a_notebook_it_is_a_line_of_text(capsys):
    line = watch(2, [])
    assert isinstance(line, Line)
    for step in steps_of(1.0, 3.0):
        line.show(step)
    line.close()
    said = capsys.readouterr().err
    assert "2/2" in said and "loss=1.1000" in said


def test_nothing_is_said_where_nothing_shall_be(capsys):
    line = watch(1, [], shown=False)
    line.show(*steps_of(1.0))
    line.close()
    assert capsys.readouterr() == ("", "")


def test_with_class_images_both_losses_are_shown(screen, capsys):
    step = Step(1, 0.5, 0.3, 0.2, 1e-3)
    live = Live(4, [], Clock())
    live.show(step)
    assert repr(live).startswith("step 1 of 4, loss 0.5000 (own 0.3000, class 0.2000)")
    line = Line(4, [])
    line.show(step)
    line.close()
    assert "loss=0.5000 (own 0.3000, class 0.2000)" in capsys.readouterr().err


def test_held_out_photos_are_a_line_of_their_own(screen, capsys):
    live = Live(4, [], Clock())
    for step in steps_of(1.0, 0.5):
        live.show(step)
    live.validated(ValidationLoss(2, 0.75, (0.75,) * 4))
    assert "loss 0.9750, held out 0.7500" in repr(live)
    assert live._repr_html_().count("<polyline") == 3
    for shown in (True, False):
        line = watch(4, [], shown)
        line.validated(ValidationLoss(2, 0.75, (0.75,) * 4))
        line.close()
        assert ("held-out loss 0.7500" in capsys.readouterr().out) is shown
