"""Does it show in what the model says? Held-out words translated by prompt, after - before and real - placebo, over words and seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing
from tli.statistics.crossed import crossed, one
from tli.statistics.families import adjust_families
from tli.statistics.inputs import need
from tli.statistics.lines import EVIDENCE, Evidence, table_of

METRICS = {"choice": "correct", "exact": "exact"}  # of TRANSLATION: the column of TRANSLATE
OTHERS = {facts.AFTER_BEFORE: "_before", facts.REAL_PLACEBO: "_placebo", facts.AFTER_FEWSHOT: "_rival"}  # the side that is taken off
ITEM = ["direction", "shots", "item"]


def sides(asked: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Every item of every run that counts, control or not, with what it is compared with: `comparing.compared` of the columns correct
    and exact, and beside them correct_rival and exact_rival, the base model with most shots (NaN where there are none).

    asked: TRANSLATE with the baselines' rows. Raises TableError when a column is missing.
    """
    need("translate", asked, tables.TRANSLATE)
    values = asked.assign(**{name: asked[name].astype(float) for name in METRICS.values()})
    both = comparing.compared(runs, values, [*ITEM, "component", "choices"], list(METRICS.values()))
    most = rival_shots(asked)
    place = [*tables.RUN, "direction", "item"]
    rival = both[(both["shots"] == most) & (both["shots"] > 0)][[*place, *(f"{name}_before" for name in METRICS.values())]]
    rival = rival.rename(columns={f"{name}_before": f"{name}_rival" for name in METRICS.values()})
    return both.merge(rival, on=place, how="left", validate="many_to_one")


def rival_shots(asked: pd.DataFrame) -> int:
    """The shots of the rival: the most that were asked with."""
    return int(asked["shots"].max()) if len(asked) else 0


def evidence(both: pd.DataFrame) -> Evidence:
    """Of facts.SHOWS_IN_SPEECH: by choice, in both directions; an item counts with its mean over the numbers of shots.

    Yes needs after - before and, where the arm has a placebo, real - placebo, as a claim does.
    """
    real = both[~both["control"].astype(bool)]
    parts = []
    for contrast in (facts.AFTER_BEFORE, facts.REAL_PLACEBO):
        difference = (real["correct"] - real[f"correct{OTHERS[contrast]}"]).astype(float)
        rows = real.assign(difference=difference, unit=real["component"], part=real["direction"], contrast=contrast).dropna(
            subset="difference"
        )
        key = [*tables.CELL, "seed", "fold", "unit", "part", "contrast"]
        of_item = rows.groupby([*key, "item"], as_index=False, sort=False)["difference"].mean()
        grouped = of_item.groupby(key, as_index=False, sort=False)
        parts.append(grouped.agg(difference=("difference", "sum"), size=("difference", "size")))
    return Evidence(facts.SHOWS_IN_SPEECH, tables.joined(parts, [*EVIDENCE, "part", "contrast"]))


def translation(both: pd.DataFrame, most_shots: int, spec: StatisticsSpec) -> pd.DataFrame:
    """TRANSLATION: every cell, controls too, direction, number of shots, metric and contrast, with the crossed test over seeds and units."""
    rows = []
    tested = both[~both["zero"].astype(bool)]  # a floor without variance has no test
    for (*cell, control, direction, shots), part in tested.groupby([*tables.CELL, "control", *ITEM[:2]], sort=True):
        for metric, column in METRICS.items():
            for contrast, suffix in OTHERS.items():
                there = part.dropna(subset=f"{column}{suffix}")
                grid = _grid(there, column, suffix)
                if not grid.size:
                    continue
                test = one(crossed(grid, alpha=spec.alpha))
                about = {"control": control, "direction": direction, "shots": shots, "metric": metric, "contrast": contrast}
                chance = float((1 / part["choices"].astype(float)).mean()) if metric == "choice" else float("nan")
                counts = {"items": int(part.groupby("seed")["item"].nunique().max()), "rival_shots": most_shots, "chance": chance}
                means = {"after": there[column].mean(), "other": there[f"{column}{suffix}"].mean()}
                found = {name: test[name] for name in ("seeds", "units", "estimate", "low", "high", "p")}
                family = f"translation, {'controls' if control else 'exploratory'}: {metric}"
                rows.append(dict(zip(tables.CELL, cell, strict=True)) | about | counts | means | found | {"family": family})
    return adjust_families(pd.DataFrame(rows, columns=tables.TRANSLATION))[tables.TRANSLATION]


def _grid(part: pd.DataFrame, column: str, suffix: str) -> np.ndarray:
    """[seeds, units]: the difference summed over the items of a unit, by the mean size of the units."""
    rows = part.assign(difference=(part[column] - part[f"{column}{suffix}"]).astype(float), unit=part["component"])
    grouped = rows.groupby(["seed", "unit"], as_index=False, sort=False)
    return table_of(grouped.agg(difference=("difference", "sum"), size=("difference", "size")), 0.0)
