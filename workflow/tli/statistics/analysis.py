"""All statistics of an experiment: tables in, tables out, in one pass over the lists and hidden states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import cells, comparing, gains, ranks, seeds, survival, units, verdicts, within
from tli.statistics.cells import CellClaim, Difference
from tli.statistics.columns import GAINS, PLACE, RANKS
from tli.statistics.comparing import MEASURES
from tli.statistics.crossed import crossed, equivalence, one
from tli.statistics.families import adjust_families
from tli.statistics.inputs import Measured
from tli.statistics.lines import Evidence, verdict_lines
from tli.statistics.units import Sheet
from tli.statistics.word_figures import NAMES

OVER_RANKS = ("gap", "mrr", "cosine")  # beside the primary endpoint


@dataclass
class Gathered:
    """What the pass over the sheets collects."""

    tests: list[pd.DataFrame] = field(default_factory=list)
    within: list[pd.DataFrame] = field(default_factory=list)
    gains: list[pd.DataFrame] = field(default_factory=list)
    ranks: list[dict] = field(default_factory=list)
    equivalent: list[dict] = field(default_factory=list)
    claims: dict[tuple, CellClaim] = field(default_factory=dict)
    train: dict[tuple, dict[str, dict]] = field(default_factory=dict)
    members: pd.DataFrame = field(default_factory=pd.DataFrame)


def analyse(
    measured: Measured,
    spec: StatisticsSpec,
    evidence: tuple[Evidence, ...] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, pd.DataFrame]:
    """Section by section what can be claimed of the runs, as tables.

    Claims are made at spec.claim_at ("output" or a hidden state), spec.pooling and the untrained pool; where one was not
    measured, what was stands for it, and the sentences name it. evidence: what answers the lines under a verdict. progress: called with (done, all)
    after each list and hidden state.

    Returns: tests (TESTS), verdicts (VERDICTS), lines (VERDICT_LINES), power (columns.POWER), words (columns.WORDS: which
    words gain), ranks (columns.RANKS), survival (columns.SURVIVAL), gains (columns.GAINS: per word, averaged over seeds).
    Errors are TableError, and ValueError for a primary endpoint that is no figure of a word.
    """
    if spec.primary not in NAMES:
        raise ValueError(f"primary {spec.primary!r} is no metric of a word; choose one of {', '.join(NAMES)}")
    measured = measured.with_pooling(spec.pooling)
    gathered = gather(measured, spec, progress)
    judged = verdicts.cases(gathered.claims, gathered.members, measured, spec)
    lines = verdict_lines(judged, evidence, spec)
    by_cell = dict(list(lines.groupby(tables.CELL, sort=False)))
    over_units = cells.finished(gathered.tests, spec.pooling)
    per_run = comparing.compared(measured.runs, measured.metrics, PLACE, [*MEASURES, "n"])
    word_gains = pd.concat(gathered.gains, ignore_index=True)[GAINS] if gathered.gains else pd.DataFrame(columns=GAINS)
    trends = pd.DataFrame(gathered.ranks, columns=RANKS).assign(pooling=spec.pooling)
    parts = [
        verdicts.confirmatory_rows(judged, spec, spec.pooling, measured.claim_states(spec.claim_at)),
        _with_families(over_units, measured, spec),
        seeds.tests_over_seeds(per_run, spec.alpha),
        within.finished(gathered.within, spec.pooling),
        pd.DataFrame(gathered.equivalent).assign(pooling=spec.pooling),
    ]
    return {
        "tests": _tests(parts, spec),
        "verdicts": verdicts.table(judged, by_cell, spec),
        "lines": lines,
        "power": verdicts.power_table(judged, spec),
        "words": gains.which_words_gain(word_gains, measured.pairs, gains.nearest_together(measured), alpha=spec.alpha),
        "ranks": adjust_families(trends)[RANKS],
        "survival": survival.survival(per_run, over_units, measured.outputs(), spec),
        "gains": word_gains,
    }


def judge_cells(measured: Measured, spec: StatisticsSpec) -> pd.DataFrame:
    """VERDICTS alone, by the same way: what a simulation needs of `analyse`."""
    measured = measured.with_pooling(spec.pooling)
    gathered = gather(measured, spec, None, only_claims=True)
    judged = verdicts.cases(gathered.claims, gathered.members, measured, spec)
    return verdicts.table(judged, {}, spec)


def gather(
    measured: Measured, spec: StatisticsSpec, progress: Callable[[int, int], None] | None = None, only_claims: bool = False
) -> Gathered:
    """One pass over the sheets, each of which is dropped before the next is built."""
    gathered = Gathered()
    members = gathered.members = comparing.members(measured.runs)
    points = None if only_claims else ranks.points(measured.runs)
    states, layers = measured.claim_states(spec.claim_at), measured.layers
    claim_pool, train_pool = measured.claim_pool, measured.train_pool
    measures = list(dict.fromkeys([spec.primary, *OVER_RANKS]))
    total = len(measured.similarities[units.SHEET].drop_duplicates())
    for done, sheet in enumerate(units.sheets(measured), 1):
        if not only_claims:
            gathered.tests += cells.tests_of_sheet(sheet, members, spec.alpha)
            gathered.within += within.tests_of_sheet(sheet, members, spec.bootstrap, spec.alpha)
        if sheet.hidden_state == states.get(sheet.model):
            place = (
                "at the output"
                if sheet.hidden_state == layers.get(sheet.model, sheet.hidden_state)
                else f"at hs[{sheet.hidden_state}], not the output"
            )
            _claims(gathered, sheet, members, spec, place, (claim_pool, train_pool))
            if not only_claims:
                splits = tuple(name for name in sheet.splits if sheet.pool == (claim_pool if name == "heldout" else train_pool))
                gathered.gains += gains.gains_of_sheet(sheet, members, measured.pairs, splits)
                if sheet.pool == claim_pool:
                    gathered.ranks += ranks.trends_of_sheet(sheet, points, measured.runs, measures, spec.alpha)
                if sheet.pool == train_pool and spec.equivalence_margin is not None:
                    gathered.equivalent += _equivalences(sheet, members, spec)
        if progress is not None:
            progress(done, total)
    for cell, tests in gathered.train.items():
        if cell in gathered.claims:
            gathered.claims[cell].tests |= tests
    return gathered


def _claims(gathered: Gathered, sheet: Sheet, members: pd.DataFrame, spec: StatisticsSpec, place: str, pools: tuple[str, str]) -> None:
    for cell, of_cell in cells.cells_of(sheet, members[~members["control"]]):
        if sheet.pool == pools[0] and "heldout" in sheet.splits:
            gathered.claims[cell] = cells.claim_of(sheet, cell, of_cell, spec.primary, spec.alpha)
            gathered.claims[cell].place = place
        if sheet.pool == pools[1]:
            gathered.train[cell] = cells.train_side(sheet, of_cell, spec.primary, spec.alpha)


def _with_families(table: pd.DataFrame, measured: Measured, spec: StatisticsSpec) -> pd.DataFrame:
    """The crossed tests with level and family: the parts of the claim, and one exploratory family a metric."""
    if table.empty:
        return table
    at_claim = table["hidden_state"] == table["model"].map(measured.claim_states(spec.claim_at))
    claims = at_claim & (table["metric"] == spec.primary) & (table["split"] == "heldout") & (table["pool"] == measured.claim_pool)
    claims &= ~table["control"].astype(bool)
    table["level"] = np.where(claims, "confirmatory", "exploratory")
    part = verdicts.family_name(spec.primary) + ": " + table["contrast"]
    table["family"] = np.where(claims, part, "exploratory: " + table["metric"])
    table.loc[table["zero"].astype(bool), ["level", "family"]] = ["descriptive", ""]
    return table


def _tests(parts: list[pd.DataFrame], spec: StatisticsSpec) -> pd.DataFrame:
    parts = [part.reindex(columns=tables.TESTS) for part in parts if len(part)]
    table = pd.concat(parts) if parts else pd.DataFrame(columns=tables.TESTS)
    name = verdicts.family_name(spec.primary)
    fixed = (name, f"{name}: {facts.AFTER_BEFORE}", f"{name}: {facts.REAL_PLACEBO}")
    return adjust_families(table.fillna({"family": "", "note": "", "pool": "", "fold": 0}), fixed)[tables.TESTS]


def _equivalences(sheet: Sheet, members: pd.DataFrame, spec: StatisticsSpec) -> list[dict]:
    """TOST of the crossed test: does a cell gain as much on held-out as on trained words, to within the margin?"""
    margin, rows = spec.equivalence_margin, []
    if margin is None:
        return []
    about = {"test": "TOST over seeds and units", "level": "exploratory", "family": f"equivalence: {spec.primary}", "seed": -1}
    about |= {"metric": spec.primary, "split": "heldout - train", "contrast": "held-out gain - train gain"}
    note = f"margin +- {margin:g}; low and high are the 90 % interval that lies within it if equivalent"
    for cell, of_cell in cells.cells_of(sheet, members[~members["control"]]):
        heldout, train = (Difference.of(sheet, of_cell, facts.AFTER_BEFORE, split) for split in ("heldout", "train"))
        both = np.intersect1d(heldout.seeds, train.seeds)
        of_heldout, of_train = (part.table(spec.primary, both) for part in (heldout, train))
        if not of_heldout.size or not of_train.size:
            continue
        test = one(crossed(of_heldout, of_train, alpha=0.10))
        p = equivalence(test, margin)
        figures = {name: test[name] for name in ("units", "df", "estimate", "low", "high", "statistic")}
        figures |= {"n": test["seeds"], "p": p, "log10_p": np.log10(p) if p > 0 else -np.inf, "note": test["note"] or note}
        place = {"hidden_state": sheet.hidden_state, "pool": sheet.pool}
        rows.append({**dict(zip(tables.CELL, cell, strict=True)), **about, **figures, **place})
    return rows
