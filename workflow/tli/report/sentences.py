"""Sentences of the first screens that are no verdicts: what else changed, and which cells are one run."""

from __future__ import annotations

from dataclasses import dataclass

from tli.facts import AFTER_BEFORE
from tli.io.tables import CELL
from tli.report.input import ReportInput, Tables
from tli.report.selection import Cell, first_cell, rows


@dataclass(frozen=True)
class CellSentences:
    """What the transfer's statistics say of one cell."""

    cell: Cell
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Transfer:
    """What else the training changed, in words: a count over all cells, and the sentences of the cells shown first."""

    summary: str
    cells: tuple[CellSentences, ...]


def transfer_sentences(report: ReportInput) -> Transfer | None:
    """The transfer's claims over seeds; None where no task was scored."""
    cells = report.tables.transfer_cells
    if cells.empty:
        return None
    claims = cells[~cells["control"].astype(bool)]
    tested = rows(claims, contrast=AFTER_BEFORE)
    changed = tested[tested[report.experiment.claims.adjusted] <= report.experiment.claims.alpha]
    lower, higher = int((changed["estimate"] < 0).sum()), int((changed["estimate"] > 0).sum())
    told = []
    for model, pair in report.groups:
        first = first_cell(claims, report.experiment, model, pair)
        if first is not None:
            told.append(CellSentences(first, tuple(rows(claims, **first.columns)["sentence"])))
    summary = (
        f"Of {len(tested)} tests of after - before (cells x tasks), {lower} found accuracy lower and {higher} higher after correction; "
        "where none was found, the smallest change that could have been is named."
    )
    return Transfer(" ".join(filter(None, [summary, report.experiment.scored_items])), tuple(told))


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
    return text + (f"; protocol: {report.experiment.protocol}" if report.experiment.protocol else "") + "."
