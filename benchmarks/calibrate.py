"""How often does each verdict come where it is false, and how often where it is true? Writes docs/calibration.md.

    python benchmarks/calibrate.py --worlds 2000 --processes 2

Planted worlds (tests/unit/planted.py) go through the product's tables, statistics and verdicts. What is counted lies in
benchmarks/results/calibration.tsv, in rows of CHUNK experiments, so that a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import pandas as pd
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests" / "unit")]

import planted  # noqa: E402
from planted import World  # noqa: E402

from tli import facts  # noqa: E402
from tli.log import bar  # noqa: E402

COUNTS = ROOT / "benchmarks" / "results" / "calibration.tsv"
PAGE = ROOT / "docs" / "calibration.md"
COLUMNS = ["world", "seeds", "folds", "words", "first", "experiments", "verdict", "count"]
CHUNK, LIMIT = 50, 0.06

# what happens: the world, and the verdict that is true of it ("" where no claim is)
KINDS = {
    "nothing but chance": (World(), ""),
    "runs have luck, words stay": (World(word_moves=0.0, run_moves=0.1, luck=0.1), ""),
    "words move, runs agree": (World(word_moves=0.6, run_moves=0.02, luck=0.0), ""),
    "at the floor, 1 hit in 63": (World(signal=0.0, words=63), ""),
    "both languages turned alike": (World(rotate=True), ""),
    "trained words memorised": (World(memorise=True), facts.MEMORISED),
    "a harmful placebo": (World(placebo_gain=-0.3), facts.PLACEBO_HARMS),
    "all cosines raised alike": (World(signal=0.3, collapse=0.4, word_moves=0.05, run_moves=0.05, luck=0.0, words=150), facts.ALIKE),
    "the real training aligns": (World(gain=0.15), facts.BETTER),
}
CLAIMS = [
    facts.WORSE,
    facts.BETTER,
    facts.UNCORRECTED,
    facts.PLACEBO_HARMS,
    facts.BELOW_PLACEBO,
    facts.LIKE_PLACEBO,
    facts.MEMORISED,
    facts.ALIKE,
]


def designs(world: World):
    """5 and 10 seeds, without folds and with 5: four times the words are dealt then, since none are set aside for training."""
    for seeds in (5, 10):
        yield replace(world, seeds=seeds)
        if not world.memorise:
            yield replace(world, seeds=seeds, folds=5, words=4 * world.words // 5 * 5)


def key(kind: str, world: World) -> tuple:
    return kind, world.seeds, world.folds, world.words


def count(kind: str, world: World, first: int) -> list[list]:
    """The verdicts of CHUNK experiments, as rows of COLUMNS."""
    verdicts = Counter(planted.verdict(world, seed)["verdict"] for seed in range(first, first + CHUNK))
    return [[*key(kind, world), first, CHUNK, verdict, number] for verdict, number in sorted(verdicts.items())]


def run(worlds: int, processes: int) -> None:
    COUNTS.parent.mkdir(exist_ok=True)
    done = read().groupby(COLUMNS[:4])["first"].agg(set).to_dict() if COUNTS.exists() else {}
    if not COUNTS.exists():
        COUNTS.write_text("\t".join(COLUMNS) + "\n")
    waiting = [(kind, world) for kind, (one, _) in KINDS.items() for world in designs(one)]
    chunks = [(k, w, first) for first in range(0, worlds, CHUNK) for k, w in waiting if first not in done.get(key(k, w), ())]
    with ProcessPoolExecutor(processes) as pool, COUNTS.open("a", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        for number, future in enumerate(as_completed([pool.submit(count, *chunk) for chunk in chunks]), 1):
            writer.writerows(future.result())
            file.flush()
            bar(number, len(chunks), "calibration")


def read() -> pd.DataFrame:
    return pd.read_csv(COUNTS, sep="\t", keep_default_na=False)


def upper(count: int, of: int) -> float:
    """Upper end of the 95 % Clopper-Pearson interval of a share."""
    return float(stats.beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0


def page(table: pd.DataFrame) -> str:
    """The tables of docs/calibration.md."""
    chunks = table.drop_duplicates([*COLUMNS[:4], "first"]).groupby(COLUMNS[:4])["experiments"].sum()
    counts = table.groupby([*COLUMNS[:4], "verdict"])["count"].sum().unstack(fill_value=0).reindex(columns=facts.VERDICTS, fill_value=0)
    lines, rows = [], []
    for kind, (world, true) in KINDS.items():
        for one in designs(world):
            if key(kind, one) not in counts.index:
                continue
            row, n = counts.loc[key(kind, one)], int(chunks.loc[key(kind, one)])
            allowed = (true, facts.UNCORRECTED, facts.LIKE_PLACEBO) if true == facts.BETTER else (true,)  # they say less, not wrong
            false = {name: row[name] / n for name in CLAIMS if name not in allowed}
            worst = max(false, key=false.get)
            bound = upper(int(row[worst]), n)
            shown = f"{row[true] / n:.3f}" if true else ""
            lines.append(
                f"| {kind} | {one.seeds} | {one.folds} | {one.words} | {n} | {true or 'no claim'} | {shown} | {row[facts.BETTER] / n:.3f} "
                f"| {worst if row[worst] else '-'} | {false[worst]:.3f} | {bound:.3f} |"
            )
            rows.append((bound, false[worst], f"{kind}, {one.seeds} seeds, {one.folds} folds: {worst} {false[worst]:.3f}"))
    over = [text for bound, share, text in rows if bound > LIMIT and share > 0.05]
    unsure = sum(bound > LIMIT and share <= 0.05 for bound, share, _ in rows)
    limit = f"Of {len(rows)} designs {sum(bound <= LIMIT for bound, *_ in rows)} have a bound at or below {LIMIT}; {unsure} have a share at or below "
    limit += ".05 and too few experiments to tell" + (f"; above .05: {'; '.join(over)}" if over else "") + "."
    if any(facts.LIKE_PLACEBO in text for text in over):
        limit += f" {facts.LIKE_PLACEBO.capitalize()!r} claims least: that the figure rose, and that more than the placebo is not shown."
    return HEAD + "\n".join(lines) + f"\n\n{limit}\n\n{_pooled(table)}\n"


def _pooled(table: pd.DataFrame) -> str:
    """Every claim's share over all designs of the worlds in which nothing is true."""
    nothing = table[table["world"].isin([kind for kind, (_, true) in KINDS.items() if not true])]
    n = int(nothing.drop_duplicates([*COLUMNS[:4], "first"])["experiments"].sum())
    counts = nothing.groupby("verdict")["count"].sum()
    shares = [f"{name} {counts.get(name, 0) / n:.4f} ({upper(int(counts.get(name, 0)), n):.4f})" for name in CLAIMS]
    return f"Over all {n:,} experiments in which nothing is true, share and upper bound: {'; '.join(shares)}."


HEAD = """# How often a verdict is false

Made by `make calibrate` (benchmarks/calibrate.py) from benchmarks/results/calibration.tsv; goes on where it stopped. Planted
worlds of word vectors (tests/unit/planted.py) go through the product's own tables, statistics and verdicts: 75 held-out words (63 at
the floor, 150 where cosines rise), or four times as many dealt into 5 folds; a cell and its placebo, a family of one.

*True* is the share of experiments with the verdict that is true of the world. *Largest false* is the most frequent of the other claims, with
the upper end of its 95 % interval (Clopper-Pearson).

| world | seeds | folds | words | experiments | true of it | true | "aligns better" | largest false | share | upper bound |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=2000, help="experiments of each world and design")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    run(options.worlds, options.processes)
    PAGE.write_text(page(read()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
