"""What the page's template and summary.md speak of, gathered from the input."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tli.facts import BAD, BEATS_MAP, GOOD, LEAVES_WHOLE, NO, NOT_DECIDED, NOT_MEASURED, OPEN, verdict_tone
from tli.io import table_files
from tli.io.memory import give_back
from tli.labels import metric_label
from tli.report import glossary, paper
from tli.report.across import cross_pairs
from tli.report.alignment import alignment_sentences
from tli.report.answers import Answers, answers
from tli.report.beside import Room, put_beside
from tli.report.columnar import as_columns, clean
from tli.report.drawings import Drawing
from tli.report.gallery import Picture, pictures, primary_picture
from tli.report.headlines import headline
from tli.report.input import ReportInput
from tli.report.methods import methods
from tli.report.names import figure_name
from tli.report.overview import overview
from tli.report.selection import Cell, first_verdicts, rows
from tli.report.sentences import experiment_size, same_runs, transfer_sentences
from tli.report.sheets import BESIDE_PUBLISHED, Kind, Sheet, sheets
from tli.report.templates import framed_cells
from tli.report.translation import translated
from tli.report.warnings import warnings

FIRST_IN_PAGE = 1_500_000  # characters of the first screens' figures; later ones lie beside the page
FIGURES_IN_PAGE = 3_000_000  # of the other figures
TABLES_IN_PAGE, TABLE_IN_PAGE = 3_000_000, 1_000_000  # of all tables together, of one
CELLS_IN_PAGE = 150_000  # of a table above which it is not tried
VERDICTS_SHOWN = 4  # models and pairs whose sentences are not folded away; of more there is an overview first
VERDICTS_IN_PAGE = 60  # sentences; the table has them all
FILTERS = ["model", "pair", "arm", "layer", "rank", "split", "hidden_state", "pooling", "metric", "level", "task"]


@dataclass(frozen=True)
class Section:
    """The figures of one model and pair."""

    model: str
    pair: str
    place: str  # its id in the page
    pictures: tuple[Picture, ...]
    tasks: tuple[Picture, ...]  # those that stand with the table of tasks


@dataclass(frozen=True)
class ShownSheet:
    """A table as the page shows it."""

    name: str  # of its file
    kind: Kind
    main: tuple[str, ...]  # columns shown at first; empty where all are
    rows: int
    data: str  # its rows as JSON; "" where they lie beside the page
    beside: str  # the file that hands them to it
    size: int  # of either, characters
    filters: tuple[str, ...]
    help: tuple[tuple[str, str], ...]  # column, meaning


def context(report: ReportInput, folder: Path) -> dict[str, Any]:
    """All that the template asks for; writes figures/ and tables/ into `folder` on the way."""
    figures = folder / "figures"
    figures.mkdir()
    firsts, every = first_verdicts(report), report.tables.verdicts
    told = _told(firsts, report)
    first_room = Room(FIRST_IN_PAGE)
    answered, sections = _by_group(report, told, figures, first_room)
    primary = primary_picture(report, figures, first_room)
    give_back()
    shown, published = _tables(report, folder)
    alignment = alignment_sentences(report)
    text, references = methods(report)
    remarks = warnings(report)
    return {
        "experiment": report.experiment,
        "size": experiment_size(report),
        "verdicts": told,
        "overview": overview(report, told) if len(told) > VERDICTS_SHOWN else None,
        "answers": answered,
        "answers_shown": 0 if len(told) > VERDICTS_SHOWN else VERDICTS_SHOWN,
        "alignment": alignment,
        "untested": every.empty and (len(report.tables.grid) > 0 or not alignment),
        "verdict_counts": every["verdict"].value_counts().to_dict(),
        "others": _told(every.head(VERDICTS_IN_PAGE), report) if len(every) > len(firsts) else [],
        "others_left": max(0, len(every) - VERDICTS_IN_PAGE),
        "primary": primary,
        "same": same_runs(report.tables),
        "transfer": transfer_sentences(report),
        "translated": translated(report),
        "across": cross_pairs(report, figures),
        "framed": framed_cells(report),
        "warnings": remarks,
        "serious": sum(one.is_serious for one in remarks),
        "audit": _by_pair(report),
        "missing": report.missing,
        "sections": sections,
        "table_1": _table_1(published.get("table-1")),
        "table_1_published": paper.TABLE_1.to_dict("records"),
        "table_2": published["table-2"].to_dict("records") if "table-2" in published else [],
        "beside": paper.beside(report.experiment),
        "published": paper.PUBLISHED,
        "sheets": shown,
        "metrics": [(name, metric_label(name), text, source) for name, (text, source) in glossary.METRICS.items()],
        "terms": glossary.TERMS,
        "methods": text,
        "references": references,
        "provenance": report.provenance,
        "checked": [model for model in report.experiment.models if model.identity is not None],
        "stages": _stages(report.provenance.stage_seconds),
        "graph": _graph(report.provenance.graph),
    }


def _told(verdicts: pd.DataFrame, report: ReportInput) -> list[dict]:
    """Verdicts as the page tells them: their columns, the cell's name, the metric's, its headline, the lines under it, and its tone.

    A verdict under which a line is not a plain yes is no good news; nor is one that nobody asked what it cost, or what a map gives.
    """
    told = []
    for row in verdicts.to_dict("records"):
        cell = Cell.of(row)
        under = rows(report.tables.lines, **cell.columns)
        measured = tuple(under.loc[(under["answer"] != NOT_MEASURED) | under["estimate"].notna(), "sentence"])
        tone, answers_of = verdict_tone(row["verdict"]), dict(zip(under["line"], under["answer"], strict=True))
        asked = {answers_of.get(line, NOT_MEASURED) for line in (BEATS_MAP, LEAVES_WHOLE)}
        if tone == GOOD and (NOT_MEASURED in asked or not {*answers_of.values()}.isdisjoint({NO, NOT_DECIDED})):
            tone = BAD if NO in answers_of.values() else OPEN
        named = {"cell": cell.name, "metric_label": metric_label(row["metric"]), "headline": headline(report, row)}
        told.append({**row, **named, "tone": tone, "lines": measured})
    return told


def _by_group(report: ReportInput, told: list[dict], figures: Path, first_room: Room) -> tuple[list[Answers], list[Section]]:
    """First screen and figures of every model and pair; the rows of one group are gathered, drawn and let go before the next."""
    verdicts, room = {(row["model"], row["pair"]): row for row in told}, Room(FIGURES_IN_PAGE)
    answered, sections = [], []
    for model, pair in report.groups:
        drawing = Drawing(report, model, pair)
        answered.append(answers(drawing, verdicts.get((model, pair)), figures, first_room))
        drawn = list(pictures(drawing, figures, room))
        with_tasks = {figure_name("transfer", model, pair)} if len(report.tables.transfer_cells) else set()
        parts = (tuple(one for one in drawn if (one.name in with_tasks) == there) for there in (False, True))
        sections.append(Section(model, pair, figure_name("group", model, pair), *parts))
    return answered, sections


def _tables(report: ReportInput, folder: Path) -> tuple[list[ShownSheet], dict[str, pd.DataFrame]]:
    """Every table written to tables/, as the page shows it; and those of the paper's form."""
    shown, published, room = [], {}, Room(TABLES_IN_PAGE)
    for sheet in sheets(report):
        frame = clean(sheet.frame)
        table_files.write(frame, folder / "tables" / f"{sheet.name}.tsv")
        shown.append(_shown(sheet, frame, folder, room))
        if sheet.name in BESIDE_PUBLISHED:
            published[sheet.name] = frame
        if shown[-1].beside:
            del sheet, frame
            give_back()
    return shown, published


