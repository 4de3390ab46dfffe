"""Free maps as the statistics read them: those of the scan, and those that runs and baselines wear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from tli.facts import MAP_PREFIX
from tli.io import tables
from tli.statistics.inputs import Measured, need
from tli.statistics.units import Sheet, sheets

OWN = "/own"  # ends the run of a map at the hidden state that it chose


@dataclass(frozen=True)
class Mapped:
    """The free maps of the scan: curve (MAPS: what chose them) and similarities (SIMILARITIES, a map as a run).

    Raises TableError when a table lacks a column.
    """

    curve: pd.DataFrame
    similarities: pd.DataFrame

    def __post_init__(self) -> None:
        need("maps", self.curve, tables.MAPS)
        need("maps-similarities", self.similarities, tables.SIMILARITIES)

    @classmethod
    def none(cls) -> Mapped:
        return cls(pd.DataFrame(columns=tables.MAPS), pd.DataFrame(columns=tables.SIMILARITIES))

    def best(self, states: dict[str, int]) -> pd.DataFrame:
        """The map of each model and pair that found most select words at that hidden state: model, pair, map, rival (its run).

        The mean over seeds and folds decides, so that one map stands against all runs; held-out words choose nothing.
        """
        at = self.curve[self.curve["at_state"].astype(bool)]
        at = at[at["hidden_state"] == at["model"].map(states)]
        mean = at.groupby(["model", "pair", "map"], sort=False, as_index=False)["value"].mean()
        best = mean.sort_values("value", ascending=False, kind="stable").drop_duplicates(["model", "pair"])
        runs = [f"{MAP_PREFIX}{name}/layer-{states[model]}" for name, model in zip(best["map"], best["model"], strict=True)]
        return best[["model", "pair", "map"]].assign(rival=runs)

    def own_states(self) -> dict[tuple[str, str, str], str]:
        """(model, pair, map) -> the hidden states that it chose, "0" or "0, 2" where folds differ."""
        chosen = self.curve[self.curve["chosen"].astype(bool)]
        grouped = chosen.groupby(["model", "pair", "map"])["hidden_state"]
        return {key: ", ".join(str(int(state)) for state in sorted(states.unique())) for key, states in grouped}

    def own(self, states: dict[str, int]) -> pd.DataFrame:
        """Similarities of each map at the state that it chose, as if measured at `states`; its run is "map-<name>/own"."""
        chosen = self.curve[self.curve["chosen"].astype(bool)]
        names = {"arm": MAP_PREFIX + chosen["map"].astype(str), "layer": chosen["hidden_state"].astype(int).astype(str)}
        chosen = chosen.assign(**names)[["model", "pair", "seed", "fold", "arm", "layer"]]
        rows = self.similarities.merge(chosen, on=list(chosen.columns))
        return rows.assign(run=rows["arm"].astype(str) + OWN, hidden_state=rows["model"].map(states))


@dataclass(frozen=True)
class OnSelect:
    """Runs and baselines with a map fitted to select pairs: fits (SELECT_MAPS) and similarities (SIMILARITIES, a run's own name).

    Raises TableError when a table lacks a column.
    """

    fits: pd.DataFrame
    similarities: pd.DataFrame

    def __post_init__(self) -> None:
        need("select-maps", self.fits, tables.SELECT_MAPS)
        need("select-maps-similarities", self.similarities, tables.SIMILARITIES)

    @classmethod
    def none(cls) -> OnSelect:
        return cls(pd.DataFrame(columns=tables.SELECT_MAPS), pd.DataFrame(columns=tables.SIMILARITIES))

    def fitted(self, sheet: Sheet) -> int:
        """How many select pairs the maps of a list were fitted to: the most, where runs differ."""
        here = (self.fits["model"] == sheet.model) & (self.fits["pair"] == sheet.pair) & (self.fits["hidden_state"] == sheet.hidden_state)
        return int(self.fits.loc[here, "fitted"].max())

    def sheets(self, measured: Measured) -> Iterator[Sheet]:
        """The held-out words in the pool that training cannot touch; none where nothing was measured. measured: of one pooling."""
        poolings = measured.similarities["pooling"].unique()
        rows = self.similarities[(self.similarities["pool"] == tables.UNTRAINED) & self.similarities["pooling"].isin(poolings)]
        yield from sheets(replace(measured, similarities=rows)) if len(rows) else ()
