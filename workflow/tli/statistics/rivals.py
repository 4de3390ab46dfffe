"""What a training must beat: the model before, spelling, its placebo, and the free maps, each asked as the runs are.

A map is a row of the same tables as a run, so one sheet holds both and the same words stand against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tli import facts
from tli.facts import MAP_INSIDE, MAP_PREFIX, MAP_SHUFFLED
from tli.io import tables
from tli.labels import arm_label
from tli.specs import StatisticsSpec
from tli.statistics import comparing
from tli.statistics.cells import cells_of
from tli.statistics.crossed import beyond, crossed, equivalence, one
from tli.statistics.inputs import Measured
from tli.statistics.lines import EVIDENCE, Evidence, differences
from tli.statistics.mapped import OWN, Mapped, OnSelect
from tli.statistics.units import Sheet, complete_words, sheets, units_of
from tli.statistics.word_figures import NAMES

SPELLING = "spelling"
RANKED = {  # a metric that spelling has: the columns that its ranks stand in for
    "p_at_1": "target_rank",
    "p_at_5": "target_rank",
    "mrr": "target_rank",
    "csls_p_at_1": "csls_target_rank",
}
PLUS_MAP = " + map"  # of a rung: with a map of its own, fitted to select pairs
_MEASURED = ("before", "spelling", "shuffled map", "map", "map at its own state", "map inside", "control", "arm")
RUNGS = (*_MEASURED, *(rung + PLUS_MAP for rung in ("before", "control", "arm")))


@dataclass(frozen=True, eq=False)
class Against:
    """One cell, no control, beside the best map: real - map of the primary endpoint, on the held-out words that every seed has.

    difference: [seeds, words]. unit: [words], the component of each.
    """

    cell: tuple
    map: str
    hidden_state: int
    pool: str
    seeds: np.ndarray
    unit: np.ndarray
    difference: np.ndarray


def against_best(measured: Measured, mapped: Mapped, spec: StatisticsSpec) -> list[Against]:
    """Every cell that has a map beside it, at the claim's hidden state and pool."""
    measured = measured.with_pooling(spec.pooling)
    states, number = measured.claim_states(spec.claim_at), NAMES.index(spec.primary)
    members = comparing.members(measured.runs)
    members = members[~members["control"]].merge(mapped.best(states), on=["model", "pair"])
    found = []
    for sheet in sheets(_at_claim(measured, mapped, states)) if len(members) else ():
        for cell, of_cell in cells_of(sheet, members):
            seeds, real, rival = sheet.sides(of_cell, ("run", "rival"), "heldout")
            difference = (real - rival)[:, :, number]
            words = complete_words(difference)
            if words.any():
                name = of_cell["map"].iloc[0]
                found.append(Against(cell, name, sheet.hidden_state, sheet.pool, seeds, sheet.unit[words], difference[:, words]))
    return found


def evidence(against: list[Against]) -> Evidence:
    """Of facts.BEATS_MAP; the part is the map's name."""
    parts = [differences(one_cell.cell, one_cell.seeds, one_cell.unit, one_cell.difference, one_cell.map) for one_cell in against]
    return Evidence(facts.BEATS_MAP, tables.joined(parts, [*EVIDENCE, "part"]))


def rivals(against: list[Against], spec: StatisticsSpec) -> pd.DataFrame:
    """RIVALS: every cell beside the best map, with the test of the difference and, with a margin, whether the map does as well."""
    rows, margin = [], spec.equivalence_margin
    for one_cell in against:
        test = one(crossed(units_of(one_cell.difference, one_cell.unit), alpha=spec.alpha))
        about = {"map": one_cell.map, "hidden_state": one_cell.hidden_state, "pool": one_cell.pool, "metric": spec.primary}
        shown = {name: test[name] for name in ("seeds", "units", "estimate", "low", "high", "p")}
        tails = {"p_above": beyond(test, 0.0), "p_as_well": equivalence(test, margin) if margin else np.nan}
        rows.append(dict(zip(tables.CELL, one_cell.cell, strict=True)) | about | {"words": len(one_cell.unit)} | shown | tails)
    return pd.DataFrame(rows, columns=tables.RIVALS)


