"""Which of the trials of a cell its runs take."""

from __future__ import annotations

import pandas as pd

DIGITS = 12  # means that agree in so many are a tie: the order in which seeds are added decides nothing


def choose_trial(rows: pd.DataFrame) -> int:
    """The number of the best trial: the fewest failed seeds, then the highest mean value over the others, then the lower number.

    rows: one a trial and seed, with trial (the smaller change of the model has the lower number), value and failed. A value that is
    not defined counts least. Where every training failed, the first trial is taken, and its runs fail in their turn.
    """
    by_trial = rows.assign(value=rows["value"].astype(float)).groupby("trial").agg(failed=("failed", "sum"), value=("value", "mean"))
    value = by_trial["value"].fillna(-float("inf")).round(DIGITS)
    return int(min(by_trial.index, key=lambda trial: (by_trial["failed"][trial], -value[trial], trial)))


def is_at_the_edge(values: list[float], chosen: float) -> bool:
    """Whether the chosen value is the lowest or the highest of three or more: a better one may lie beyond."""
    return len(set(values)) > 2 and chosen in (min(values), max(values))
