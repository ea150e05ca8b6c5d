"""Imports point one way: a module imports from its own layer and those below, never from above."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.util import find_spec, resolve_name
from pathlib import Path

import pytest

import sdnb

CHECKOUT = Path(__file__).parents[1]

# From the ground up. A room's name stands for all its modules, except those listed by themselves.
LAYERS = [
    "__version__ settings errors known_errors files machine project trials",
    "models mini",
    "adapters dataset captioning",
    "inference",
    "training",
    "evaluation export",
    "notebook cli demo doctor __main__ mini.recipe",
]
HEIGHT = {f"sdnb.{room}": i for i, layer in enumerate(LAYERS) for room in layer.split()}


def height(name: str) -> int | None:
    """The layer of the room that `name` is or lies in; None where the list above lacks it."""
    while name not in HEIGHT and "." in name:
        name = name.rpartition(".")[0]
    return HEIGHT.get(name)


def imported(path: Path, package: str, modules: dict[str, Path]) -> set[str]:
    """The full names of all that the file imports, inside its functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                full = f"{base}.{alias.name}"  # a module (`from sdnb.mini import judge`) or a name
                # The index hides where a name comes from, so only its version may be taken from it.
                names.add(full if full in modules or base == "sdnb" else base)
    return names


def complaints(root: Path) -> list[str]:
    """All that is wrong with the imports of the package in the folder `root`/sdnb."""
    modules = {}
    for path in sorted(root.glob("sdnb/**/*.py")):
        if "_sample" in path.parts:  # installed, the samples and their scenes lie in the package
            continue
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        modules[name.removesuffix(".__init__")] = path
    del modules["sdnb"]  # the index names every room and imports none: see the subprocess test

    found, arrows = [], {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        names = imported(path, package, modules)
        arrows[name] = {other for other in names if other.split(".")[0] == "sdnb"}
        if height(name) is None:
            found.append(f"{name} stands in no layer")
            continue
        for other in sorted(arrows[name]):
            if height(other) is None:
                found.append(f"{name} imports {other}, which stands in no layer")
            elif height(other) > height(name):
                found.append(f"{name} imports {other}, which stands above it")
        if "ipywidgets" in {other.split(".")[0] for other in names}:
            if not name.startswith("sdnb.notebook."):
                found.append(f"{name} imports ipywidgets, which only sdnb.notebook may")
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        found.append("a circle: " + " -> ".join(error.args[1]))
    return found


def test_imports_point_one_way():
    assert complaints(Path(sdnb.__file__).parents[1]) == []


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"models.py": "from sdnb.settings import Settings"}, None),
        ({"mini/recipe/a.py": "from sdnb.training import b\nfrom sdnb import __version__"}, None),
        ({"notebook/lora.py": "import ipywidgets"}, None),
        ({"models.py": "from sdnb.training.run import train"}, "stands above it"),
        ({"models.py": "from . import demo", "demo.py": ""}, "stands above it"),
        ({"models.py": "def late():\n    import sdnb.training.run"}, "stands above it"),
        ({"mini/a.py": "from .recipe import b", "mini/recipe/b.py": ""}, "stands above it"),
        ({"models.py": "from sdnb import train"}, "stands in no layer"),
        ({"models.py": "import sdnb"}, "stands in no layer"),
        ({"newroom.py": ""}, "stands in no layer"),
        ({"models.py": "import ipywidgets.widgets"}, "only sdnb.notebook"),
        (
            {"files.py": "from .errors import Problem", "errors.py": "import sdnb.files"},
            "a circle",
        ),
    ],
)
def test_the_rule_can_fail(tmp_path, files, complaint):
    for name, source in {"__init__.py": "", **files}.items():
        path = tmp_path / "sdnb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    found = complaints(tmp_path)
    assert len(found) == (complaint is not None) and all(complaint in line for line in found), found


def test_import_sdnb_is_light():
    """The first cell of a notebook, and `sdnb --help`, must not wait for torch."""
    heavy = {"torch", "ipywidgets", "diffusers", "numpy", "PIL"}
    for modules, forbidden in (("sdnb", {*heavy, "pydantic"}), ("sdnb, sdnb.cli", heavy)):
        code = f"import sys, {modules}; print(*{{name.split('.')[0] for name in sys.modules}})"
        loaded = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        assert "sdnb" in loaded
        assert not forbidden & set(loaded)


OUTSIDE = [*CHECKOUT.glob("tests/benchmarks/**/*.py"), *CHECKOUT.glob(".github/**/*.py")]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.name)
def test_what_scripts_outside_the_package_import_is_there(path):
    """Nothing else runs them every day, so a name that moved would be found out late."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sdnb":
            module = import_module(node.module)
            for name in (alias.name for alias in node.names):
                assert hasattr(module, name) or find_spec(f"{node.module}.{name}"), name
