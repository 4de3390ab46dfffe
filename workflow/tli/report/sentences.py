"""Sentences of the first screens that are no verdicts: what else changed, and which cells are one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from tli.facts import AFTER_BEFORE, REAL_PLACEBO
from tli.io.tables import CELL
from tli.report.input import ReportInput, Tables
from tli.report.selection import Cell, first_cell, rows

ACCURACY = "accuracy"
PROTOCOLS = {  # of config.protocols, in words
    "paper-text": "trained and measured as the paper's text says",
    "paper-code": "trained and measured as the paper's code does",
    "controlled": "the workflow's own, controlled protocol",
    "custom": "a protocol of its own",
}


@dataclass(frozen=True)
class TaskRow:
    """One task and figure of one cell, both contrasts (rows of TRANSFER_CELLS, None where one was not tested), each with its claim."""

    task: str
    metric: str
    change: dict
    against: dict | None
    claims: tuple[str, ...]


@dataclass(frozen=True)
class CellTasks:
    """What the transfer's statistics say of one cell."""

    cell: Cell
    tasks: tuple[TaskRow, ...]


@dataclass(frozen=True)
class Transfer:
    """What else the training changed: a count over all cells in words, and the figures of the cells shown first."""

    summary: str
    cells: tuple[CellTasks, ...]


def transfer_sentences(report: ReportInput) -> Transfer | None:
    """The transfer's claims over seeds; None where no task was scored."""
    cells = report.tables.transfer_cells
    if cells.empty:
        return None
    claims = cells[~cells["control"].astype(bool)]
    tested = rows(claims, contrast=AFTER_BEFORE, metric=ACCURACY)
    changed = tested[tested[report.experiment.claims.adjusted] <= report.experiment.claims.alpha]
    lower, higher = int((changed["estimate"] < 0).sum()), int((changed["estimate"] > 0).sum())
    told = []
    for model, pair in report.groups:
        first = first_cell(claims, report.experiment, model, pair)
        if first is not None:
            told.append(CellTasks(first, tuple(_tasks(rows(claims, **first.columns), report))))
    summary = (
        f"Of {len(tested)} tests of accuracy, after - before (cells x tasks), {lower} found it lower and {higher} higher after correction."
    )
    return Transfer(" ".join(filter(None, [summary, report.experiment.scored_items])), tuple(told))


def _tasks(cell: pd.DataFrame, report: ReportInput) -> Iterator[TaskRow]:
    for (task, metric), part in cell.groupby(["task", "metric"], sort=False):
        by_contrast = {row["contrast"]: row for row in part.to_dict("records")}
        if AFTER_BEFORE in by_contrast:
            both = (by_contrast[AFTER_BEFORE], by_contrast.get(REAL_PLACEBO))
            claims = {row["contrast"]: claim(row, report) for row in both if row}
            alike = len(set(claims.values())) == 1
            told = [claims[AFTER_BEFORE]] if alike else [f"{contrast}: {text}" for contrast, text in claims.items()]
            yield TaskRow(task, metric, *both, tuple(told))


def claim(row: dict, report: ReportInput) -> str:
    """Either "lower", "higher", or why neither is claimed: what is too few, or what change would have been found."""
    if "no claim" in row["sentence"]:
        return f"no claim, {row['items']:.0f} items and {row['seeds']:.0f} seeds are too few"
    if row[report.experiment.claims.adjusted] <= report.experiment.claims.alpha:
        return "higher" if row["estimate"] > 0 else "lower"
    least = row["detectable"]
    return f"not shown; {least:.2f} would have been found" if least <= 1 else "not shown; no change that is possible would have been found"


def same_runs(tables: Tables) -> str:
    """Which cells are the same run by construction, in words; "" where none is."""
    twins = tables.runs[tables.runs["same_as"].fillna("") != ""].drop_duplicates(CELL)
    if twins.empty:
        return ""
    named = [f"{row.model}, {row.pair}: {_cell(row.run)} is {_cell(row.same_as)}" for row in twins.head(6).itertuples()]
    more = f"; and {len(twins) - 6} more" if len(twins) > 6 else ""
    return "Cells that are the same run by construction, made once and counted once: " + "; ".join(named) + more + "."


def _cell(run: str) -> str:
    return run.rsplit("/seed-", 1)[0].replace("/", ", ")


def experiment_size(report: ReportInput) -> str:
    """Size of the experiment in one line."""
    grid = report.tables.grid
    if not report.experiment.arms:
        models, pairs = len(report.experiment.models), len(report.experiment.pairs)
        return f"{models} model{'s' if models > 1 else ''}, {pairs} language pair{'s' if pairs > 1 else ''}; nothing is trained."
    if grid.empty:
        return "No run yet."
    counts = {
        "models": grid["model"].nunique(),
        "language pairs": grid["pair"].nunique(),
        "arms": grid["arm"].nunique(),
        "loss layers": grid["layer"].nunique(),
        "ranks": grid["rank"].nunique(),
        "seeds": grid["seed"].nunique(),
        "runs": len(grid),
    }
    text = ", ".join(f"{n:,} {name if n != 1 else name[:-1]}" for name, n in counts.items())
    protocol = report.experiment.protocol
    text += f"; {PROTOCOLS.get(protocol, f'{protocol} protocol')}" if protocol else ""
    return " ".join([text + ".", *joint_arms(report)])


def joint_arms(report: ReportInput) -> list[str]:
    """Which arms are trained on several lists together, a sentence for each set of lists."""
    together: dict[tuple[str, ...], list[str]] = {}
    for arm in report.experiment.arms:
        if arm.train_on:
            together.setdefault(arm.train_on, []).append(arm.name)
    return [
        f"Trained on {' + '.join(lists)} together, one training a run, and measured on each of them: {', '.join(arms)}."
        for lists, arms in together.items()
    ]