def ladder(measured: Measured, mapped: Mapped, spec: StatisticsSpec, on_select: OnSelect | None = None) -> pd.DataFrame:
    """LADDER: for each model and pair the held-out figure of everything that there is, from what is free to what was trained.

    Intervals are those of `crossed` over seeds and units of the figure itself; of a side without seeds (the model before,
    spelling, a map without folds) over units alone.
    """
    measured = measured.with_pooling(spec.pooling)
    states = measured.claim_states(spec.claim_at)
    baselines = set(measured.runs["baseline"])
    together = _at_claim(measured, mapped, states)
    own, spelling = mapped.own(states), _spelling(together, baselines, spec.primary)
    extra = [_asked(part, measured) for part in (own, spelling) if len(part)]
    together = replace(together, similarities=pd.concat([together.similarities, *extra], ignore_index=True))
    members, rows, own_states = comparing.members(measured.runs), [], mapped.own_states()
    for sheet in sheets(together):
        for rung, name, layer, of_rung in _rungs(sheet, members, baselines):
            place = {}
            if rung == "map at its own state":
                layer = own_states[sheet.model, sheet.pair, name]
                place = {"hidden_state": int(layer) if layer.isdigit() else np.nan}
            rows += [row | place for row in _row(sheet, rung, name, layer, of_rung, spec)]
    beside = on_select or OnSelect.none()
    for sheet in beside.sheets(measured):
        for rung, name, layer, of_rung in _rungs(sheet, members, baselines) if sheet.hidden_state == states.get(sheet.model) else ():
            rows += [row | {"fitted": beside.fitted(sheet)} for row in _row(sheet, rung + PLUS_MAP, name, layer, of_rung, spec)]
    table = pd.DataFrame(rows, columns=tables.LADDER)
    order = table["rung"].map({name: number for number, name in enumerate(RUNGS)})
    return table.assign(_order=order).sort_values(["model", "pair", "_order"], kind="stable").drop(columns="_order").reset_index(drop=True)


def _row(sheet: Sheet, rung: str, name: str, layer: str, of_rung: pd.DataFrame, spec: StatisticsSpec) -> Iterator[dict]:
    """One row of LADDER; none where no word was measured in every seed."""
    seeds, values, _ = sheet.sides(of_rung, ("run", "run"), "heldout")
    values = values[:, :, NAMES.index(spec.primary)]
    words = complete_words(values)
    if not words.any():
        return
    table = units_of(values[:, words], sheet.unit[words])
    of_units = len(seeds) == 1 and seeds[0] < 0
    test = one(crossed(np.repeat(table, 2, 0) if of_units else table, alpha=spec.alpha))
    place = {"model": sheet.model, "pair": sheet.pair, "hidden_state": sheet.hidden_state, "pool": sheet.pool}
    about = {"rung": rung, "name": name, "layer": layer, "metric": spec.primary, "words": int(words.sum())}
    found = {"value": test["estimate"], "low": test["low"], "high": test["high"], "units": test["units"]}
    yield place | about | found | {"seeds": 0 if of_units else test["seeds"]}


def _rungs(sheet: Sheet, members: pd.DataFrame, baselines: set[str]) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """(rung, name, layer, rows with seed, fold and run) of everything that a sheet holds."""
    by_run: dict[str, list[tuple[int, int]]] = {}
    for run, seed, fold in sheet.rows:
        by_run.setdefault(run, []).append((seed, fold))
    for run, places in by_run.items():
        frame = pd.DataFrame(places, columns=["seed", "fold"]).assign(run=run)
        if run in baselines:
            yield "before", run, "", frame
        elif run == SPELLING:
            yield "spelling", run, "", frame
        elif run.startswith(MAP_PREFIX):
            arm, _, place = run.removeprefix(MAP_PREFIX).partition("/")
            shuffled, own = arm.endswith(MAP_SHUFFLED), f"/{place}" == OWN
            inside = arm.endswith(MAP_INSIDE)
            rung = "shuffled map" if shuffled else "map inside" if inside else "map at its own state" if own else "map"
            name = arm.removesuffix(MAP_SHUFFLED).removesuffix(MAP_INSIDE)
            yield rung, name, "" if own else place.removeprefix("layer-"), frame
    for cell, of_cell in cells_of(sheet, members):
        _, _, arm, layer, rank = cell
        yield "control" if of_cell["control"].iloc[0] else "arm", arm_label(arm, rank), layer, of_cell


def _at_claim(measured: Measured, mapped: Mapped, states: dict[str, int]) -> Measured:
    """Runs and maps together, at the hidden state of the claim."""
    both = pd.concat([_asked(ours, measured) for ours in (measured.similarities, mapped.similarities)], ignore_index=True)
    return replace(measured, similarities=both[both["hidden_state"] == both["model"].map(states)])


def _asked(rows: pd.DataFrame, measured: Measured) -> pd.DataFrame:
    """The held-out rows in the claim's pool, of the one pooling that `measured` has."""
    poolings = measured.similarities["pooling"].unique()
    return rows[(rows["pool"] == measured.claim_pool) & rows["pooling"].isin(poolings) & (rows["split"] == "heldout")]


def _spelling(measured: Measured, baselines: set[str], primary: str) -> pd.DataFrame:
    """The rows of spelling alone, as a run: its ranks in the place of the model's. Empty for a metric that has no ranks."""
    rows = measured.similarities
    if primary not in RANKED or not baselines:
        return rows.iloc[:0]
    rows = rows[(rows["run"] == min(baselines)) & rows["string_rank"].notna()]
    return rows.assign(run=SPELLING, **{RANKED[primary]: rows["string_rank"]})
