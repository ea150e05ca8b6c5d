"""The trainings of notebooks 04, 05 and 08 that come with the course, for a room where some do not
finish in time: `SDNB_RUNS=shipped`. DreamBooth's are left out, for a whole model takes 17 MB.

    python tests/benchmarks/shipped_runs.py     # three minutes on two idle cores

Runs each notebook's own cells up to its settings, trains, and writes data_sample/runs.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))
SHELF = CHECKOUT / "data_sample" / "runs"
CELLS = {  # the beginnings of the cells that lead to the settings, and what these are called
    "04_textual_inversion": (
        ("import pandas", 'config = sdnb.preset("textual', "asks ="),
        "config",
    ),
    "05_lora": (("import matplotlib", "asks ="), "config"),
    "08_compare_methods": (("import pandas", "names ="), "configs"),
}
KEPT = ("settings.toml", "photos.txt", "format.txt", "machine.json", "history.csv")


def configs_of(notebook: str) -> list:
    """The settings of the trainings that a lesson does, without those for a whole model."""
    beginnings, name = CELLS[notebook]
    here: dict = {"print": lambda *words: None}
    for cell in nbformat.read(CHECKOUT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and cell.source.startswith(beginnings):
            beginnings = tuple(b for b in beginnings if not cell.source.startswith(b))
            exec(cell.source, here)
    found = here[name].values() if name == "configs" else [here[name]]
    return [config for config in found if config.method != "dreambooth"]


def main() -> None:
    import sdnb

    shutil.rmtree(SHELF, ignore_errors=True)
    for notebook in CELLS:
        for config in configs_of(notebook):
            run = sdnb.train(config)
            target = SHELF / run.folder.name
            target.mkdir(parents=True)
            for file in (*(run.folder / name for name in KEPT), run.weights):
                shutil.copyfile(file, target / file.name)
            config.replace(photos="photos").save(target / "settings.toml")  # no path of ours
            print(target)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SDNB_PROJECT"] = folder
        main()
