"""The hidden state that aligns best, by the select split, and how sure that choice is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli.specs import ScanSpec

COLUMNS = ["hidden_state", "criterion", "value", "win_share", "chosen"]


def choice_pooling(spec: ScanSpec) -> str:
    """The pooling that `best` is chosen by: without BOS wherever the scan has that; pooled in, BOS hides what the words do.

    In the frames that carry the claims, where there are such.
    """
    pooling = token_pooling(spec)
    return pooling + spec.templates.names[0] if spec.templates is not None and spec.templates.carry_claims else pooling


def token_pooling(spec: ScanSpec) -> str:
    """The same of words by themselves."""
    return next((name for name in spec.poolings if name != "with-bos"), spec.poolings[0])


def choose_layer(rows: pd.DataFrame, figures: pd.DataFrame, layers: int, spec: ScanSpec, *, seed: int = 0) -> pd.DataFrame:
    """The `best` hidden state by `spec.best_by` on the select split over hs[1]..hs[layers - 1]; ties go to the lower one.

    rows, figures: as the scan gives them, with split, pooling and hidden_state. layers: blocks of the model.
    Returns the columns hidden_state, criterion, value, win_share, chosen. win_share is how often each would have been
    chosen when the select split's words are drawn again with replacement (`spec.bootstrap` times).
    Without a select split, or in a model of one block, there is nothing to choose: then there is no row.
    """
    pooling = choice_pooling(spec)
    states = list(range(1, min(layers - 1, spec.best_at_most or layers) + 1))
    figures = figures[(figures["split"] == "select") & (figures["pooling"] == pooling)].set_index("hidden_state")
    if not states or not set(states) <= set(figures.index):
        return pd.DataFrame(columns=COLUMNS)
    value = figures.loc[states, spec.best_by].to_numpy(float)
    wins = np.zeros(len(states))
    per_word = _per_word(rows[(rows["split"] == "select") & (rows["pooling"] == pooling)], states, spec.best_by)
    if per_word is not None and spec.bootstrap:
        words = per_word.shape[1]
        draws = np.random.default_rng(seed).multinomial(words, np.full(words, 1 / words), size=spec.bootstrap)
        wins = np.bincount((draws @ per_word.T).argmax(axis=1), minlength=len(states)) / spec.bootstrap
    table = pd.DataFrame({"hidden_state": states, "criterion": spec.best_by, "value": value, "win_share": wins, "chosen": False})
    table.loc[int(np.nanargmax(np.where(np.isnan(value), -np.inf, value))), "chosen"] = True
    return table


CRITERIA = {
    "csls_p_at_1": lambda rows: rows["csls_target_rank"] == 1,
    "p_at_1": lambda rows: rows["target_rank"] == 1,
    "mrr": lambda rows: 1 / rows["target_rank"],
    "cosine": lambda rows: rows["cosine"],
    "gap": lambda rows: rows["cosine"] - rows["mismatched_mean"],
    "z": lambda rows: (rows["cosine"] - rows["mismatched_mean"]) / rows["mismatched_sd"],
    "mexa": lambda rows: (rows["cosine"] > rows["best_rival"]) & (rows["cosine"] > rows["best_rival_reverse"]),
}


def _per_word(rows: pd.DataFrame, states: list[int], criterion: str) -> np.ndarray | None:
    """The criterion as a mean over words: [hidden states, words]."""
    score = CRITERIA[criterion](rows).astype(float)
    table = rows.assign(score=score).pivot(index="hidden_state", columns="pair_id", values="score")
    return table.loc[states].to_numpy() if len(table) else None