def _by_pair(report: ReportInput) -> dict[str, list]:
    """The audit's lines by pair."""
    pairs = dict.fromkeys(line.pair for line in report.audit)
    return {pair: [line for line in report.audit if line.pair == pair] for pair in pairs}


def _table_1(frame: pd.DataFrame | None) -> list[dict]:
    """The first seed of every group and split, whatever came out; the other runs are in the table below it."""
    if frame is None:
        return []
    first = frame.drop_duplicates(["model", "pair", "split"])
    place = first.groupby(["model", "pair"], sort=False).ngroup() * 2 + (first["split"] != "train")
    return first.loc[place.sort_values(kind="stable").index].to_dict("records")


def _shown(sheet: Sheet, frame: pd.DataFrame, folder: Path, room: Room) -> ShownSheet:
    data, beside = "", ""
    if frame.size <= CELLS_IN_PAGE:
        data = "".join(as_columns(frame))
    if not data or len(data) > TABLE_IN_PAGE or not room.takes(len(data)):
        beside = put_beside(folder, f"tables/{sheet.name}.js", [data] if data else as_columns(frame))
        data = ""
    return ShownSheet(
        sheet.name,
        sheet.kind,
        sheet.main,
        rows=len(frame),
        data=data,
        beside=beside,
        size=(folder / beside).stat().st_size if beside else len(data),
        filters=tuple(c for c in FILTERS if c in frame.columns and 1 < frame[c].nunique() <= 200),
        help=tuple((column, text) for column in frame.columns if (text := glossary.meaning(column))),
    )


def _stages(seconds: pd.DataFrame) -> list[dict]:
    """Jobs, wall seconds and GPU seconds by stage, and their sum."""
    if seconds.empty:
        return []
    numbers = seconds.assign(**{name: pd.to_numeric(seconds[name], errors="coerce") for name in ("seconds", "gpu_seconds")})
    by_stage = numbers.groupby("stage", sort=False).agg(
        jobs=("stage", "size"), seconds=("seconds", "sum"), gpu_seconds=("gpu_seconds", "sum")
    )
    total = by_stage.sum().rename("all stages")
    return pd.concat([by_stage, total.to_frame().T]).reset_index(names="stage").to_dict("records")


def _graph(graph: str) -> dict[str, str]:
    """The graph of jobs for the page: an SVG becomes an image that cannot run anything, other text stays text."""
    if "<svg" in graph:
        return {"image": "data:image/svg+xml;base64," + base64.b64encode(graph.encode()).decode(), "text": ""}
    return {"image": "", "text": graph}
