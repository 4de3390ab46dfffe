"""Rank trend: does the effect grow with the LoRA rank? One slope a seed over log2 rank, then t over the seeds' slopes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.statistics.columns import LINE, PLACE, RANKS
from tli.statistics.comparing import SIDES
from tli.statistics.families import adjust_families
from tli.statistics.paired import t_of_differences


def slopes(log_rank: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least-squares slope of every row of values (seeds x ranks, NaN where missing) on log_rank; NaN below two ranks."""
    here = np.isfinite(values)
    x = np.where(here, log_rank, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = here.sum(1, keepdims=True)
        centred = np.where(here, x - np.where(here, x, 0).sum(1, keepdims=True) / count, 0.0)
        result = (centred * np.where(here, values, 0.0)).sum(1) / (centred**2).sum(1)
    return np.where(count[:, 0] >= 2, result, np.nan)


def rank_trend(compared: pd.DataFrame, runs: pd.DataFrame, output: dict[str, int], measures: list[str], alpha=0.05):
    """RANKS: the trend per doubling of the rank, held-out at the output, for every line of >= 2 numeric ranks.

    compared: `comparing.compared` of the metrics by PLACE. alpha_rule tells whether LoRA's alpha grew with the rank ("alpha =
    2 r") or stood still ("alpha = 32"). Not to be extrapolated beyond the ranks that were run.
    """
    at_output = compared["hidden_state"] == compared["model"].map(output)
    return trend(compared[at_output & (compared["split"] == "heldout")], runs, PLACE, measures, "rank trend", alpha)[RANKS]


def trend(compared: pd.DataFrame, runs: pd.DataFrame, on: list[str], measures: list[str], family: str, alpha=0.05):
    """The same of any `comparing.compared` table: one row a line, `on`, measure and contrast; families "<family>: <measure>"."""
    columns = [name for name in RANKS if name not in PLACE]
    columns[columns.index("metric") : columns.index("metric")] = on
    numeric = pd.to_numeric(compared["rank"], errors="coerce")
    keep = ~compared["control"].astype(bool) & numeric.gt(0)
    compared = compared[keep].assign(log_rank=np.log2(numeric[keep].astype(float)))
    rows = []
    for key, line in compared.groupby([*LINE, *on], sort=True):
        if line["log_rank"].nunique() < 2:
            continue
        head = dict(zip([*LINE, *on], key, strict=True))
        head["loss_layer"] = int(line["loss_layer"].iloc[0])
        head["alpha_rule"] = alpha_rule(runs, line["run"], head["model"], head["pair"])
        head["ranks"] = ",".join(sorted(line["rank"].unique(), key=int))
        for measure in measures:
            for contrast in (facts.AFTER_BEFORE, facts.REAL_PLACEBO):
                left, right = (line[measure + side] for side in SIDES[contrast])
                grid = line.assign(value=left - right).pivot(index="seed", columns="log_rank", values="value")
                slope = slopes(grid.columns.to_numpy(float), grid.to_numpy(float))
                slope = slope[np.isfinite(slope)]
                if not len(slope):
                    continue
                tested = {name: value[0] for name, value in t_of_differences(slope, alpha).items()}
                about = {"metric": measure, "contrast": contrast, "family": f"{family}: {measure}"}
                rows.append({**head, **tested, **about, "seeds": len(slope), "slope": tested["estimate"]})
    return adjust_families(pd.DataFrame(rows, columns=columns))[columns]


def alpha_rule(runs: pd.DataFrame, names, model: str, pair: str) -> str:
    """How alpha goes with the rank over these runs, in words."""
    rows = runs[(runs["model"] == model) & (runs["pair"] == pair) & runs["run"].isin(set(names))]
    alpha, rank = rows["alpha"].astype(float), pd.to_numeric(rows["rank"], errors="coerce")
    if alpha.notna().all() and alpha.nunique() == 1:
        return f"alpha = {alpha.iloc[0]:g}"
    factor = (alpha / rank).round(6)
    return f"alpha = {factor.iloc[0]:g} r" if factor.notna().all() and factor.nunique() == 1 else "alpha varies"
