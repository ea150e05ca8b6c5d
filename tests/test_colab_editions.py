"""The Colab editions: what colab/build.py makes, and nothing that the free tier forbids."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

import sdnb
from sdnb.errors import Problem

CHECKOUT = Path(__file__).parents[1]
NOTEBOOKS = sorted(CHECKOUT.glob("notebooks/*.ipynb"))
FREEZE = CHECKOUT / "colab" / "requirements-2026-08.txt"
FORBIDDEN = ("stable-diffusion-webui", "ngrok", "cloudflared", "localtunnel", "share=True", "ssh")


def load_build():
    spec = importlib.util.spec_from_file_location("build", CHECKOUT / "colab" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


build = load_build()
editions = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def edition_of(path):
    return nbformat.read(CHECKOUT / "colab" / path.name, as_version=4)


def frozen() -> dict[str, str]:
    """What Colab has installed."""
    lines = [line for line in FREEZE.read_text().splitlines() if "==" in line]
    return {name.lower(): number for name, _, number in (line.partition("==") for line in lines)}


def test_they_are_what_the_script_makes():
    """Run `python colab/build.py` after a change of a notebook."""
    assert build.main(["--check"]) == 0
    here = {path.name for path in CHECKOUT.glob("colab/*.ipynb")}
    assert here == {path.name for path in NOTEBOOKS} | {"verify_t4.ipynb"}


@editions
def test_every_cell_of_the_notebook_is_there_in_order(path):
    there = [cell.id for cell in edition_of(path).cells]
    assert [i for i in there if not i.startswith("colab-")] == [
        cell.id for cell in nbformat.read(path, as_version=4).cells
    ]
    assert there[:3] == ["colab-badge", "colab-setup", "colab-drive"]
    assert len(set(there)) == len(there)
    assert edition_of(path).metadata["accelerator"] == "GPU"
    assert edition_of(path).metadata["colab"]["gpuType"] == "T4"


@editions
def test_nothing_that_the_free_tier_forbids(path):
    for cell in edition_of(path).cells:
        if cell.cell_type == "code":
            assert not [word for word in FORBIDDEN if word in cell.source]
            assert cell.outputs == []


@editions
def test_links_lead_to_the_other_editions(path):
    """A link that is relative leads nowhere on Colab."""
    for cell in edition_of(path).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\]\((?!https://|#)", cell.source), cell.source


@editions
def test_own_photos_have_an_upload_before_and_a_download_behind(path):
    cells = edition_of(path).cells
    ids = [cell.id for cell in cells]
    tagged = {tag: cell.id for cell in cells for tag in cell.metadata.get("tags", [])}
    behind = ("your-result", "your-file", "your-report")
    for tag, step in (("your-photos", -1), *((tag, 1) for tag in behind)):
        assert (tag in tagged) == (f"colab-{tag}" in ids)
        if tag in tagged:
            assert ids.index(f"colab-{tag}") == ids.index(tagged[tag]) + step


def test_the_address_and_the_version_come_from_one_place():
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    address, tag = build.project()
    assert address == settings["project"]["urls"]["Repository"]
    assert tag == f"v{sdnb.__version__}"
    assert f"--branch {tag} {address} " in build.setup_cell()


@pytest.mark.parametrize("source", [build.DRIVE, build.UPLOAD, *build.BEHIND.values()])
def test_what_is_optional_runs_by_itself_and_asks_for_nobody(source, monkeypatch):
    """Whichever of these cells a learner leaves out; and off Colab, where nobody can choose."""
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    file = Path("lora.safetensors")
    names = {"my_run": SimpleNamespace(weights=file), "mine": file, "path": file}
    exec(source, dict(names))
    assert len(source.splitlines()) <= 4 and source.count(" = False\n") == 1
    with pytest.raises(Problem, match="on Google Colab only"):
        exec(source.replace(" = False", " = True"), dict(names))


def test_a_set_up_that_fails_stops_there_and_says_so(tmp_path):
    """In IPython, with a git that finds no such repository: nothing is installed behind it."""
    (tmp_path / "setup.ipy").write_text(build.setup_cell() + "\n!touch went-on\n")
    environment = os.environ | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{tmp_path / 'nothing'}.insteadOf",
        "GIT_CONFIG_VALUE_0": build.project()[0],
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    command = [sys.executable, "-m", "IPython", "--colors=NoColor", "setup.ipy"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode and "AssertionError: The course is not set up" in said
    assert "Invalid requirement" not in said  # pip was not asked for a folder that is not there
    assert not (tmp_path / "went-on").exists() and not (tmp_path / "sdnb-course").exists()


def test_the_set_up_brings_what_colab_lacks_and_no_more():
    """Everything the package depends on is on Colab's list or in the cell."""
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    needs = {re.match(r"[\w-]+", line)[0] for line in settings["project"]["dependencies"]}
    assert needs - set(frozen()) == set(build.LACKING) & needs
    assert set(build.LACKING) - needs == {"python-dotenv"}  # pydantic-settings needs it
    assert "--no-deps" in build.setup_cell() and "--upgrade" not in build.setup_cell()


@pytest.mark.skipif(os.environ.get("SDNB_SET") != "colab", reason="`make test-colab` runs this")
def test_the_installed_package_is_tested_and_on_colabs_versions():
    assert not Path(sdnb.__file__).is_relative_to(CHECKOUT / "sdnb")
    found = {name: version(name).partition("+")[0] for name in frozen()}  # torch is 2.13.0+cpu
    assert found == frozen()
