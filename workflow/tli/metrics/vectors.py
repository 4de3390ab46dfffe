"""The vectors of a list's forms, side by side, and what makes them comparable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tli.metrics.candidates import Candidates


@dataclass(frozen=True, eq=False)
class Vectors:
    """One vector for each form of a `Candidates`, in its order; they need not be normalised."""

    source: np.ndarray  # [n_source_forms, d]
    target: np.ndarray  # [n_target_forms, d]
    reference: np.ndarray | None = None  # [n_reference_forms, d]; left out, only candidates serve as references

    @classmethod
    def of(cls, stacked: np.ndarray, candidates: Candidates) -> Vectors:
        """The three parts of `stacked`, the vectors of all forms below each other (as `Candidates.forms` lists them)."""
        n, m = len(candidates.source_forms), len(candidates.target_forms)
        return cls(stacked[:n], stacked[n : n + m], stacked[n + m :])


def normalise(vectors: np.ndarray, side: str = "", rows: int | None = None) -> np.ndarray:
    """Vectors of length 1 in float32; a zero vector stays zero. ValueError for a wrong shape or a non-finite value."""
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or (rows is not None and len(vectors) != rows):
        raise ValueError(f"{side} vectors have shape {vectors.shape}; expected ({rows}, d), one row a distinct form")
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~np.isfinite(norms))
    if len(bad):
        raise ValueError(f"{side} vector {bad[0]} (from 0) has values that are not finite")
    return (vectors / np.where(norms > 0, norms, 1)[:, None]).astype(np.float32, copy=False)
