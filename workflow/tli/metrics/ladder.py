"""The ladder: from what costs nothing to what was trained, one endpoint on the same words, each rung with its interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tli.io.tables import LADDER

RUNGS = ("before", "spelling", "own-word", "shuffled", "map", "arm")  # in the order of the picture
Interval = Callable[[np.ndarray], tuple[float, float]]


def ladder(rows: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    """One row a rung and name, columns tables.LADDER without model and pair, in the order of RUNGS, then of `rows`.

    rows: what each unit scored, columns rung (one of RUNGS), name (of the arm or the map, "" where there is one of its kind), twin
    (True for a map on shuffled pairs), seed, unit, value. A side without seeds (before, spelling, a map without folds)
    has one. interval: (low, high) of a table [seeds, units], the statistics' own. value is the mean over seeds and units;
    `behind` how far it lies below the best map that is no twin, NaN for twins and where there is no map.
    Raises ValueError for a rung that is none, a unit that a seed lacks, and a rung on other units than the first.
    """
    unknown = sorted(set(rows["rung"]) - set(RUNGS))
    if unknown:
        raise ValueError(f"no such rung: {', '.join(map(str, unknown))}; a ladder has {', '.join(RUNGS)}")
    made, units = [], None
    for (rung, name, twin), part in rows.groupby(["rung", "name", "twin"], sort=False):
        table = part.pivot(index="seed", columns="unit", values="value").sort_index(axis=1)
        units = table.columns if units is None else units
        if not table.columns.equals(units):
            raise ValueError(f"{rung} {name}: measured on {len(table.columns)} units, not on the {len(units)} of the first rung")
        if table.isna().any(axis=None):
            raise ValueError(f"{rung} {name}: a seed lacks some of the {len(units)} units")
        low, high = interval(table.to_numpy(float))
        value = float(table.to_numpy(float).mean())
        made.append([rung, name, twin, value, low, high, len(table), len(units)])
    rungs = pd.DataFrame(made, columns=["rung", "name", "twin", "value", "low", "high", "seeds", "units"])
    maps = rungs[(rungs["rung"] == "map") & ~rungs["twin"].astype(bool)]
    best = maps["value"].max() if len(maps) else np.nan
    rungs["behind"] = np.where(rungs["twin"].astype(bool), np.nan, best - rungs["value"])
    order = rungs["rung"].map(RUNGS.index)
    return rungs.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)[LADDER[2:]]
