"""Measure a lexicon on an opened model: embed its forms, then every figure of every pair, split and hidden state."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import metrics
from tli.embed import embed, tokenize
from tli.model.opening import Opened


def measure(
    opened: Opened, pairs: pd.DataFrame, hidden_states: list[int], poolings: list[str], *, k: int = 10, progress=None, embedded=None
) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Rows per pair and figures per split, for each hidden state and pooling, and the vectors.

    pairs: columns tables.PAIRS. embedded: what `embed` gave for `forms(pairs)`, where it was done before. Returns (rows with the columns of tables.SIMILARITIES after the run's own,
    figures with those of tables.RUN_METRICS after the run's own, {(hidden state, pooling): (source vectors [n, d],
    target vectors [n, d])} by pair, float32).
    """
    candidates = metrics.candidates(pairs)
    n, m = len(candidates.source_forms), len(candidates.target_forms)
    if embedded is None:
        embedded = embed(opened, forms(candidates), hidden_states, poolings, progress=progress)
    rows, figures, vectors = [], [], {}
    splits = pairs["split"].to_numpy()
    for (state, pooling), all_vectors in embedded.vectors.items():
        source, target, reference = all_vectors[:n], all_vectors[n : n + m], all_vectors[n + m :]
        found, by_split = metrics.evaluate(
            source, target, candidates, splits, reference_vectors=reference, k=k, sink_ratio=embedded.sink_ratio[state]
        )
        found.insert(0, "pair_id", pairs["pair_id"].to_numpy())
        found.insert(1, "split", splits)
        found.insert(2, "hidden_state", state)
        found.insert(3, "pooling", pooling)
        rows.append(found)
        normed = state == opened.layers
        figures += [
            {"split": split, "hidden_state": state, "normed": normed, "pooling": pooling, **values} for split, values in by_split.items()
        ]
        vectors[state, pooling] = (source[candidates.source_of], target[candidates.target_of])
    return pd.concat(rows, ignore_index=True), pd.DataFrame(figures), vectors


def forms(candidates: metrics.Candidates) -> list[str]:
    """The forms that `measure` embeds, in its order."""
    return [*candidates.source_forms, *candidates.target_forms, *candidates.reference_forms]


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


def choose_layer(
    rows: pd.DataFrame, figures: pd.DataFrame, layers: int, criterion: str, pooling: str, *, k: int, at_most: int | None = None,
    bootstrap: int = 1000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """The `best` hidden state by `criterion` on the select split over hs[1]..hs[L-1]; ties go to the lower one.

    rows, figures: as `measure` gives them. Returns columns hidden_state, criterion, value, win_share, chosen. win_share is
    how often each would have been chosen when the select split's words are drawn again with replacement.
    Without a select split, or in a model of one block, there is nothing to choose: then no row is chosen.
    """
    states = list(range(1, min(layers - 1, at_most or layers) + 1))
    figures = figures[(figures["split"] == "select") & (figures["pooling"] == pooling)].set_index("hidden_state")
    if not states or not set(states) <= set(figures.index):
        return pd.DataFrame(columns=["hidden_state", "criterion", "value", "win_share", "chosen"])
    value = figures.loc[states, criterion].to_numpy(float)
    wins = np.zeros(len(states))
    per_word = _per_word(rows[(rows["split"] == "select") & (rows["pooling"] == pooling)], states, criterion)
    if per_word is not None and bootstrap:
        words = per_word.shape[1]
        draws = np.random.default_rng(seed).multinomial(words, np.full(words, 1 / words), size=bootstrap)
        wins = np.bincount((draws @ per_word.T).argmax(axis=1), minlength=len(states)) / bootstrap
    table = pd.DataFrame({"hidden_state": states, "criterion": criterion, "value": value, "win_share": wins, "chosen": False})
    table.loc[int(np.nanargmax(np.where(np.isnan(value), -np.inf, value))), "chosen"] = True
    return table


def _per_word(rows: pd.DataFrame, states: list[int], criterion: str) -> np.ndarray | None:
    """The criterion as a mean over words: [hidden states, words]."""
    score = {
        "csls_p_at_1": lambda r: r["csls_target_rank"] == 1,
        "p_at_1": lambda r: r["target_rank"] == 1,
        "mrr": lambda r: 1 / r["target_rank"],
        "cosine": lambda r: r["cosine"],
        "gap": lambda r: r["cosine"] - r["mismatched_mean"],
        "z": lambda r: (r["cosine"] - r["mismatched_mean"]) / r["mismatched_sd"],
        "mexa": lambda r: (r["cosine"] > r["best_rival"]) & (r["cosine"] > r["best_rival_reverse"]),
    }[criterion](rows).astype(float)
    table = rows.assign(score=score).pivot(index="hidden_state", columns="pair_id", values="score")
    return table.loc[states].to_numpy() if len(table) else None
