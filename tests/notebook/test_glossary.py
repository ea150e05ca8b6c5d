"""The glossary holds every setting, in the settings' own words."""

import importlib
import pkgutil
import re
from email.message import Message

import pytest

import sdnb
from sdnb.cli import main
from sdnb.inference.config import ImageConfig
from sdnb.notebook.glossary import CLASSES, address, glossary
from sdnb.settings import Settings, names_elsewhere
from sdnb.training.config import LoraConfig


def below(cls: type) -> set[type]:
    return {cls} | {found for sub in cls.__subclasses__() for found in below(sub)}


def test_every_class_of_settings_is_in_it():
    for module in pkgutil.walk_packages(sdnb.__path__, "sdnb."):
        if module.name.rpartition(".")[2] != "__main__":
            importlib.import_module(module.name)
    found = {cls for cls in below(Settings) if cls.__module__.startswith("sdnb.")}
    found -= {Settings}
    found = {cls for cls in found if cls.__module__ != "sdnb.cli"}  # a command is not a setting
    remembered = {cls for cls in found if cls.__name__ == "Changes"}  # what a form remembers
    assert found - remembered == set(CLASSES)


def test_every_setting_has_one_anchor_a_heading_and_its_help():
    page = glossary()
    targets = re.findall(r"^\((.+)\)=$", page, re.MULTILINE)
    names = {name for cls in CLASSES for name in cls.model_fields}
    assert sorted(targets) == sorted(
        [name.replace("_", "-") for name in names] + [cls.__name__.lower() for cls in CLASSES]
    )
    for cls in CLASSES:
        for field in cls.model_fields.values():
            assert " ".join(field.description.split()) in page


def test_an_entry_says_what_it_may_be_and_what_it_is_unless_set():
    entries = dict(re.findall(r"^\((\S+)\)=\n(.*?)(?=^\(|\Z)", glossary(), re.DOTALL | re.M))
    assert entries["rank"] == (
        "### Rank\n\nThe width of the small matrices; 4 to 32 is safe, too low misses small "
        "features, too high makes large files and learns backgrounds by heart.\n\n"
        "`rank` in [`LoraConfig`](#loraconfig): a whole number, at least 1 and at most 256; "
        "`8` unless set.\n\n"
    )
    assert "a whole number, at least 32 and at most 4,096, or empty; empty" in entries["width"]
    assert "`precision` in [`TrainConfig`](#trainconfig): `auto` or `fp32`" in entries["precision"]
    assert "on or off; off unless set" in entries["flip"]
    assert "`method` in [`LoraConfig`](#loraconfig): always `lora`." in entries["method"]
    assert "a file or folder, or empty; empty unless set" in entries["held-out"]
    rates = re.findall(r"in \[`(\w+)`\]\S+ a number, .*; `(\S+)` unless", entries["learning-rate"])
    assert rates == [
        ("TrainConfig", "0.0001"),
        ("DreamboothConfig", "2e-06"),
        ("TextualInversionConfig", "0.002"),
    ]


def test_it_says_what_kohyas_settings_are_called_here():
    """Each name that a file of settings is corrected for has a row, and names a setting of ours."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", glossary().split("## From kohya_ss")[1], re.M)
    assert {name for name, _ in rows} == {*names_elsewhere()} and len(rows) > 80
    assert ("network_dim", "`rank`") in rows and ("train_batch_size", "`batch_size`") in rows
    ours = {name for cls in CLASSES for name in cls.model_fields}
    for _, said in rows:
        assert said.startswith("no such setting") or ours & set(re.findall(r"\w+", said)), said


def test_the_command_prints_it(capsys):
    assert main(["glossary"]) == 0
    assert capsys.readouterr().out == glossary() + "\n"


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        (["Repository, https://github.com/anna/course"], "https://anna.github.io/course"),
        (["Home, https://x.org", "Repository, https://github.com/a/b/"], "https://a.github.io/b"),
        (["Home, https://x.org"], None),
        ([], None),
    ],
)
def test_the_address_is_made_from_the_repositorys(monkeypatch, urls, expected):
    known = Message()
    for url in urls:
        known["Project-URL"] = url
    monkeypatch.setattr("sdnb.notebook.glossary.metadata", lambda name: known)
    assert address(LoraConfig) == (expected and f"{expected}/glossary.html#loraconfig")


def test_without_an_installed_package_there_is_no_address(monkeypatch):
    def lacking(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("sdnb.notebook.glossary.metadata", lacking)
    assert address(LoraConfig) is None


@pytest.mark.parametrize("url", ["https://a.github.io/b/glossary.html#pictureconfig", None])
def test_a_form_leads_to_it(monkeypatch, url):
    """Below the settings that are folded away."""
    widgets = pytest.importorskip("ipywidgets")
    from sdnb.notebook import views as view
    from sdnb.notebook.settings_form import FormModel

    shown = []
    monkeypatch.setattr(view, "address", lambda cls: url if cls is ImageConfig else "wrong")
    monkeypatch.setattr(view, "display", shown.append)
    view.show_settings(FormModel(ImageConfig()))
    (folded,) = (part for part in shown[0].children if isinstance(part, widgets.Accordion))
    link = folded.children[0].children[-1].value
    assert (f'href="{url}"' in link) == ("All settings explained" in link) == bool(url)
