"""Rank trend: does the effect grow with the LoRA rank? A slope over log2 rank for every seed and unit, then the crossed test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from tli import facts
from tli.statistics import comparing
from tli.statistics.cells import Difference
from tli.statistics.columns import LINE
from tli.statistics.crossed import crossed, one
from tli.statistics.units import Sheet, complete_words, units_of
from tli.statistics.word_figures import NAMES

CONTRASTS = (facts.AFTER_BEFORE, facts.REAL_PLACEBO)


def slopes(log_rank: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least-squares slope of every row of values (rows x ranks, NaN where missing) on log_rank; NaN below two ranks."""
    there = np.isfinite(values)
    x = np.where(there, log_rank, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = there.sum(1, keepdims=True)
        centred = np.where(there, x - np.where(there, x, 0).sum(1, keepdims=True) / count, 0.0)
        result = (centred * np.where(there, values, 0.0)).sum(1) / (centred**2).sum(1)
    return np.where(count[:, 0] >= 2, result, np.nan)


def points(runs: pd.DataFrame) -> pd.DataFrame:
    """`comparing.members` for a trend over ranks: a run that is another's repetition is still a point of its own line.

    A line all of whose runs are repetitions is another line's twin and left out.
    """
    first = runs.assign(first=runs["same_as"] == "").groupby(LINE)["first"].transform("any")
    table = comparing.members(runs[first | (runs["placebo_of"] != "")].assign(same_as=""))
    numeric = pd.to_numeric(table["rank"], errors="coerce")
    here = ~table["control"] & numeric.gt(0)
    return table[here].assign(log_rank=np.log2(numeric[here].astype(float)))


def lines(table: pd.DataFrame, runs: pd.DataFrame) -> Iterator[tuple[dict, dict]]:
    """Yield (columns of RANKS that tell a line, its rows of `points` by log2 rank) for every line of two ranks or more."""
    for key, line in table.groupby(LINE, sort=True):
        if line["log_rank"].nunique() < 2:
            continue
        head = dict(zip(LINE, key, strict=True)) | {"loss_layer": int(line["loss_layer"].iloc[0])}
        head["alpha_rule"] = alpha_rule(runs, line["run"], head["model"], head["pair"])
        head["ranks"] = ",".join(sorted(line["rank"].unique(), key=int))
        yield head, dict(list(line.groupby("log_rank", sort=True)))


def tested_slopes(by_rank: dict[float, tuple[np.ndarray, np.ndarray]], unit: np.ndarray, alpha: float) -> dict | None:
    """The crossed test of the slopes. by_rank: log2 rank -> (seeds, differences [seeds, words]); None without two ranks a seed."""
    seeds = sorted(set().union(*(set(these) for these, _ in by_rank.values())))
    stacked = np.full((len(seeds), len(unit), len(by_rank)), np.nan)
    for number, (these, d) in enumerate(by_rank.values()):
        stacked[[seeds.index(one) for one in these], :, number] = d
    slope = slopes(np.array(list(by_rank)), stacked.reshape(-1, len(by_rank))).reshape(len(seeds), len(unit))
    slope = slope[np.isfinite(slope).any(1)]
    words = complete_words(slope)
    if not words.any():
        return None
    test = one(crossed(units_of(slope[:, words], unit[words]), alpha=alpha))
    return test | {"slope": test["estimate"], "n": test["seeds"], "sd": np.sqrt(test["v_seeds"] * test["seeds"])}


def trends_of_sheet(sheet: Sheet, table: pd.DataFrame, runs: pd.DataFrame, measures: list[str], alpha: float) -> list[dict]:
    """Rows of RANKS without families: the trend per doubling of the rank on the held-out words of a sheet.

    table: `points` of the runs. alpha_rule tells whether LoRA's alpha grew with the rank ("alpha = 2 r") or stood still
    ("alpha = 32"). Not to be extrapolated beyond the ranks that were run.
    """
    here = table[(table["model"] == sheet.model) & (table["pair"] == sheet.pair)]
    rows = []
    for head, by_rank in lines(here, runs):
        for contrast in CONTRASTS:
            parts = {rank: Difference.of(sheet, rows_of, contrast, "heldout") for rank, rows_of in by_rank.items()}
            for measure in measures:
                number = NAMES.index(measure)
                differences = {rank: (part.seeds, (part.first - part.second)[:, :, number]) for rank, part in parts.items()}
                test = tested_slopes(differences, sheet.unit, alpha)
                if test is not None:
                    about = {"metric": measure, "contrast": contrast, "split": "heldout", "family": f"rank trend: {measure}"}
                    rows.append({**head, **test, **about, "hidden_state": sheet.hidden_state, "pool": sheet.pool})
    return rows


def alpha_rule(runs: pd.DataFrame, names: Iterable[str], model: str, pair: str) -> str:
    """How alpha goes with the rank over these runs, in words."""
    rows = runs[(runs["model"] == model) & (runs["pair"] == pair) & runs["run"].isin(set(names))]
    alpha, rank = rows["alpha"].astype(float), pd.to_numeric(rows["rank"], errors="coerce")
    if alpha.notna().all() and alpha.nunique() == 1:
        return f"alpha = {alpha.iloc[0]:g}"
    factor = (alpha / rank).round(6)
    return f"alpha = {factor.iloc[0]:g} r" if factor.notna().all() and factor.nunique() == 1 else "alpha varies"
