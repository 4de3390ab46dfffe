"""Which state and which hyperparameter a free map takes: chosen on words that nothing was fitted to, none of them held out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from tli.errors import LexiconError
from tli.metrics.candidates import Candidates
from tli.metrics.maps import KINDS, FittedMap, fit, fit_thin
from tli.metrics.pools import Pool, among, among_those
from tli.metrics.retrieval import per_pair
from tli.metrics.thin import thin
from tli.metrics.vectors import Vectors

CURVE = ["map", "hidden_state", "hyperparameter", "value", "words"]


@dataclass(frozen=True, eq=False)
class MapRows:
    """Which pairs of a list a map may see. Of all others' vectors nothing is read.

    For the rival of a training: fitted on the train split, judged on the select split. For adapter + map: fitted on the select
    pairs, which no adapter saw, judged by cross-validation among them.
    """

    candidates: Candidates  # of the whole list
    fitted: np.ndarray  # indices of the pairs that it is fitted on
    judged: np.ndarray | None = None  # indices of the pairs that choose; None: `fitted` in `folds` parts, each judged in turn
    components: np.ndarray | None = None  # [n_pairs] pairs of one component stay in one part; None: those that share a form
    folds: int = 5
    k: int = 10  # neighbours of CSLS
    among_all: bool = False  # a judged pair is asked among the forms of all pairs named here, not of those judged with it alone

    def pool(self, judged: np.ndarray) -> Pool:
        """The judged pairs and what they are asked among."""
        if not self.among_all:
            return among("judged", self.candidates, judged)
        whole = among("judged", self.candidates, np.union1d(self.fitted, judged))
        return among_those("judged", self.candidates, judged, whole)

    def parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(fitted, judged) of every part. LexiconError where there are too few pairs for one."""
        if self.judged is not None:
            parts = [(np.asarray(self.fitted), np.asarray(self.judged))]
        else:
            fitted = np.asarray(self.fitted)
            names, group = np.unique(self._groups()[fitted], return_inverse=True)
            part_of = np.random.default_rng(len(names)).permutation(len(names))[group] % self.folds
            parts = [(fitted[part_of != part], fitted[part_of == part]) for part in range(self.folds)]
        parts = [(fitted, judged) for fitted, judged in parts if len(fitted) > 1 and len(judged)]
        if not parts:
            raise LexiconError(
                f"{len(self.fitted)} pairs are too few to fit a map to some and to judge it by others; give the list more pairs"
            )
        return parts

    def _groups(self) -> np.ndarray:
        """[n_pairs] numbers of what stays together."""
        if self.components is not None:
            return pd.factorize(np.asarray(self.components))[0]
        source_of, target_of = self.candidates.source_of, self.candidates.target_of
        n, m = self.candidates.accepted.shape
        graph = sparse.coo_array((np.ones(len(source_of), bool), (source_of, n + target_of)), shape=(n + m, n + m))
        return connected_components(graph, directed=False)[1][source_of]


@dataclass(frozen=True)
class MapChoice:
    """What the judged pairs chose for one map."""

    name: str
    hidden_state: int
    hyperparameter: float
    value: float  # CSLS P@1 of the judged pairs among their own forms


def map_curve(states: Iterable[tuple[int, Vectors]], rows: MapRows, names: Sequence[str] = tuple(KINDS)) -> pd.DataFrame:
    """CSLS P@1 of the judged pairs, among their own forms, for every map, hidden state and hyperparameter; columns CURVE.

    states: hidden states with the vectors of the whole list's forms, made one after another (33 states of 4,096 dimensions
    need not lie in memory at once). Rows stand in the order of `states`, of `names`, and of the hyperparameters, simplest first.
    """
    parts = [(fitted, rows.pool(judged)) for fitted, judged in rows.parts()]
    made = [pd.DataFrame(_one_state(state, vectors, parts, rows, names), columns=CURVE) for state, vectors in states]
    return pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=CURVE)


def choose_map(curve: pd.DataFrame, name: str, hidden_state: int | None = None) -> MapChoice:
    """The best row of `map_curve` for a map, at its own or at a given state; ties go to the lower state, then to the simpler map.

    ValueError where the curve has no such row.
    """
    rows = curve[curve["map"] == name]
    rows = rows if hidden_state is None else rows[rows["hidden_state"] == hidden_state]
    if not len(rows):
        raise ValueError(f"no {name} in the curve" + ("" if hidden_state is None else f" at hs[{hidden_state}]"))
    rows = rows.sort_values("hidden_state", kind="stable")  # the simpler one comes first within a state
    best = rows.iloc[int(rows["value"].to_numpy(float).argmax())]
    return MapChoice(name, int(best["hidden_state"]), float(best["hyperparameter"]), float(best["value"]))


def fit_choice(choice: MapChoice, vectors: Vectors, rows: MapRows, order: np.ndarray | None = None) -> FittedMap:
    """The chosen map on all of `rows.fitted`; vectors: of the whole list's forms at the chosen state.

    order: a permutation of the fitted pairs; row i is then fitted to the target of row order[i]: the twin on shuffled pairs.
    """
    fitted = np.asarray(rows.fitted)
    targets = fitted if order is None else fitted[order]
    source, target = rows.candidates.source_of[fitted], rows.candidates.target_of[targets]
    return fit(choice.name, vectors.source[source], vectors.target[target], choice.hyperparameter)


def _one_state(
    state: int, vectors: Vectors, parts: list[tuple[np.ndarray, Pool]], rows: MapRows, names: Sequence[str]
) -> Iterator[tuple[str, int, float, float, int]]:
    sizes = [len(fitted) for fitted, _ in parts]
    grids = {name: KINDS[name].grid(min(sizes), vectors.source.shape[1]) for name in names}
    hits = {(name, value): 0 for name, grid in grids.items() for value in grid}
    for fitted, pool in parts:
        source = thin(vectors.source[rows.candidates.source_of[fitted]])
        target = thin(vectors.target[rows.candidates.target_of[fitted]])
        judged = pool.vectors(Vectors(vectors.source, vectors.target))
        for name, value in hits:
            ranks = per_pair(fit_thin(name, source, target, value).vectors(judged), pool.candidates, k=rows.k)["csls_target_rank"]
            hits[name, value] += int((ranks == 1).sum())
    words = sum(len(pool.pairs) for _, pool in parts)
    return ((name, state, value, hit / words, words) for (name, value), hit in hits.items())
