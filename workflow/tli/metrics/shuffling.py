"""Translations shuffled so that no pair keeps a right one: for placebos and for the twins of maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching


def accepted_cells(accepted: Any, sources: np.ndarray, targets: np.ndarray) -> sparse.csr_array:
    """Bool [len(sources), len(targets)]: which of `targets` is accepted for which of `sources`.

    `accepted` is bool [n_source_forms, n_target_forms] (as Candidates holds it); `sources` and `targets` are indices of
    forms, with repeats: those of a batch (then `.toarray()` is what the objectives take) or of a whole train split.
    """
    return sparse.csr_array(accepted)[np.asarray(sources)][:, np.asarray(targets)]


def assigned(sources: np.ndarray, targets: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """`accepted` [n_source_forms, n_target_forms] as an assignment gives it: sources[r] accepts targets[r], no other.

    A placebo masks its false negatives by this: pass the targets in their permuted order.
    """
    cells = sparse.coo_array((np.ones(len(sources), bool), (sources, targets)), shape=shape).tocsr()
    cells.sum_duplicates()
    cells.data[:] = True
    return cells


def derangement(accepted: Any, seed: int) -> np.ndarray:
    """A random permutation that gives no pair an accepted translation of its own: the placebo's assignment.

    `accepted`, bool [n, n], dense or sparse: True where the target of pair j is an accepted translation of the source
    of pair i (repeated targets are columns alike). Returns `order` [n]: pair i is trained with the target of pair
    order[i]; accepted[i, order[i]] is False for all i. A random permutation is drawn and its few bad rows are shuffled
    with others; where that does not end, a matching in the bipartite graph of wrong translations decides (5 n n bytes).
    Raises ValueError when no such permutation exists.
    """
    accepted = sparse.csr_array(accepted).astype(bool)
    accepted.eliminate_zeros()
    n = accepted.shape[0]
    if accepted.shape != (n, n) or n < 1:
        raise ValueError(f"accepted has shape {accepted.shape}; expected one row and one column for each pair")
    rng = np.random.default_rng([seed, 1])  # not the stream that orders the batches
    cells = np.unique(np.repeat(np.arange(n, dtype=np.int64), np.diff(accepted.indptr)) * n + accepted.indices)

    def bad(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        keys = rows * np.int64(n) + columns
        place = np.minimum(np.searchsorted(cells, keys), max(0, len(cells) - 1))
        return cells[place] == keys if len(cells) else np.zeros(len(keys), bool)

    everyone = np.arange(n)
    order = rng.permutation(n)
    for _ in range(300):
        wrong = np.flatnonzero(bad(everyone, order))
        if not len(wrong):
            return order
        rows = np.union1d(wrong, rng.integers(0, n, 2 * len(wrong) + 2))
        shuffled = order[rng.permutation(rows)]
        if bad(rows, shuffled).sum() <= len(wrong):
            order[rows] = shuffled
    return _matched(accepted, rng)


def _matched(accepted: sparse.csr_array, rng: np.random.Generator) -> np.ndarray:
    n = accepted.shape[0]
    rows, columns = rng.permutation(n), rng.permutation(n)
    wrong = sparse.csr_array(~accepted.toarray()[rows][:, columns])
    match = maximum_bipartite_matching(wrong, perm_type="column")
    if (match < 0).any():
        most_row, most_column = int(np.diff(accepted.indptr).max()), int(accepted.sum(axis=0).max())
        raise ValueError(
            f"no placebo exists for these {n} train pairs: at most {int((match >= 0).sum())} of them can be given a "
            f"wrong translation at once (one source accepts {most_row} of the {n} targets, one target is accepted by "
            f"{most_column} of the {n} sources). Train on more distinct pairs, or leave the placebo out of this arm"
        )
    order = np.empty(n, int)
    order[rows] = columns[match]
    return order
