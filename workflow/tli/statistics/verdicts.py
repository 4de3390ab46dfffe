"""One verdict a cell: exhaustive, exclusive, in a fixed order, judged by the adjusted p's over seeds.

The order, the first that fits: failed; too few seeds; worse; aligns better; better than before, no placebo; better than
placebo only because the placebo harms; memorised (train only); raised all cosines alike; no detectable effect.

- "aligns better" needs after - before > 0 AND real - placebo > 0; the larger of the two p's enters the confirmatory family.
- "worse" needs after - before < 0. Its p is adjusted within the same cells' after - before; since that p is never above the
  larger one, all claims together stay below what the family promises.
- An arm without a placebo in the grid cannot be told from a training on wrong translations. It can be worse; where it is
  better than before, the verdict says that no more than that can be claimed, and it is not in the confirmatory family.
- A significant rise that the placebo shares stays "no detectable effect": none of the true translations; the sentence says so.
- The later verdicts rest on tests over seeds adjusted over the same cells. Where every seed differs by exactly the same
  amount there is no test, so the sign stands for it in these descriptive verdicts, never in a claim.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.facts import ALIKE, BETTER, FAILED, MEMORISED, NO_PLACEBO, NOTHING, PLACEBO_HARMS, TOO_FEW, WORSE
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing, sentences
from tli.statistics.families import adjust
from tli.statistics.inputs import Measured
from tli.statistics.paired import smallest_detectable, t_of_differences

# name: (measure, split, side, minus side); None for the primary endpoint
CONTRASTS = {
    "change": (None, "heldout", "", "_before"),
    "against_placebo": (None, "heldout", "", "_placebo"),
    "placebo_change": (None, "heldout", "_placebo", "_before"),
    "train_change": (None, "train", "", "_before"),
    "train_against_placebo": (None, "train", "", "_placebo"),
    "cosine": ("cosine", "heldout", "", "_before"),
    "mismatched": ("mismatched", "heldout", "", "_before"),
    "gap": ("gap", "heldout", "", "_before"),
}


def judge(figures: dict, minimum_seeds: int = 5, alpha: float = 0.05) -> str:
    """The verdict of one cell.

    figures: `failed` (text, "" if it has not), `seeds`, `placebo_seeds` (None without a placebo), `p_family` (adjusted),
    and for every name of CONTRASTS and "train_over_heldout" a pair (mean, adjusted p); the p is NaN where undefined,
    0 where all seeds differ by the same amount (but for the claims, where it is NaN).
    """

    def up(name):
        mean, p = figures[name]
        return mean > 0 and p <= alpha

    def down(name):
        mean, p = figures[name]
        return mean < 0 and p <= alpha

    has_placebo = figures["placebo_seeds"] is not None
    if figures["failed"]:
        return FAILED
    if figures["seeds"] < minimum_seeds or (has_placebo and figures["placebo_seeds"] < minimum_seeds):
        return TOO_FEW
    if down("change"):
        return WORSE
    if has_placebo and figures["change"][0] > 0 and figures["against_placebo"][0] > 0 and figures["p_family"] <= alpha:
        return BETTER
    if up("change") and not has_placebo:
        return NO_PLACEBO
    if has_placebo and up("against_placebo") and down("placebo_change"):
        return PLACEBO_HARMS
    if up("train_change") and up("train_over_heldout") and (not has_placebo or up("train_against_placebo")):
        return MEMORISED
    if up("cosine") and up("mismatched") and not up("gap"):
        return ALIKE
    return NOTHING


def verdicts(measured: Measured, metrics: pd.DataFrame, confirmatory: pd.DataFrame, spec: StatisticsSpec) -> pd.DataFrame:
    """VERDICTS of tli.io.tables, one row for each cell that is no control and no repetition of another.

    metrics: `comparing.compared` of the metrics by PLACE. confirmatory: the rows of the confirmatory family, adjusted.
    """
    output = measured.claim_states(spec.claim_at)
    cells = comparing.counted(measured.runs)
    cells = cells[~cells["control"].astype(bool)]
    rows = [_cell(key, cell, measured.runs, metrics, output, spec) for key, cell in cells.groupby(tables.CELL, sort=True)]
    if not rows:
        return pd.DataFrame(columns=tables.VERDICTS)
    for name in [*CONTRASTS, "train_over_heldout"]:
        values = adjust([1.0 if row[name]["p"] != row[name]["p"] else row[name]["p"] for row in rows if row[name]], spec.correction)
        remaining = iter(values)
        for row in rows:
            row[name] = {**(row[name] or NONE), "adjusted": next(remaining) if row[name] else np.nan}
    family = confirmatory.set_index(tables.CELL) if len(confirmatory) else confirmatory
    for row in rows:
        key = tuple(row[name] for name in tables.CELL)
        claim = family.loc[key] if len(family) and key in family.index else None
        row["p_family"] = float(claim[facts.CORRECTIONS[spec.correction]]) if claim is not None else np.nan
        row["family_size"] = int(claim["family_size"]) if claim is not None else len(rows)
        spread = np.fmax(row["change"]["sd"], row["against_placebo"]["sd"]) if row["change"]["sd"] > 0 else np.nan
        row["detectable"] = smallest_detectable(spread, row["seeds"], row["family_size"], spec.alpha)
        row["verdict"] = judge(_figures(row), spec.minimum_seeds, spec.alpha)
        state = output.get(row["model"], -1)
        row["place"] = "at the output" if state == measured.layers.get(row["model"], state) else f"at hs[{state}], not the output"
        row["sentence"] = sentences.verdict(row, spec)
    return pd.DataFrame([_flat(row, spec.primary) for row in rows])[tables.VERDICTS]


NONE = {"estimate": np.nan, "sd": np.nan, "low": np.nan, "high": np.nan, "p": np.nan, "n": 0}


def _figures(row: dict) -> dict:
    figures = {name: row[name] for name in ("failed", "seeds", "placebo_seeds", "p_family")}
    for name in [*CONTRASTS, "train_over_heldout"]:
        one = row[name]
        p = one["adjusted"] if np.isfinite(one["p"]) else np.nan
        if one["sd"] == 0 and name not in ("change", "against_placebo"):
            p = 0.0 if abs(one["estimate"]) > 1e-7 else 1.0  # below, it is the rounding of float32 cosines
        figures[name] = (one["estimate"], p)
    return figures


def _cell(key, cell, runs, metrics, output, spec) -> dict:
    row, primary, alpha = dict(zip(tables.CELL, key, strict=True)), spec.primary, spec.alpha
    rows = metrics[(metrics[tables.CELL] == list(key)).all(axis=1) & (metrics["hidden_state"] == output.get(row["model"], -1))]
    rows = rows.drop_duplicates(["run", "split"]).set_index(["split", "seed"])
    by_split = {split: rows.xs(split) if split in rows.index.get_level_values(0) else rows.iloc[:0].droplevel(0) for split in SPLITS}
    heldout = by_split["heldout"]
    placebos = comparing.placebo_runs(runs)
    placebos = placebos[(placebos["model"] == row["model"]) & (placebos["pair"] == row["pair"])]
    placebos = placebos[placebos["run"].isin(cell["run"])]
    for name, (measure, split, side, minus) in CONTRASTS.items():
        measure = measure or primary
        part = by_split[split]
        row[name] = _t(part[measure + side] - part[measure + minus], alpha)
    gains = [by_split[split][primary] - by_split[split][primary + "_before"] for split in ("train", "heldout")]
    row["train_over_heldout"] = _t(gains[0] - gains[1], alpha)
    against = heldout[primary] - heldout[primary + "_placebo"]
    for name, column in (("before", "_before"), ("after", ""), ("placebo", "_placebo")):
        row[name] = float(heldout[primary + column].mean()) if len(heldout) else np.nan
        row["cosine_" + name] = float(heldout["cosine" + column].mean()) if len(heldout) else np.nan
        row["mismatched_" + name] = float(heldout["mismatched" + column].mean()) if len(heldout) else np.nan
    same = runs[(runs["model"] == row["model"]) & (runs["pair"] == row["pair"]) & runs["same_as"].isin(cell["run"])]
    also = sorted({(arm, layer) for arm, layer in zip(same["arm"], same["layer"], strict=True)})
    return row | {
        "loss_layer": int(cell["loss_layer"].iloc[0]),
        "seeds": int(cell["seed"].nunique()),
        "placebo_seeds": int(np.isfinite(against).sum()) if len(placebos) else None,
        "heldout_pairs": int(heldout["n"].iloc[0]) if len(heldout) else 0,
        "failed": _failure(cell, heldout, primary, runs, placebos),
        "also": also,
    }


SPLITS = ["heldout", "train"]


def _t(differences: pd.Series, alpha) -> dict | None:
    values = differences.to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    tested = t_of_differences(values, alpha)
    return {name: tested[name][0].item() for name in ("estimate", "sd", "low", "high", "p", "n")}


def _failure(cell, heldout, primary, runs, placebos) -> str:
    """Why the cell has failed, or "": a run that diverged or has no figures is never left out, since that would choose."""
    seeds: dict[str, list[int]] = {}
    for text, names in (("", set(cell["run"])), ("the placebo of ", set(placebos["placebo"]))):
        one = cell.iloc[0]
        rows = runs[(runs["model"] == one["model"]) & (runs["pair"] == one["pair"]) & runs["run"].isin(names)]
        lost = rows[(rows["steps"] > 0) & ~np.isfinite(rows["last_loss"].astype(float))]
        seeds[text + "{}: its loss is not finite"] = sorted(lost["seed"])
    value = heldout[primary].reindex(sorted(cell["seed"].unique()))
    missing = "{}: no held-out figure at the output"
    seeds[missing] = list(value.index[~np.isfinite(value)])
    with_placebo = cell.loc[cell["run"].isin(placebos["run"]), "seed"]
    theirs = heldout[primary + "_placebo"].reindex(sorted(set(with_placebo) & set(heldout.index)))
    seeds["the placebo of " + missing] = list(theirs.index[~np.isfinite(theirs)])
    reasons = [text.format(f"seed {', '.join(map(str, names))}") for text, names in seeds.items() if names]
    if len(heldout) and not np.isfinite(heldout[primary + "_before"]).all():
        reasons.append("the baseline has no held-out figure at the output")
    return "; ".join(reasons)


def _flat(row: dict, primary: str) -> dict:
    flat = {name: row[name] for name in tables.VERDICTS if name in row and name not in CONTRASTS}
    for name in ("change", "against_placebo"):
        one = row[name]
        flat |= {name: one["estimate"], f"{name}_low": one["low"], f"{name}_high": one["high"], f"p_{name}": one["p"]}
    return flat | {"metric": primary}
