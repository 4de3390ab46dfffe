"""A run beside what it is compared with: the model before it, and its placebo."""

from __future__ import annotations

import pandas as pd

from tli import facts
from tli.io import tables

# contrast: the columns of `compared` whose difference it is
SIDES = {facts.AFTER_BEFORE: ("", "_before"), facts.REAL_PLACEBO: ("", "_placebo"), facts.PLACEBO_BEFORE: ("_placebo", "_before")}
# contrast: the columns of `members` that name its two runs
RUNS_OF = {
    facts.AFTER_BEFORE: ("run", "baseline"),
    facts.REAL_PLACEBO: ("run", "placebo"),
    facts.PLACEBO_BEFORE: ("placebo", "baseline"),
}
MEASURES = [name for name in tables.METRICS if name not in ("k", "n")]


def counted(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that count: one that is the same as an earlier one by construction is left out."""
    return runs[runs["same_as"].fillna("") == ""]


def is_zero(runs: pd.DataFrame) -> pd.Series:
    """True for the zero arms: controls that are no placebo. A floor without variance, in no family."""
    return runs["control"].astype(bool) & (runs["placebo_of"].fillna("") == "")


def placebo_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a real run that has a placebo: model, pair, run, fold, placebo (the name of the run that holds its figures).

    run is one that counts; its placebo may be that of a repetition of it. Matched by placebo_of == arm, the resolved loss
    layer (not the word that asked for it), rank, seed and fold. A placebo that is the same as another run by construction is
    looked up under that run's name.
    """
    key = ["model", "pair", "loss_layer", "rank", "seed", "fold"]
    runs = runs if "fold" in runs.columns else runs.assign(fold=0)
    placebos = runs[runs["placebo_of"].fillna("") != ""]
    same_as = placebos["same_as"].fillna("")
    placebos = placebos.assign(placebo=placebos["run"].where(same_as == "", same_as), first=same_as == "")
    placebos = placebos.sort_values("first", ascending=False, kind="stable").drop_duplicates([*key, "placebo_of"])
    placebos = placebos[[*key, "placebo_of", "placebo"]].rename(columns={"placebo_of": "arm"})
    # A run may have its placebo under the name of another run that is the same by construction.
    same_as = runs["same_as"].fillna("")
    real = runs.assign(run=runs["run"].where(same_as == "", same_as), first=same_as == "")
    joined = real.merge(placebos, on=[*key, "arm"], how="inner").sort_values("first", ascending=False, kind="stable")
    return joined.drop_duplicates(["model", "pair", "run", "fold"])[["model", "pair", "run", "fold", "placebo"]]


def members(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that count, one row each: RUN's columns, control, zero, loss_layer, baseline, placebo ("" without one)."""
    table = counted(runs)
    table = table[[*tables.RUN, "control", "baseline", "loss_layer", "placebo_of"]].assign(zero=is_zero(table))
    table = table.merge(placebo_runs(runs), on=["model", "pair", "run", "fold"], how="left")
    return table.assign(placebo=table["placebo"].fillna(""), control=table["control"].astype(bool))


def compared(runs: pd.DataFrame, values: pd.DataFrame, on: list[str], measures: list[str]) -> pd.DataFrame:
    """Rows of `values` of the runs that count, with the baseline's and the placebo's values of the same row beside.

    values: a table with model, pair, run, seed, fold, the columns `on` (one row a run and `on`) and the columns `measures`.
    A baseline's row of the same seed and fold is taken where there is one, else the one that stands for all (seed -1). Returns
    the columns of `members`, `on`, and for each measure m: m, m_before, m_placebo (NaN where there is none).
    """
    values = values[["model", "pair", "run", "seed", "fold", *on, *measures]]
    of_run = values.drop(columns="seed")
    table = members(runs).merge(of_run, on=["model", "pair", "run", "fold"], how="inner")
    theirs = of_run.rename(columns={"run": "placebo", **{m: m + "_placebo" for m in measures}})
    table = table.merge(theirs, on=["model", "pair", "placebo", "fold", *on], how="left")
    before = {m: m + "_before" for m in measures}
    baselines = values[values["run"].isin(set(table["baseline"]))].rename(columns={"run": "baseline", **before})
    key = ["model", "pair", "baseline", "seed", "fold", *on]
    exact = table[key].merge(baselines, on=key, how="left")[list(before.values())]
    general = baselines[baselines["seed"] == -1].drop(columns=["seed", "fold"]).drop_duplicates(["model", "pair", "baseline", *on])
    shared = table[key].merge(general, on=["model", "pair", "baseline", *on], how="left")[list(before.values())]
    return table.assign(**{name: exact[name].fillna(shared[name]).to_numpy() for name in before.values()})
