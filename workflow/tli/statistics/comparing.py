"""A run beside what it is compared with: the model before it, and its placebo."""

from __future__ import annotations

import pandas as pd

from tli import facts
from tli.io import tables

# contrast: the columns whose difference it is
SIDES = {facts.AFTER_BEFORE: ("", "_before"), facts.REAL_PLACEBO: ("", "_placebo"), facts.PLACEBO_BEFORE: ("_placebo", "_before")}
MEASURES = [name for name in tables.METRICS if name not in ("k", "n")]


def counted(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that count: one that is the same as an earlier one by construction is left out."""
    return runs[runs["same_as"].fillna("") == ""]


def is_zero(runs: pd.DataFrame) -> pd.Series:
    """True for the zero arms: controls that are no placebo. A floor without variance, in no family."""
    return runs["control"].astype(bool) & (runs["placebo_of"].fillna("") == "")


def placebo_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a real run that has a placebo: model, pair, run, placebo (the name of the run that holds its figures).

    run is one that counts; its placebo may be that of a repetition of it. Matched by placebo_of == arm, the resolved loss
    layer (not the word that asked for it), rank and seed. A placebo that is the same as another run by construction is
    looked up under that run's name.
    """
    key = ["model", "pair", "loss_layer", "rank", "seed"]
    placebos = runs[runs["placebo_of"].fillna("") != ""]
    same_as = placebos["same_as"].fillna("")
    placebos = placebos.assign(placebo=placebos["run"].where(same_as == "", same_as), first=same_as == "")
    placebos = placebos.sort_values("first", ascending=False, kind="stable").drop_duplicates([*key, "placebo_of"])
    placebos = placebos[[*key, "placebo_of", "placebo"]].rename(columns={"placebo_of": "arm"})
    # A run may have its placebo under the name of another run that is the same by construction.
    same_as = runs["same_as"].fillna("")
    real = runs.assign(run=runs["run"].where(same_as == "", same_as), first=same_as == "")
    joined = real.merge(placebos, on=[*key, "arm"], how="inner").sort_values("first", ascending=False, kind="stable")
    return joined.drop_duplicates(["model", "pair", "run"])[["model", "pair", "run", "placebo"]]


def compared(runs: pd.DataFrame, values: pd.DataFrame, on: list[str], measures: list[str]) -> pd.DataFrame:
    """Rows of `values` of the runs that count, with the baseline's and the placebo's values of the same row beside.

    values: a table with model, pair, run, the columns `on` (one row a run and `on`) and the columns `measures`. Returns
    the runs' columns, `on`, and for each measure m: m, m_before, m_placebo (NaN where there is none).
    """
    runs_that_count = counted(runs)
    meta = runs_that_count[[*tables.RUN, "placebo_of", "control", "baseline", "loss_layer"]].assign(zero=is_zero(runs_that_count))
    meta = meta.merge(placebo_runs(runs), on=["model", "pair", "run"], how="left")
    values = values[["model", "pair", "run", *on, *measures]]
    table = meta.merge(values, on=["model", "pair", "run"], how="inner")
    for other, suffix in (("baseline", "_before"), ("placebo", "_placebo")):
        theirs = values.rename(columns={"run": other, **{m: m + suffix for m in measures}})
        table = table.merge(theirs, on=["model", "pair", other, *on], how="left")
    return table
