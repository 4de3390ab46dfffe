"""Free maps as rivals of the trainings on a list: fitted, chosen and measured on vectors that the scan has anyway.

A map is fitted to the pairs that a run trains on and asked the same words in the same pools, so that its rows stand beside a
run's. Held-out pairs are read only after everything is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli import metrics
from tli.errors import LexiconError
from tli.facts import MAP_PREFIX, MAP_SHUFFLED
from tli.io import tables
from tli.log import say, warn
from tli.metrics import baselines
from tli.metrics.map_choice import MapChoice, MapRows, choose_map, map_curve
from tli.metrics.maps import KINDS, FittedMap, fit_thin
from tli.metrics.shuffling import accepted_cells, derangement
from tli.metrics.thin import Thin, thin
from tli.probes.listed import Listed

BUDGET = 1.5e11  # fitted pairs x dimensions x the smaller of both, over all states, seeds and folds: some minutes of one core
CURVE = [name for name in tables.MAPS if name not in ("model", "pair", "seed", "fold")]
ROWS, FIGURES = ([name for name in table if name not in tables.RUN] for table in (tables.SIMILARITIES, tables.RUN_METRICS))


def arm_of(name: str, shuffled: bool = False) -> str:
    """How tables call a map of KINDS, or its twin."""
    return f"{MAP_PREFIX}{name}{MAP_SHUFFLED if shuffled else ''}"


@dataclass(frozen=True, eq=False)
class Mapped:
    """What the free maps give on a list, as one run sees it."""

    curve: pd.DataFrame  # columns CURVE
    rows: pd.DataFrame  # arm, layer, seed (-1: no twin), and SIMILARITIES after the run's names
    figures: pd.DataFrame  # arm, layer, seed, and RUN_METRICS after the run's names

    @classmethod
    def nothing(cls) -> Mapped:
        return cls(*(pd.DataFrame(columns=columns) for columns in (CURVE, [*NAMES, *ROWS], [*NAMES, *FIGURES])))


NAMES = ["arm", "layer", "seed"]


def named(table: pd.DataFrame, seed: int, fold: int) -> pd.DataFrame:
    """A table of `Mapped` with the columns that tell it as a run's, but for model and pair.

    seed, fold: those whose deal of the words it was; -1 and 0 without folds. A twin keeps the seed of its shuffle.
    """
    if "arm" not in table:
        return table.assign(seed=seed, fold=fold)
    return table.assign(
        run=table["arm"] + "/layer-" + table["layer"],
        rank="",
        seed=table["seed"].where(table["seed"] >= 0, seed),
        fold=fold,
    )


@dataclass(frozen=True)
class Asked:
    """What is asked of the maps of a list."""

    names: tuple[str, ...]  # of KINDS
    states: tuple[int, ...]  # hidden states at which they are fitted; each map takes its own among them
    full: frozenset[int]  # those at which the twins and the whole list are measured too, beside a map's own state
    twins: tuple[int, ...]  # seeds of shuffles
    pooling: str
    layers: int  # L, whose hidden state is normed
    k: int = 10  # neighbours of CSLS


def candidate_states(layers: int, best: int | None, named: Sequence[int], work: float) -> tuple[int, ...]:
    """The hidden states at which maps are fitted: all, or where that would take more than BUDGET the embeddings, the scan's best
    one, the output, and those that the config names.

    work: fitted pairs x dimensions x the smaller of both, of one state, times the seeds and folds (see `work_of`).
    """
    if work * (layers + 1) <= BUDGET:
        return tuple(range(layers + 1))
    few = {0, layers, *(state for state in named if state <= layers)} | ({best} if best is not None else set())
    return tuple(sorted(few))


def work_of(fitted: int, dimensions: int, times: int = 1) -> float:
    """How much one state's factors take, in multiplications."""
    return float(fitted) * dimensions * min(fitted, dimensions) * times


