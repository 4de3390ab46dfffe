"""The two pools of candidates: what no training can touch, and the whole list."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from tli.errors import LexiconError
from tli.io.tables import UNTRAINED, WHOLE_LIST
from tli.metrics.candidates import Candidates
from tli.metrics.vectors import Vectors


@dataclass(frozen=True, eq=False)
class Pool:
    """Which pairs of a list are asked, and among which of its forms; the same before, after, for the placebo and for every map."""

    name: str  # tables.UNTRAINED, tables.WHOLE_LIST, or the caller's own
    candidates: Candidates  # of the pool: its source_of and target_of are the queries'
    pairs: np.ndarray  # [n_queries] index into the list's pairs
    source_rows: np.ndarray  # where the pool's forms stand among the list's
    target_rows: np.ndarray
    reference_rows: np.ndarray
    leaked: np.ndarray  # bool [n_queries]: a form that decides its rank was trained

    def vectors(self, whole: Vectors) -> Vectors:
        """The pool's vectors out of the whole list's."""
        reference = None if whole.reference is None else whole.reference[self.reference_rows]
        return Vectors(whole.source[self.source_rows], whole.target[self.target_rows], reference)

    @property
    def by_itself(self) -> Pool:
        """The same pool for vectors that are its own already."""
        candidates = self.candidates
        forms = (candidates.source_forms, candidates.target_forms, candidates.reference_forms)
        source, target, reference = (np.arange(len(side)) for side in forms)
        return replace(self, source_rows=source, target_rows=target, reference_rows=reference)

    def similarity(self, whole: np.ndarray) -> np.ndarray:
        """The pool's part of a matrix [n_source_forms, n_target_forms] of the whole list."""
        return whole[np.ix_(self.source_rows, self.target_rows)]


def whole_list(candidates: Candidates) -> Pool:
    """All pairs asked, all distinct forms as rivals: the figure that other papers give."""
    n, m = candidates.accepted.shape
    pairs = np.arange(len(candidates.source_of))
    references = np.arange(candidates.references.shape[1])
    return Pool(WHOLE_LIST, candidates, pairs, np.arange(n), np.arange(m), references, np.zeros(len(pairs), bool))


def untrained(candidates: Candidates, queries: np.ndarray, trained_sources: Set[str], trained_targets: Set[str]) -> Pool:
    """`queries` among the list's forms that no adapter in the comparison trained on: what carries every claim.

    queries: mask [n_pairs] or indices of the held-out pairs. trained_sources, trained_targets: all forms that any run,
    map or placebo of the comparison was fitted to, on this list or through another. Rivals, mismatched targets and the
    neighbourhoods of CSLS and margin, on both sides, are the list's other forms, so that nothing done to trained forms
    moves a figure. A held-out form that is trained too stays a query, with its own translation to be found; it is nobody's
    rival or neighbour. Every query whose rank such a form has a part in is `leaked`.
    Raises LexiconError when no source or no target is left untrained.
    """
    competing_sources = np.array([form not in trained_sources for form in candidates.source_forms], bool)
    competing_targets = np.array([form not in trained_targets for form in candidates.target_forms], bool)
    references = np.array([form not in trained_targets for form in candidates.reference_forms], bool)
    for side, competing in (("source", competing_sources), ("target", competing_targets)):
        if not competing.any():
            raise LexiconError(
                f"every one of the list's {len(competing)} {side} forms was trained on, so there is no pool that training cannot touch; "
                f"hold some pairs out (`split`), or read the figures of the whole list"
            )
    return _part(UNTRAINED, candidates, queries, (competing_sources, competing_targets, references))


def among(name: str, candidates: Candidates, queries: np.ndarray) -> Pool:
    """`queries` (mask or indices of pairs) among their own forms alone: a list of its own within the list."""
    queries = _indices(queries)
    sources, targets = (np.zeros(size, bool) for size in candidates.accepted.shape)
    sources[candidates.source_of[queries]] = True
    targets[candidates.target_of[queries]] = True
    return _part(name, candidates, queries, (sources, targets, np.ones(candidates.references.shape[1], bool)))


def among_those(name: str, candidates: Candidates, queries: np.ndarray, others: Pool) -> Pool:
    """`queries` among the forms of another pool of the list."""
    sources, targets = (np.zeros(size, bool) for size in candidates.accepted.shape)
    sources[others.source_rows] = True
    targets[others.target_rows] = True
    return _part(name, candidates, queries, (sources, targets, np.ones(candidates.references.shape[1], bool)))


def _part(name: str, candidates: Candidates, queries: np.ndarray, competing: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Pool:
    """competing: masks of the source, target and reference forms that stay for all; the queries' own forms stay for them."""
    queries = _indices(queries)
    sources, source_of = _rows(competing[0], candidates.source_of[queries])
    targets, target_of = _rows(competing[1], candidates.target_of[queries])
    references = np.flatnonzero(competing[2])
    accepted = sparse.csr_array(candidates.accepted[sources][:, targets])
    accepted.sort_indices()
    rivals = int(competing[0].sum()), int(competing[1].sum())
    part = Candidates(
        tuple(candidates.source_forms[i] for i in sources),
        tuple(candidates.target_forms[i] for i in targets),
        tuple(candidates.reference_forms[i] for i in references),
        source_of,
        target_of,
        accepted,
        sparse.csr_array(candidates.references[sources][:, references]),
        rivals if rivals != accepted.shape else None,
    )
    outside = np.arange(len(sources)) >= rivals[0], np.arange(len(targets)) >= rivals[1]
    touched = accepted @ outside[1].astype(int) > 0, accepted.T @ outside[0].astype(int) > 0
    leaked = (outside[0] | touched[0])[source_of] | (outside[1] | touched[1])[target_of]
    return Pool(name, part, queries, sources, targets, references, leaked)


def _indices(queries: np.ndarray) -> np.ndarray:
    queries = np.asarray(queries)
    return np.flatnonzero(queries) if queries.dtype == bool else queries


def _rows(competing: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The forms that compete, then those that are only asked; and where the asked ones stand among them."""
    rows = np.r_[np.flatnonzero(competing), np.setdiff1d(asked, np.flatnonzero(competing))]
    place = np.empty(len(competing), np.int64)
    place[rows] = np.arange(len(rows))
    return rows, place[asked]
