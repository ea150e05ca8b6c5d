"""A class's reports in one table: what is read, what is refused, what is worked out."""

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest

import sdnb
from sdnb import cli
from sdnb.errors import Problem
from sdnb.evaluation import read_reports, write_class
from sdnb.evaluation.classroom import Classroom
from sdnb.evaluation.report import render
from sdnb.evaluation.scores import Number

HOSTILE = '<script>alert("1")</script> $x^{$'


def write(folder, who, rank, lineup, name="photos-lora", **changes):
    """One learner's numbers in a folder of theirs, as `write_report` writes them."""
    settings = {"trigger": who, "rank": rank, "alpha": float(rank), "views_per_photo": 60}
    drift = {"judge": {"mean": 0.2, "spread": None, "n": 1}}
    scores = {"line-up": {"judge": {"mean": lineup, "spread": 0.1, "n": 4}}, "drift": drift}
    data = {"sdnb_report": 1, "name": name, "method": "lora", "base": "mini", "finished": True}
    data |= {"steps": 9, "seconds": None, "settings": settings, "scores": scores, **changes}
    path = folder / who / "report.json"
    path.parent.mkdir()
    path.write_text(json.dumps(data, indent=1))
    return path


@pytest.fixture
def folder(tmp_path):
    """Four learners: rank 4 twice, 8, and 32, with a line-up that can be worked out on paper."""
    for who, rank, lineup in (("a", 4, 0.25), ("b", 32, 1.0), ("c", 4, 0.75), ("d", 8, 0.5)):
        write(tmp_path, who, rank, lineup)
    return tmp_path


def test_what_differs_and_what_it_comes_to(folder):
    room = read_reports(folder)
    assert room.remarks == [] and len(room.reports) == 4
    assert room.differing == ["trigger", "rank", "alpha"]
    assert room.columns == ["line-up (judge)", "drift (judge)"]
    means = room.means("rank")
    assert [value for value, *_ in means] == [4, 8, 32]  # as words 32 would come before 4
    assert [count for _, count, _ in means] == [2, 1, 1]
    number = means[0][2]["line-up (judge)"]
    # (0.25 + 0.75) / 2, and sqrt(((0.25 - 0.5)² + (0.75 - 0.5)²) / (2 - 1))
    assert (number.mean, number.n) == (0.5, 2) and number.spread == pytest.approx(0.125**0.5)
    assert means[1][2]["line-up (judge)"] == Number(0.5, None, 1)


def test_long_numbers_are_told_apart(tmp_path):
    for who, steps in (("a", 1234567), ("b", 1234568)):
        write(tmp_path, who, 8, 0.5, settings={"save_every": steps})
    assert read_reports(tmp_path).differing == ["save_every"]


def test_the_same_report_counts_once(folder):
    again = folder / "copied" / "other name.json"
    again.parent.mkdir()
    data = json.loads((folder / "a" / "report.json").read_text()) | {"seconds": 77.0}
    again.write_text(json.dumps(data))  # measured again on another machine: the same training
    room = read_reports(folder)
    assert len(room.reports) == 4
    assert room.remarks == [
        f"This report is there twice and counts once ({again.relative_to(folder)})."
    ]


def test_the_table_for_a_spreadsheet(folder):
    write(folder, "e", 8, 0.5, name="=1+1")
    page = write_class(read_reports(folder), folder)
    rows = list(csv.DictReader(io.StringIO(page.with_suffix(".csv").read_text("utf-8-sig"))))
    assert [row["rank"] for row in rows] == ["4", "32", "4", "8", "8"]
    assert [row["line-up (judge)"] for row in rows] == ["0.25", "1.0", "0.75", "0.5", "0.5"]
    assert rows[4]["name"] == "'=1+1"  # a formula only where it is none


def test_the_page_needs_nothing_and_names_no_file(folder):
    write(folder, "e", 8, 0.5, name=HOSTILE)
    html = write_class(read_reports(folder), folder).read_text()
    assert "<script" not in html and "&lt;script&gt;" in html
    assert str(folder) not in html and "report.json" not in html
    assert "0.500 ± 0.354" in html  # the mean of rank 4
    assert "also alpha: a difference" in html
    assert "http://" not in html and "https://" not in html


