"""The overview of many models and pairs: of each the setting shown first, whether it aligns better, beats a free map, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from tli.facts import FAILED
from tli.labels import metric_label
from tli.report.headlines import Clause, against_maps, cost
from tli.report.input import ReportInput
from tli.report.names import figure_name
from tli.report.numbers import bounds, confidence, difference, from_to
from tli.report.selection import rows


@dataclass(frozen=True)
class Box:
    """What the overview says of one model and pair."""

    place: str  # the id of its block in the page
    tone: str  # of all that stands in it
    verdict: str
    setting: str  # named here where not all boxes show the same one; else ""
    figures: str  # before and after; "" of what failed, as the next
    change: str  # their difference with its interval
    clauses: tuple[Clause, ...]  # what a free map gives, what it cost
    spread: str  # over all settings of this model and pair; "" of a single one


@dataclass(frozen=True)
class Overview:
    """A box for every model (a row) and pair (a column); None where there is none."""

    caption: str
    pairs: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Box | None, ...]], ...]


def overview(report: ReportInput, told: list[dict]) -> Overview:
    """told: the verdict of every model and pair's first setting, as context tells them."""
    pairs, models = (tuple(dict.fromkeys(row[name] for row in told)) for name in ("pair", "model"))
    settings = {row["cell"] for row in told}
    by_group = {(row["model"], row["pair"]): _box(report, row, len(settings) > 1) for row in told}
    metrics = " and ".join(dict.fromkeys(metric_label(row["metric"]) for row in told))
    shown = f": {settings.pop()}" if len(settings) == 1 else ""
    level = confidence(report.experiment.claims.alpha)
    caption = (
        f"The first setting that the config names{shown}, whatever came out: {metrics} of held-out words before → after training; the "
        f"change with its {level} interval; whether a free map does as well; the cost in cross-entropy. Each box leads to its figures."
    )
    return Overview(caption, pairs, tuple((model, tuple(by_group.get((model, pair)) for pair in pairs)) for model in models))


def _box(report: ReportInput, row: Mapping, with_setting: bool) -> Box:
    metric, figures, change = row["metric"], "", ""
    if row["verdict"] != FAILED:
        around = bounds(row["change_low"], row["change_high"], metric)
        figures = from_to(row["before"], row["after"], metric)
        change = difference(row["change"], metric) + (f" ({around})" if around else "")
    clauses = tuple(one for one in (*against_maps(report, row), cost(report, row)) if one)
    place = figure_name("answers", row["model"], row["pair"])
    return Box(place, row["tone"], row["verdict"], row["cell"] if with_setting else "", figures, change, clauses, _spread(report, row))


def _spread(report: ReportInput, row: Mapping) -> str:
    """The lowest and the highest change of all settings of a model and pair, none left out that has a figure."""
    every: pd.Series = rows(report.tables.verdicts, model=row["model"], pair=row["pair"])["change"].astype(float).dropna()
    if len(every) < 2:
        return ""
    return f"all {len(every)} settings: {bounds(every.min(), every.max(), row['metric'])}" + (
        " points" if difference(0.5, row["metric"]).endswith("points") else ""
    )
