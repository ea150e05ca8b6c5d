"""Every claim that the course teaches, measured again on the mini model, over seeds.

    make claims                                               # all of it: hours on two cores
    python tests/benchmarks/claims --only number --seeds 0    # one measurement, a few minutes
    python tests/benchmarks/claims --table                    # the tables from what is measured

Each measurement of each seed is one line of results.jsonl beside this file; what stands there is
not measured again unless --anew says so. The tables go into notebooks/claims.md and, in short, into
the README. `pace` is measured last, by itself, on the processor.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from verdicts import CLAIMS, FIELD, HOLDS, NOT, PART, Claim, Found

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[2]
RESULTS = HERE / "results.jsonl"
PAGE, README = CHECKOUT / "notebooks" / "claims.md", CHECKOUT / "README.md"
MARK = "<!-- claims -->"
ALONE = "pace"
SHORT = (3, 6, 9, 11, 13, 15, 21, 24)  # the numbers of the claims in the README


def measure(name: str, seed: int) -> dict:
    """One line of the results."""
    import torch
    from facts import FACTS
    from trainings import TRAININGS

    from sdnb.machine import find_machine

    found = FACTS[name]() if name in FACTS else TRAININGS[name](seed)
    device = find_machine("fp32").name
    values = {key: round(value, 5) for key, value in found.items()}
    return {"what": name, "seed": seed, "device": device, "torch": torch.__version__} | values


def read() -> list[dict]:
    """All that is measured; nothing where nothing is."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [json.loads(line) for line in lines]


def run(wanted: list[tuple[str, int]], jobs: int) -> None:
    """Every (measurement, seed) in a process of its own, `jobs` at a time; the one that is timed
    alone, at the end."""

    def one(pair: tuple[str, int]) -> None:
        shared = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if pair[0] == ALONE else shared)
        command = [sys.executable, str(HERE), "--one", pair[0], str(pair[1])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            print(*pair, "failed:", done.stderr[-2000:], flush=True)
            return
        line = done.stdout.splitlines()[-1]
        with RESULTS.open("a") as file:  # one short write: lines of several processes do not mix
            file.write(line + "\n")
        print(*pair, "done", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [pair for pair in wanted if pair[0] != ALONE]))
    for pair in wanted:
        if pair[0] == ALONE:
            one(pair)


def tables() -> None:
    """Write all tables from what is measured."""
    rows = read()
    lines, field = ([_line(claim, rows) for claim in claims] for claims in (CLAIMS, FIELD))
    page = (HERE / "page.md").read_text()
    filled = page.format(
        table=_table("the article says", lines),
        field=_table("trainers say", field),
        devices=", ".join(sorted({row["device"] for row in rows})),
    )
    PAGE.write_text(filled)
    _into_readme(lines)


def _line(claim: Claim, rows: list[dict]) -> tuple:
    """The claim's row of the table."""
    found, seeds = Found(), 0
    for row in (row for row in rows if row["what"] in claim.needs):
        for key, value in row.items():
            if isinstance(value, float):
                found.setdefault(key, []).append(value)
    if {row["what"] for row in rows} >= set(claim.needs):
        said, effect = claim.judged(found)
        seeds = max(len(dict.__getitem__(found, key)) for key in found)
    else:
        said, effect = "not measured yet", ""
    book = next((CHECKOUT / "notebooks").glob(f"{claim.notebook}_*.ipynb")).name
    return claim.number, claim.text, f"[{claim.notebook}]({book})", said, effect, seeds


def _table(says: str, lines: list[tuple]) -> str:
    heads = ("", says, "shown in", "verdict", "what was measured", "seeds")
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (heads, ("---",) * 6, *lines))


def _into_readme(lines: list[tuple]) -> None:
    """The short table between the two marks."""
    before, _, after = README.read_text().split(MARK)
    short = ("| the article says | verdict |", "| --- | --- |")
    told = [f"| {text} | {said} |" for number, text, _, said, _, _ in lines if number in SHORT]
    counted = Counter(said for *_, said, _, _ in lines)
    count = ", ".join(f"{said}: {counted[said]}" for said in (HOLDS, PART, NOT) if counted[said])
    ending = f"\nOf {len(lines)} claims, {count}. Each with its numbers: "
    ending += "[the table](notebooks/claims.md).\n"
    README.write_text(
        before + MARK + "\n" + "\n".join((*short, *told)) + "\n" + ending + MARK + after
    )


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = list(dict.fromkeys(need for claim in (*CLAIMS, *FIELD) for need in claim.needs))
    ask.add_argument("--only", nargs="+", choices=every, default=every)
    ask.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    ask.add_argument("--jobs", type=int, default=1)
    ask.add_argument("--anew", action="store_true", help="measure again what is there")
    ask.add_argument("--table", action="store_true", help="only write the tables")
    ask.add_argument("--one", nargs=2, metavar=("WHAT", "SEED"), help="print one line of results")
    asked = ask.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one[0], int(asked.one[1]))))
        return
    if asked.anew:
        kept = [r for r in read() if r["what"] not in asked.only or r["seed"] not in asked.seeds]
        RESULTS.write_text("".join(json.dumps(row) + "\n" for row in kept))
    if not asked.table:
        from facts import FACTS

        there = {(row["what"], row["seed"]) for row in read()}
        pairs = [(n, s) for s in asked.seeds for n in asked.only if n not in FACTS or s == 0]
        run([pair for pair in pairs if pair not in there], asked.jobs)
    tables()


if __name__ == "__main__":
    main()
