"""The newest figures below benchmarks/results as the tables that README.md and pages below docs/ show.

    python benchmarks/table.py [--write]

A page holds a table between `<!-- figures: NAME -->` and `<!-- end of figures -->`; NAME is one of TABLES. --write puts the tables
there; a test holds that the pages show what the files say.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("README.md", "docs/benchmarks.md", "docs/mutation.md")
BLOCK = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def read(name: str) -> tuple[str, list[dict]]:
    """The comment line of a table (date, machine) and its rows; nothing where it was not measured."""
    path = RESULTS / f"{name}.tsv"
    if not path.exists():
        return "", []
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    return first.removeprefix("# "), list(csv.DictReader(lines, delimiter="\t"))


def eight_billion() -> str:
    note, rows = read("eight-billion")
    lines = [
        "| Llama-3-8B's shape, 32 blocks, bf16, 686 pairs | files | seconds | peak memory | bare products | bare reading | against the longer |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reading = f"{float(row['bare_reading_s']):.1f} s" if row["bare_reading_s"] else "not measured"
        bare = f"{float(row['bare_products_s']):.0f} s | {reading}"
        longer = f"{row['ratio_to_longer']} x" if row["ratio_to_longer"] else "not measured"
        lines.append(f"| {_stage(row)} | {row['files']} | {float(row['seconds']):.0f} | {_memory(row)} | {bare} | {longer} |")
    return "\n".join([*lines, "", f"({note})"])


def _stage(row: dict) -> str:
    names = {"scan": "scan of all 33 hidden states", "training": f"training at hs[2], {row['steps']} steps"}
    return names.get(row["stage"], "evaluation, base and adapter")


def _memory(row: dict) -> str:
    return f"{float(row['peak_mib']) / 1024:.1f} GiB"


def ratios() -> str:
    lines = ["| what | model | ours | gain |", "|---|---|---|---|"]
    notes = []
    for name in ("ratios", "grid"):
        note, rows = read(name)
        notes += [note] if rows else []
        lines += [f"| {what} | {model} | {ours} | {gains} |" for what, model, ours, gains in _gains(rows)]
    return "\n".join([*lines, "", f"({'; grid: '.join(dict.fromkeys(notes))})"])


def _gains(rows: list[dict]) -> list[tuple[str, str, str, str]]:
    """What was timed, of which model, how long it takes, and the gain against each other way."""
    grouped: dict[tuple, list[dict]] = {}
    for row in rows:
        grouped.setdefault((row["what"], row["model"]), []).append(row)
    return [
        (
            *key,
            f"{float(timed[0]['ours']):.3g} {timed[0]['unit']}",
            ", ".join(f"**{float(row['ratio']):.1f} x** {row['against']}" for row in reversed(timed)),
        )
        for key, timed in grouped.items()
    ]


def anchor_cost() -> str:
    tables = [found for shape in ("demo", "32", "8b") if (found := read(f"anchor-cost-{shape}"))[1]]
    rows, notes = [row for _, found in tables for row in found], dict.fromkeys(note for note, _ in tables)
    lines = ["| training step with an anchor | model | plain step | times the plain step |", "|---|---|---|---|"]
    lines += [f"| {row['against']} | {row['model']} | {float(row['ours']):.3g} {row['unit']} | {float(row['ratio']):.2f} |" for row in rows]
    return "\n".join([*lines, "", f"({'; '.join(notes)})"])


def languages() -> str:
    note, rows = read("languages")
    lines = ["| what | |", "|---|---|"] + [f"| {row['what']} | {row['value']} {row['unit']} |" for row in rows]
    return "\n".join([*lines, "", f"({note})"])


def in_short() -> str:
    """README's few rows: the stages of an 8B model, and the gain of each kind of shortcut on the first model it was timed on."""
    note, rows = read("eight-billion")
    lines = ["| a model of Llama-3-8B's shape, 686 pairs, two cores, files not cached | time | peak memory |", "|---|---|---|"]
    cold = [row for row in rows if row["files"] == "cold"]
    lines += [f"| {_stage(row)} | {float(row['seconds']):.0f} s | {_memory(row)} |" for row in cold]
    lines += ["", f"({note})", "", "| work | model | gain |", "|---|---|---|"]
    first: dict[str, tuple[str, str]] = {}
    timed, grid = read("ratios"), read("grid")
    for what, model, _, gains in _gains(timed[1] + grid[1]):
        first.setdefault(what, (model, gains))
    wanted = ("training step, loss at hs[2]", "scan of all hidden states", "20 adapters and the baseline, loads included")
    wanted += ("grid through Snakemake, by the clock",)
    lines += [f"| {what} | {first[what][0]} | {first[what][1]} |" for what in wanted if what in first]
    return "\n".join([*lines, "", f"({timed[0]})"])


def mutants() -> str:
    """What became of the faults that mutants.py planted."""
    said, rows = read("mutants")
    lines = ["| seed | room | faults | noticed at first | noticed now | by a wrong value | by an error | by time | seconds a fault |"]
    lines.append("|" + "---|" * 9)
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["seed"], row["room"]), []).append(row)
        groups.setdefault((row["seed"], "**all**"), []).append(row)
    for seed, room in sorted(groups, key=lambda key: (int(key[0]), key[1] == "**all**")):
        found = groups[seed, room]
        counts = [sum(row[name] == value for row in found) for name, value in (("at_first", "caught"), ("outcome", "caught"))]
        counts += [sum(row["how"] == how for row in found) for how in ("a wrong value", "an error", "time")]
        median = statistics.median(float(row["seconds"]) for row in found)
        lines.append(f"| {seed} | {room} | {len(found)} | {' | '.join(map(str, counts))} | {median:.0f} |")
    kinds = Counter(row["kind"] for row in rows)
    unseen = Counter(row["kind"] for row in rows if row["at_first"] != "caught")
    lines += ["", "| kind of fault | planted | not noticed at first |", "|---|---|---|"]
    lines += [f"| {kind} | {number} | {unseen[kind]} |" for kind, number in kinds.most_common()]
    lines += ["", "Not noticed at first, and the test that notices it now:", ""]
    for row in rows:
        if row["at_first"] != "caught":
            now = f"`{row['by'].rpartition('/')[2]}`" if row["by"] else "no test"
            lines.append(f"- {_fault(row)}: {now}")
    lines += ["", "Called equivalent, and why:", ""]
    lines += [f"- {_fault(row)}: {row['reason']}" for row in faults_without_effect()]
    return "\n".join([*lines, "", f"({said})"])


def faults_without_effect() -> list[dict]:
    with (ROOT / "benchmarks" / "equivalent_faults.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def _fault(row: dict) -> str:
    where = f"`{row['file']}`" + (f", `{row['scope']}`" if row["scope"] else "")
    return f"{where}: `{row['before']}` -> `{row['after']}`" + (f" in `{row['code']}`" if row["before"] != row["code"] else "")


TABLES = {
    "in-short": in_short,
    "eight-billion": eight_billion,
    "ratios": ratios,
    "anchor-cost": anchor_cost,
    "languages": languages,
    "mutation": mutants,
}


def placed(text: str) -> str:
    """A page's text with each table between its marks."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{TABLES[block[2]]()}\n\n{block[3]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put them into the pages")
    write = parser.parse_args().write
    for page in PAGES:
        file = ROOT / page
        if write:
            file.write_text(placed(file.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            print("\n\n".join(TABLES[name]() for _, name, _ in BLOCK.findall(file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
