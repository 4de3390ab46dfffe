"""Translation by prompt as the page shows it: one small table for the cell shown first of each model and pair."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tli import facts
from tli.report.input import ReportInput
from tli.report.selection import Cell, rows_of_first_cells

METRICS = {"choice": "by log-likelihood, among choices of like length", "exact": "what it says, exactly"}
COMPARED = {  # (the column of a difference, that of the side taken off): its contrast
    ("change", "before"): facts.AFTER_BEFORE,
    ("against_placebo", "placebo"): facts.REAL_PLACEBO,
    ("against_rival", "rival"): facts.AFTER_FEWSHOT,
}
NAN = float("nan")


@dataclass(frozen=True)
class Translated:
    """A cell, and its rows: direction, shots, how it was asked, and shares of the words."""

    cell: Cell
    rows: tuple[dict, ...]


def translated(report: ReportInput) -> list[Translated]:
    """One for each model and pair that was asked; empty where none was."""
    told = []
    for cell, table in rows_of_first_cells(report, report.tables.translation):
        asked = table.groupby(["metric", "direction", "shots"], sort=True)
        told.append(Translated(cell, tuple(_row(metric, direction, shots, part) for (metric, direction, shots), part in asked)))
    return told


def _row(metric: str, direction: str, shots: int, part: pd.DataFrame) -> dict:
    by_contrast = {row["contrast"]: row for row in part.to_dict("records")}
    change = by_contrast.get(facts.AFTER_BEFORE, {})
    row = {"direction": direction.replace("-", " → "), "shots": int(shots), "metric": METRICS[metric]}
    row |= {name: change.get(name, NAN) for name in ("items", "chance", "after")}
    for (name, side), contrast in COMPARED.items():
        found = by_contrast.get(contrast, {})
        row |= {name: found.get("estimate", NAN), f"{name}_low": found.get("low", NAN), f"{name}_high": found.get("high", NAN)}
        row[side] = found.get("other", NAN)
    return row | {"rival_shots": int(part["rival_shots"].iloc[0])}
