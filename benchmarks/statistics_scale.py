"""Time and memory of the statistics of a large grid: 3 models x 5 pairs x 20 cells x 10 seeds x 5 folds x 700 words.

    python benchmarks/statistics_scale.py [--pairs 5] [--write]

The evaluation's files are made by a process of its own, then read and analysed as the stage does.

Half of the cells are placebos. One hidden state, the untrained pool: each word is held out once a seed, and judged before for each seed and
fold. Synthetic figures; the limit is 60 s and 2 GB. --write puts the figures into benchmarks/results/statistics.tsv.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from common import peak_mib, write_table  # noqa: E402

from tli import statistics  # noqa: E402
from tli.experiment.layout import Layout  # noqa: E402
from tli.experiment.results import read_measured  # noqa: E402
from tli.io import table_files, tables  # noqa: E402
from tli.log import bar  # noqa: E402
from tli.specs import StatisticsSpec  # noqa: E402

STATE = 8


def runs_of(models: int, pairs: int, cells: int, seeds: int, folds: int) -> pd.DataFrame:
    names = [(f"model-{m}", f"l{p}-eng") for m in range(models) for p in range(pairs)]
    arms = [(f"arm-{a}", "") for a in range(cells // 2)] + [(f"placebo-{a}", f"arm-{a}") for a in range(cells // 2)]
    grid = [(*n, arm, of, s, f) for n in names for arm, of in arms for s in range(seeds) for f in range(1, folds + 1)]
    table = pd.DataFrame(grid, columns=["model", "pair", "arm", "placebo_of", "seed", "fold"]).assign(layer="2", rank="16")
    table["run"] = table["arm"] + "/layer-2/rank-16/seed-" + table["seed"].astype(str) + "/fold-" + table["fold"].astype(str)
    table = table.assign(
        control=table["placebo_of"] != "",
        baseline="baseline",
        loss_layer=2,
        same_as="",
        unit=table["run"],
        steps=9,
        last_loss=0.1,
        alpha=32.0,
    )
    return table.assign(**{name: "" for name in tables.RUNS if name not in table.columns})[tables.RUNS]


def similarities_of(runs: pd.DataFrame, words: int, seeds: int, folds: int, random: np.random.Generator) -> pd.DataFrame:
    base = runs[["model", "pair", "seed", "fold"]].drop_duplicates().assign(arm="baseline", layer="", rank="", run="baseline")
    rows = pd.concat([runs[tables.RUN], base[tables.RUN]], ignore_index=True)
    fold_of = {seed: random.permutation(words) % folds + 1 for seed in range(seeds)}
    members = {key: np.flatnonzero(fold_of[key[0]] == key[1]) for key in {(s, f) for s, f in zip(rows["seed"], rows["fold"], strict=True)}}
    here = [members[key] for key in zip(rows["seed"], rows["fold"], strict=True)]
    sizes = np.array([len(one) for one in here])
    columns = {name: rows[name].repeat(sizes).to_numpy() for name in tables.RUN}
    columns |= {"pair_id": np.array([f"w{i:04d}" for i in range(words)], object)[np.concatenate(here)], **CONSTANT}
    n = len(columns["pair_id"])
    figures = {name: random.normal(0.3, 0.1, n) for name in ("cosine", "mismatched_mean", "best_rival", "best_rival_reverse")}
    ranks = {name: random.integers(1, 6, n) for name in tables.SIMILARITIES if name.endswith("_rank") and "string" not in name}
    rest = {name: 0.1 for name in tables.SIMILARITIES if name not in {*columns, *figures, *ranks, "hidden_state"}}
    return pd.DataFrame({**columns, "hidden_state": STATE, **figures, **ranks, **rest})[tables.SIMILARITIES]


CONSTANT = {"split": "heldout", "pooling": "no-bos", "pool": tables.UNTRAINED}


def metrics_of(runs: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    base = runs[["model", "pair", "seed", "fold"]].drop_duplicates().assign(arm="baseline", layer="", rank="", run="baseline")
    table = pd.concat([runs[tables.RUN], base[tables.RUN]], ignore_index=True).assign(**CONSTANT, hidden_state=STATE, normed=True)
    rest = [name for name in tables.RUN_METRICS if name not in table.columns]
    return pd.concat([table, pd.DataFrame(random.random((len(table), len(rest))), columns=rest)], axis=1)


def write_results(o: argparse.Namespace, layout: Layout) -> None:
    """What the evaluation leaves: one part for each model and pair."""
    random = np.random.default_rng(0)
    for (model, pair), runs in runs_of(o.models, o.pairs, o.cells, o.seeds, o.folds).groupby(["model", "pair"]):
        files = layout.measured("evaluate", model, pair, "part-1")
        made = {"runs": runs, "similarities": similarities_of(runs, o.words, o.seeds, o.folds, random), "metrics": metrics_of(runs, random)}
        for name, path in files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            table_files.write(made.get(name, pd.DataFrame({"run": ["none"]})), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"models": 3, "pairs": 5, "cells": 20, "seeds": 10, "folds": 5, "words": 700}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--write", action="store_true")
    o = parser.parse_args()
    lists = pd.DataFrame(
        {"pair_id": [f"w{i:04d}" for i in range(o.words)], "component": [f"c{i * 9 // 10}" for i in range(o.words)], "split": "heldout"}
    )
    pairs = pd.concat([lists.assign(pair=f"l{p}-eng", category=np.arange(o.words) % 6) for p in range(o.pairs)], ignore_index=True)
    pairs = pairs.assign(**{name: "" for name in tables.PAIRS if name not in pairs.columns})
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(folder)
        maker = multiprocessing.Process(target=write_results, args=(o, layout))
        maker.start()
        maker.join()
        start, before = time.perf_counter(), peak_mib()
        read = read_measured(layout, [(f"model-{m}", f"l{p}-eng", "part-1") for m in range(o.models) for p in range(o.pairs)])
        layers = {f"model-{m}": STATE for m in range(o.models)}
        measured = statistics.Measured(read["runs"], read.pop("similarities"), read["metrics"], pairs, layers)
        reading, loaded = time.perf_counter() - start, peak_mib()
        results = statistics.analyse(measured, StatisticsSpec(), progress=partial(bar, what="statistics"))
        seconds = time.perf_counter() - start - reading
    rows = len(measured.similarities)
    row = {"rows": rows, "cells": len(results["verdicts"]), "reading_s": f"{reading:.1f}", "analysis_s": f"{seconds:.1f}"}
    row |= {"peak_gib": f"{peak_mib() / 1024:.2f}", "of_it_read_gib": f"{loaded / 1024:.2f}", "imports_gib": f"{before / 1024:.2f}"}
    if o.write:
        write_table(
            "statistics", [row], f"{o.models} models, {o.pairs} pairs, {o.cells} cells, {o.seeds} seeds, {o.folds} folds, {o.words} words"
        )
    else:
        print(row)


if __name__ == "__main__":
    main()