def measure_maps(vectors_at: Callable[[int], metrics.Vectors], listed: Listed, asked: Asked) -> Mapped:
    """Fit, choose and measure the maps. vectors_at: of the whole list's forms, at a hidden state.

    Hyperparameters and each map's own state are chosen by the select pairs, or by cross-validation among the training pairs where
    there are none. Real maps are measured at every state in the pool that training cannot touch; in the whole list, and with
    their twins, at `asked.full` and at their own state. Nothing comes of a list with too few pairs to fit to.
    """
    split = listed.pairs["split"].to_numpy()
    fitted, judged = np.flatnonzero(split == "train"), np.flatnonzero(split == "select")
    rows = MapRows(listed.candidates, fitted, judged if len(judged) else None, k=asked.k)
    try:
        if len(fitted) < 2:
            raise LexiconError(f"{len(fitted)} training pairs are too few to fit a map to")
        curve = map_curve(((state, vectors_at(state)) for state in asked.states), rows, asked.names)
    except LexiconError as error:
        warn(f"free maps are left out: {error}")
        return Mapped.nothing()
    present = [name for name in asked.names if (curve["map"] == name).any()]
    choices = {(name, state): choose_map(curve, name, state) for name in present for state in asked.states}
    own = {name: choose_map(curve, name).hidden_state for name in present}
    made: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    measured = _Measured(listed, asked)
    orders = _orders(rows, asked.twins) if any(KINDS[name].paired for name in present) else {}
    for state in asked.states:
        vectors = vectors_at(state)
        factors = _factors(vectors, rows)
        for name in present:
            full = state in asked.full or state == own[name]
            for seed, mapping in _fits(choices[name, state], factors, orders if full else {}):
                made += measured.of(mapping, vectors, state, seed, full)
    taken = [(choices[row.map, row.hidden_state], row) for row in curve.itertuples()]
    at_state = np.array([_same(choice.hyperparameter, row.hyperparameter) for choice, row in taken], bool)
    chosen = at_state & (curve["hidden_state"].to_numpy() == curve["map"].map(own).to_numpy())
    both = [pd.concat(parts, ignore_index=True) for parts in zip(*made, strict=True)]
    return Mapped(curve.assign(at_state=at_state, chosen=chosen)[CURVE], both[0][[*NAMES, *ROWS]], both[1][[*NAMES, *FIGURES]])


def _same(one: float, other: float) -> bool:
    return one == other or (np.isnan(one) and np.isnan(other))


def _factors(vectors: metrics.Vectors, rows: MapRows) -> tuple[Thin, Thin]:
    source_of, target_of = rows.candidates.source_of[rows.fitted], rows.candidates.target_of[rows.fitted]
    return thin(vectors.source[source_of]), thin(vectors.target[target_of])


def _orders(rows: MapRows, seeds: Sequence[int]) -> dict[int, np.ndarray]:
    """For each seed, whose target each fitted pair gets under its shuffle: never a right one."""
    known, fitted = rows.candidates, rows.fitted
    right = accepted_cells(known.accepted, known.source_of[fitted], known.target_of[fitted])
    try:
        return {seed: derangement(right, seed) for seed in seeds}
    except ValueError as error:
        say(f"maps: no twins on shuffled pairs: {error}")
        return {}


def _fits(choice: MapChoice, factors: tuple[Thin, Thin], orders: dict[int, np.ndarray]) -> Iterator[tuple[int, FittedMap]]:
    """The map (seed -1), and its twins."""
    source, target = factors
    yield -1, fit_thin(choice.name, source, target, choice.hyperparameter)
    for seed, order in orders.items() if KINDS[choice.name].paired else ():
        yield seed, fit_thin(choice.name, source, target.reordered(order), choice.hyperparameter)


class _Measured:
    """Rows and figures of mapped vectors in a list's pools."""

    def __init__(self, listed: Listed, asked: Asked):
        self.asked, self.pairs = asked, listed.pairs
        self.splits = listed.pairs["split"].to_numpy()
        self.first = listed.pools[-1].name  # the pool that training cannot touch, where there is one
        self.pools = [(pool.by_itself, pool) for pool in listed.pools]
        self.spelling = {
            pool.name: baselines.string_ranks(pool.candidates, pool.similarity(listed.similarity))
            for pool in listed.pools
            if listed.similarity is not None
        }

    def of(
        self, mapping: FittedMap, vectors: metrics.Vectors, state: int, seed: int, full: bool
    ) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """(rows, figures) of each pool: of all where `full`, else of the first alone."""
        place = {"hidden_state": state, "pooling": self.asked.pooling}
        names = {"arm": arm_of(mapping.name, seed >= 0), "layer": str(state), "seed": seed}
        for alone, pool in self.pools:
            if not full and pool.name != self.first:
                continue
            mapped = mapping.vectors(pool.vectors(vectors))
            rows, figures = metrics.evaluate_pool(mapped, alone, metrics.Questions(self.splits), k=self.asked.k)
            if pool.name in self.spelling:
                rows["string_rank"], rows["string_rank_reverse"] = self.spelling[pool.name]
            asked = self.pairs.iloc[rows.pop("pair").to_numpy()]
            rows = rows.assign(**names, **place, pair_id=asked["pair_id"].to_numpy(), split=asked["split"].to_numpy())
            for column in ("string_rank", "string_rank_reverse"):
                by_split = (rows[column] <= 1).where(rows[column].notna()).groupby(rows["split"]).mean()
                figures[column.replace("string_rank", "string_p_at_1")] = figures["split"].map(by_split).astype(float)
            yield rows, figures.assign(**names, **place, normed=state == self.asked.layers)
