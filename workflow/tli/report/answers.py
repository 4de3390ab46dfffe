"""The first screen: of each model and pair three questions, each with a sentence and a figure.

Was it aligned before training, was the training worth it, what did it cost? The setting is the first that the config names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tli.facts import ADDS_TO_MAP, BEATS_MAP, FAILED, LEAVES_WHOLE, NO, NOT_DECIDED, NOT_MEASURED, SURE_CHOICE, YES
from tli.labels import metric_label
from tli.report.alignment import METRIC, first_map, rival_of, standing, untrained_rungs
from tli.report.beside import Room
from tli.report.drawings import Drawing
from tli.report.gallery import Picture, picture
from tli.report.headlines import headline, line_of, map_value, spared
from tli.report.input import ReportInput
from tli.report.names import figure_name
from tli.report.numbers import bounds, confidence, difference, level, share, signed
from tli.report.selection import Cell, Endpoint, endpoint, first_cell, rows

QUESTIONS = {"curve": "Aligned before training?", "ladder": "Was training worth it?", "front": "What did it cost?"}
UNTRAINED = {"ladder": "What has a training to beat?", "front": "What would it cost?"}  # asked where nothing is to be trained
SPLITS = {"train": "train", "select": "select", "heldout": "held-out"}
WHOLE = {YES: "the model is left whole", NO: "the model is damaged", NOT_DECIDED: "whether it is left whole is not decided"}
BEATS = {YES: "training is better", NO: "the map is better", NOT_DECIDED: "not decided"}
ADDS = {YES: "training adds what no map can", NO: "training adds nothing to a map", NOT_DECIDED: "not decided"}


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
    headline: str  # of the verdict, or how far it is where nothing was tested
    spared: str  # which other setting leaves the model whole, where the one shown does not
    verdict: Mapping | None
    answers: tuple[Answer, ...]


def answers(drawing: Drawing, verdict: dict | None, folder: Path, room: Room) -> Answers:
    """Of one model and pair; the figures are written into `folder`. verdict: of its first cell, as context tells it."""
    report, model, pair = drawing.report, drawing.model, drawing.pair
    texts = {
        "curve": before(report, model, pair),
        "ladder": worth(report, model, pair, verdict),
        "front": cost(report, verdict),
    }
    questions = QUESTIONS if len(report.tables.trained) or report.experiment.arms else QUESTIONS | UNTRAINED
    made = [Answer(question, texts[key], picture(drawing, f"first-{key}", question, folder, room)) for key, question in questions.items()]
    if verdict is None:
        waits = "not tested yet" if len(drawing.tables.runs) else "not measured yet" if report.experiment.arms else ""
        return Answers(model, pair, figure_name("answers", model, pair), waits or standing(report, model, pair), "", None, tuple(made))
    said = headline(report, verdict), spared(report, verdict)
    return Answers(model, pair, figure_name("answers", model, pair), *said, verdict, tuple(made))


def before(report: ReportInput, model: str, pair: str) -> str:
    """How many held-out words found their translation before training, what chance and spelling give, and which state is trained at."""
    place = endpoint(report.tables, model, pair)
    scan = pd.DataFrame()
    if place is not None:
        scan = rows(report.tables.scan, model=model, pair=pair, **place.heldout).set_index("hidden_state")
    if place is None or scan.empty or place.hidden_state not in scan.index:
        return f"Not scanned yet.{_of_list(report, model, pair)}"
    row = scan.loc[place.hidden_state]
    alike = f", by spelling {share(row['string_p_at_1'])}" if pd.notna(row["string_p_at_1"]) else ""
    interval = _before_interval(report, model, pair, row[METRIC])
    text = f"{share(row[METRIC])} of {int(row['n'])} held-out words find their translation at the output ({metric_label(METRIC)}{interval}; by chance {share(row['chance'])}{alike})."
    if pd.notna(row["cosine"]) and not report.experiment.arms:
        text += f" There a word and its translation have a cosine of {row['cosine']:.2f}, a word and a wrong one {row['mismatched']:.2f}."
    return text + _chosen(report, model, pair, place, scan[METRIC])


def _of_list(report: ReportInput, model: str, pair: str) -> str:
    """How many pairs the list has; "" where it is not prepared either."""
    splits = rows(report.tables.pairs, model=model, pair=pair)["split"].value_counts()
    if splits.empty:
        return ""
    named = ", ".join(f"{splits[name]} {SPLITS[name]}" for name in SPLITS if name in splits)
    return f" The list has {splits.sum():,} pairs: {named}."


def _before_interval(report: ReportInput, model: str, pair: str, value: float) -> str:
    """Of the scan's figure before training: the statistics' where theirs is the same (folds hold other words out), else over words alone."""
    ladder = rows(report.tables.ladder, model=model, pair=pair, rung="before")
    ladder = ladder[np.isclose(ladder["value"].astype(float), value, rtol=0, atol=1e-9)]
    rung = ladder if len(ladder) else rows(untrained_rungs(report, model, pair), rung="before")
    if rung.empty or pd.isna(rung["low"].iloc[0]) or rung["metric"].iloc[0] != METRIC:
        return ""
    return f"; {_percent(report)} interval {100 * rung['low'].iloc[0]:.0f} to {100 * rung['high'].iloc[0]:.0f} %"


def _chosen(report: ReportInput, model: str, pair: str, place: Endpoint, heldout: pd.Series) -> str:
    """Which hidden state the select words chose, among which, how surely, and what the held-out words say of it; "" without a choice."""
    choice = rows(report.tables.choice, model=model, pair=pair)
    won = choice[choice["chosen"].astype(bool)]
    if won.empty or int(won["hidden_state"].iloc[0]) not in heldout.index:
        return ""
    state, sure = int(won["hidden_state"].iloc[0]), float(won["win_share"].iloc[0])
    eligible, highest = choice["hidden_state"].astype(int), int(heldout.idxmax())
    select = rows(report.tables.scan, model=model, pair=pair, pooling=place.pooling, split="select")["n"]
    words = f"{int(select.iloc[0])} select words" if len(select) else "the select words"
    unsure = f", but unsure: it wins in {share(sure)} of draws of them" if 0 < sure < SURE_CHOICE else ""
    text = f" The best layer for training, hs[{state}], was chosen by {words} among hs[{eligible.min()}] to hs[{eligible.max()}]{unsure}."
    text += f" It aligns {share(heldout[state])} of the held-out words"
    if highest == state:
        return f"{text}, no state more."
    why = " (the embeddings: no block below them can be trained)" if highest == 0 else ""
    return f"{text}; hs[{highest}] aligns {share(heldout[highest])}{why}."


def worth(report: ReportInput, model: str, pair: str, verdict: Mapping | None) -> str:
    """From before to after, beside the placebo and the best free map."""
    if verdict is None:
        return f"{_untested(report, model, pair)} {_to_beat(report, model, pair, first_map(report, model, pair))}".strip()
    if verdict["verdict"] == FAILED:
        return f"{Cell.of(verdict).name}: the training failed."
    metric = verdict["metric"]
    change = difference(verdict["change"], metric)
    interval = bounds(verdict["change_low"], verdict["change_high"], metric)
    interval = f" ({_percent(report)} interval {interval})" if interval else ""
    text = f"{verdict['cell']}: {_over_folds(verdict)}{level(verdict['before'], metric)} before, {level(verdict['after'], metric)} after, {change}{interval}: {verdict['verdict']}."
    return text + _placebo(report, verdict) + _rival(report, verdict) + _added(report, verdict)


def _over_folds(verdict: Mapping) -> str:
    """Whose figures follow where folds hold other words out, among other candidates, than the split that the scan is of."""
    folds = verdict["folds"]
    return f"of {verdict['heldout_pairs']:.0f} words held out over {folds:.0f} folds, " if pd.notna(folds) and folds > 1 else ""


def _placebo(report: ReportInput, verdict: Mapping) -> str:
    if pd.isna(verdict["placebo"]):
        return ""
    text = f" The placebo (shuffled translations) ends at {level(verdict['placebo'], verdict['metric'])}"
    harms = verdict["placebo_change"] < 0 and verdict["p_placebo_change"] <= report.experiment.claims.alpha
    return text + (": it undoes alignment that was there." if harms else ".")


def _rival(report: ReportInput, verdict: Mapping) -> str:
    line, metric = _measured(report, verdict, BEATS_MAP), verdict["metric"]
    if line is None:
        return " Whether it beats a free map was not measured."
    name, value = rival_of(report, verdict["model"], verdict["pair"]), map_value(report, verdict)
    own = rows(report.tables.ladder, model=verdict["model"], pair=verdict["pair"], rung="map at its own state", name=name)
    elsewhere = f" ({level(own['value'].iloc[0], metric)} at hs[{own['layer'].iloc[0]}])" if len(own) else ""
    gives = f" gives {level(value, metric)} at the output{elsewhere}" if value is not None else " stands beside it"
    return f" The best free map{f' by the select words, {name},' if name else ''}{gives}; training − map: {_interval(line, metric)}, {BEATS[line['answer']]}."


def _added(report: ReportInput, verdict: Mapping) -> str:
    line = _measured(report, verdict, ADDS_TO_MAP)
    if line is None:
        return ""
    return f" With a map on top of either: {_interval(line, verdict['metric'])}, {ADDS[line['answer']]}."


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
    start = figures[figures["run"].isin(set(own["baseline"]))]
    told = f"{share(start[METRIC].mean())} before, " if len(start) else ""
    seeds = after["seed"].nunique()
    return f"{cell.name}: {told}{share(after[METRIC].mean())} after, mean of {seeds} seed{'s' if seeds > 1 else ''}; not tested yet, so nothing is claimed."


def _to_beat(report: ReportInput, model: str, pair: str, first: str) -> str:
    """What a free map gives before any training."""
    rungs = untrained_rungs(report, model, pair)
    given = {row.rung: row for row in rungs[rungs["name"] == first].itertuples()}
    if "map at its own state" not in given:
        return "No free map was fitted." if len(rungs) else ""
    own = given["map at its own state"]
    text = f"The free map {first} gives {share(own.value)} of the held-out words at hs[{own.layer}], which the select words choose for it"
    text += f" ({_percent(report)} interval {100 * own.low:.0f} to {100 * own.high:.0f} %)" if pd.notna(own.low) else ""
    text += f", and {share(given['map'].value)} at the output" if "map" in given else ""
    return text + ": a training has to beat that."


def cost(report: ReportInput, verdict: Mapping | None) -> str:
    """The rise of cross-entropy in each language, and whether the model is left whole."""
    if verdict is None and report.experiment.arms:
        return "Not tested yet."
    if verdict is None:
        return "Nothing was trained, so nothing was harmed. What a training costs is measured on running text, if a config names some (its section “text”)."
    harm = rows(report.tables.harm, **Cell.of(verdict).columns)
    if harm.empty:
        return "Not measured: the config names no running text."
    rises = " and ".join(
        f"{signed(row.rise, 2)} nats a token in {row.language}{_around(row, '' if number else f'{_percent(report)} interval ')}"
        for number, row in enumerate(harm.itertuples())
    )
    line = _measured(report, verdict, LEAVES_WHOLE)
    few = " The shipped sentences are too few to decide anything." if not harm["decides"].astype(bool).all() else ""
    judged = f": {WHOLE[line['answer']]}" if line and not few else "" if few else ": not judged"
    return f"Cross-entropy on running text changes by {rises}. The margin is {harm['margin'].iloc[0]:.2g}{judged}.{few}"


def _around(row: Any, named: str) -> str:
    return f" ({named}{signed(row.low, 2)} to {signed(row.high, 2)})" if pd.notna(row.low) and pd.notna(row.high) else ""


def _measured(report: ReportInput, verdict: Mapping, name: str) -> dict | None:
    """The row of VERDICT_LINES under this verdict; None where it was not measured."""
    line = line_of(report, verdict, name)
    return None if line is None or line["answer"] == NOT_MEASURED else line


def _interval(line: Mapping, metric: str) -> str:
    around = bounds(line["low"], line["high"], metric)
    return difference(line["estimate"], metric) + (f" ({around})" if around else "")


def _percent(report: ReportInput) -> str:
    return confidence(report.experiment.claims.alpha)
