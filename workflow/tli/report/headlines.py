"""What stands over the figures of one setting: the verdict with its figures, what it cost, and whether a free map does as well.

The verdict, the lines under it and their figures are the statistics'; here they become a few clauses, one for each. A line that is not
decided is never told as "no effect", and one that was not measured says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tli.facts import (
    ADDS_TO_MAP,
    BAD,
    BEATS_MAP,
    FAILED,
    GOOD,
    LEAVES_WHOLE,
    NO,
    NOT_DECIDED,
    NOT_MEASURED,
    OPEN,
    ROSE,
    SHOWS_IN_SPEECH,
    TOO_FEW,
    YES,
    verdict_tone,
)
from tli.report.alignment import rival_of
from tli.report.input import ReportInput
from tli.report.numbers import from_to, level, signed
from tli.report.selection import Cell, rows

TONES = {YES: GOOD, NO: BAD}
MAP_CLAUSES = {YES: "beats the best free map", NO: "a free map does better", NOT_DECIDED: "no proven gain over a free map"}
ADDED_CLAUSES = {YES: "adds what no map can", NO: "adds nothing to what a map can do", NOT_DECIDED: "no proven gain on top of a map"}
COST_CLAUSES = {
    YES: "model left whole",
    NO: "model damaged",
    NOT_DECIDED: "whether the model is left whole is not decided",
    NOT_MEASURED: "cost not judged",
}
SPEECH_CLAUSES = {
    YES: "shows in what the model says",
    NO: "what the model says gets worse",
    NOT_DECIDED: "no proven change of what the model says",
}


@dataclass(frozen=True)
class Clause:
    """A part of a headline, and whether it is good news, bad or open."""

    text: str
    tone: str


def headline(report: ReportInput, verdict: Mapping) -> str:
    """As in "Aligns better (43 → 77 %); model damaged (+2.13 nats); no proven gain over a free map (81 %)"; verdict: of VERDICTS."""
    parts = [status(verdict), *[one for one in (cost(report, verdict), *against_maps(report, verdict), speech(report, verdict)) if one]]
    return "; ".join(part.text for part in parts)


def status(verdict: Mapping) -> Clause:
    """The verdict with its figures before and after."""
    named = "too few seeds or units for a claim" if verdict["verdict"] == TOO_FEW else str(verdict["verdict"])
    measured = verdict["verdict"] != FAILED and pd.notna(verdict["before"]) and pd.notna(verdict["after"])
    figures = f" ({from_to(verdict['before'], verdict['after'], verdict['metric'])})" if measured else ""
    return Clause(named[:1].upper() + named[1:] + figures, verdict_tone(verdict["verdict"]))


def cost(report: ReportInput, verdict: Mapping) -> Clause | None:
    """What it cost, with the rise that the answer rests on; None of what failed."""
    if verdict["verdict"] == FAILED:
        return None
    line, harm = line_of(report, verdict, LEAVES_WHOLE), rows(report.tables.harm, **Cell.of(verdict).columns)
    if line is not None and line["answer"] != NOT_MEASURED:
        return Clause(f"{COST_CLAUSES[line['answer']]} ({signed(line['estimate'], 2)} nats)", TONES.get(line["answer"], OPEN))
    if harm.empty:
        return Clause("cost not measured", OPEN)
    why = "" if harm["decides"].astype(bool).all() else ", too few sentences to tell"
    return Clause(f"{COST_CLAUSES[NOT_MEASURED]} ({signed(harm['rise'].max(), 2)} nats{why})", OPEN)


def against_maps(report: ReportInput, verdict: Mapping) -> tuple[Clause, ...]:
    """Whether it beats the best free map, and whether it adds to one; what a map gives alone where the verdict is no rise."""
    of_map = map_value(report, verdict)
    at = f" ({level(of_map, verdict['metric'])})" if of_map is not None else ""
    if verdict["verdict"] not in ROSE:
        return (Clause(f"a free map gives {level(of_map, verdict['metric'])}", OPEN),) if at and verdict["verdict"] != FAILED else ()
    beats, adds = answer(report, verdict, BEATS_MAP), answer(report, verdict, ADDS_TO_MAP)
    first = Clause(MAP_CLAUSES.get(beats, "not compared with a free map") + at, TONES.get(beats, OPEN))
    told_by_first = beats == adds == NOT_DECIDED  # no gain over a map is proven, alone or on top of one
    return (first, Clause(ADDED_CLAUSES[adds], TONES.get(adds, OPEN))) if adds in ADDED_CLAUSES and not told_by_first else (first,)


def speech(report: ReportInput, verdict: Mapping) -> Clause | None:
    """Whether it shows in what the model says; None where that was not measured."""
    said = answer(report, verdict, SHOWS_IN_SPEECH)
    return Clause(SPEECH_CLAUSES[said], TONES.get(said, OPEN)) if said in SPEECH_CLAUSES else None


def map_value(report: ReportInput, verdict: Mapping) -> float | None:
    """What the free map gives that the setting is held against; without a comparison the one that the select words rank first."""
    name = rival_of(report, verdict["model"], verdict["pair"])
    ladder = rows(report.tables.ladder, model=verdict["model"], pair=verdict["pair"], rung="map", name=name)
    return float(ladder["value"].iloc[0]) if name and len(ladder) else None


def answer(report: ReportInput, verdict: Mapping, name: str) -> str:
    """What the line of this name says; "not measured" where there is none."""
    line = line_of(report, verdict, name)
    return NOT_MEASURED if line is None else str(line["answer"])


def line_of(report: ReportInput, verdict: Mapping, name: str) -> dict[str, Any] | None:
    """The row of VERDICT_LINES of this name under a verdict."""
    under = rows(report.tables.lines, **Cell.of(verdict).columns, line=name).to_dict("records")
    return under[0] if under else None


def spared(report: ReportInput, verdict: Mapping) -> str:
    """Which other setting of this model and pair leaves the model whole, where the one shown is not said to; "" where nothing was judged.

    Of several the one with the highest figure is named, and that it was picked by what came out.
    """
    here = {"model": verdict["model"], "pair": verdict["pair"], "line": LEAVES_WHOLE}
    judged = rows(report.tables.lines, **here)
    judged = judged[judged["answer"] != NOT_MEASURED]
    own = Cell.of(verdict)
    if answer(report, verdict, LEAVES_WHOLE) in (YES, NOT_MEASURED) or not len(judged):
        return ""
    others = [row for row in judged.to_dict("records") if Cell.of(row) != own]
    kept = [Cell.of(row) for row in others if row["answer"] == YES]
    if not kept:
        return f"None of the other {len(others)} settings judged is shown to leave the model whole." if len(others) > 1 else ""
    verdicts = [rows(report.tables.verdicts, **cell.columns).to_dict("records")[0] for cell in kept]
    best = max(verdicts, key=lambda row: float(row["after"]))
    many = f" (the highest of {len(kept)} that do, picked by what came out)" if len(kept) > 1 else ""
    rest = ", ".join(clause.text for clause in (status(best), *against_maps(report, best)))
    rise = (line_of(report, best, LEAVES_WHOLE) or {}).get("estimate")
    return f"Another setting leaves it whole ({signed(rise, 2)} nats): {Cell.of(best).name}{many}; {rest[0].lower()}{rest[1:]}."
