"""Time and memory of the statistics of a large grid: 3 models x 5 pairs x 20 cells x 10 seeds x 5 folds x 700 words.

    python benchmarks/statistics_scale.py [--pairs 5]

Half of the cells are placebos. One hidden state, the untrained pool: each word is held out once a seed, and judged before for each seed and
fold. Synthetic figures; the limit is 60 s and 2 GB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from tli import statistics  # noqa: E402
from tli.io import tables  # noqa: E402
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
        control=table["placebo_of"] != "", baseline="baseline", loss_layer=2, same_as="", steps=9, last_loss=0.1, alpha=32.0
    )
    return table.assign(**{name: "" for name in tables.RUNS if name not in table.columns})[tables.RUNS]


def similarities_of(runs: pd.DataFrame, words: int, seeds: int, folds: int, random: np.random.Generator) -> pd.DataFrame:
    base = runs[["model", "pair", "seed", "fold"]].drop_duplicates().assign(arm="baseline", layer="", rank="", run="baseline")
    rows = pd.concat([runs[tables.RUN], base[tables.RUN]], ignore_index=True)
    fold_of = {seed: random.permutation(words) % folds + 1 for seed in range(seeds)}
    members = {key: np.flatnonzero(fold_of[key[0]] == key[1]) for key in {(s, f) for s, f in zip(rows["seed"], rows["fold"], strict=True)}}
    here = [members[key] for key in zip(rows["seed"], rows["fold"], strict=True)]
    sizes = np.array([len(one) for one in here])
    # names are categories, as in the parquet files that the evaluation writes
    columns = {name: pd.Categorical(rows[name]).repeat(sizes) for name in ("model", "pair", "arm", "layer", "rank", "run")}
    columns |= {name: np.repeat(rows[name].to_numpy(), sizes) for name in ("seed", "fold")}
    words_of = pd.Categorical.from_codes(np.concatenate(here), [f"w{i:04d}" for i in range(words)])
    n = len(words_of)
    columns |= {name: pd.Categorical.from_codes(np.zeros(n, np.int8), [value]) for name, value in CONSTANT.items()}
    figures = {
        name: random.normal(0.3, 0.1, n).astype(np.float32) for name in ("cosine", "mismatched_mean", "best_rival", "best_rival_reverse")
    }
    ranks = {
        name: random.integers(1, 6, n).astype(np.int16) for name in tables.SIMILARITIES if name.endswith("_rank") and "string" not in name
    }
    rest = {
        name: np.full(n, np.float32(0.1))
        for name in tables.SIMILARITIES
        if name not in {*columns, *figures, *ranks, "pair_id", "hidden_state"}
    }
    return pd.DataFrame({**columns, "pair_id": words_of, "hidden_state": STATE, **figures, **ranks, **rest})


CONSTANT = {"split": "heldout", "pooling": "no-bos", "pool": tables.UNTRAINED}


def metrics_of(runs: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    base = runs[["model", "pair", "seed", "fold"]].drop_duplicates().assign(arm="baseline", layer="", rank="", run="baseline")
    table = pd.concat([runs[tables.RUN], base[tables.RUN]], ignore_index=True).assign(**CONSTANT, hidden_state=STATE, normed=True)
    rest = [name for name in tables.RUN_METRICS if name not in table.columns]
    return pd.concat([table, pd.DataFrame(random.random((len(table), len(rest))), columns=rest)], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"models": 3, "pairs": 5, "cells": 20, "seeds": 10, "folds": 5, "words": 700}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    o = parser.parse_args()
    random = np.random.default_rng(0)
    runs = runs_of(o.models, o.pairs, o.cells, o.seeds, o.folds)
    similarities = similarities_of(runs, o.words, o.seeds, o.folds, random)
    lists = pd.DataFrame(
        {"pair_id": [f"w{i:04d}" for i in range(o.words)], "component": [f"c{i * 9 // 10}" for i in range(o.words)], "split": "heldout"}
    )
    pairs = pd.concat([lists.assign(pair=f"l{p}-eng", category=np.arange(o.words) % 6) for p in range(o.pairs)], ignore_index=True)
    pairs = pairs.assign(**{name: "" for name in tables.PAIRS if name not in pairs.columns})
    measured = statistics.Measured(runs, similarities, metrics_of(runs, random), pairs, {f"model-{m}": STATE for m in range(o.models)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    results = statistics.analyse(measured, StatisticsSpec(), progress=partial(bar, what="statistics"))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(similarities):,} rows, {len(results['verdicts'])} verdicts: {seconds:.0f} s, {peak:.2f} GB at most ({before:.2f} GB before)"
    )


if __name__ == "__main__":
    main()
