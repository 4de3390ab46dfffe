"""Survival: how much of what is gained at the loss layer reaches the output (the paper's section 5.3, made measurable)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli.io import tables
from tli.statistics.columns import GAPS_OF_A_RUN, SURVIVAL
from tli.statistics.families import adjust_families
from tli.statistics.paired import UNDEFINED, t_of_differences

SMALL = 1e-3  # a gap below it is no denominator
CONTRASTS = {
    "gain at the output": "gain_output",  # the claim: the early layer's gain reaches the output
    "gain at the output, real - placebo": "against",
    "survival, after - before": "survival_change",
}


def survival(compared: pd.DataFrame, output: dict[str, int], alpha=0.05) -> pd.DataFrame:
    """SURVIVAL: per run (seed >= 0, no test) and per cell (seed -1, t over the seeds, one row a contrast).

    survival = gap at hs[L] / gap at hs[k]; passed_on = gain of the gap at hs[L] / gain at hs[k] (over seeds: the ratio of the
    means). A ratio whose denominator is below SMALL is undefined. Cells whose loss is at the output have none: it is 1.
    """
    key = [*tables.CELL, "seed", "split", "pooling"]
    loss = compared[compared["hidden_state"] == compared["loss_layer"]]
    last = compared[compared["hidden_state"] == compared["model"].map(output)]
    apart = loss[loss["loss_layer"] < loss["model"].map(output).astype(float)]
    table = apart[[*key, "loss_layer", "control", "zero", "gap", "gap_before"]].merge(
        last[[*key, "gap", "gap_before", "gap_placebo"]], on=key, suffixes=("", "_output")
    )
    if table.empty:
        return pd.DataFrame(columns=SURVIVAL)
    table = table.rename(
        columns={
            "gap": "gap_loss_after",
            "gap_before": "gap_loss_before",
            "gap_output": "gap_output_after",
        }
    )
    table = table.rename(columns={"gap_before_output": "gap_output_before"})
    table["output"] = table["model"].map(output)
    table["gain_loss"] = table["gap_loss_after"] - table["gap_loss_before"]
    table["gain_output"] = table["gap_output_after"] - table["gap_output_before"]
    table["against"] = table["gap_output_after"] - table["gap_placebo"]
    table = _ratios(table)
    runs = table.assign(level="within one run", seeds=1, note=_missing(table))
    rows = []
    for cell, part in table.groupby([*tables.CELL, "split", "pooling"], sort=True):
        mean = part[GAPS_OF_A_RUN].mean().to_frame().T
        head = dict(zip([*tables.CELL, "split", "pooling"], cell, strict=True)) | _ratios(mean).iloc[0].to_dict()
        head |= {name: part[name].iloc[0] for name in ("loss_layer", "output", "control")}
        for contrast, column in CONTRASTS.items():
            values = part[column].to_numpy(float)
            values = values[np.isfinite(values)]
            if not len(values):
                continue
            tested = {name: value[0] for name, value in t_of_differences(values, alpha).items()}
            family = "" if part["zero"].iloc[0] else f"survival: {contrast}"
            if part["zero"].iloc[0]:
                tested |= dict.fromkeys(("low", "high", "statistic", "p", "log10_p"), np.nan)
                tested |= {"note": UNDEFINED + "the zero arm is a floor without variance"}
            note = tested["note"] or _missing(pd.DataFrame([head])).iloc[0]
            rows.append({**head, **tested, "note": note, "contrast": contrast, "family": family, "seeds": len(values), "seed": -1})
    cells = adjust_families(pd.DataFrame(rows).assign(level="exploratory"))
    both = [part.reindex(columns=SURVIVAL).astype(object) for part in (cells, runs)]
    both = pd.concat(both, ignore_index=True)
    numbers = [name for name in SURVIVAL if name not in (*tables.CELL, "level", "split", "pooling", "contrast", "family", "note")]
    both[numbers] = both[numbers].apply(pd.to_numeric)
    both["control"] = both["control"].astype(bool)
    return both.fillna({"contrast": "", "family": "", "note": "", "family_size": 0})


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


def sentences(table: pd.DataFrame, adjusted="p_holm", alpha=0.05) -> list[str]:
    """The paper's claim of section 5.3 in words, beside the row "gain at the output" of every cell that is no control.

    The claim needs a gain of the gap at the output over before and, where the cell has a placebo, over the placebo.
    """
    cell = [*tables.CELL, "split", "pooling"]
    against = table[table["contrast"] == "gain at the output, real - placebo"].set_index(cell)
    texts = []
    for row in table.to_dict("records"):
        if row["contrast"] != "gain at the output" or row["control"]:
            texts.append("")
            continue
        key = tuple(row[name] for name in cell)
        texts.append(_sentence(row, against.loc[key].to_dict() if key in against.index else None, adjusted, alpha))
    return texts


def _sentence(row: dict, placebo: dict | None, adjusted: str, alpha: float) -> str:
    gain, at_loss = row["gain_output"], row["gain_loss"]
    text = f"{row['split']}: the gap changed by {at_loss:+.3f} at hs[{int(row['loss_layer'])}] and by {gain:+.3f} at the output"
    if np.isfinite(row["passed_on"]) and at_loss > 0:
        text += f" ({100 * row['passed_on']:.0f} % of it)"
    if not np.isfinite(row["p"]):
        return f"{text}; no test is defined ({row['note']})."
    figures = f"adjusted p {row[adjusted]:.2g}, {int(row['seeds'])} seeds"
    if not (gain > 0 and row[adjusted] <= alpha):
        return f"{text}: that it reaches the output is not shown ({figures})."
    if placebo is None:
        return f"{text}: the gap at the output grew ({figures}); without a placebo it cannot be laid to the translations."
    if placebo["estimate"] > 0 and placebo[adjusted] <= alpha:
        return f"{text}: the early gain reaches the output ({figures}), more than with the placebo (p {placebo[adjusted]:.2g})."
    return f"{text}: the gap at the output grew ({figures}), but not detectably more than with the placebo."
