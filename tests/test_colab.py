"""What only Colab has, on a stand-in for google.colab that behaves as its source says."""

import os
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from sdnb import colab
from sdnb.problems import Problem
from sdnb.project import Project


class Fake:
    """google.colab with `chosen` files to upload, secrets, and a Drive; `sent` was downloaded."""

    def __init__(self, root: Path) -> None:
        self.chosen: dict[str, bytes] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.secrets: dict[str, str] = {}
        self.refused = ""
        self.root = root

    def upload(self):
        """Saves each file into the current folder under a free name; gives {name: bytes}."""
        for name, content in self.chosen.items():
            place, number = Path(name), 0
            while os.path.lexists(place):
                number += 1
                place = Path(f"{Path(name).stem} ({number}){Path(name).suffix}")
            place.write_bytes(content)
        return dict(self.chosen)

    def download(self, filename):
        if not os.path.exists(filename):
            raise FileNotFoundError(f"Cannot find file: {filename}")
        self.sent.append((os.path.basename(filename), Path(filename).read_bytes()))

    def mount(self, mountpoint, force_remount=False, timeout_ms=120000):
        if " " in mountpoint:
            raise ValueError("Mountpoint must not contain a space.")
        if self.refused:
            raise ValueError(self.refused)
        (Path(mountpoint) / "MyDrive").mkdir(parents=True, exist_ok=True)

    def get(self, key):
        if key not in self.secrets:
            raise SecretNotFoundError(key)
        return self.secrets[key]


class SecretNotFoundError(Exception):
    pass


@pytest.fixture
def google(monkeypatch, tmp_path):
    fake = Fake(tmp_path)
    names = {"google": {}, "google.colab": {}, "google.colab.userdata": {"get": fake.get}}
    names["google.colab.files"] = {"upload": fake.upload, "download": fake.download}
    names["google.colab.drive"] = {"mount": fake.mount}
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        vars(module).update(names[name])
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(modules[parent], last, module)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(colab, "DRIVE", tmp_path / "content" / "drive")
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    return fake


def test_photos_arrive_whole_and_nothing_is_overwritten(google, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    google.chosen = {"a.jpg": b"1" * 3_000_000, "b c.txt": b"photo of ravo"}
    first = colab.upload_photos()
    assert [path.name for path in first] == ["a.jpg", "b c.txt"]
    assert first[0].read_bytes() == b"1" * 3_000_000
    assert colab.upload_photos() == first  # the same again is not kept twice
    google.chosen = {"a.jpg": b"2"}
    (other,) = colab.upload_photos()
    assert other.name == "a (1).jpg" and first[0].read_bytes()[:1] == b"1"
    assert Project().own_photos == Project().photos
    assert {path.name for path in tmp_path.iterdir()} == {"project"}  # nothing lies about


def test_nothing_chosen_is_a_problem(google):
    with pytest.raises(Problem, match="No files were chosen"):
        colab.upload_photos()


def test_a_file_and_a_folder_are_handed_to_the_browser(google, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lora.safetensors").write_bytes(b"weights")
    colab.download(tmp_path / "run" / "lora.safetensors")
    colab.download(tmp_path / "run")
    assert google.sent[0] == ("lora.safetensors", b"weights")
    assert google.sent[1][0] == "run.zip"
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        assert archive.read("lora.safetensors") == b"weights"
    with pytest.raises(Problem, match="nothing to download"):
        colab.download(tmp_path / "absent")


def test_the_project_moves_to_drive(google, tmp_path):
    project = colab.use_drive("mine")
    assert project == tmp_path / "content" / "drive" / "MyDrive" / "mine" and project.is_dir()
    assert Project().folder == project
    google.refused = "mount failed"
    with pytest.raises(Problem, match="Drive was not opened: mount failed"):
        colab.use_drive()


def test_a_token_comes_from_the_secrets_or_the_environment(google, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert colab.hub_token() is None
    monkeypatch.setenv("HF_TOKEN", "from the environment")
    assert colab.hub_token() == "from the environment"
    google.secrets["HF_TOKEN"] = "from the secrets"
    assert colab.hub_token() == "from the secrets"


@pytest.mark.parametrize("deed", [colab.upload_photos, colab.use_drive])
def test_elsewhere_it_says_so(deed, monkeypatch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    with pytest.raises(Problem, match="on Google Colab only"):
        deed()
