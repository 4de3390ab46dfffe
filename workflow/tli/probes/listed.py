"""A word list as one run sees it: its pairs with the run's splits, and the pools in which they are asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tli import metrics
from tli.lexicon.similarity import edit_similarity


@dataclass(frozen=True, eq=False)
class Listed:
    """A list as one run sees it: its pairs with the run's splits, and the pools in which they are asked."""

    pairs: pd.DataFrame  # columns tables.PAIRS
    candidates: metrics.Candidates
    pools: tuple[metrics.Pool, ...]
    similarity: np.ndarray | None = None  # how alike its forms are spelt (metrics.baselines.similarity_matrix)
    elsewhere: frozenset[str] = frozenset()  # forms that a run trains through another list alone

    @classmethod
    def of(
        cls,
        pairs: pd.DataFrame,
        similarity: np.ndarray | None = None,
        *,
        whole_list: bool = True,
        elsewhere: frozenset[str] = frozenset(),
    ) -> Listed:
        """With the pool that training cannot touch, where words are held out, and the whole list where it is asked for."""
        candidates, heldout = metrics.candidates(pairs), (pairs["split"] == "heldout").to_numpy()
        pools = [metrics.whole_list(candidates)] if whole_list else []
        if heldout.any():
            trained = pairs[pairs["split"] == "train"]
            pools.append(metrics.untrained(candidates, heldout, {*trained["source"], *elsewhere}, {*trained["target"], *elsewhere}))
        return cls(pairs, candidates, tuple(pools), similarity, elsewhere)

    @property
    def forms(self) -> list[str]:
        """The forms that need a vector."""
        asked = [pool.candidates.forms for pool in self.pools]
        return self.candidates.forms if len(asked) != 1 else asked[0]

    @property
    def sources(self) -> int:
        """How many of `forms`, the first, are of the source language."""
        return len((self.candidates if len(self.pools) != 1 else self.pools[0].candidates).source_forms)

    def vectors(self, stacked: np.ndarray) -> metrics.Vectors:
        """Vectors of the whole list's forms out of those of `forms`; zero where a form was not asked for."""
        whole = metrics.Vectors.of(stacked, self.candidates) if len(self.pools) != 1 else None
        if whole is not None:
            return whole
        (pool,), candidates = self.pools, self.candidates
        part = metrics.Vectors.of(stacked, pool.candidates)
        places = (pool.source_rows, pool.target_rows, pool.reference_rows)
        counts = (len(candidates.source_forms), len(candidates.target_forms), len(candidates.reference_forms))
        sides = []
        for values, rows, count in zip((part.source, part.target, part.reference), places, counts, strict=True):
            side = np.zeros((count, stacked.shape[1]), np.float32)
            side[rows] = values
            sides.append(side)
        return metrics.Vectors(*sides)


def similarity_of(pairs: pd.DataFrame) -> np.ndarray | None:
    """How alike the forms of a list are spelt; None where it is too long for that."""
    return metrics.baselines.similarity_matrix(metrics.candidates(pairs), edit_similarity)
