"""The names that learners meet: each listed once, in the stub of the package or of a room."""

import ast
import json
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sdnb

CHECKOUT = Path(__file__).parents[1]
ROOMS = sorted(path.parent.name for path in (CHECKOUT / "sdnb").glob("*/__init__.pyi"))
NOTEBOOKS = sorted(CHECKOUT.glob("notebooks/*.ipynb"))
PAGES = [CHECKOUT / "README.md", CHECKOUT / "colab" / "build.py"]
PAGES += [*CHECKOUT.glob("notebooks/*.md"), *NOTEBOOKS]


def code_of(page: Path) -> str:
    """The code that a page shows, or a notebook runs and speaks of."""
    text = page.read_text()
    if page.suffix == ".py":
        return text
    if page.suffix == ".ipynb":
        cells = [("".join(c["source"]), c["cell_type"]) for c in json.loads(text)["cells"]]
        text = "\n".join(f"```python\n{s}```" if kind == "code" else s for s, kind in cells)
    blocks = re.findall(r"```python\n(.*?)```|`([^`\n]*sdnb\.[^`\n]+)`", text, re.S)
    return "\n".join("".join(block) for block in blocks)


def names_in(source: str) -> set[str]:
    """All of sdnb that some code names, dotted: by `sdnb.a.b`, and by `from sdnb.a import b`."""
    named = set(re.findall(r"(?<![\w./-])sdnb(?:\.\w+)+", source))
    for module, names in re.findall(r"from (sdnb[\w.]*) import (\([^)]*\)|[^\n]+)", source):
        named |= {f"{module}.{name}" for name in re.findall(r"\w+", re.sub(r" as \w+", "", names))}
    return named


def test_names_are_found():
    found = names_in("from sdnb.a import b as c, d\nsdnb.e.f(g)")
    assert found == {"sdnb.a", "sdnb.a.b", "sdnb.a.d", "sdnb.e.f"}


@pytest.mark.parametrize("room", ["sdnb", *(f"sdnb.{room}" for room in ROOMS)])
def test_no_public_name_is_a_modules(room):
    """Importing the module would put itself in the name's place."""
    package = import_module(room)
    modules = {name for _, name, _ in pkgutil.iter_modules(package.__path__)}
    for name in modules - {"__main__"}:
        import_module(f"{room}.{name}")
    for name in set(package.__all__) - set(ROOMS):
        value = getattr(package, name)
        assert name not in modules or room == "sdnb.training", name
        assert value is getattr(package, name) and name in dir(package)


def test_about_thirty_names_are_flat():
    assert len(set(sdnb.__all__) - set(ROOMS)) <= 32
    with pytest.raises(AttributeError, match="trian"):
        _ = sdnb.trian


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_lessons_go_no_deeper_than_a_room(page):
    for name in names_in(code_of(page)):
        _, *parts = name.split(".")
        assert parts[0] in {*sdnb.__all__, "__version__"}, name
        if parts[0] in ROOMS and len(parts) > 1:
            assert parts[1] in import_module(f"sdnb.{parts[0]}").__all__, name


def test_every_public_name_is_used():
    """By a lesson, a page or the command line; else it is nobody's and goes."""
    used = set().union(*(names_in(code_of(page)) for page in PAGES))
    imports = ast.walk(ast.parse((CHECKOUT / "sdnb" / "cli.py").read_text()))
    parts = {part for name in used for part in name.split(".")}
    parts |= {a.name for node in imports if isinstance(node, ast.ImportFrom) for a in node.names}
    listed = {f"{room}.{name}" for room in ROOMS for name in import_module(f"sdnb.{room}").__all__}
    listed |= {f"sdnb.{name}" for name in sdnb.__all__}
    assert {name for name in listed if name.partition(".")[2] not in parts} == set()


@pytest.mark.one_set
def test_a_type_checker_knows_every_public_name(tmp_path):
    """From the stubs alone, so editors complete them too; and it finds what is called wrongly."""
    names = [f"sdnb.{name}" for name in sdnb.__all__]
    names += [f"sdnb.{r}.{n}" for r in ROOMS for n in import_module(f"sdnb.{r}").__all__]
    program = tmp_path / "program.py"
    program.write_text("import sdnb\n" + "".join(f"reveal_type({name})\n" for name in names))
    told = type_checked(program)
    found = re.findall(r"Revealed type: `(.*)`", told)
    assert len(found) == len(names) and not {"Unknown", "Any"} & set(found), told
    program.write_text("import sdnb\nsdnb.trian\nsdnb.load_model([])\nsdnb.inference.xyz_plt\n")
    told = type_checked(program)
    assert told.count("has no member") == 2 and "invalid-argument-type" in told, told


def type_checked(program: Path) -> str:
    command = [sys.executable, "-m", "ty", "check", "--python", sys.prefix]
    command += ["--output-format", "concise", str(program)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True).stdout


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_lessons_are_free_of_plumbing(notebook):
    """A model knows its device, its precision and the guidance that suits it."""
    code = "\n".join(
        "".join(cell["source"])
        for cell in json.loads(notebook.read_text())["cells"]
        if cell["cell_type"] == "code"
    )
    plumbing = r"\.to\((machine|here)\b|precision=\w+\.|\bMachine\(|guidance=\d"
    assert re.findall(plumbing, code) == []
