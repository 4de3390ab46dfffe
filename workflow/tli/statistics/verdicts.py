"""One verdict a cell, with the figures and the sentence that it rests on; the confirmatory family."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing, power, sentences
from tli.statistics.case import Case
from tli.statistics.cells import CellClaim
from tli.statistics.columns import POWER
from tli.statistics.crossed import NAME, equivalence
from tli.statistics.families import adjust
from tli.statistics.inputs import Measured
from tli.statistics.judging import CONTRASTS, Figure, Figures, Rules, judge
from tli.statistics.lines import in_short, unmeasured


def family_name(primary: str) -> str:
    """The name of the confirmatory family."""
    return f"confirmatory: {primary}, held-out"


def cases(claims: dict[tuple, CellClaim], runs: pd.DataFrame, measured: Measured, spec: StatisticsSpec) -> list[Case]:
    """Every cell that is no control and no repetition, judged. runs: `comparing.members`. A cell without a claim has failed."""
    losses = comparing.counted(measured.runs)
    judged = []
    for key, cell in runs[~runs["control"]].groupby(tables.CELL, sort=True):
        claim = claims.get(key) or CellClaim(key, "", measured.claim_pool, missing={"": list(cell["seed"])})
        judged.append(Case(claim, about(cell, claim, measured.runs, losses)))
    judge_family(judged, spec)
    for case in judged:
        find_power(case, spec)
    return judged


def judge_family(judged: list[Case], spec: StatisticsSpec) -> None:
    """Adjust the p's of these cases among themselves, one family a contrast, and give each its verdict."""
    rules = Rules(spec.alpha, spec.minimum_seeds, spec.minimum_units)
    p = [1.0 if case.counts_as_one(rules) else case.p for case in judged]
    for case, adjusted in zip(judged, adjust(p, spec.correction), strict=True):
        case.p_family, case.family_size = float(adjusted), len(judged)
    for name in CONTRASTS:
        for case, adjusted in zip(judged, adjust([case.test(name)["p"] for case in judged], spec.correction), strict=True):
            case.adjusted[name] = float(adjusted)
    same = [equivalence(case.test("gap"), spec.alike_margin) for case in judged]
    for case, adjusted in zip(judged, adjust(same, spec.correction), strict=True):
        case.gap_same = float(adjusted)
    for case in judged:
        contrasts = {name: Figure(case.test(name)["estimate"], case.test(name)["p"], case.adjusted[name]) for name in CONTRASTS}
        units = case.claim.counts.get("units", 0)
        seeds = case.about["seeds"], case.about["placebo_seeds"]
        figures = Figures(case.about["failed"], *seeds, units, case.p_family, case.gap_same, contrasts)
        case.verdict = judge(figures, rules)


def find_power(case: Case, spec: StatisticsSpec) -> None:
    """What change the claim of a case would have found, from the variances at hand and its family's size."""
    crossed = list(case.claim.crossed.values())
    if not crossed or min(crossed[0].shape) < 2:
        return
    seeds, units = crossed[0].shape
    parts, folds = power.components(crossed), case.claim.counts["folds"]
    design = power.Design(seeds, units, folds, case.family_size, len(crossed) > 1)
    need = power.needed(parts, design, spec.alpha)
    case.detectable = power.least(need)
    powers = {f"power_at_{name}": float((need <= effect).mean()) for name, effect in (("05", 0.05), ("10", 0.10))}
    case.described = {**power.described(parts, folds), **powers, "seeds": seeds, "units": units, "folds": folds}


def about(cell: pd.DataFrame, claim: CellClaim, runs: pd.DataFrame, losses: pd.DataFrame) -> dict:
    """What the grid says of a cell, as `Case.about`. cell: its rows of `comparing.members`; runs: RUNS; losses: those that count."""
    first = cell.iloc[0]
    here = (runs["model"] == first["model"]) & (runs["pair"] == first["pair"])
    same = runs[here & runs["same_as"].isin(cell["run"])]
    with_placebo = cell[cell["placebo"] != ""]
    return {
        "loss_layer": int(first["loss_layer"]),
        "seeds": int(cell["seed"].nunique()),
        "placebo_seeds": claim.counts.get("placebo_seeds", 0) if len(with_placebo) else None,
        "failed": _failure(cell, claim, losses[(losses["model"] == first["model"]) & (losses["pair"] == first["pair"])]),
        "also": sorted({(arm, layer) for arm, layer in zip(same["arm"], same["layer"], strict=True)}),
    }


