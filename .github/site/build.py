"""Builds the site: the course as static pages, with the pictures of its notebooks, in site/.

    python .github/site/build.py          # what `make site` does
    python .github/site/build.py 00 05    # runs only these notebooks
    python .github/site/build.py none     # runs none, to look at the rest

A notebook runs on the mini model, in an empty project, without a network. What it showed is kept in
.venv/site until the package or the notebook's code changes.
"""

import os
import re
import shutil
import sys
import tempfile
import tomllib
from hashlib import sha256
from pathlib import Path

from sphinx.application import Sphinx

from sdnb.files import write_folder_atomically
from sdnb.notebook.glossary import glossary

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
DESK = CHECKOUT / ".venv" / "site"
PLACES = (
    *("notebooks/*.ipynb", "notebooks/*.md", ".github/pictures/*"),
    *("sdnb/mini/MODEL_CARD.md", "data_sample/README.md"),
)
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"] + "/blob/main"
COLAB = REPOSITORY.replace("github.com", "colab.research.google.com/github")
# Without ipywidgets, which need a running kernel, a form shows itself as text.
STARTUP = """\
import os, sys, tempfile
sys.modules["ipywidgets"] = None
os.environ["SDNB_PROJECT"] = tempfile.mkdtemp(dir=os.environ["SDNB_PROJECT"]) + "/sdnb_project"
"""


def stage() -> Path:
    """The pages and pictures side by side as in the checkout, so that a link is right in both."""
    source = DESK / "source"
    shutil.rmtree(source, ignore_errors=True)
    for place in PLACES:
        for path in CHECKOUT.glob(place):
            staged = source / path.relative_to(CHECKOUT)
            staged.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, staged)
    shutil.copy2(HERE / "index.md", source)
    shutil.copy2(CHECKOUT / "README.md", source / "course.md")  # index.md takes parts of it
    (source / "glossary.md").write_text(glossary())
    for path in (*source.rglob("*.md"), *source.rglob("*.ipynb")):
        relink(path, source)
    return source


def relink(page: Path, source: Path) -> None:
    """Let the links to files that the site has not lead to the repository, and those to a Colab
    edition to Colab. One to what nobody has stays as it is: Sphinx will complain."""

    def lead(link: re.Match) -> str:
        target = os.path.normpath(page.parent.relative_to(source) / link[1])
        if (source / target).is_file() or not (CHECKOUT / target).exists():
            return link[0]
        edition = re.fullmatch(r"colab/\w+\.ipynb", target)
        return f"]({COLAB if edition else REPOSITORY}/{target}"

    page.write_text(re.sub(r"\]\(([^)#:\s]+)", lead, page.read_text()))


def cache() -> Path:
    """Where results are kept: a folder for this state of the package, the only one."""
    found = sha256()
    files = (path for room in ("sdnb", "data_sample") for path in (CHECKOUT / room).rglob("*"))
    for path in sorted(path for path in files if path.is_file() and path.suffix != ".pyc"):
        found.update(path.read_bytes())
    folder = DESK / "results" / found.hexdigest()[:16]
    for old in set((DESK / "results").glob("*")) - {folder}:
        shutil.rmtree(old)
    return folder


def main(wanted: list[str]) -> int:
    """Build; returns the exit code, 1 also where there was any warning."""
    source, pages = stage(), DESK / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    names = [f"notebooks/{path.name}" for path in (CHECKOUT / "notebooks").glob("*.ipynb")]
    unwanted = [
        name for name in names if not name.startswith(tuple(f"notebooks/{w}" for w in wanted))
    ]
    changes = {
        "html_context": {"colab": COLAB},
        "nb_execution_cache_path": str(cache()),
        "nb_execution_excludepatterns": unwanted if wanted else [],
    }
    with tempfile.TemporaryDirectory() as desk:
        startup = Path(desk) / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "site.py").write_text(STARTUP)
        os.environ |= {
            "HF_HUB_OFFLINE": "1",
            "IPYTHONDIR": str(Path(desk) / "ipython"),
            "SDNB_PROFILE": "mini",
            "SDNB_PROJECT": desk,
        }
        folders = source, HERE, pages, DESK / "doctrees"
        sphinx = Sphinx(*folders, "html", changes, status=None, warningiserror=True)
        sphinx.build()
    if not sphinx.statuscode:
        write_folder_atomically(CHECKOUT / "site", lambda aside: _copy(pages, aside))
        print(f"The site is in {CHECKOUT / 'site'}: open index.html, or put it on a web server.")
    return sphinx.statuscode


def _copy(pages: Path, folder: Path) -> None:
    """The pages for any host; GitHub's would leave out folders that begin with an underscore."""
    shutil.copytree(pages, folder, dirs_exist_ok=True)
    (folder / ".nojekyll").touch()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
