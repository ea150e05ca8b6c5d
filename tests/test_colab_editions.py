"""The Colab editions: what colab/build.py makes, and nothing that the free tier forbids."""

import importlib.util
import re
import tomllib
from pathlib import Path

import nbformat
import pytest

CHECKOUT = Path(__file__).parents[1]
NOTEBOOKS = sorted(CHECKOUT.glob("notebooks/*.ipynb"))
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


def test_they_are_what_the_script_makes():
    """Run `python colab/build.py` after a change of a notebook."""
    assert build.main(["--check"]) == 0
    here = {path.name for path in CHECKOUT.glob("colab/*.ipynb")}
    assert here == {path.name for path in NOTEBOOKS}


@editions
def test_every_cell_of_the_notebook_is_there_in_order(path):
    there = [cell.id for cell in edition_of(path).cells]
    assert [i for i in there if not i.startswith("colab-")] == [
        cell.id for cell in nbformat.read(path, as_version=4).cells
    ]
    assert there[:3] == ["colab-badge", "colab-setup", "colab-drive"]
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
    for cell in edition_of(path).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\]\(\d\d_\w+\.ipynb\)", cell.source)


def test_own_photos_have_an_upload_before_and_a_download_behind():
    cells = [cell.id for cell in edition_of(CHECKOUT / "notebooks" / "05_lora.ipynb").cells]
    tags = {
        tag: cell.id
        for cell in edition_of(CHECKOUT / "notebooks" / "05_lora.ipynb").cells
        for tag in cell.metadata.get("tags", [])
    }
    assert cells.index("colab-your-photos") == cells.index(tags["your-photos"]) - 1
    assert cells.index("colab-your-result") == cells.index(tags["your-result"]) + 1


def test_the_address_and_the_version_come_from_one_place():
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    address, tag = build.project()
    assert address == settings["project"]["urls"]["Repository"]
    import sdnb

    assert tag == f"v{sdnb.__version__}"
    assert f"--branch {tag} {address} " in build.setup_cell()


def test_the_set_up_brings_what_colab_lacks_and_no_more():
    """Everything the package depends on is on Colab's list or in the cell."""
    freeze = (CHECKOUT / "colab" / "requirements-2026-08.txt").read_text()
    have = {line.partition("==")[0].lower() for line in freeze.splitlines() if "==" in line}
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    needs = {re.match(r"[\w-]+", line)[0] for line in settings["project"]["dependencies"]}
    assert needs - have == set(build.LACKING)
    assert "--no-deps" in build.setup_cell() and "--upgrade" not in build.setup_cell()
