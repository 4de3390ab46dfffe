"""Figures of the two point clouds as wholes: debiased CKA, cosines without their common parts."""

from __future__ import annotations

import numpy as np

from tli.metrics.candidates import Candidates
from tli.metrics.vectors import Vectors, normalise

SINK_DIMENSIONS = 3  # at most; Timkey & van Schijndel 2021 find that one to three dimensions dominate the cosine
SINK_SHARE = 10  # times the fair share 1 / d of the squared norm


def geometry(vectors: Vectors, candidates: Candidates, queries: np.ndarray, *, robust: dict | None = None) -> dict[str, float]:
    """CKA, and the means of `robustness`, for `queries` (indices of pairs, or a mask [n_pairs]).

    CKA is that of the queries' raw source and target vectors, row by row. `robust` is what `robustness` gave for the
    same vectors, where it is already there. NaN where undefined (no query; CKA below 4 queries; no wrong candidate).
    """
    queries = np.asarray(queries)
    queries = np.flatnonzero(queries) if queries.dtype == bool else queries
    if robust is None:
        robust = robustness(vectors, candidates)
    figures = {"cka": debiased_cka(vectors.source[candidates.source_of[queries]], vectors.target[candidates.target_of[queries]])}
    for name, values in robust.items():
        defined = values[queries][~np.isnan(values[queries])]
        figures[name] = float(defined.mean()) if len(defined) else float("nan")
    return figures


def robustness(vectors: Vectors, candidates: Candidates) -> dict[str, np.ndarray]:
    """Cosine and gap of every pair, each [n_pairs], when what all words share is taken off.

    - cosine_centred, gap_centred: after the mean of all competing forms of both sides together is taken off.
    - cosine_no_sink, gap_no_sink: without the dimensions that dominate the competing forms' norm (see `sink_dimensions`).
    """
    source, target = np.asarray(vectors.source, np.float32), np.asarray(vectors.target, np.float32)
    n, m = candidates.rivals
    total = source[:n].sum(axis=0, dtype=np.float64) + target[:m].sum(axis=0, dtype=np.float64)
    mean = (total / (n + m)).astype(np.float32)
    centred = _cosine_and_gap(source - mean, target - mean, candidates)
    others = np.setdiff1d(np.arange(source.shape[1]), sink_dimensions(source[:n], target[:m]))
    no_sink = _cosine_and_gap(source[:, others], target[:, others], candidates)
    return {"cosine_centred": centred[0], "gap_centred": centred[1], "cosine_no_sink": no_sink[0], "gap_no_sink": no_sink[1]}


def debiased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear CKA of x [n, d] and y [n, e] (Kornblith et al. 2019) with the unbiased HSIC of Song et al. 2012 (eq. 5).

    Needs n >= 4, else NaN; NaN too when one side does not vary. About 0 for unrelated sides, may be slightly negative.
    Costs n d e where n > d, else n n d: the Gram matrices are used only where they are the smaller ones.
    """
    n = len(x)
    if n < 4:
        return float("nan")
    one, other = _centre(x), _centre(y)
    if one is None or other is None:
        return float("nan")
    x, y = one, other
    within = _hsic(x, x), _hsic(y, y)
    if min(within) <= 0:
        return float("nan")
    return float(_hsic(x, y) / np.sqrt(within[0] * within[1]))


def sink_dimensions(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Dimensions that dominate the norm (rogue dimensions, Timkey & van Schijndel 2021): at most 3.

    A dimension's share is the mean, over all distinct forms of both sides, of its square divided by the squared norm.
    The largest are dropped if their share is above 10 / d. With 10 dimensions or fewer none is.
    """
    unit = [normalise(source), normalise(target)]
    squares = sum(np.einsum("ij,ij->j", side, side, dtype=np.float64) for side in unit)
    share = squares / (len(source) + len(target))
    largest = np.argsort(-share, kind="stable")[:SINK_DIMENSIONS]
    return np.sort(largest[share[largest] > SINK_SHARE / len(share)])


def _cosine_and_gap(source: np.ndarray, target: np.ndarray, candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and gap of every pair; the sum over all rivals is one product with the sum of their vectors."""
    source, target = normalise(source), normalise(target)
    accepted, competing = candidates.accepted, candidates.rivals[1]
    everything = np.einsum("ij,j->i", source, target[:competing].sum(axis=0, dtype=np.float64), dtype=np.float64)
    rows, columns = np.repeat(np.arange(len(source)), np.diff(accepted.indptr)), accepted.indices
    rows, columns = rows[columns < competing], columns[columns < competing]
    right = np.bincount(rows, _cosines(source, target, rows, columns), minlength=len(source))
    wrong = competing - np.bincount(rows, minlength=len(source))
    mismatched = np.divide(everything - right, wrong, out=np.full(len(source), np.nan), where=wrong > 0)
    cosine = _cosines(source, target, candidates.source_of, candidates.target_of)
    return cosine, cosine - mismatched[candidates.source_of]


def _cosines(source: np.ndarray, target: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    height = max(1, 2**24 // max(1, source.shape[1]))  # 64 MB of gathered rows a side
    parts = [slice(start, start + height) for start in range(0, max(1, len(i)), height)]
    return np.concatenate([_dots(source[i[part]], target[j[part]]) for part in parts])


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", x, y, dtype=np.float64)


def _centre(x: np.ndarray) -> np.ndarray | None:
    """Centred and scaled float64 copy (HSIC is blind to both, its sums are not); None when nothing varies."""
    raw = np.asarray(x)
    x = raw.astype(np.float64)
    x -= x.mean(axis=0)
    scale = np.sqrt(np.einsum("ij,ij->", x, x) / len(x))
    # a side whose spread is within float32 rounding of its own size is constant
    if not scale > 1e-7 * np.abs(raw).max(initial=0):
        return None
    x /= scale
    return x


def _hsic(x: np.ndarray, y: np.ndarray) -> float:
    """N (n - 3) times the unbiased HSIC of linear kernels whose diagonals are set to zero."""
    n = len(x)
    norms_x, norms_y = _dots(x, x), _dots(y, y)
    if n > max(x.shape[1], y.shape[1]):
        cross = x.T @ y
        trace = np.einsum("ij,ij->", cross, cross)
    else:
        trace = np.einsum("ij,ij->", x @ x.T, y @ y.T)
    trace -= norms_x @ norms_y
    rows_x, rows_y = x @ x.sum(axis=0) - norms_x, y @ y.sum(axis=0) - norms_y  # row sums of the two kernels
    return float(trace + rows_x.sum() * rows_y.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (rows_x @ rows_y))
