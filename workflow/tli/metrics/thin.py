"""Thin factors of a matrix of word vectors: all that a linear map can know of its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

ROUNDING = 1e-6  # of the largest singular value: below it a direction of float32 vectors is rounding


@dataclass(frozen=True, eq=False)
class Thin:
    """Rows x / |x| - mean = left diag(values) right', float64; values fall, those of rounding are left out."""

    mean: np.ndarray  # [d]
    left: np.ndarray  # [n, r]
    values: np.ndarray  # [r]
    right: np.ndarray  # [d, r]

    def cut(self, number: float) -> Thin:
        """The `number` largest components, or as many as there are."""
        size = min(int(number), len(self.values))
        return replace(self, left=self.left[:, :size], values=self.values[:size], right=self.right[:, :size])

    def reordered(self, order: np.ndarray) -> Thin:
        """The factors of the rows in another order, without computing them anew."""
        return replace(self, left=self.left[order])


def thin(vectors: np.ndarray) -> Thin:
    """Factors of `vectors` [n, d]; the mean is that of the rows at length 1."""
    unit = centred(vectors, 0.0)
    mean = unit.mean(axis=0)
    unit -= mean
    left, values, right = linalg.svd(unit, full_matrices=False, overwrite_a=True, check_finite=False)
    size = int((values > ROUNDING * max(values[0], np.sqrt(len(unit)) * ROUNDING)).sum())
    return Thin(mean, left[:, :size], values[:size], right[:size].T)


def centred(vectors: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
    """X / |x| - mean in float64; a zero vector keeps length 0 before the mean is taken off. ValueError for what is not finite."""
    vectors = np.array(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise ValueError(f"vector {int(np.flatnonzero(~np.isfinite(lengths))[0])} (from 0) has values that are not finite")
    vectors /= np.where(lengths > 0, lengths, 1)
    vectors -= mean
    return vectors
