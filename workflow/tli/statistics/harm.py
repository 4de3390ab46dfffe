"""What training costs: the rise of cross-entropy on running text, and KL from the base model, over sentences and seeds."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing
from tli.statistics.crossed import beyond, crossed, one
from tli.statistics.inputs import need
from tli.statistics.lines import EVIDENCE, Evidence, table_of

LINE = [*EVIDENCE, "part"]
SHIPPED = "the shipped sentences decide nothing: name running text of both languages under `text`"


def rises(texts: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Of every run that counts, control or not, and of maps inside the model, sentence by sentence: LINE's columns (part: the
    language), kl and control.

    texts: RUNNING_TEXT with the baselines' rows. difference: tokens x (cross-entropy after - before), nats; size: its tokens;
    kl: summed over the tokens. The mean over the folds of a seed. Raises TableError when a column is missing.
    """
    need("text", texts, tables.RUNNING_TEXT)
    key = ["model", "pair", "run", "seed", "fold"]
    place = ["language", "sentence"]
    members = pd.concat([comparing.members(runs), _maps_inside(texts)], ignore_index=True)
    members["control"] = members["control"].astype(bool)
    after = members.merge(texts[[*key, *place, "tokens", "cross_entropy", "kl"]], on=key)
    before = texts[texts["run"].isin(set(members["baseline"]))].drop_duplicates(["model", "pair", "run", *place])
    before = before.rename(columns={"run": "baseline", "cross_entropy": "before"})[["model", "pair", "baseline", *place, "before"]]
    both = after.merge(before, on=["model", "pair", "baseline", *place], validate="many_to_one")
    both = both.assign(difference=both["tokens"] * (both["cross_entropy"] - both["before"]), kl=both["tokens"] * both["kl"])
    both = both.rename(columns={"tokens": "size", "sentence": "unit", "language": "part"})
    grouped = both.groupby([*tables.CELL, "control", "part", "seed", "unit"], as_index=False, sort=False)
    return grouped.agg(difference=("difference", "mean"), size=("size", "first"), kl=("kl", "mean"))


def _maps_inside(texts: pd.DataFrame) -> pd.DataFrame:
    """Maps inside the model as members: they are compared with the base model, in the form that the config asks for."""
    rows = texts.loc[texts["arm"].astype(str).str.endswith(facts.MAP_INSIDE), tables.RUN].drop_duplicates()
    baselines = texts.loc[texts["run"] == texts["arm"], "run"]
    return rows.assign(control=False, baseline=baselines.min() if len(baselines) else "")


def evidence(risen: pd.DataFrame, deciding: Collection[str], spec: StatisticsSpec) -> Evidence:
    """Of facts.LEAVES_WHOLE: below the margin in every language of the pair.

    deciding: the languages whose text the config names. A pair of which one language has none is shown and not judged: the few
    shipped sentences cannot tell.
    """
    rows = risen[~risen["control"].astype(bool)] if len(risen) else risen
    judged = [set(pair.split("-")) <= set(deciding) for pair in rows["pair"]]
    shown_only = frozenset(rows.loc[~np.array(judged, bool), "pair"]) if len(rows) else frozenset()
    table = rows[LINE].reset_index(drop=True)
    return Evidence(facts.LEAVES_WHOLE, table, spec.harm_margin, False, shown_only, SHIPPED)


def harm(risen: pd.DataFrame, deciding: Collection[str], spec: StatisticsSpec) -> pd.DataFrame:
    """HARM: every cell, controls too, and language: the mean rise a token with its interval over seeds and sentences."""
    rows = []
    for (*cell, control, language), part in risen.groupby([*tables.CELL, "control", "part"], sort=True):
        grid = table_of(part, 0.0)
        if not grid.size:
            continue
        of_units = bool((part["seed"] < 0).all())  # nothing varies over seeds
        grids = [np.repeat(one_grid, 2, 0) if of_units else one_grid for one_grid in (grid, table_of(part, spec.harm_margin))]
        test, shifted = (one(crossed(one_grid, alpha=spec.alpha)) for one_grid in grids)
        below = shifted | {"estimate": -shifted["estimate"]}
        of_text = part.drop_duplicates("unit")
        rows.append(
            dict(zip(tables.CELL, cell, strict=True))
            | {"control": control, "language": language, "decides": language in deciding}
            | {"seeds": 0 if of_units else test["seeds"], "sentences": test["units"], "tokens": int(of_text["size"].sum())}
            | {"rise": test["estimate"], "low": test["low"], "high": test["high"], "kl": part["kl"].sum() / part["size"].sum()}
            | {"margin": spec.harm_margin, "p_below": beyond(below, 0.0), "p_above": beyond(shifted, 0.0)}
        )
    return pd.DataFrame(rows, columns=tables.HARM)
