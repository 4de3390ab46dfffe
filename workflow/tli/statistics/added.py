"""Adapter + map: does training add what no map can?

The trained model wears the best map for it, fitted to select pairs, which no run trained on: what an adapter knows by heart
helps nobody. Against it stand the base model with a map of its own on the same pairs, and with the best free map on the
training pairs, since a training that is no more than a map would else win by having seen more pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import comparing
from tli.statistics.cells import cells_of
from tli.statistics.crossed import beyond, crossed, equivalence, one
from tli.statistics.inputs import Measured
from tli.statistics.lines import EVIDENCE, Evidence, differences
from tli.statistics.mapped import Mapped, OnSelect
from tli.statistics.units import Sheet, complete_words, units_of
from tli.statistics.word_figures import NAMES

ON_SELECT, ON_TRAIN = "select pairs", "training pairs"  # what the map on the base model was fitted to


@dataclass(frozen=True, eq=False)
class Added:
    """One cell at one hidden state beside a rival: both sides of the primary endpoint [seeds, words], on the held-out words that
    every seed has.
    """

    cell: tuple
    control: bool
    hidden_state: int
    rival: str  # ON_SELECT or ON_TRAIN
    map: str  # the rival's, "" where each run's own cross-validation chose
    fitted: float  # pairs that the rival was fitted to; NaN where the runs do not say
    seeds: np.ndarray
    unit: np.ndarray  # [words], the component of each
    trained: np.ndarray
    as_it_came: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        return self.trained - self.as_it_came

    @property
    def pairs(self) -> str:
        """How many pairs it was fitted to: "41 select pairs"."""
        return f"{self.fitted:g} {self.rival}" if np.isfinite(self.fitted) else self.rival


def added_by(measured: Measured, on_select: OnSelect, mapped: Mapped, spec: StatisticsSpec) -> list[Added]:
    """Every cell, controls too, wherever it and the base model were measured with a map."""
    measured = measured.with_pooling(spec.pooling)
    members = comparing.members(measured.runs)
    return [
        one
        for sheet in on_select.sheets(measured)
        for together, best in [_with_free_maps(sheet, measured, on_select, mapped)]
        for cell, of_cell in cells_of(together, members)
        for one in _beside_both(together, cell, of_cell.assign(rival=best["rival"], map=best["map"]), measured, on_select, spec)
    ]


def _with_free_maps(sheet: Sheet, measured: Measured, on_select: OnSelect, mapped: Mapped) -> tuple[Sheet, dict]:
    """The sheet with the scan's maps at its hidden state, and which of them found most select words ("" where there is none)."""
    best = mapped.best({sheet.model: sheet.hidden_state})
    best = best[(best["model"] == sheet.model) & (best["pair"] == sheet.pair)]
    if best.empty:
        return sheet, {"rival": "", "map": ""}
    named = best.iloc[0][["rival", "map"]].to_dict()
    theirs = mapped.similarities[mapped.similarities["run"] == named["rival"]]
    both = OnSelect(on_select.fits, pd.concat([on_select.similarities, theirs], ignore_index=True))
    place = (sheet.model, sheet.pair, sheet.hidden_state)
    return next(one for one in both.sheets(measured) if (one.model, one.pair, one.hidden_state) == place), named


def _beside_both(
    sheet: Sheet, cell: tuple, of_cell: pd.DataFrame, measured: Measured, on_select: OnSelect, spec: StatisticsSpec
) -> Iterator[Added]:
    control, number = bool(of_cell["control"].iloc[0]), NAMES.index(spec.primary)
    train_pairs = pd.to_numeric(measured.runs.loc[measured.runs["run"].isin(set(of_cell["run"])), "train_pairs"], errors="coerce").max()
    for rival, column, name, fitted in (
        (ON_SELECT, "baseline", "", on_select.fitted(sheet)),
        (ON_TRAIN, "rival", of_cell["map"].iloc[0], float(train_pairs)),
    ):
        seeds, *sides = sheet.sides(of_cell, ("run", column), "heldout")
        trained, before = (side[:, :, number] for side in sides)
        words = complete_words(trained - before)
        if words.any():
            both = trained[:, words], before[:, words]
            yield Added(cell, control, sheet.hidden_state, rival, name, fitted, seeds, sheet.unit[words], *both)


def evidence(added: list[Added], states: dict[str, int], spec: StatisticsSpec) -> Evidence:
    """Of facts.ADDS_TO_MAP, at the hidden state of the claim; the parts are the rivals, and yes needs both.

    states: `Measured.claim_states`. With an equivalence margin in the config TOST can answer that nothing is added.
    """
    parts = [
        differences(one.cell, one.seeds, one.unit, one.difference, one.pairs)
        for one in added
        if not one.control and one.hidden_state == states.get(one.cell[0])
    ]
    return Evidence(facts.ADDS_TO_MAP, tables.joined(parts, [*EVIDENCE, "part"]), same_within=spec.equivalence_margin)


def table(added: list[Added], spec: StatisticsSpec) -> pd.DataFrame:
    """ADDED: every cell, hidden state and rival, with the test of the difference and, with a margin, whether nothing is added."""
    rows, margin = [], spec.equivalence_margin
    for cell in added:
        test = one(crossed(units_of(cell.difference, cell.unit), alpha=spec.alpha))
        about = {name: getattr(cell, name) for name in ("control", "hidden_state", "rival", "map", "fitted")}
        about |= {"pool": tables.UNTRAINED, "metric": spec.primary, "words": len(cell.unit)}
        means = {"as_it_came": cell.as_it_came.mean(), "trained": cell.trained.mean()}
        shown = {name: test[name] for name in ("seeds", "units", "estimate", "low", "high", "p")}
        tails = {"p_above": beyond(test, 0.0), "p_nothing": equivalence(test, margin) if margin else np.nan}
        rows.append(dict(zip(tables.CELL, cell.cell, strict=True)) | about | means | shown | tails)
    return pd.DataFrame(rows, columns=tables.ADDED)
