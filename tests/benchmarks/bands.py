"""The numbers behind the bands: every lesson with other chance, and run wrongly.

    python tests/benchmarks/bands.py                          # three seeds and the quick trial
    python tests/benchmarks/bands.py --only 05 --trials untrained swapped --workers 8

Prints each statement with its range, what each trial gave, and what a wrong run gave. Half an hour
of two cores for each full trial of all lessons; what was measured is kept in the file `--results`
and not measured again.
"""

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.lessons import NOTEBOOKS, run_lesson  # noqa: E402


def measure(path: Path, trial: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        bands = run_lesson(path, Path(folder), trial)
    return {"lesson": path.stem, "trial": trial, "bands": [asdict(band) for band in bands]}


def table(rows: list[dict]) -> str:
    """A line for each statement: its range, and the number of each trial."""
    found: dict[tuple[str, str], dict] = {}
    for row in rows:
        for band in row["bands"]:
            line = found.setdefault((row["lesson"], band["sentence"]), {"band": band, "of": {}})
            line["of"][row["trial"] or "as it is"] = band["value"]
            if not row["trial"]:
                line["band"] = band
    lines = []
    for (lesson, sentence), line in sorted(found.items()):
        band, numbers = line["band"], ", ".join(f"{t} {v:.3g}" for t, v in line["of"].items())
        wrong = band["wrong"] if isinstance(band["wrong"], str) else f"{band['wrong']:.3g}"
        lines.append(
            f"{lesson[:2]} | {sentence} | {band['low']:g} to {band['high']:g} | {numbers} | {wrong}"
        )
    return "\n".join(["lesson | statement | range | measured | wrong run, or its number", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of notebooks' names")
    parser.add_argument("--trials", nargs="*", default=["", "seed=1", "seed=2", "quick"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("bands.jsonl"))
    asked = parser.parse_args()
    results = asked.results
    results.touch()
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    done = {(row["lesson"], row["trial"]) for row in rows}
    paths = [path for path in NOTEBOOKS if path.stem.startswith(tuple(asked.only))]
    todo = [(path, trial) for trial in asked.trials for path in paths]
    todo = [pair for pair in todo if (pair[0].stem, pair[1]) not in done]
    with ProcessPoolExecutor(asked.workers) as pool, results.open("a") as file:
        for row in pool.map(measure, *zip(*todo)) if todo else ():
            file.write(json.dumps(row) + "\n")
            file.flush()
            rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
