"""The cross-pair matrix: what adapters that were trained on one list do to another, with the test and the rules of every verdict.

A row is a pair trained on, a column a list measured on. All rows of a column are asked the same held-out words among the same
candidates. The p's of one model and arm are adjusted together, over every loss layer, rank, pair trained on and list: the family.
It is no part of the confirmatory family, and what an own pair's verdict says does not hang on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli import facts
from tli.errors import TableError
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing
from tli.statistics.case import Case
from tli.statistics.cells import claim_of
from tli.statistics.inputs import Measured, need
from tli.statistics.units import sheets
from tli.statistics.verdicts import about, find_power, judge_family

PARTS = {"": "estimate", "_low": "low", "_high": "high"}  # what follows the name of a contrast: the figure of its test
BEFORE = {"t_": "statistic", "df_": "df", "p_": "p"}  # what stands before it


@dataclass(frozen=True)
class Across:
    """The tables of the stage across.

    similarities: ACROSS of tli.io.tables, with the rows of the base model (pair ""). runs: RUNS of all models and pairs.
    pairs: PAIRS and the column `pair`, of every list that was measured. Raises TableError where a table lacks a column.
    """

    similarities: pd.DataFrame
    runs: pd.DataFrame
    pairs: pd.DataFrame

    def __post_init__(self) -> None:
        need("across", self.similarities, tables.ACROSS)
        need("runs", self.runs, tables.RUNS)
        need("pairs", self.pairs, ["pair", *tables.PAIRS])

    @property
    def named_runs(self) -> pd.DataFrame:
        """The runs under names that are one for all pairs."""
        runs = self.runs[
            self.runs["pair"] == _trained_on(self.runs).str.partition(facts.JOINED)[0]
        ]  # a joint training stands under each of its pairs
        named = {name: _of_pair(runs["pair"], runs[name]) for name in ("run", "same_as")}
        return runs.assign(**named, baseline=_of_pair("", runs["baseline"]), trained_on=_trained_on(runs))


@dataclass(frozen=True)
class OnList:
    """A cell of the grid on a list."""

    trained_on: str
    on: str
    hidden_state: int
    control: bool
    case: Case

    @property
    def own(self) -> bool:
        """Whether the list is one that was trained on."""
        return self.on in self.trained_on.split(facts.JOINED)

    @property
    def family(self) -> tuple[str, str]:
        """The model and the arm whose p's are adjusted together."""
        model, _, arm, *_ = self.case.claim.cell
        return model, arm


def family_name(primary: str, model: str, arm: str) -> str:
    """The family of the cells of one model and arm."""
    return f"across: {primary}, {model}, {arm}"


def matrix(measured: Across, spec: StatisticsSpec, progress: Callable[[int, int], None] | None = None) -> pd.DataFrame:
    """MATRIX: every cell of the grid, controls too, on every list that one of its runs was measured on.

    The figures are those of the highest hidden state that was measured, held-out words, the untrained pool. progress: called with
    (done, all) after each list. Raises TableError where nothing was measured with the spec's pooling.
    """
    judged = list(_on_lists(measured, spec, progress))
    for family in dict.fromkeys(one.family for one in judged):
        judge_family([one.case for one in judged if one.family == family], spec)
    for one in judged:
        find_power(one.case, spec)
    table = pd.DataFrame([_row(one, spec) for one in judged], columns=tables.MATRIX)
    return table.sort_values([*tables.CELL, "on"], kind="stable", ignore_index=True)


def _trained_on(runs: pd.DataFrame) -> pd.Series:
    """The pairs of each run's training, joined by facts.JOINED."""
    named = runs["trained_on"].fillna("").astype(str)
    return named.where(named != "", runs["pair"].astype(str))


def _of_pair(pair: pd.Series | str, run: pd.Series) -> pd.Series:
    """Names of runs that are one for all pairs: with the pair trained on before them; "" stays."""
    run = run.fillna("").astype(str)
    before = pair if isinstance(pair, str) else pair.astype(str)
    return (before + ": " + run).where(run != "", "")


def _on_lists(across: Across, spec: StatisticsSpec, progress: Callable | None) -> Iterator[OnList]:
    runs, pairs, rows = across.named_runs, across.pairs, across.similarities
    cells = list(comparing.members(runs).groupby(tables.CELL, sort=True))
    by_pair = {key: (part, comparing.counted(part)) for key, part in runs.groupby(["model", "pair"])}
    trained_on = runs.drop_duplicates(tables.CELL).set_index(tables.CELL)["trained_on"].to_dict()
    rows = rows[rows["split"] == "heldout"]
    asked = rows[rows["pooling"] == spec.pooling]
    if asked.empty and len(rows):
        there = ", ".join(sorted(rows["pooling"].unique()))
        raise TableError(f"across: no rows with pooling {spec.pooling!r}; there are some with {there}")
    lists = list(asked.groupby("on", sort=True, observed=True))
    for done, (on, of_list) in enumerate(lists, 1):
        rows = of_list.assign(pair=on, run=_of_pair(of_list["pair"], of_list["run"]))
        measured = Measured(runs, rows, pd.DataFrame(columns=tables.RUN_METRICS), pairs)
        at_output = rows["hidden_state"] == rows.groupby("model", observed=True)["hidden_state"].transform("max")
        in_pool = measured.similarities["pool"] == measured.claim_pool
        measured = Measured(runs, measured.similarities[at_output & in_pool], measured.metrics, pairs)
        for sheet in sheets(measured):
            named = {run for run, _, _ in sheet.rows}
            for cell, of_cell in cells:
                if cell[0] != sheet.model or named.isdisjoint(of_cell["run"]):
                    continue
                claim = claim_of(sheet, cell, of_cell, spec.primary, spec.alpha)
                case = Case(claim, about(of_cell, claim, *by_pair[cell[:2]]))
                yield OnList(trained_on[cell], str(on), sheet.hidden_state, bool(of_cell["control"].iloc[0]), case)
        if progress is not None:
            progress(done, len(lists))


def _row(one: OnList, spec: StatisticsSpec) -> dict:
    case, counts = one.case, one.case.claim.counts
    row = dict(zip(tables.CELL, case.claim.cell, strict=True))
    row |= {"trained_on": one.trained_on, "on": one.on, "own": one.own, "control": one.control, "loss_layer": case.about["loss_layer"]}
    row |= {"hidden_state": one.hidden_state, "pool": case.claim.pool, "metric": spec.primary, "seeds": case.about["seeds"]}
    row |= {name: counts[name] for name in ("folds", "words", "units")}
    row |= {name: case.claim.means.get(name, np.nan) for name in ("before", "after", "placebo")}
    for name in ("change", "against_placebo"):
        test = case.test(name)
        row |= {name + part: test[figure] for part, figure in PARTS.items()}
        row |= {part + name: test[figure] for part, figure in BEFORE.items()}
    row |= {"p_change_family": case.adjusted["change"], "p_family": case.p_family, "family_size": case.family_size}
    row |= {"family": family_name(spec.primary, row["model"], row["arm"]), "detectable": case.detectable, "verdict": case.verdict}
    return row | {"status": facts.STATUS_OF.get(case.verdict, facts.UNDECIDED), "note": case.about["failed"]}
