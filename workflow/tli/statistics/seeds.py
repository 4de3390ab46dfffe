"""Tests over seeds: the replicate is the seed, since words of one run share that run's luck.

A t over words of one run, with no effect but run-to-run variance, calls 71 % of null cells significant at .05; the t over
the seeds' paired differences calls 5 %.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli.io import tables
from tli.statistics import families
from tli.statistics.tests import UNDEFINED, t_of_differences

AFTER_BEFORE, REAL_PLACEBO, BOTH = "after - before", "real - placebo", "after - before and real - placebo, the larger p"
PLACEBO_BEFORE = "placebo - before"
SIDES = {AFTER_BEFORE: ("", "_before"), REAL_PLACEBO: ("", "_placebo"), PLACEBO_BEFORE: ("_placebo", "_before")}
MEASURES = [name for name in tables.METRICS if name not in ("k", "n")]
PLACE = ["split", "hidden_state", "pooling"]


def counted(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that count: one that is the same as an earlier one by construction is left out."""
    return runs[runs["same_as"].fillna("") == ""]


def is_zero(runs: pd.DataFrame) -> pd.Series:
    """True for the zero arms: controls that are no placebo. A floor without variance, in no family."""
    return runs["control"].astype(bool) & (runs["placebo_of"].fillna("") == "")


def placebo_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a real run that has a placebo: model, pair, run, placebo (the name of the run that holds its figures).

    run is one that counts; its placebo may be that of a repetition of it. Matched by placebo_of == arm, the resolved loss layer (not the word that asked for it), rank and seed. A placebo that
    is the same as another run by construction is looked up under that run's name.
    """
    key = ["model", "pair", "loss_layer", "rank", "seed"]
    placebos = runs[runs["placebo_of"].fillna("") != ""]
    kept = placebos["same_as"].fillna("")
    placebos = placebos.assign(placebo=placebos["run"].where(kept == "", kept), own=kept == "")
    placebos = placebos.sort_values("own", ascending=False, kind="stable").drop_duplicates([*key, "placebo_of"])
    placebos = placebos[[*key, "placebo_of", "placebo"]].rename(columns={"placebo_of": "arm"})
    # A run may have its placebo under the name of another run that is the same by construction.
    kept = runs["same_as"].fillna("")
    real = runs.assign(kept=runs["run"].where(kept == "", kept), first=kept == "")
    joined = real.merge(placebos, on=[*key, "arm"], how="inner").sort_values("first", ascending=False, kind="stable")
    joined = joined.drop_duplicates(["model", "pair", "kept"])
    return joined[["model", "pair", "kept", "placebo"]].rename(columns={"kept": "run"})


def compared(runs: pd.DataFrame, values: pd.DataFrame, on: list[str], measures: list[str]) -> pd.DataFrame:
    """Rows of `values` of the runs that count, with the baseline's and the placebo's values of the same row beside.

    values: a table with model, pair, run, the columns `on` (one row a run and `on`) and the columns `measures`. Returns
    the runs' columns, `on`, and for each measure m: m, m_before, m_placebo (NaN where there is none).
    """
    kept = counted(runs)
    meta = kept[[*tables.RUN, "placebo_of", "control", "baseline", "loss_layer"]].assign(zero=is_zero(kept))
    meta = meta.merge(placebo_runs(runs), on=["model", "pair", "run"], how="left")
    values = values[["model", "pair", "run", *on, *measures]]
    table = meta.merge(values, on=["model", "pair", "run"], how="inner")
    for other, suffix in (("baseline", "_before"), ("placebo", "_placebo")):
        theirs = values.rename(columns={"run": other, **{m: m + suffix for m in measures}})
        table = table.merge(theirs, on=["model", "pair", other, *on], how="left")
    return table


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
            own = np.flatnonzero((here == pattern[:, None]).all(0))
            if not pattern.any():
                continue
            found = t_of_differences(part[np.ix_(pattern, own)], alpha)
            if zero[places[0]]:
                found |= {name: np.full(len(own), np.nan) for name in ("statistic", "p", "log10_p", "low", "high", "dz")}
                found["note"] = np.full(len(own), UNDEFINED + "the zero arm is a floor without variance", dtype=object)
            block = pd.DataFrame({**dict(zip(by, key, strict=True)), "metric": [measures[i] for i in own], **found})
            rows.append(block.assign(contrast=contrast, zero=zero[places[0]], control=bool(table["control"].iloc[places[0]])))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def tests_over_seeds(compared_metrics: pd.DataFrame, primary: str, output: dict[str, int], alpha=0.05) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The confirmatory family and all exploratory tests over seeds, as rows of TESTS (p's not yet adjusted).

    compared_metrics: `compared` of the metrics by PLACE. Confirmatory: `primary` at the hidden state `output` of each model, on the
    held-out split, cells that are no control, one p per cell: the larger of both contrasts' (the intersection-union
    test); the two contrasts stand beside as its parts. Every other test lies in the family of its metric.
    Returns (tests, confirmatory): the second has one row a cell, with the two contrasts side by side.
    """
    by = [*tables.CELL, "loss_layer", *PLACE]
    table = pd.concat(
        [over_seeds(compared_metrics, MEASURES, contrast, by, alpha) for contrast in (AFTER_BEFORE, REAL_PLACEBO)],
        ignore_index=True,
    )
    if table.empty:
        return table, table
    table["test"], table["seed"], table["d_av"] = "t over seeds", -1, np.nan
    at_output = table["hidden_state"] == table["model"].map(output)
    first = (table["metric"] == primary) & (table["split"] == "heldout") & at_output & ~table["control"]
    table["level"] = np.where(first, "confirmatory", "exploratory")
    name = confirmatory_family(primary)
    table["family"] = np.where(first, name + ": " + table["contrast"], "exploratory: " + table["metric"])
    table.loc[table["zero"], ["level", "family"]] = ["descriptive", ""]
    larger = _larger(table[first], by, name)
    return pd.concat([larger, table], ignore_index=True), larger


def confirmatory_family(primary: str) -> str:
    return f"confirmatory: {primary}, held-out"


def _larger(parts: pd.DataFrame, by: list[str], name: str) -> pd.DataFrame:
    """One row a cell that has a placebo: the contrast with the larger p (undefined if either is)."""
    rows = []
    for _, cell in parts.groupby(by, sort=True, dropna=False):
        if set(cell["contrast"]) != {AFTER_BEFORE, REAL_PLACEBO}:
            continue
        undefined = cell[cell["p"].isna()]
        weaker = undefined.iloc[0] if len(undefined) else cell.loc[cell["p"].idxmax()]
        note = f"this is {weaker['contrast']}" + (f"; {weaker['note']}, counted as p = 1" if weaker["note"] else "")
        rows.append({**weaker, "contrast": BOTH, "family": name, "note": note})
    return pd.DataFrame(rows, columns=parts.columns)


def adjusted(tests: pd.DataFrame, primary: str) -> pd.DataFrame:
    """The tests with their adjusted p's; in the confirmatory family and its parts an undefined test counts as p = 1."""
    name = confirmatory_family(primary)
    return families.adjust_families(tests, (name, f"{name}: {AFTER_BEFORE}", f"{name}: {REAL_PLACEBO}"))