@pytest.mark.parametrize(
    "values", [("adamw", "prodigy"), (True, False), (HOSTILE, None), (1e-4, 1)]
)
def test_words_and_numbers_can_be_compared_by(tmp_path, values):
    for who, value in zip("ab", values):
        write(tmp_path, who, 8, 0.5, settings={"optimizer": value})
    room = read_reports(tmp_path)
    assert "The class: optimizer" in write_class(room, tmp_path).read_text()


def test_by_another_setting_and_by_none_that_there_is(folder):
    room = read_reports(folder)
    # not by the trigger, which differs because the learners do
    assert "The class: rank" in write_class(room, folder).read_text()
    assert "The class: trigger" in write_class(room, folder, by="trigger").read_text()
    with pytest.raises(Problem, match=r"'views_per_photo' does not differ.*trigger, rank, alpha"):
        write_class(room, folder, by="views_per_photo")


def test_nothing_differs(tmp_path):
    write(tmp_path, "a", 8, 0.5, settings={})
    write(tmp_path, "b", 8, 0.6, settings={})
    room = read_reports(tmp_path)
    assert "what the scores differ by is chance" in write_class(room, tmp_path).read_text()


def test_reports_without_scores_are_listed(tmp_path):
    for who, rank in (("a", 1), ("b", 2)):
        write(tmp_path, who, rank, 0.5, scores={})
    assert (
        "None of the reports holds a score"
        in write_class(read_reports(tmp_path), tmp_path).read_text()
    )


ONE = {"mean": 0.5, "spread": None, "n": 1}
FOREIGN = "broken, foreign or of another version"


def spoil(text, **changes):
    return json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        (lambda text: text[:40], FOREIGN),
        (lambda text: "[" * 100_000, FOREIGN),
        (lambda text: text + " " * 2_000_000 + "x", None),  # cut behind the report: still whole
        (lambda text: '{"a": "' + "x" * 2_000_000 + '"}', FOREIGN),
        (lambda text: "[1, 2]", FOREIGN),
        (lambda text: '{"name": "package"}', FOREIGN),
        (lambda text: spoil(text, sdnb_report=2), FOREIGN),
        (lambda text: spoil(text, sdnb_report="one"), FOREIGN),
        (lambda text: spoil(text, sdnb_report=10**400), FOREIGN),
        (lambda text: spoil(text, finished=False), "not finished"),
        (lambda text: spoil(text, settings=[]), FOREIGN),
        (lambda text: spoil(text, settings={"rank": 10**400}), None),  # no number, but words
        (lambda text: spoil(text, settings={"rank": float("nan")}), None),
        (lambda text: spoil(text, settings={str(i): i for i in range(1000)}), FOREIGN),
        (lambda text: spoil(text, scores={"line-up": {"judge": 1}}), FOREIGN),
        (lambda text: text.replace("0.25", "NaN"), FOREIGN),
        (lambda text: text.replace("0.25", "1e300"), FOREIGN),
        (lambda text: text.replace('"n": 4', '"n": 0'), FOREIGN),
        (lambda text: text.replace('"n": 4', '"n": ' + "9" * 4000), FOREIGN),
        (lambda text: text.replace('"n": 4', '"n": ' + "9" * 4400), FOREIGN),
        (lambda text: spoil(text, settings={"rank": [[["x"]] * 999]}), None),
        (lambda text: spoil(text, scores={"line-up": {str(i): ONE for i in range(21)}}), FOREIGN),
        (lambda text: spoil(text, scores={str(i): {"judge": ONE} for i in range(21)}), FOREIGN),
    ],
)
def test_what_is_no_report_is_told_in_a_sentence(folder, spoiled, told):
    path = folder / "a" / "report.json"
    path.write_text(spoiled(path.read_text()))
    room = read_reports(folder)
    assert len(room.reports) == (4 if told is None else 3)
    if told:
        (remark,) = room.remarks
        assert told in remark and os.path.join("a", "report.json") in remark
    write_class(room, folder)


def test_what_would_be_waited_for_is_not_opened(folder):
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    assert len(read_reports(folder).remarks) == 2


def test_texts_are_short_and_print_plainly(tmp_path):
    write(tmp_path, "a", 8, 0.5, name="\x1b[31mred\n" + "x" * 1000)
    (report,) = read_reports(tmp_path).reports
    assert report.name.startswith("[31mredxxx") and len(report.name) == 200


CONTROLS = [chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))]


