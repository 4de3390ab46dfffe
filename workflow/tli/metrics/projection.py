"""Pictures of words: t-SNE and PCA of the vectors of both sides, for the eye and for no test."""

from __future__ import annotations

import numpy as np
import pandas as pd


def project(sources: np.ndarray, targets: np.ndarray, pairs: pd.DataFrame, number: int, seed: int = 0) -> pd.DataFrame:
    """Two-dimensional coordinates of up to `number` pairs, held-out ones first, then training ones.

    sources, targets: [pairs, hidden], normalised here, so that distance follows cosine. Columns method, side, pair_id,
    split, form, x, y.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    order = pairs["split"].map({"heldout": 0, "train": 1}).fillna(2).to_numpy()
    chosen = np.sort(np.argsort(order, kind="stable")[:number])
    both = np.concatenate([sources[chosen], targets[chosen]]).astype(np.float64)
    both /= np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12)
    methods = {}
    if len(both) >= 6:
        methods["PCA"] = PCA(2, random_state=seed).fit_transform(both)
        methods["t-SNE"] = TSNE(2, init="pca", perplexity=min(30, (len(both) - 1) / 3), random_state=seed).fit_transform(both)
    rows = pairs.iloc[chosen]
    parts = []
    for method, points in methods.items():
        for side, half in (("source", points[: len(chosen)]), ("target", points[len(chosen) :])):
            names = {"method": method, "side": side, "pair_id": rows["pair_id"].to_numpy(), "split": rows["split"].to_numpy()}
            parts.append(pd.DataFrame(names | {"form": rows[side].to_numpy(), "x": half[:, 0], "y": half[:, 1]}))
    columns = ["method", "side", "pair_id", "split", "form", "x", "y"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
