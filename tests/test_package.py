"""The wheel works away from the checkout and without a network."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

CHECKOUT = Path(__file__).parents[1]
NOTEBOOKS = CHECKOUT / "notebooks"


def run(*command, **how) -> str:
    """The command's standard output; a failure shows what it wrote."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **how)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The Python of a new environment that holds the wheel, and borrows what the wheel depends on.

    A folder lent through a .pth file has its own .pth files ignored, so that an editable install
    of the checkout cannot be seen from there.
    """
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "-w", folder, "--no-deps", "--no-build-isolation", "--no-index", CHECKOUT)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("sdnb-*.whl")
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(run(python, "-c", where).strip(), "lent.pth").write_text("\n".join(sorted(lent)))
    return python


@pytest.fixture(scope="module")
def offline() -> list[str]:
    """The words before a command that leave it no network but its own machine's."""
    for words in (["unshare", "-n"], ["unshare", "-rn"]):
        if shutil.which("unshare") and subprocess.run([*words, "true"]).returncode == 0:
            return words
    pytest.skip("outside connections can be blocked only where `unshare -n` or `unshare -rn` works")


@pytest.mark.long
def test_the_installed_package_works_without_a_network(python, offline, tmp_path):
    """In one test, for making the environment takes the longest. The demo runs quickly: `make
    lessons` does it whole, here the point is where its files come from."""
    where = Path(run(python, "-c", "import sdnb; print(sdnb.__file__)", cwd=tmp_path).strip())
    assert where.is_relative_to(python.parents[1])
    command = [python.parent / "sdnb", "train", "missing.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert "missing.toml" in done.stderr and len(done.stderr.splitlines()) == 1
    quick = os.environ | {"SDNB_TRIAL": "quick"}
    run(*offline, python, "-m", "sdnb", "demo", "--out", "out", cwd=tmp_path, env=quick)
    (grid,) = (tmp_path / "out").glob("*.png")
    with Image.open(grid) as picture:
        picture.load()
    opened = "import sdnb.project as p; p.subprocess.run = print; p.open_course()"
    run(*offline, python, "-c", opened, cwd=tmp_path)
    copied = {path.name for path in (tmp_path / "sdnb_course").iterdir()}
    assert copied == {path.name for kind in ("*.ipynb", "*.md") for path in NOTEBOOKS.glob(kind)}
    (numbers,) = (tmp_path / "out").glob("*.json")
    assert 0 <= json.loads(numbers.read_text())["line-up"]["after"] <= 1