def test_no_control_character_reaches_a_page(tmp_path):
    odd = "".join(CONTROLS) + "\u202e\u2028"
    for who in "ab":
        scores = {f"line-up{odd}": {f"judge{odd}": ONE}}
        settings = {f"rank{odd}": f"{who}{odd}", "list": [odd]}
        write(tmp_path, who, 8, 0.5, settings=settings, scores=scores, name=odd, base=odd)
    page = write_class(read_reports(tmp_path), tmp_path)
    for file in (page, page.with_suffix(".csv")):
        text = file.read_text("utf-8")
        assert not set(text) & {*CONTROLS, "\u202e", "\u2028"} and "rank" in text


def test_a_page_of_ones_own_shows_none_either():
    html = render("class.html", title="".join(CONTROLS), room=Classroom(), by=None, others=[])
    assert not set(html) & {*CONTROLS} and "<title>" in html


def test_a_table_has_bounds(tmp_path, monkeypatch):
    """Of files, and of the names that stand in them together."""
    for number in range(5):
        settings = {f"{number}-{i}": i for i in range(100)}
        write(tmp_path, f"a{number}", 8, 0.5, settings=settings)
    room = read_reports(tmp_path)
    assert len(room.reports) == 2 and len(room.differing) <= 300
    assert [remark[:35] for remark in room.remarks] == ["This report has too many settings a"] * 3
    write_class(room, tmp_path / "out")
    monkeypatch.setattr("sdnb.evaluation.classroom.MOST_FILES", 1)
    room = read_reports(tmp_path)
    assert len(room.reports) == 1 and "A class has 1 files at most" in room.remarks[0]


def test_the_command(folder, capsys):
    (folder / "broken.json").write_text("{")
    assert cli.main(["class", str(folder), "--by", "alpha", "--out", str(folder / "out")]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{folder / 'out' / 'class.html'}\n"
    assert shown.err == "The file is broken, foreign or of another version of sdnb (broken.json).\n"
    assert (folder / "out" / "class.csv").exists()


@pytest.mark.parametrize("words", [["absent"], ["."], ["--by", "rank"]])
def test_the_command_says_what_is_missing(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["class", *words]) > 0
    assert "Traceback" not in (error := capsys.readouterr().err) and error
    assert not list(tmp_path.iterdir())


def test_help_explains(capsys):
    assert cli.main(["class", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "FOLDER" in shown and "class.csv and class.html" in shown and "--by" in shown


def test_a_room_of_machines(tmp_path, capsys):
    from sdnb.doctor import Finding, write_findings

    well = [Finding("Python", "3.11"), Finding("notebooks", "none", "Install one", needed=False)]
    write_findings(well, tmp_path / "one.json")
    missing = Finding("disk", "0 GiB free", "Free some space")
    write_findings([*well, missing], tmp_path / "two.json")
    for name in ("one", "two"):
        data = json.loads((tmp_path / f"{name}.json").read_text())
        (tmp_path / f"{name}.json").write_text(json.dumps({**data, "name": f"pc-{name}"}))
    (tmp_path / "three.json").write_text('{"sdnb_doctor": 1, "name": "x", "findings": 3}')
    assert cli.main(["class", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "pc-one: ok\npc-two: missing disk (Free some space)\n"
    assert "of another version of sdnb (three.json)" in shown.err
    assert not (tmp_path / "class.html").exists()  # there is no report to put on it


@pytest.mark.one_set
def test_the_teachers_cell_makes_a_report(tmp_path, monkeypatch):
    """The cell that the guide for teachers gives every learner, with a training cut short."""
    guide = Path(__file__).parents[2] / "notebooks" / "for_teachers.md"
    cells = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    (cell,) = (cell for cell in cells if "SEAT" in cell)
    short = sdnb.preset("person_mini").replace(views_per_photo=1, batch_size=10)
    make = sdnb.evaluation.make_image_set
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    monkeypatch.setattr(sdnb, "preset", lambda name: short)
    monkeypatch.setattr(sdnb.evaluation, "make_image_set", lambda *told: make(*told, steps=1))
    monkeypatch.chdir(tmp_path)
    exec(cell.replace("range(4)", "range(2)"), {})
    (report,) = read_reports(tmp_path).reports
    assert (report.settings["rank"], report.settings["seed"]) == (4, 7)
    assert {"line-up", "likeness", "prompt fit", "drift"} <= set(report.scores)
