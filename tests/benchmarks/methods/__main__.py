"""Recipes for learning a person, compared where the truth is known.

    python tests/benchmarks/methods --people 10 11 12 13 14 sample --seeds 0 1 2
    python tests/benchmarks/methods --pace    # seconds a step, alone
    python tests/benchmarks/methods --page    # the page from what is measured

Every recipe of recipes.toml learns held-out people of the little world from twenty photos, and the
person of the sample photos ("sample"). Each run is one line of results.jsonl: the share of forty
images that the line-up of twenty recognises (`line-up`), hats, places and glasses obeyed, each
feature of the likeness by itself, how many images of anybody of the class show the subject
(`leak`), how far images of others have moved (`drift`, 1 - cosine of the mini's CLIP), steps,
seconds of training (steps x `pace`, the pace measured alone with --pace), and the size of the
file. What is there is not measured again.
"""

import argparse
import tomllib
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

from bench import HERE, SAMPLE, Bench, add, measured, read, who
from ideas import Ideas

from sdnb.training.config import TrainConfig, preset

PAGE = HERE.parents[2] / "notebooks" / "recipes.md"
PICTURE = HERE.parents[2] / ".github" / "pictures" / "recipes.png"
HELD_OUT = range(10, 15)
SHIPPED = (
    "LoRA",
    "LoRA, class images",
    "LoRA, prior from photos, weight 0.3, 300 steps",
    "DreamBooth",
    "Textual Inversion",
)


def recipes() -> dict[str, tuple[TrainConfig, Ideas]]:
    """By name; "none" stands for what TOML cannot say."""
    found = {}
    for name, changes in tomllib.loads((HERE / "recipes.toml").read_text()).items():
        config, ideas = preset(changes.pop("preset")), Ideas(**changes.pop("ideas", {}))
        changes = {key: None if value == "none" else value for key, value in changes.items()}
        found[name] = config.replace(**changes), ideas
    return found


def summary(rows: list[dict]) -> dict[str, dict]:
    """Of each recipe the means over people and seeds, the spread over people's means, the least
    run, and seconds where its pace is known."""
    paces = {row["recipe"]: row["pace"] for row in rows if "pace" in row}
    grouped = defaultdict(list)
    for row in rows:
        if "line-up" in row:
            grouped[row["recipe"]].append(row)
    found = {}
    for name, runs in grouped.items():
        people = defaultdict(list)
        for run in runs:
            people[run["person"]].append(run["line-up"])
        each = [mean(values) for values in people.values()]
        found[name] = {key: mean(run[key] for run in runs) for key in ("line-up", "leak", "drift")}
        found[name] |= {
            "spread": stdev(each) if len(each) > 1 else 0.0,
            "least": min(run["line-up"] for run in runs),
            "place": mean(run["place"] for run in runs),
            "worn": mean(map(worn, runs)),
            "steps": runs[0]["steps"],
            "bytes": runs[0]["bytes"],
            "runs": len(runs),
            "seconds": runs[0]["steps"] * paces[name] if name in paces else None,
        }
    return found


def worn(run: dict) -> float:
    """Hats and glasses where they are asked for, and no glasses where they are not."""
    return mean((run["hat"], run["glasses asked"], 1 - run["glasses unasked"]))


def table(found: dict[str, dict]) -> str:
    heads = ["recipe", "recognised", "least", "leak", "drift", "places", "worn"]
    heads += ["steps", "seconds", "file", "runs"]
    lines = [heads, ["---"] * len(heads)]
    for name, row in sorted(found.items(), key=lambda item: -item[1]["line-up"]):
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.0f}"
        cells = [name, f"{row['line-up']:.1%} ± {100 * row['spread']:.0f}", f"{row['least']:.0%}"]
        cells += [f"{row['leak']:.0%}", f"{row['drift']:.2f}"]
        cells += [f"{row['place']:.0%}", f"{row['worn']:.0%}"]
        cells += [str(row["steps"]), seconds, f"{row['bytes'] / 1e6:.2f} MB", str(row["runs"])]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_page(rows: list[dict]) -> None:
    """The page, with a table of each group of people, and the plot."""
    pace, groups = [row for row in rows if "pace" in row], defaultdict(list)
    for row in rows:
        if "person" in row:
            groups[group_of(row)].append(row)
    tables = {name: table(summary([*some, *pace])) for name, some in groups.items()}
    page = (HERE / "page.md").read_text()
    filled = page.format(
        **tables,
        rates=rates(groups["peers_tried"]),
        findings=(HERE / "findings.md").read_text().strip(),
        devices=", ".join(sorted({row["device"] for row in rows if "device" in row})),
    )
    PAGE.write_text(filled)
    plot(summary([*groups["tried"], *pace]), PICTURE)


