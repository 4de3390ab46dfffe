"""Survival: how much of what is gained at the loss layer reaches the output (the paper's section 5.3, made measurable)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics.cells import NOTE_OF_ZERO
from tli.statistics.columns import GAPS_OF_A_RUN, SURVIVAL
from tli.statistics.families import adjust_families
from tli.statistics.paired import UNDEFINED, t_of_differences
from tli.statistics.seeds import mean_of_folds

SMALL = 1e-3  # a gap below it is no denominator
AT_LOSS, AT_OUTPUT, AGAINST = "gain at the loss layer", "gain at the output", "gain at the output, real - placebo"
CHANGE = "survival, after - before"  # a ratio of means: no word has one, so its test is over seeds
# contrast: where the crossed test of the gap stands
CROSSED = {AT_LOSS: ("loss_layer", facts.AFTER_BEFORE), AT_OUTPUT: ("output", facts.AFTER_BEFORE), AGAINST: ("output", facts.REAL_PLACEBO)}
TESTED = ["n", "units", "df", "estimate", "low", "high", "statistic", "p", "log10_p", "note"]


def survival(compared: pd.DataFrame, crossed: pd.DataFrame, output: dict[str, int], spec: StatisticsSpec) -> pd.DataFrame:
    """SURVIVAL with sentences: per run (seed >= 0, no test) and per cell (seed -1, one row a contrast).

    compared: `comparing.compared` of the metrics by PLACE. crossed: `cells.finished`, whose tests of the gap are taken over.
    survival = gap at hs[L] / gap at hs[k]; passed_on = gain of the gap at hs[L] / gain at hs[k] (over seeds: the ratio of the
    means). A ratio whose denominator is below SMALL is undefined. Cells whose loss is at the output have none: it is 1.
    """
    table = _both_places(compared, output)
    if table.empty:
        return pd.DataFrame(columns=[*SURVIVAL, "sentence"])
    runs = table.assign(level="within one run", seeds=1, note=_missing(table))
    gaps = crossed[crossed["metric"] == "gap"].set_index([*tables.CELL, "split", "pool", "hidden_state", "contrast"])[TESTED].sort_index()
    rows = []
    for key, part in table.groupby([*tables.CELL, "split", "pooling", "pool"], sort=True):
        head = dict(zip([*tables.CELL, "split", "pooling", "pool"], key, strict=True))
        head |= _ratios(part[GAPS_OF_A_RUN].mean().to_frame().T).iloc[0].to_dict()
        head |= {name: part[name].iloc[0] for name in ("loss_layer", "output", "control")}
        zero = bool(part["zero"].iloc[0])
        for contrast in (AT_LOSS, AT_OUTPUT, AGAINST, CHANGE):
            test = _tested(part, head, contrast, gaps, spec.alpha)
            if test is None:
                continue
            if zero:
                test |= {**dict.fromkeys(("low", "high", "statistic", "p", "log10_p"), np.nan), "note": NOTE_OF_ZERO}
            note = test["note"] or _missing(pd.DataFrame([head])).iloc[0]
            family = "" if zero else f"survival: {contrast}"
            rows.append({**head, **test, "note": note, "contrast": contrast, "family": family, "seeds": test["n"], "seed": -1})
    cells = adjust_families(pd.DataFrame(rows).assign(level="exploratory"))
    both = [part.reindex(columns=SURVIVAL).astype(object) for part in (cells, runs)]
    both = pd.concat(both, ignore_index=True)
    text = (*tables.CELL, "level", "split", "pooling", "pool", "contrast", "family", "note")
    numbers = [name for name in SURVIVAL if name not in text]
    both[numbers] = both[numbers].apply(pd.to_numeric)
    both["control"] = both["control"].astype(bool)
    both = both.fillna({"contrast": "", "family": "", "note": "", "family_size": 0})
    return both.assign(sentence=sentences(both, spec))


def _both_places(compared: pd.DataFrame, output: dict[str, int]) -> pd.DataFrame:
    """One row a seed: the gaps at the loss layer and at the output."""
    by = [*tables.CELL, "loss_layer", "split", "hidden_state", "pooling", "pool"]
    compared = mean_of_folds(compared, by, ["gap"])
    key = [*tables.CELL, "seed", "split", "pooling", "pool"]
    loss = compared[compared["hidden_state"] == compared["loss_layer"]]
    last = compared[compared["hidden_state"] == compared["model"].map(output)]
    apart = loss[loss["loss_layer"] < loss["model"].map(output).astype(float)]
    columns = {"gap": "gap_loss_after", "gap_before": "gap_loss_before"}
    apart = apart[[*key, "loss_layer", "control", "zero", *columns]].rename(columns=columns)
    columns = {"gap": "gap_output_after", "gap_before": "gap_output_before"}
    table = apart.merge(last[[*key, "gap_placebo", *columns]].rename(columns=columns), on=key)
    table["output"] = table["model"].map(output)
    table["gain_loss"] = table["gap_loss_after"] - table["gap_loss_before"]
    table["gain_output"] = table["gap_output_after"] - table["gap_output_before"]
    return _ratios(table) if len(table) else table


def _tested(part: pd.DataFrame, head: dict, contrast: str, gaps: pd.DataFrame, alpha: float) -> dict | None:
    if contrast != CHANGE:
        place, of_gap = CROSSED[contrast]
        key = (*(head[name] for name in (*tables.CELL, "split", "pool")), int(head[place]), of_gap)
        return gaps.loc[key].to_dict() if key in gaps.index else None
    values = part["survival_change"].to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    test = {name: value[0] for name, value in t_of_differences(values, alpha).items()}
    return {name: test.get(name, np.nan) for name in TESTED} | {"note": test["note"] or "over seeds, of these words"}


def _ratios(table: pd.DataFrame) -> pd.DataFrame:
    before = table["gap_loss_before"].where(table["gap_loss_before"] > SMALL)
    after = table["gap_loss_after"].where(table["gap_loss_after"] > SMALL)
    gain = table["gain_loss"].where(table["gain_loss"].abs() > SMALL)
    table = table.assign(
        survival_before=table["gap_output_before"] / before,
        survival_after=table["gap_output_after"] / after,
        passed_on=table["gain_output"] / gain,
    )
    return table.assign(survival_change=table["survival_after"] - table["survival_before"])


def _missing(table: pd.DataFrame) -> pd.Series:
    undefined = table[["survival_before", "survival_after", "passed_on"]].isna()
    return undefined.apply(
        lambda row: UNDEFINED + ", ".join(row.index[row]) + f" (its denominator is below {SMALL})" if row.any() else "", axis=1
    )


def sentences(table: pd.DataFrame, spec: StatisticsSpec) -> list[str]:
    """The paper's claim of section 5.3 in words, beside the row "gain at the output" of every cell that is no control.

    Spoken of only with enough seeds and units and a gain at hs[k]. The claim needs a gain of the gap at the output over before
    and, where the cell has a placebo, over the placebo.
    """
    key = [*tables.CELL, "split", "pooling", "pool"]
    contrasts = {name: part.set_index(key).to_dict("index") for name, part in table[table["seed"] == -1].groupby("contrast")}
    texts = []
    for row in table.to_dict("records"):
        cell = tuple(row[name] for name in key)
        at_loss, against = (contrasts.get(name, {}).get(cell) for name in (AT_LOSS, AGAINST))
        texts.append(_sentence(row, at_loss, against, spec) if row["contrast"] == AT_OUTPUT and not row["control"] else "")
    return texts


def _sentence(row: dict, at_loss: dict | None, against: dict | None, spec: StatisticsSpec) -> str:
    adjusted, where = facts.CORRECTIONS[spec.correction], f"hs[{int(row['loss_layer'])}]"
    if row["seeds"] < spec.minimum_seeds or row["units"] < spec.minimum_units:
        return f"{row['split']}: nothing is said of survival below {spec.minimum_seeds} seeds and {spec.minimum_units} units."

    def shown(test: dict | None) -> bool:
        return test is not None and test["estimate"] > 0 and test[adjusted] <= spec.alpha

    if not shown(at_loss):
        return f"{row['split']}: no gain of the gap is shown at {where}, so there is none that could reach the output."
    gain = row["gain_output"]
    text = f"{row['split']}: the gap changed by {row['gain_loss']:+.3f} at {where} and by {gain:+.3f} at the output"
    if np.isfinite(row["passed_on"]) and row["gain_loss"] > 0:
        text += f" ({100 * row['passed_on']:.0f} % of it)"
    figures = f"adjusted p {row[adjusted]:.2g}, {int(row['units'])} units, {int(row['seeds'])} seeds"
    if not shown(row):
        return f"{text}: that it reaches the output is not shown ({figures})."
    if against is None:
        return f"{text}: the gap at the output grew ({figures}); without a placebo it cannot be laid to the translations."
    if shown(against):
        return f"{text}: the early gain reaches the output ({figures}), more than with the placebo (p {against[adjusted]:.2g})."
    return f"{text}: the gap at the output grew ({figures}), but not detectably more than with the placebo."
