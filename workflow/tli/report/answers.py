"""The first screen: of each model and pair three questions, each with a sentence and a figure.

Was it aligned before training, was the training worth it, what did it cost? The cell is the first that the config names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tli.facts import ADDS_TO_MAP, BEATS_MAP, FAILED, LEAVES_WHOLE, NO, NOT_DECIDED, NOT_MEASURED, YES
from tli.io.tables import CELL
from tli.labels import metric_label
from tli.report.alignment import METRIC, first_map, untrained_rungs
from tli.report.beside import Room
from tli.report.drawings import Drawing
from tli.report.gallery import Picture, picture
from tli.report.input import ReportInput
from tli.report.names import figure_name
from tli.report.numbers import share, signed
from tli.report.selection import Cell, endpoint, first_cell, rows

QUESTIONS = {"curve": "Aligned before training?", "ladder": "Was training worth it?", "front": "What did it cost?"}
UNTRAINED = {"ladder": "What has a training to beat?", "front": "What would it cost?"}  # asked where nothing is to be trained
SHORTLY = {YES: "whole", NO: "damaged", NOT_DECIDED: "not decided"}
SPLITS = {"train": "train", "select": "select", "heldout": "held-out"}
WHOLE = {YES: "the model is left whole", NO: "the model is damaged", NOT_DECIDED: "whether it is left whole is not decided"}


@dataclass(frozen=True)
class Answer:
    """One question's sentence and figure."""

    question: str
    text: str
    picture: Picture


@dataclass(frozen=True)
class Answers:
    """What the first screen says of one model and pair. verdict: as context tells it; None where nothing was tested."""

    model: str
    pair: str
    place: str  # its id in the page
    verdict: Mapping | None
    answers: tuple[Answer, ...]
    state: str  # how far it is, where nothing was tested


def answers(drawing: Drawing, verdict: dict | None, folder: Path, room: Room) -> Answers:
    """Of one model and pair; the figures are written into `folder`. verdict: of its first cell, as context tells it."""
    report, model, pair = drawing.report, drawing.model, drawing.pair
    texts = {
        "curve": before(report, model, pair),
        "ladder": worth(report, model, pair, verdict),
        "front": cost(report, verdict),
    }
    questions = QUESTIONS if len(report.tables.trained) or report.experiment.arms else QUESTIONS | UNTRAINED
    made = tuple(
        Answer(question, texts[key], picture(drawing, f"first-{key}", question, folder, room)) for key, question in questions.items()
    )
    state = "not tested yet" if len(drawing.tables.runs) else "not measured yet" if report.experiment.arms else "before training"
    return Answers(model, pair, figure_name("answers", model, pair), verdict, made, state)


def before(report: ReportInput, model: str, pair: str) -> str:
    """How many held-out words found their translation before training, where most did, and what chance and spelling give."""
    place = endpoint(report.tables, model, pair)
    scan = pd.DataFrame()
    if place is not None:
        scan = rows(report.tables.scan, model=model, pair=pair, **place.heldout).set_index("hidden_state")
    if place is None or scan.empty or place.hidden_state not in scan.index:
        return f"Not scanned yet.{_of_list(report, model, pair)}"
    row = scan.loc[place.hidden_state]
    spelling = f", {share(row['string_p_at_1'])} by spelling" if pd.notna(row["string_p_at_1"]) else ""
    text = f"{share(row[METRIC])} of {int(row['n'])} held-out words find their translation at the output ({metric_label(METRIC)}; {share(row['chance'])} by chance{spelling})."
    best = rows(report.tables.choice, model=model, pair=pair, chosen=True)
    highest = int(scan[METRIC].idxmax())
    if len(best) and int(best["hidden_state"].iloc[0]) in scan.index:
        state = int(best["hidden_state"].iloc[0])
        text += f" The select words choose hs[{state}] as the best layer, with {share(scan.loc[state, METRIC])} of the held-out words"
        text += "." if highest == state else f"; most of these are found at hs[{highest}], {share(scan.loc[highest, METRIC])}."
    return text


def _of_list(report: ReportInput, model: str, pair: str) -> str:
    """How many pairs the list has; "" where it is not prepared either."""
    splits = rows(report.tables.pairs, model=model, pair=pair)["split"].value_counts()
    if splits.empty:
        return ""
    named = ", ".join(f"{splits[name]} {SPLITS[name]}" for name in SPLITS if name in splits)
    return f" The list has {splits.sum():,} pairs: {named}."


def worth(report: ReportInput, model: str, pair: str, verdict: dict | None) -> str:
    """From before to after, beside the placebo and the best free map."""
    if verdict is None:
        return f"{_untested(report, model, pair)} {_to_beat(report, model, pair, first_map(report, model, pair))}".strip()
    if verdict["verdict"] == FAILED:
        return f"{Cell.of(verdict).name}: the training failed."
    placebo = f", {share(verdict['placebo'])} with the placebo" if pd.notna(verdict["placebo"]) else ""
    text = f"{verdict['cell']}: {share(verdict['before'])} before, {share(verdict['after'])} after{placebo}: {verdict['verdict']}."
    line = _line(report, verdict, BEATS_MAP)
    if line:
        answers_of = {YES: "Training beats it", NO: "It does better", NOT_DECIDED: "Which is better is not decided"}
        name, value = _rival(report, verdict)
        gives = f" gives {share(value)} untrained" if pd.notna(value) else " stands beside it"
        text += f" The best free map{f' ({name})' if name else ''}{gives}. {answers_of[line['answer']]}: {_interval(line)}."
    else:
        text += " Whether it beats a free map was not measured."
    if plus := _line(report, verdict, ADDS_TO_MAP):
        text += f" With a map on both, training {plus['sentence'].partition(' (')[0]}."
    return text


