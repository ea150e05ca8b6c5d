"""Sets the course up as Colab would, in the environment that runs this, and then tests it.

    .venv-colab/bin/python colab/try_it.py          # every notebook, quickly
    .venv-colab/bin/python colab/try_it.py --all    # all other tests too

The set-up cell of the Colab editions runs word for word in this environment's IPython; git alone is
told to fetch this checkout, as it lies here, in place of the published address. Colab's own
packages have to be the same afterwards. Then come the test tools, held to those versions, and the
tests, on the package that was installed and not on the checkout.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from build import LACKING, project, setup_cell

CHECKOUT = Path(__file__).parents[1]
FREEZE = CHECKOUT / "colab" / "requirements-2026-08.txt"
# of pyproject's extra "test"; no browser there
TOOLS = ("hatchling", "nbclient", "pytest", "pytest-xdist", "ruff")
BIN = Path(sys.executable).parent


def installed() -> dict[str, str]:
    """Every package of this environment with its version."""
    lines = run(sys.executable, "-m", "pip", "freeze").splitlines()
    pairs = (line.replace(" @ ", "==").partition("==") for line in lines)
    return {name.lower().replace("_", "-"): version for name, _, version in pairs}


def run(*command: object, **more) -> str:
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, text=True, **more)
    if done.returncode:
        sys.exit(f"{done.stdout}\nfailed: {' '.join(map(str, command))}")
    return done.stdout


def published(folder: Path) -> dict[str, str]:
    """This checkout, with what is not committed yet, as a repository with the tag; the variables
    by which git takes it for the one at the published address, and the one that Colab sets."""
    address, tag = project()
    run("git", "init", "--quiet", "--bare", folder / "bare")
    git = ["git", "--git-dir", folder / "bare", "--work-tree", CHECKOUT]
    git += ["-c", "user.name=sdnb", "-c", "user.email=sdnb@localhost"]
    plain = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull}  # nobody's signature, nobody's hooks
    for words in (["add", "--all"], ["commit", "--quiet", "--message", tag], ["tag", tag]):
        run(*git, *words, cwd=CHECKOUT, env=plain)
    return os.environ | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{folder / 'bare'}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
        "COLAB_RELEASE_TAG": "as on Colab",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }


def set_up() -> None:
    """Run the set-up cell, and see that it has upgraded nothing."""
    run(sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", "sdnb", *LACKING)
    before = installed()
    with tempfile.TemporaryDirectory() as folder:
        cell = Path(folder, "setup.ipy")
        cell.write_text(setup_cell())
        environment = published(Path(folder))
        print(run(BIN / "ipython", cell, cwd=folder, env=environment))
    after = installed()
    new = {name for name in after if name not in before}
    moved = {name: after.get(name) for name in before if before[name] != after.get(name)}
    if moved or new != {"sdnb", *LACKING}:
        sys.exit(f"the set-up cell changed {moved} and brought {sorted(new)}")
    print(f"The set-up cell brought {sorted(new)} and left {len(before)} packages as they were.")


def main() -> None:
    set_up()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "-c", FREEZE, *TOOLS)
    # pytest's own command: `python -m pytest` would put the checkout before what is installed
    tests = [BIN / "pytest", "--ignore=tests/browser", "-n", "2", "--maxschedchunk", "1"]
    few = "every_cell_runs or test_colab"
    tests += ["-m", "not one_set"] if "--all" in sys.argv else ["-k", few]
    environment = os.environ | {"SDNB_SET": "colab", "OMP_NUM_THREADS": "1"}
    sys.exit(subprocess.run(tests, cwd=CHECKOUT, env=environment).returncode)


if __name__ == "__main__":
    main()
