"""Measure a lexicon on an opened model: embed its forms, then every figure of every pair, split and hidden state."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import metrics
from tli.model.embedding import embed
from tli.model.opening import Opened
from tli.model.pooling import tokenize


def measure(
    opened: Opened, pairs: pd.DataFrame, hidden_states: list[int], poolings: list[str], *, k: int = 10, progress=None, embedded=None
) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Rows per pair and figures per split, for each hidden state and pooling, and the vectors.

    pairs: columns tables.PAIRS. embedded: what `embed` gave for `forms(pairs)`, where it was done before. Returns (rows with the columns of tables.SIMILARITIES after the run's own,
    figures with those of tables.RUN_METRICS after the run's own, {(hidden state, pooling): (source vectors [n, d],
    target vectors [n, d])} by pair, float32).
    """
    candidates = metrics.candidates(pairs)
    if embedded is None:
        embedded = embed(opened, forms(candidates), hidden_states, poolings, progress=progress)
    rows, figures, vectors = [], [], {}
    splits = pairs["split"].to_numpy()
    for (state, pooling), all_vectors in embedded.vectors.items():
        parts = metrics.Vectors.of(all_vectors, candidates)
        found, by_split = metrics.evaluate(parts, candidates, splits, k=k, sink_ratio=embedded.sink_ratio[state])
        found.insert(0, "pair_id", pairs["pair_id"].to_numpy())
        found.insert(1, "split", splits)
        found.insert(2, "hidden_state", state)
        found.insert(3, "pooling", pooling)
        rows.append(found)
        normed = state == opened.layers
        figures += [
            {"split": split, "hidden_state": state, "normed": normed, "pooling": pooling, **values} for split, values in by_split.items()
        ]
        vectors[state, pooling] = (parts.source[candidates.source_of], parts.target[candidates.target_of])
    return pd.concat(rows, ignore_index=True), pd.DataFrame(figures), vectors


def forms(candidates: metrics.Candidates) -> list[str]:
    """The forms that `measure` embeds, in its order."""
    return candidates.forms


EDIT_LIMIT = 4_000_000  # comparisons of two words; beyond, edit similarity is left empty


def word_facts(opened: Opened, pairs: pd.DataFrame, source_vectors: np.ndarray) -> pd.DataFrame:
    """What else may tell which words gain: tables.WORDS without model and pair.

    source_vectors: [pairs, hidden] at the output, before training. A trained word is compared with the other trained ones.
    """
    from tli.lexicon import edit_similarity

    trained = np.flatnonzero((pairs["split"] == "train").to_numpy())
    units = source_vectors / np.maximum(np.linalg.norm(source_vectors, axis=1, keepdims=True), 1e-12)
    sources = pairs["source"].tolist()
    nearest, edit = np.full(len(pairs), np.nan), np.full(len(pairs), np.nan)
    for start in range(0, len(pairs), 2000) if len(trained) else ():
        rows = slice(start, start + 2000)
        cosines = units[rows] @ units[trained].T
        same = pairs["source"].to_numpy()[rows, None] == pairs["source"].to_numpy()[None, trained]
        nearest[rows] = np.where(same, -np.inf, cosines).max(axis=1)
    if 0 < len(pairs) * len(trained) <= EDIT_LIMIT:
        names = [sources[j] for j in trained]
        for i, source in enumerate(sources):
            others = [name for name in names if name != source]
            edit[i] = edit_similarity([source] * len(others), others).max() if others else np.nan
    counts = [tokenize(opened.tokenizer, pairs[side].tolist()) for side in ("source", "target")]
    return pd.DataFrame(
        {
            "pair_id": pairs["pair_id"].to_numpy(),
            "token_count": [word.last - word.first for word in counts[0]],
            "target_token_count": [word.last - word.first for word in counts[1]],
            "nearest_trained": np.where(np.isfinite(nearest), nearest, np.nan),
            "edit_similarity": edit,
        }
    )
