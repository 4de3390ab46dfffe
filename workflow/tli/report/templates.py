"""Words in templates as the page shows them: one small table for the cell shown first of each model and pair."""

from __future__ import annotations

from dataclasses import dataclass

from tli.labels import metric_label
from tli.report.input import ReportInput
from tli.report.selection import Cell, rows_of_first_cells
from tli.specs import WORD


@dataclass(frozen=True)
class Framed:
    """A cell, the metric's name, and a row for each way in which words were fed: template, before, after, change, low, high."""

    cell: Cell
    metric: str
    rows: tuple[dict, ...]


def framed_cells(report: ReportInput) -> list[Framed]:
    """One for each model and pair whose words were fed in templates too; empty where none were."""
    found = rows_of_first_cells(report, report.tables.templates)
    return [Framed(cell, metric_label(str(table["metric"].iloc[0])), tuple(table.to_dict("records"))) for cell, table in found]


def template_sentences(report: ReportInput) -> list[str]:
    """How words were fed beside by themselves, for the methods; nothing where they were not."""
    fed = list(dict.fromkeys(map(str, report.tables.templates["template"])))
    if not fed:
        return []
    framed = "; ".join(text for text in fed if text != WORD)
    claims = "words by themselves" if fed[0] == WORD else fed[0]
    return [f"Words were also fed in neutral templates ({framed}) and pooled over their own tokens there. Claims rest on {claims}."]
