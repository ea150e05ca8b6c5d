"""What only Colab has, on a stand-in for google.colab that behaves as its source says."""

import errno
import os
import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from huggingface_hub import constants, get_token
from huggingface_hub.utils import _auth
from safetensors.torch import load_file

from sdnb.errors import Problem
from sdnb.machine import on_colab
from sdnb.notebook import colab
from sdnb.project import Project
from sdnb.training.config import LoraConfig
from sdnb.training.run import train


class Fake:
    """google.colab with `chosen` files to upload, secrets, and a Drive; `sent` was downloaded."""

    def __init__(self, root: Path) -> None:
        self.chosen: dict[str, bytes] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.secrets: dict[str, str] = {}
        self.refused: Exception | None = None
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

    def mount(self, mountpoint, force_remount=False, timeout_ms=120000, readonly=False):
        """Asks for leave first; the root has two names; what is mounted is left as it is."""
        if " " in mountpoint:
            raise ValueError("Mountpoint must not contain a space.")
        if self.refused:
            raise self.refused
        if (Path(mountpoint) / "My Drive").is_dir() and not force_remount:
            return print(f"Drive already mounted at {mountpoint}")
        if Path(mountpoint).is_symlink():
            raise ValueError("Mountpoint must not be a symlink")
        if Path(mountpoint).is_dir() and os.listdir(mountpoint):
            raise ValueError("Mountpoint must not already contain files")
        if not Path(mountpoint).parent.exists():
            raise ValueError("Mountpoint must be in a directory that exists")
        cloud = Path(mountpoint).with_name("cloud")  # what is on Drive outlives the session
        for folder in (cloud, Path(mountpoint)):
            folder.mkdir(exist_ok=True)
        for name in ("My Drive", "MyDrive"):
            (Path(mountpoint) / name).symlink_to(cloud)

    def get(self, key):
        """A secret may be there and this notebook not be allowed to see it."""
        secret = self.secrets.get(key, SecretNotFoundError(key))
        if isinstance(secret, Exception):
            raise secret
        return secret


class SecretNotFoundError(Exception):
    pass


class NotebookAccessError(Exception):
    pass


class TimeoutException(Exception):
    pass


class MessageError(Exception):
    """What a refusal in the browser comes back as; no ValueError."""


@pytest.fixture
def google(monkeypatch, tmp_path):
    fake = Fake(tmp_path)
    errors = {each.__name__: each for each in (SecretNotFoundError, NotebookAccessError)}
    names = {"google": {}, "google.colab": {}, "google.colab.errors": {"Error": Exception}}
    names["google.colab.userdata"] = {"get": fake.get, **errors}
    names["google.colab.files"] = {"upload": fake.upload, "download": fake.download}
    names["google.colab.drive"] = {"mount": fake.mount}
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        vars(module).update(names[name])
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(modules[parent], last, module)
        monkeypatch.setitem(sys.modules, name, module)
    (tmp_path / "content").mkdir()
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
    assert other.name == "a-2.jpg" and first[0].read_bytes()[:1] == b"1"
    assert Project().own_photos == Project().photos
    assert {path.name for path in tmp_path.iterdir()} == {"content", "project"}  # no crumbs


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


def test_a_zip_that_does_not_fit_on_the_disk_leaves_the_one_before(google, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lora.safetensors").write_bytes(b"weights")
    (tmp_path / "run.zip").write_bytes(b"the one before")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Problem, match="disk is full"):
        colab.download(tmp_path / "run")
    assert (tmp_path / "run.zip").read_bytes() == b"the one before" and not google.sent
    assert {path.name for path in tmp_path.iterdir()} == {"content", "run", "run.zip"}


