"""The lines under a verdict that rose: does it beat a free map, add what no map can, leave the model whole, show in what it says?

Each is one long table of differences and one margin, and the same test as the claim's. What was not measured says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics.case import Case
from tli.statistics.crossed import crossed, equivalence, one
from tli.statistics.families import adjust
from tli.statistics.inputs import need

EVIDENCE = [*tables.CELL, "seed", "unit", "difference", "size"]


@dataclass(frozen=True)
class Evidence:
    """What answers one line.

    table: EVIDENCE, one row a cell, seed and unit: the summed `difference` of a unit of `size` words, items or tokens (real -
    map; rise of cross-entropy; after - before), the same seeds for all units of a cell. A column `part` tells languages or
    directions apart: "yes" needs all of them. margin: per word, item or token. The answer is yes where the difference
    lies above the margin, or below it if not `higher_is_yes`, no where it lies on the other side, or where TOST says of one part
    that it lies within +- `same_within` of 0. A column `contrast` may have facts.REAL_PLACEBO too: "yes" needs those rows as well,
    but "no" is said by facts.AFTER_BEFORE alone, as of a claim. Of the pairs in `shown_only` the interval is told with `reason`,
    and nothing is answered.
    """

    line: str
    table: pd.DataFrame
    margin: float = 0.0
    higher_is_yes: bool = True
    shown_only: frozenset[str] = frozenset()
    reason: str = ""
    same_within: float | None = None

    def __post_init__(self) -> None:
        need(f"evidence of {self.line!r}", self.table, EVIDENCE)
        if self.line not in facts.LINES:
            raise ValueError(f"no line is called {self.line!r}; there are {', '.join(facts.LINES)}")


def differences(cell: tuple, seeds: np.ndarray, unit: np.ndarray, difference: np.ndarray, part: str) -> pd.DataFrame:
    """Rows of an Evidence's table, with `part`, of one cell: difference [seeds, words], summed over the words of each unit."""
    by_unit = pd.DataFrame(difference.T, columns=seeds).groupby(unit)
    size = by_unit.size()
    long = by_unit.sum().rename_axis("unit").reset_index().melt("unit", var_name="seed", value_name="difference")
    return long.assign(**dict(zip(tables.CELL, cell, strict=True)), size=long["unit"].map(size), part=part)


def verdict_lines(judged: list[Case], evidence: tuple[Evidence, ...], spec: StatisticsSpec) -> pd.DataFrame:
    """VERDICT_LINES: a row a line for every cell whose verdict rose; Holm (or the config's correction) over the cells of a line."""
    given = {one.line: one for one in evidence}
    rows = []
    for line in facts.LINES:
        answers = [_answer(case.claim.cell, given.get(line), spec) for case in judged if case.verdict in facts.ROSE]
        adjusted = adjust([answer["p"] for answer in answers], spec.correction)
        same = adjust([answer["p_same"] for answer in answers], spec.correction)
        size = int(np.isfinite(adjusted).sum())
        for answer, p, p_same in zip(answers, adjusted, same, strict=True):
            answer |= {"line": line, "p_family": float(p), "family_size": size, "p_same": float(p_same)}
            if answer["answer"] in (facts.YES, facts.NO) and not p <= spec.alpha:
                answer["answer"] = facts.NOT_DECIDED
            if answer["answer"] == facts.NOT_DECIDED and p_same <= spec.alpha:
                answer["answer"] = facts.NO
            answer["sentence"] = _sentence(answer, spec, given[line].reason if line in given else "")
        rows += answers
    return pd.DataFrame(rows, columns=tables.VERDICT_LINES)


def table_of(rows: pd.DataFrame, margin: float) -> np.ndarray:
    """[seeds, units] of (difference - margin x size) / mean size. Units that a seed lacks are left out."""
    size = rows.groupby("unit")["size"].first()
    d = (rows["difference"] - margin * rows["size"]) / size.mean()
    grid = rows.assign(d=d).pivot(index="seed", columns="unit", values="d")
    return grid.dropna(axis=1).to_numpy(float)


def _answer(cell: tuple, evidence: Evidence | None, spec: StatisticsSpec) -> dict:
    answer = dict(zip(tables.CELL, cell, strict=True)) | {"answer": facts.NOT_MEASURED, "part": "", "seeds": 0, "units": 0}
    answer |= dict.fromkeys(("margin", "estimate", "low", "high", "p", "p_same", "same_within"), float("nan"))
    if evidence is None or evidence.table.empty:
        return answer
    rows = evidence.table[(evidence.table[tables.CELL] == list(cell)).all(axis=1)]
    if not len(rows):
        return answer
    tests = _tests(rows, evidence.margin, spec)
    if not tests:
        return answer
    sign = 1 if evidence.higher_is_yes else -1
    deciding = {part: test for part, test in tests.items() if facts.REAL_PLACEBO not in part}
    against = {part: test for part, test in deciding.items() if not sign * test["estimate"] > 0}
    below = {part: test for part, test in tests.items() if not sign * test["estimate"] > 0}
    # yes: every part, so the weakest decides. no: any part, the strongest against, which pays for the choice
    weigh = min if against else max
    part = weigh(against or below or tests, key=lambda name: 2.0 if _is_few(tests[name], spec) else tests[name]["p"])
    test = tests[part]
    p = min(1.0, test["p"] * len(deciding)) if against else 1.0 if below else test["p"]
    few = _is_few(test, spec)
    wanted = facts.NO if against else facts.YES
    shown = {name: test[name] + evidence.margin for name in ("estimate", "low", "high")}  # of the difference itself
    counts = {name: test[name] for name in ("seeds", "units")}
    named = {"part": ", ".join(name for name in part if name), "margin": evidence.margin, "p": p, "parts": [name for name, _ in tests]}
    if answer["pair"] in evidence.shown_only:
        return answer | shown | counts | named | {"p": float("nan")}
    if evidence.same_within and not few:
        p_same = min(equivalence(one, evidence.same_within) for one in deciding.values()) * len(deciding)  # any part, as for a no
        named |= {"p_same": min(1.0, p_same), "same_within": evidence.same_within}
    return answer | shown | counts | named | {"answer": facts.NOT_DECIDED if few else wanted}


