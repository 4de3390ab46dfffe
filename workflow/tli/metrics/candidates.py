"""Which forms are compared with which, and which of them are right: the same for every split, run and hidden state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Candidates:
    """The distinct forms of a lexicon and what counts as right.

    A vector is needed for every form of `source_forms`, `target_forms` and (for RefxCS only) `reference_forms`, in
    that order. Forms are compared as they stand.
    """

    source_forms: tuple[str, ...]
    target_forms: tuple[str, ...]  # every distinct target of the whole lexicon: the candidates of each retrieval
    reference_forms: tuple[str, ...]  # alternatives that are no row's target: never rivals, references of RefxCS only
    source_of: np.ndarray  # [n_pairs] index into source_forms
    target_of: np.ndarray  # [n_pairs] index into target_forms
    accepted: sparse.csr_array  # bool [n_source_forms, n_target_forms]: right translations, the pair's own among them
    references: sparse.csr_array  # bool [n_source_forms, n_reference_forms]
    competing: tuple[int, int] | None = None  # the first so many forms of each side are rivals and neighbours; None: all

    @property
    def rivals(self) -> tuple[int, int]:
        """Forms of each side that compete. Those after them only ask and are asked for: nobody's rival, nobody's neighbour."""
        return self.competing or self.accepted.shape

    @property
    def forms(self) -> list[str]:
        """Every form that needs a vector: sources, targets, references."""
        return [*self.source_forms, *self.target_forms, *self.reference_forms]


def candidates(pairs: pd.DataFrame) -> Candidates:
    """Build the candidates of a pairs table (columns `source`, `target`, `alternatives` joined by "|").

    Accepted for a source are its targets in any row, and its alternatives in any row that are a target of some row.
    Raises ValueError when the table is empty, lacks a column, or has an empty source or target.
    """
    missing = [name for name in ("source", "target", "alternatives") if name not in pairs.columns]
    if missing:
        raise ValueError(f"the pairs table lacks the columns {missing}; it has {list(pairs.columns)}")
    if not len(pairs):
        raise ValueError("the pairs table has no row: there is nothing to compare")
    for side in ("source", "target"):
        empty = (pairs[side].isna() | (pairs[side].astype(str) == "")).to_numpy()
        if empty.any():
            raise ValueError(f"the pairs table has an empty {side} in row {int(np.flatnonzero(empty)[0])} (from 0)")

    source_of, source_forms = pd.factorize(pairs["source"].astype(str).to_numpy(object))
    target_of, target_forms = pd.factorize(pairs["target"].astype(str).to_numpy(object))
    listed = pd.Series(pairs["alternatives"].fillna("").astype(str).to_numpy(object), index=source_of)
    listed = listed.str.split("|").explode().str.strip()
    listed = listed[listed != ""]
    place = pd.Index(target_forms).get_indexer(listed.to_numpy(object))
    others = place < 0
    reference_of, reference_forms = pd.factorize(listed.to_numpy(object)[others])

    shape = (len(source_forms), len(target_forms))
    sources = listed.index.to_numpy(np.int64)
    accepted = _mask(np.r_[source_of, sources[~others]], np.r_[target_of, place[~others]], shape)
    references = _mask(sources[others], reference_of, (shape[0], len(reference_forms)))
    return Candidates(tuple(source_forms), tuple(target_forms), tuple(reference_forms), source_of, target_of, accepted, references)


def neighbourhood(k: int, candidates: Candidates) -> int:
    """Neighbours that CSLS and the margin really use: max(1, min(k, pool // 10)), pool = the smaller side's rivals."""
    return max(1, min(k, min(candidates.rivals) // 10))


def _mask(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.coo_array((np.ones(len(rows), bool), (rows, columns)), shape=shape).tocsr()
    matrix.sum_duplicates()
    matrix.sort_indices()
    matrix.data[:] = True
    return matrix