def _failure(cell: pd.DataFrame, claim: CellClaim, runs: pd.DataFrame) -> str:
    """Why the cell has failed, or "": a run that diverged or has no figures is never left out, since that would choose."""
    reasons = []
    for whose, names in (("", cell["run"]), ("the placebo of ", cell["placebo"])):
        rows = runs[runs["run"].isin(set(names))]
        lost = rows[(rows["steps"] > 0) & ~np.isfinite(rows["last_loss"].astype(float))]
        reasons.append((whose + "{}: its loss is not finite", lost["seed"]))
    reasons += [(f"{whose}{{}}: no held-out figure at the place of the claim", seeds) for whose, seeds in claim.missing.items()]
    return "; ".join(text.format(f"seed {', '.join(str(one) for one in sorted(set(seeds)))}") for text, seeds in reasons if len(seeds))


def confirmatory_rows(judged: list[Case], spec: StatisticsSpec, pooling: str, states: dict[str, int]) -> pd.DataFrame:
    """One row of TESTS a cell: the p that enters the family, and whose it is."""
    rows, rules = [], Rules(spec.alpha, spec.minimum_seeds, spec.minimum_units)
    for case in judged:
        names = ["change", "against_placebo"] if case.has_placebo else ["change"]
        weaker = max(names, key=lambda name: np.nan_to_num(case.test(name)["p"], nan=2.0))
        test, why = case.test(weaker), case.counts_as_one(rules)
        contrast = {"change": facts.AFTER_BEFORE, "against_placebo": facts.REAL_PLACEBO}[weaker]
        about = dict(zip(tables.CELL, case.claim.cell, strict=True))
        about |= {"test": NAME, "level": "confirmatory", "family": family_name(spec.primary), "seed": -1, "split": "heldout"}
        about |= {"hidden_state": states.get(about["model"], -1), "pooling": pooling, "pool": case.claim.pool, "metric": spec.primary}
        note = f"this is {contrast}" + ("" if case.has_placebo else ", the arm has no placebo") + (f"; {why}: p counts as 1" if why else "")
        figures = {name: test[name] for name in ("df", "estimate", "low", "high", "statistic", "log10_p", "units")}
        p = {"p": 1.0 if why else test["p"], "log10_p": 0.0 if why else test["log10_p"]}
        words = case.claim.counts.get("words", 0)
        rows.append({**about, **figures, **p, "n": test["seeds"], "words": words, "contrast": facts.BOTH_CONTRASTS, "note": note})
    return pd.DataFrame(rows, columns=[name for name in tables.TESTS if name not in ADJUSTED])


ADJUSTED = ("family_size", *facts.CORRECTIONS.values())


def table(judged: list[Case], lines: dict[tuple, pd.DataFrame], spec: StatisticsSpec) -> pd.DataFrame:
    """VERDICTS of tli.io.tables. lines: for every cell that rose, the lines under its verdict (VERDICT_LINES)."""
    return pd.DataFrame([_flat(case, lines.get(case.claim.cell), spec) for case in judged], columns=tables.VERDICTS)


def _flat(case: Case, lines: pd.DataFrame | None, spec: StatisticsSpec) -> dict:
    counts, means = case.claim.counts, case.claim.means
    row = dict(zip(tables.CELL, case.claim.cell, strict=True)) | {
        "loss_layer": case.about["loss_layer"],
        "metric": spec.primary,
        "pool": case.claim.pool,
        "seeds": case.about["seeds"],
        "folds": counts.get("folds", 1),
        "heldout_pairs": counts.get("words", 0),
        "units": counts.get("units", 0),
        "p_family": case.p_family,
        "family_size": case.family_size,
        "detectable": case.detectable,
        "gap_same_p": case.gap_same,
        "verdict": case.verdict,
        "in_short": in_short(case.verdict, lines),
        "sentence": sentences.verdict(case, unmeasured(lines), spec),
    }
    row |= {name: means.get(name, np.nan) for name in ("before", "after", "placebo")}
    for name in ("change", "against_placebo"):
        test = case.test(name)
        row |= {name: test["estimate"], f"{name}_low": test["low"], f"{name}_high": test["high"], f"p_{name}": test["p"]}
        row |= {f"t_{name}": test["statistic"], f"df_{name}": test["df"]}
    for name in ("placebo_change", "train_change", "p_at_1"):
        column = "p_at_1_change" if name == "p_at_1" else name
        row |= {column: case.test(name)["estimate"], f"p_{column}": case.test(name)["p"]}
    return row


def power_table(judged: list[Case], spec: StatisticsSpec) -> pd.DataFrame:
    """columns.POWER: the variances of every cell, and what its design could have found."""
    rows = []
    for case in judged:
        about = {"metric": spec.primary, "pool": case.claim.pool, "family_size": case.family_size, "detectable": case.detectable}
        rows.append({**dict(zip(tables.CELL, case.claim.cell, strict=True)), **about, **case.described})
    return pd.DataFrame(rows, columns=POWER)
