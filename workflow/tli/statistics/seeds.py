"""Tests over seeds: the replicate is the seed, since words of one run share that run's luck.

A t over words of one run, with no effect but run-to-run variance, calls 71 % of null cells significant at .05; the t over
the seeds' paired differences calls 5 %.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.statistics import families
from tli.statistics.columns import PLACE
from tli.statistics.comparing import MEASURES, SIDES
from tli.statistics.paired import UNDEFINED, t_of_differences


def over_seeds(table: pd.DataFrame, measures: list[str], contrast: str, by: list[str], alpha=0.05) -> pd.DataFrame:
    """t over the seeds of every cell for one contrast of a `compared` table; one row a cell, place and measure.

    by: the columns that tell apart what is tested (the cell and the place); seeds with a missing value are left out, and
    `n` is what is left. The zero arm gets its estimate and the note that it is undefined.
    """
    left, right = (table[[m + side for m in measures]].to_numpy(float) for side in SIDES[contrast])
    differences = left - right
    zero = table["zero"].to_numpy(bool)
    rows = []
    for key, places in table.groupby(by, sort=True, dropna=False).indices.items():
        part = differences[places]
        here = np.isfinite(part)
        for pattern in np.unique(here, axis=1).T:  # measures that lack the same seeds are tested together
            columns = np.flatnonzero((here == pattern[:, None]).all(0))
            if not pattern.any():
                continue
            tested = t_of_differences(part[np.ix_(pattern, columns)], alpha)
            if zero[places[0]]:
                tested |= {name: np.full(len(columns), np.nan) for name in ("statistic", "p", "log10_p", "low", "high", "dz")}
                tested["note"] = np.full(len(columns), UNDEFINED + "the zero arm is a floor without variance", dtype=object)
            block = pd.DataFrame({**dict(zip(by, key, strict=True)), "metric": [measures[i] for i in columns], **tested})
            rows.append(block.assign(contrast=contrast, zero=zero[places[0]], control=bool(table["control"].iloc[places[0]])))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def tests_over_seeds(compared_metrics: pd.DataFrame, primary: str, output: dict[str, int], alpha=0.05) -> pd.DataFrame:
    """The confirmatory family and all exploratory tests over seeds, as rows of TESTS (p's not yet adjusted).

    compared_metrics: `compared` of the metrics by PLACE. Confirmatory: `primary` at the hidden state `output` of each model, on the
    held-out split, cells that are no control, one p per cell: the larger of both contrasts' (the intersection-union
    test); the two contrasts stand beside as its parts. Every other test lies in the family of its metric.
    """
    by = [*tables.CELL, "loss_layer", *PLACE]
    table = pd.concat(
        [over_seeds(compared_metrics, MEASURES, contrast, by, alpha) for contrast in (facts.AFTER_BEFORE, facts.REAL_PLACEBO)],
        ignore_index=True,
    )
    if table.empty:
        return table
    table["test"], table["seed"], table["d_av"] = "t over seeds", -1, np.nan
    at_output = table["hidden_state"] == table["model"].map(output)
    first = (table["metric"] == primary) & (table["split"] == "heldout") & at_output & ~table["control"]
    table["level"] = np.where(first, "confirmatory", "exploratory")
    name = confirmatory_family(primary)
    table["family"] = np.where(first, name + ": " + table["contrast"], "exploratory: " + table["metric"])
    table.loc[table["zero"], ["level", "family"]] = ["descriptive", ""]
    return pd.concat([_larger(table[first], by, name), table], ignore_index=True)


def confirmatory_family(primary: str) -> str:
    return f"confirmatory: {primary}, held-out"


def _larger(parts: pd.DataFrame, by: list[str], name: str) -> pd.DataFrame:
    """One row a cell that has a placebo: the contrast with the larger p (undefined if either is)."""
    rows = []
    for _, cell in parts.groupby(by, sort=True, dropna=False):
        if set(cell["contrast"]) != {facts.AFTER_BEFORE, facts.REAL_PLACEBO}:
            continue
        undefined = cell[cell["p"].isna()]
        weaker = undefined.iloc[0] if len(undefined) else cell.loc[cell["p"].idxmax()]
        note = f"this is {weaker['contrast']}" + (f"; {weaker['note']}, counted as p = 1" if weaker["note"] else "")
        rows.append({**weaker, "contrast": facts.BOTH_CONTRASTS, "family": name, "note": note})
    return pd.DataFrame(rows, columns=parts.columns)


def adjusted(tests: pd.DataFrame, primary: str) -> pd.DataFrame:
    """The tests with their adjusted p's; in the confirmatory family and its parts an undefined test counts as p = 1."""
    name = confirmatory_family(primary)
    return families.adjust_families(tests, (name, f"{name}: {facts.AFTER_BEFORE}", f"{name}: {facts.REAL_PLACEBO}"))