def test_the_project_moves_to_drive(google, tmp_path, capsys):
    project = colab.use_drive("mine")
    assert project == tmp_path / "content" / "drive" / "MyDrive" / "mine" and project.is_dir()
    assert Project().folder == project
    assert colab.use_drive("mine") == project and "already mounted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MessageError("Error: credential propagation was unsuccessful"), "propagation"),
        (ValueError("mount failed: timeout\nand what bash said"), "mount failed: timeout. Run"),
        (NotImplementedError("google.colab.drive is unsupported"), "unsupported"),
        (TimeoutException(), "TimeoutException"),
    ],
)
def test_a_drive_that_stays_shut_is_a_problem(google, error, words):
    before = os.environ["SDNB_PROJECT"]
    google.refused = error
    with pytest.raises(Problem, match=f"Drive was not opened: .*{words}"):
        colab.use_drive()
    assert os.environ["SDNB_PROJECT"] == before


def test_files_where_drive_belongs_are_a_problem(google, tmp_path):
    (tmp_path / "content" / "drive" / "photos").mkdir(parents=True)
    with pytest.raises(Problem, match="not already contain files"):
        colab.use_drive()


def test_a_training_goes_on_from_drive_in_the_next_session(google, config, cpu, monkeypatch):
    """The session ends in the middle of a step; only Drive is left. The result is that of a run
    that nobody disturbed."""
    whole = train(config, machine=cpu, progress=False)

    def new_session() -> LoraConfig:
        monkeypatch.delenv("SDNB_PROJECT", raising=False)
        if colab.DRIVE.exists():
            shutil.rmtree(colab.DRIVE)
        colab.use_drive()
        if not Project().own_photos:
            shutil.copytree(config.photos, Project().photos, dirs_exist_ok=True)
        return config.replace(photos=Project().photos)

    def disconnect(step):
        if step.index == 5:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        train(new_session(), machine=cpu, progress=False, on_step=disconnect)
    begun = []
    run = train(new_session(), machine=cpu, progress=False, on_step=begun.append)
    assert begun[0].index == 4  # after the checkpoint of step 3
    assert run.finished and run.folder.is_relative_to(colab.DRIVE)
    assert [step.loss for step in run.history] == [step.loss for step in whole.history]
    learned, undisturbed = load_file(run.weights), load_file(whole.weights)
    assert all(torch.equal(learned[name], undisturbed[name]) for name in undisturbed | learned)


def test_a_full_drive_is_told_before_a_training(google, config, cpu, monkeypatch):
    colab.use_drive()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(Problem, match=r"needs .* of disk, and 0.977 KiB are free \(.*MyDrive"):
        train(config, machine=cpu, progress=False)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.EDQUOT])
def test_a_drive_that_fails_is_a_problem(google, monkeypatch, number):
    """The errors of a mounted Drive whose quota is used up or that was cut off (googlecolab/
    colabtools issues 510 and 1254)."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "touch", fail)
    before = os.environ["SDNB_PROJECT"]
    with pytest.raises(Problem, match=f"{os.strerror(number)} .*MyDrive"):
        colab.use_drive()
    assert os.environ["SDNB_PROJECT"] == before


def test_the_hubs_library_reads_the_token_from_the_secrets(google, monkeypatch):
    """So that nothing here has to: at both ends of the version range."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(google.root / "no login"))
    monkeypatch.setattr(_auth, "_IS_GOOGLE_COLAB_CHECKED", False)
    monkeypatch.setattr(_auth, "_GOOGLE_COLAB_SECRET", None)
    monkeypatch.setattr(_auth, "is_google_colab", lambda: True)
    google.secrets["HF_TOKEN"] = "from the secrets"
    assert get_token() == "from the secrets"


DEEDS = (colab.upload_photos, colab.use_drive, lambda: colab.download("lora.safetensors"))


@pytest.mark.parametrize("deed", DEEDS, ids=["upload", "drive", "download"])
def test_elsewhere_it_says_so(deed, monkeypatch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    assert on_colab() is False
    with pytest.raises(Problem, match="on Google Colab only"):
        deed()
