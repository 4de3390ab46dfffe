"""Which pairs are trained on, and with which translation: placebo assignments and the selection of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli.metrics.candidates import candidates
from tli.metrics.shuffling import accepted_cells, assigned, derangement

STRATEGIES = ("random", "lowest-margin", "diverse", "uncertainty")


def assignments(rows: pd.DataFrame, shuffled: bool, seed: int) -> tuple[list[str], list[str], np.ndarray]:
    """Sources, their targets in training, and which target is right for which source: bool [n, n].

    Right are a source's own targets in any row, and its alternatives. Under the placebo the targets are shuffled so
    that no source gets any right one, and only the ASSIGNED ones count as right.
    """
    known = candidates(rows)
    targets, order = rows["target"].tolist(), np.arange(len(rows))
    right = accepted_cells(known.accepted, known.source_of, known.target_of)
    if shuffled:
        order = derangement(right, seed)
        given = assigned(known.source_of, known.target_of[order], known.accepted.shape)
        right = accepted_cells(given, known.source_of, known.target_of[order])
    return rows["source"].tolist(), [targets[i] for i in order], right.toarray()


def assignments_across(lists: Sequence[pd.DataFrame], shuffled: bool, seed: int) -> tuple[list[str], list[str], np.ndarray]:
    """As `assignments` of several lists, one below the other, for batches of all of them: bool [n, n] over all their pairs.

    Right are a source's targets in any row of any list. The placebo deals out the targets of each list within it, as it would alone:
    no word meets a translation of its own, nor a word of another list; right are then the assigned ones.
    """
    rows = pd.concat(lists, ignore_index=True)
    if not shuffled:
        return assignments(rows, False, seed)
    given = pd.DataFrame({"source": rows["source"], "target": [form for one in lists for form in assignments(one, True, seed)[1]]})
    return assignments(given.assign(alternatives=""), False, seed)


@dataclass(frozen=True, eq=False)
class OwnWords:
    """The forms of a batch's pairs as their own positives: n sources, then n targets."""

    sources: list[str]
    targets: list[str]
    right: np.ndarray  # bool [2n, 2n]: no negatives: a form's translations in either direction, and the form itself


def own_words(rows: pd.DataFrame) -> OwnWords:
    """Of the pairs (columns of tables.PAIRS): each form is right for itself, wherever it stands, and for its translations."""
    sources, targets, right = assignments(rows, False, 0)
    number = pd.factorize(np.array([*sources, *targets], object))[0]
    same, n = number[:, None] == number[None, :], len(sources)
    across = np.zeros_like(same)
    across[:n, n:], across[n:, :n] = right, right.T
    return OwnWords(sources, targets, same | across)


def choose(
    strategy: str,
    budget: int,
    *,
    n: int,
    seed: int,
    margins: np.ndarray | None = None,
    vectors: np.ndarray | None = None,
    exclude: Sequence[int] | np.ndarray = (),
) -> np.ndarray:
    """Indices [budget] of the pairs to train on, of `n`, none of `exclude` (those of earlier rounds); order of choice.

    - random: without replacement.
    - lowest-margin: the smallest `margins` [n] (a right cosine less the best rival's): what the model gets most wrong.
    - uncertainty: the smallest |margins|: pairs at the border; the caller scores anew after each round.
    - diverse: k-means++ seeding (Arthur & Vassilvitskii 2007) on the normalised `vectors` [n, d]: each further pair is
      drawn with probability proportional to its squared distance from the nearest one chosen or excluded.
    Equal margins go by a seeded order; NaN margins come last. Raises ValueError for an unknown strategy, a budget above
    what is left, and margins or vectors that are missing or of another length.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"select: strategy {strategy!r} is unknown: choose one of {', '.join(STRATEGIES)}")
    free = np.ones(n, bool)
    free[np.asarray(exclude, int)] = False
    left = int(free.sum())
    if not 0 < budget <= left:
        raise ValueError(f"select: budget {budget} does not fit: {left} of {n} train pairs are left to choose from")
    rng = np.random.default_rng([seed, 2])
    shuffled = rng.permutation(n)
    if strategy == "random":
        return shuffled[free[shuffled]][:budget]
    needed = vectors if strategy == "diverse" else margins
    if needed is None or len(needed) != n:
        count = "none" if needed is None else len(needed)
        name = "vectors" if strategy == "diverse" else "margins"
        raise ValueError(f"select: strategy {strategy} needs {name} for each of {n} train pairs, got {count}")
    if strategy == "diverse":
        return _spread(np.asarray(vectors, np.float32), budget, free, rng)
    scores = np.asarray(margins, float)
    scores = np.abs(scores) if strategy == "uncertainty" else scores
    ranked = shuffled[np.argsort(scores[shuffled], kind="stable")]
    return ranked[free[ranked]][:budget]


def _spread(vectors: np.ndarray, budget: int, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.where(norms > 0, norms, 1)
    distance = np.full(len(vectors), np.inf)
    for index in np.flatnonzero(~free):
        distance = np.minimum(distance, _distance(vectors, int(index)))
    chosen: list[int] = []
    while len(chosen) < budget:
        weight = np.where(free, distance, 0.0)
        if not np.isfinite(weight).all() or not weight.sum() > 0:  # the first of all, or only repeats are left
            weight = free.astype(float)
        drawn = int(rng.choice(len(vectors), p=weight / weight.sum()))
        chosen.append(drawn)
        free[drawn] = False
        distance = np.minimum(distance, _distance(vectors, drawn))
    return np.array(chosen)


def _distance(vectors: np.ndarray, index: int) -> np.ndarray:
    """Squared distances of unit vectors from one of them; what float32 cannot tell apart has none."""
    distance = 2 - 2 * (vectors @ vectors[index]).astype(float)
    return np.where(distance > 1e-6, distance, 0.0)
