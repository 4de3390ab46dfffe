"""From the rows of pairs to the figures of a split."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import pandas as pd

from tli.io import tables
from tli.metrics.candidates import Candidates, neighbourhood
from tli.metrics.geometry import geometry, robustness
from tli.metrics.retrieval import TIE, XCS_SCALE, per_pair
from tli.metrics.vectors import Vectors

K = TypeVar("K", bound=Hashable)


def summary(rows: pd.DataFrame, k: int) -> dict[str, float]:
    """The figures that the rows of `per_pair` give, for the queries of one split; `k` is the neighbourhood they used.

    - z: mean of (cosine - mismatched mean) / sd over the queries whose sd float32 resolves.
    - MEXA (arXiv 2410.05873): share of queries whose own cosine is above every rival of its row and of its column.
    - margin_error (xsim): share whose source -> target retrieval by the ratio margin (Artetxe & Schwenk 2019, k = 4) fails, as LASER's
      xSIM (source/xsim.py of facebookresearch/LASER, commit 7fb053d) counts it with `eval_text`. Searched over all candidates; LASER scores
      the k nearest by cosine alone, so a right one that stands lower is lost there.
    - xcs: mean of 2.5 max(cosine, 0), CLIPScore's form (arXiv 2104.08718) with no image in it. Its mismatched twin is
      the mean of the same over the query's wrong targets.
    - ref_xcs: RefCLIPScore's form, the mean over queries with a reference of the harmonic mean of xCS and
      max(best_reference, 0). Its twin changes the xCS as above and keeps the target and its references.
    Without a query, or where a figure is undefined for all queries, it is NaN.
    """
    cosine, wrong = rows["cosine"].to_numpy(float), rows["mismatched_mean"].to_numpy(float)
    sd, reference = rows["mismatched_sd"].to_numpy(float), rows["best_reference"].to_numpy(float)
    xcs = XCS_SCALE * np.maximum(cosine, 0)
    xcs_wrong = rows["mismatched_xcs"].to_numpy(float)
    z = np.divide(cosine - wrong, sd, out=np.full(len(rows), np.nan), where=sd > TIE)
    above = [~(rows[name].to_numpy(float) >= cosine - TIE) for name in ("best_rival", "best_rival_reverse")]
    ranks = {name: rows[name].to_numpy() for name in rows.columns if name.endswith("_rank")}
    return {
        "k": int(k),
        "n": len(rows),
        "cosine": _mean(cosine),
        "mismatched": _mean(wrong),
        "gap": _mean(cosine - wrong),
        "z": _mean(z),
        "p_at_1": _mean(ranks["target_rank"] <= 1),
        "p_at_5": _mean(ranks["target_rank"] <= 5),
        "mrr": _mean(1 / ranks["target_rank"]),
        "p_at_1_reverse": _mean(ranks["source_rank"] <= 1),
        "p_at_5_reverse": _mean(ranks["source_rank"] <= 5),
        "mrr_reverse": _mean(1 / ranks["source_rank"]),
        "csls_p_at_1": _mean(ranks["csls_target_rank"] <= 1),
        "csls_p_at_1_reverse": _mean(ranks["csls_source_rank"] <= 1),
        "mexa": _mean(above[0] & above[1]),
        "margin_error": _mean(ranks["margin_target_rank"] > 1),
        "xcs": _mean(xcs),
        "xcs_mismatched": _mean(xcs_wrong),
        "ref_xcs": _mean(_harmonic(xcs, np.maximum(reference, 0))),
        "ref_xcs_mismatched": _mean(_harmonic(xcs_wrong, np.maximum(reference, 0))),
    }


def evaluate(
    vectors: Vectors,
    candidates: Candidates,
    splits: np.ndarray,
    *,
    k: int = 10,
    sink_ratio: float = np.nan,
    block_megabytes: float = 256,
) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """Rows of `per_pair` and, for each split, every figure of tables.METRICS (NaN where undefined).

    `splits` [n_pairs] names each pair's split. Queries come from the split, rivals are all candidates.
    `sink_ratio` is passed through: it is had from token norms, not from word vectors.
    """
    splits = np.asarray(splits)
    n = len(candidates.source_of)
    if splits.shape != (n,):
        raise ValueError(f"splits has shape {splits.shape}; expected one name for each of {n} pairs")
    rows = per_pair(vectors, candidates, k=k, block_megabytes=block_megabytes)
    queries = {split: splits == split for split in sorted(set(splits.tolist()))}
    return rows, figures_of(rows, vectors, candidates, queries, k=k, sink_ratio=sink_ratio)


def figures_of(
    rows: pd.DataFrame, vectors: Vectors, candidates: Candidates, queries: Mapping[K, np.ndarray], *, k: int, sink_ratio: float = np.nan
) -> dict[K, dict[str, float]]:
    """Every figure of tables.METRICS for each group of `queries`, masks [n_pairs] by name; rows: what `per_pair` gave with `k`."""
    used = neighbourhood(k, candidates)
    robust = robustness(vectors, candidates)
    figures = {}
    for name, mask in queries.items():
        values = summary(rows[mask], used) | geometry(vectors, candidates, mask, robust=robust) | {"sink_ratio": float(sink_ratio)}
        figures[name] = {metric: values[metric] for metric in tables.METRICS}
    return figures


def _mean(values: np.ndarray) -> float:
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _harmonic(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """2ab / (a + b); 0 where both are 0, NaN where either is."""
    total = first + second
    return np.divide(2 * first * second, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)
