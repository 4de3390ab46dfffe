"""What stands beside every retrieval figure: chance, and what the spelling of the two forms gives for nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tli.metrics.candidates import Candidates

WORD = 30  # letters of a long word


def chance(candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """P@1 of guessing, for each pair, source -> target and target -> source: accepted / pool.

    The pool of a query are the forms that compete and its own accepted ones.
    """
    accepted, (n, m) = candidates.accepted, candidates.rivals
    rows, columns = np.repeat(np.arange(accepted.shape[0]), np.diff(accepted.indptr)), accepted.indices
    by_source = _share(rows, columns >= m, m, accepted.shape[0])
    by_target = _share(columns, rows >= n, n, accepted.shape[1])
    return by_source[candidates.source_of], by_target[candidates.target_of]


def _share(queries: np.ndarray, outside: np.ndarray, pool: int, count: int) -> np.ndarray:
    return np.bincount(queries, minlength=count) / (pool + np.bincount(queries[outside], minlength=count))


def similarity_matrix(
    candidates: Candidates, compare: Callable[[list[str], list[str]], np.ndarray], at_most: int = 4_000_000
) -> np.ndarray | None:
    """How alike every source form and every target form are spelt, float32 [n_source_forms, n_target_forms].

    compare: similarities of first[i] and second[i], for lists of one length (tli.lexicon.similarity.edit_similarity).
    None beyond `at_most` comparisons, or of so many letters (the time goes with both lengths' product) that they are sentences.
    """
    sources, targets = list(candidates.source_forms), list(candidates.target_forms)
    letters = sum(map(len, sources)) * sum(map(len, targets))
    if len(sources) * len(targets) > at_most or letters > at_most * WORD**2:
        return None
    matrix = np.empty((len(sources), len(targets)), np.float32)
    height = max(1, 200_000 // len(targets))
    for start in range(0, len(sources), height):
        part = sources[start : start + height]
        first = [source for source in part for _ in targets]
        matrix[start : start + height] = compare(first, targets * len(part)).reshape(len(part), len(targets))
    return matrix


def string_ranks(candidates: Candidates, similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank of the best accepted form by spelling, for each pair, source -> target and target -> source.

    similarity: [n_source_forms, n_target_forms] of these candidates. 1 is best; ties count against the pair, so that
    words that resemble nothing are not found by chance.
    """
    right = candidates.accepted.toarray()
    n, m = candidates.rivals
    best = np.where(right, similarity, -np.inf)
    wrong = np.where(right, -np.inf, similarity)
    target_rank = 1 + (wrong[:, :m] >= best.max(axis=1)[:, None]).sum(axis=1)
    source_rank = 1 + (wrong[:n] >= best.max(axis=0)).sum(axis=0)
    return target_rank[candidates.source_of], source_rank[candidates.target_of]
