"""The hidden state that aligns best, by the select split, and how sure that choice is."""

from __future__ import annotations

import numpy as np
import pandas as pd


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