def _is_few(test: dict, spec: StatisticsSpec) -> bool:
    """Too few seeds or units for an answer."""
    return test["seeds"] < spec.minimum_seeds or test["units"] < spec.minimum_units or not np.isfinite(test["p"])


def _tests(rows: pd.DataFrame, margin: float, spec: StatisticsSpec) -> dict[tuple[str, str], dict]:
    """The crossed test of each part and contrast, "" where the table does not tell them apart."""
    lacking = {name: "" for name in ("part", "contrast") if name not in rows.columns}
    tests = {}
    for place, of_place in rows.assign(**lacking).groupby(["part", "contrast"], sort=True):
        grid = table_of(of_place, margin)
        if grid.size:
            tests[place] = one(crossed(grid, alpha=spec.alpha))
    return tests


def _sentence(answer: dict, spec: StatisticsSpec, reason: str) -> str:
    line, part = answer["line"], f"{answer['part']}: " if answer["part"] else ""
    if line == facts.ADDS_TO_MAP and part:
        line = f"adds what no map fitted on {' or '.join(answer['parts'])} can"
    text = f"{line}: {answer['answer']}"
    if answer["answer"] == facts.NOT_MEASURED and not np.isfinite(answer["estimate"]):
        return text + "."
    interval = f"{answer['estimate']:+.3f}"
    if np.isfinite(answer["low"]):
        interval += f", {100 * (1 - spec.alpha):g} % interval {answer['low']:+.3f} to {answer['high']:+.3f}"
    if answer["answer"] == facts.NOT_MEASURED:
        return f"{text} ({part}{interval}; {answer['units']} units, {answer['seeds']} seeds; {reason})."
    few = answer["seeds"] < spec.minimum_seeds or answer["units"] < spec.minimum_units
    too_few = f"; no answer below {spec.minimum_seeds} seeds and {spec.minimum_units} units" if few else ""
    counts = f"margin {answer['margin']:g}, {answer['units']} units, {answer['seeds']} seeds"
    adjusted = f", adjusted p {answer['p_family']:.2g} in a family of {answer['family_size']}" if np.isfinite(answer["p_family"]) else ""
    same = f", within +-{answer['same_within']:g} by TOST: adjusted p {answer['p_same']:.2g}" if np.isfinite(answer["p_same"]) else ""
    return f"{text} ({part}{interval}; {counts}{adjusted}{same}{too_few})."


HEADLINES = {  # of what is not decided: the claim that is not shown
    facts.BEATS_MAP: {
        facts.YES: "it beats the best free map",
        facts.NO: "a free map does better",
        facts.NOT_DECIDED: "that it beats a free map",
    },
    facts.ADDS_TO_MAP: {
        facts.YES: "it adds what no map can",
        facts.NO: "it adds nothing to what a map can do",
        facts.NOT_DECIDED: "that it adds what no map can",
    },
    facts.LEAVES_WHOLE: {
        facts.YES: "the model is left whole",
        facts.NO: "the model is damaged",
        facts.NOT_DECIDED: "that the model is left whole",
    },
    facts.SHOWS_IN_SPEECH: {
        facts.YES: "it shows in what the model says",
        facts.NO: "what the model says gets worse",
        facts.NOT_DECIDED: "that it shows in what the model says",
    },
}


def in_short(verdict: str, lines: pd.DataFrame | None) -> str:
    """As in "aligns better, but the model is damaged; not shown: that it beats a free map": the verdict and what stands under it."""
    answers = _answers(lines)
    by_answer = {
        answer: [HEADLINES[line][answer] for line in answers if answers[line] == answer]
        for answer in (facts.YES, facts.NO, facts.NOT_DECIDED)
    }
    good, bad, open_ones = by_answer[facts.YES], by_answer[facts.NO], by_answer[facts.NOT_DECIDED]
    told = verdict + (f", {' and '.join(good)}" if good else "") + (f", but {', and '.join(bad)}" if bad else "")
    return told + (f"; not shown: {', '.join(open_ones)}" if open_ones else "")


def unmeasured(lines: pd.DataFrame | None) -> str:
    """What of the lines was not measured, in a sentence: "Not measured: whether it leaves the model whole."; "" where all was."""
    answers = _answers(lines)
    names = [line for line in facts.LINES if answers.get(line) == facts.NOT_MEASURED]
    return f"Not measured: whether it {', '.join(names)}." if names else ""


def _answers(lines: pd.DataFrame | None) -> dict[str, str]:
    return {} if lines is None else dict(zip(lines["line"], lines["answer"], strict=True))