def _rival(report: ReportInput, verdict: Mapping) -> tuple[str, float]:
    """The free map that a cell is held against, and its figure at the endpoint: "" where nobody says which, NaN where it was not measured."""
    cell = Cell.of(verdict)
    rivals = rows(report.tables.others.get("rivals", pd.DataFrame(columns=[*CELL, "map"])), **cell.columns)
    name = str(rivals["map"].iloc[0]) if len(rivals) else ""
    ladder = rows(report.tables.ladder, model=cell.model, pair=cell.pair, rung="map", name=name or first_map(report, cell.model, cell.pair))
    return name, float(ladder["value"].iloc[0]) if len(ladder) else math.nan


def in_figures(report: ReportInput, verdict: Mapping) -> tuple[str, ...]:
    """The three answers of a cell in figures alone, for a place with room for a few words: before and after, the best free map, the cost."""
    if verdict["verdict"] == FAILED:
        return ()
    found = [f"{share(verdict['before'])} → {share(verdict['after'])}"]
    value = _rival(report, verdict)[1]
    found += [f"free map {share(value)}"] if pd.notna(value) else []
    harm = rows(report.tables.harm, **Cell.of(verdict).columns)
    line = _line(report, verdict, LEAVES_WHOLE) if len(harm) and harm["decides"].astype(bool).all() else None
    judged = f", {SHORTLY[line['answer']]}" if line else ""
    return (*found, f"{signed(harm['rise'].max(), 2)} nats{judged}") if len(harm) else tuple(found)


def _untested(report: ReportInput, model: str, pair: str) -> str:
    """Where no verdict is: whether nothing is to be trained, nothing is measured yet, or nothing is tested yet; then the figures as they are."""
    cell, place = first_cell(report.tables.cells, report.experiment, model, pair), endpoint(report.tables, model, pair)
    if cell is None or place is None:
        return "Not trained yet." if report.experiment.arms else "Nothing was trained."
    figures = rows(report.tables.metrics, model=model, pair=pair, hidden_state=place.hidden_state, **place.heldout)
    after = rows(figures, **cell.columns)
    if after.empty:
        return f"{cell.name}: no run is measured yet."
    own = rows(report.tables.runs, **cell.columns)
    before = figures[figures["run"].isin(set(own["baseline"]))]
    start = f"{share(before[METRIC].mean())} before, " if len(before) else ""
    seeds = after["seed"].nunique()
    return f"{cell.name}: {start}{share(after[METRIC].mean())} after, mean of {seeds} seed{'s' if seeds > 1 else ''}; not tested yet, so nothing is claimed."


def _to_beat(report: ReportInput, model: str, pair: str, first: str) -> str:
    """What a free map gives before any training."""
    rungs = untrained_rungs(report, model, pair)
    given = {row.rung: row for row in rungs[rungs["name"] == first].itertuples()}
    if "map at its own state" not in given:
        return "No free map was fitted." if len(rungs) else ""
    own = given["map at its own state"]
    text = f"The free map {first} gives {share(own.value)} of the held-out words at hs[{own.layer}], which the select words choose for it"
    text += f", and {share(given['map'].value)} at the output" if "map" in given else ""
    return text + ": a training has to beat that."


def cost(report: ReportInput, verdict: dict | None) -> str:
    """The rise of cross-entropy in each language, and whether the model is left whole."""
    if verdict is None and report.experiment.arms:
        return "Not tested yet."
    if verdict is None:
        return "Nothing was trained: nothing was harmed. What a training does to the model is measured on running text, which the config names."
    harm = rows(report.tables.harm, **Cell.of(verdict).columns)
    if harm.empty:
        return "Not measured: the config names no running text."
    rises = " and ".join(f"{signed(row.rise, 2)} nats a token in {row.language}" for row in harm.itertuples())
    line = _line(report, verdict, LEAVES_WHOLE)
    few = " The shipped sentences are too few to decide anything." if not harm["decides"].astype(bool).all() else ""
    judged = f": {WHOLE[line['answer']]}" if line and not few else ""
    return f"Cross-entropy on running text changes by {rises} (margin {harm['margin'].iloc[0]:g}){judged}.{few}"


def _line(report: ReportInput, verdict: Mapping, name: str) -> dict | None:
    """The row of VERDICT_LINES under this verdict; None where it was not measured."""
    under = rows(report.tables.lines, **Cell.of(verdict).columns, line=name)
    found = under[under["answer"] != NOT_MEASURED].to_dict("records")
    return found[0] if found else None


def _interval(line: dict) -> str:
    return f"{signed(line['estimate'])} ({signed(line['low'])} to {signed(line['high'])})"