def rates(rows: list[dict]) -> str:
    """What the peers' rates were chosen by."""
    found = defaultdict(list)
    for name, row in summary(rows).items():
        peer, rate = name.removeprefix("diffusers' ").split(", ")
        found[peer].append((float(rate), f"{rate} {row['line-up']:.0%}"))
    told = {peer: ", ".join(share for _, share in sorted(each)) for peer, each in found.items()}
    return "; ".join(f"{peer} at {shares}" for peer, shares in sorted(told.items()))


def group_of(row: dict) -> str:
    """Which of the page's tables a run belongs to."""
    who = {SAMPLE: "sample"}.get(
        row["person"], "held_out" if row["person"] in HELD_OUT else "tried"
    )
    return f"peers_{who}" if row["recipe"].startswith("diffusers'") else who


def plot(found: dict[str, dict], path: Path) -> None:
    """Likeness over seconds, coloured by the leak. The best for their time are joined; they and
    what ships are numbered and named."""
    from matplotlib import pyplot as plt

    known = {name: row for name, row in found.items() if row["seconds"] is not None}
    known = dict(sorted(known.items(), key=lambda item: (item[1]["seconds"], -item[1]["line-up"])))
    seconds, shares, leaks = (
        [row[key] for row in known.values()] for key in ("seconds", "line-up", "leak")
    )
    _, ax = plt.subplots(figsize=(10, 6.5))
    dots = ax.scatter(seconds, shares, c=leaks, cmap="viridis_r", vmin=0, vmax=1, s=60, zorder=3)
    plt.colorbar(dots, label="leak: anybody of the class is the subject")
    front = [name for i, name in enumerate(known) if shares[i] > max(shares[:i], default=0)]
    ax.step(
        *zip(*((known[n]["seconds"], known[n]["line-up"]) for n in front)),
        where="post",
        color="grey",
        linestyle=":",
        zorder=1,
    )
    named = [name for name in known if name in front or name in SHIPPED]
    for number, name in enumerate(named, 1):
        place = known[name]["seconds"], known[name]["line-up"]
        ax.annotate(str(number), place, xytext=(5, 5), textcoords="offset points", weight="bold")
    lines = "\n".join(f"{number}  {name}" for number, name in enumerate(named, 1))
    ax.text(0.98, 0.03, lines, transform=ax.transAxes, ha="right", ma="left", va="bottom")
    ax.set(xlabel="seconds of training on two CPU cores", ylabel="recognised in the line-up")
    plt.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--recipes", nargs="+", default=[*recipes()], help="names in recipes.toml")
    ask.add_argument("--people", type=who, nargs="*", default=[], help=f"numbers, or {SAMPLE!r}")
    ask.add_argument("--seeds", type=int, nargs="+", default=[0])
    ask.add_argument("--pace", action="store_true", help="measure seconds a step, alone")
    ask.add_argument("--page", action="store_true", help="write the page and its plot")
    asked = ask.parse_args()
    there, bench = measured(), None
    jobs = [(n, p, s) for n in asked.recipes for p in asked.people for s in asked.seeds]
    jobs += [(n, None, None) for n in asked.recipes if asked.pace]
    for job in jobs:
        if job in there:
            continue
        bench = bench or Bench()
        name, person, seed = job
        config, ideas = recipes()[name]
        if person is None:
            row = {"recipe": name, "pace": round(bench.pace(config, ideas), 5)}
        else:
            row = bench.run(name, config, ideas, person, seed)
        add(row)
    if asked.page:
        write_page(read())


if __name__ == "__main__":
    main()
