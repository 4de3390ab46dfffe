"""A list of words and what is measured of it, from cosine matrices that are drawn here."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli.io import tables as columns

CATEGORIES = ["body", "food", "kinship", "time"]
POOLING = "no-bos"
LEVEL, SPREAD, SIGNAL = 0.30, 0.08, 0.15  # mismatched cosine, its standard deviation, what a translation has above it


def lexicon(pair, words, random):
    split = np.array(["train"] * (words // 2) + ["select"] * (words // 8))
    split = np.concatenate([split, np.repeat("heldout", words - len(split))])
    order = random.permutation(words)  # no order in the file tells the split
    number = np.arange(words)
    return pd.DataFrame(
        {
            "pair": pair,
            "pair_id": [f"{pair}-w{i:03d}" for i in number],
            "source": [f"neno{i}" for i in number],
            "target": [f"word{i}" for i in number],
            "alternatives": "",
            "category": np.array(CATEGORIES)[number % len(CATEGORIES)],
            "component": [f"{pair}-c{i // 2 if i % 10 == 1 else i:03d}" for i in number],
            "split": split[np.argsort(order)],
            "cognate": random.beta(1, 4, words).round(3),
            "provenance": "synthetic",
        }
    )


def matrix(words, h, depth, random):
    matrix = LEVEL + random.normal(0, SPREAD, (words, words))
    matrix[np.diag_indices(words)] += SIGNAL * (1.0 - 0.15 * abs(h - 3)) if h else 0.0
    return matrix


def _ranks(scores):
    right = np.diag(scores)[:, None]
    return (scores >= right).sum(1)  # the right one counts itself: 1 is best, ties count against


def measure(key, s, lexicon, h, depth, similarities, metrics):
    """The rows and figures of both pools: the whole list, and the held-out words among the forms that are not trained."""
    free = (lexicon.split != "train").to_numpy()
    whole, k = _words(key, s, lexicon, h, columns.WHOLE_LIST)
    untrained, k_untrained = _words(key, s[np.ix_(free, free)], lexicon[free], h, columns.UNTRAINED)
    for words, near in ((whole, k), (untrained[untrained.split == "heldout"], k_untrained)):
        similarities.append(words)
        for split, part in words.groupby("split", sort=True):
            place = {"split": split, "hidden_state": h, "normed": h == depth, "pooling": POOLING}
            metrics.append({**key, **place, **_summary(part, near), **_beside(part, int(free.sum()) if words is not whole else len(s))})


def _beside(words, pool):
    """What stands beside the figures of a pool (columns.POOLS)."""
    shares = {"chance": 1 / pool, "chance_reverse": 1 / pool, "string_p_at_1": 0.0, "string_p_at_1_reverse": 0.0}
    return {"pool": words["pool"].iloc[0], "pool_sources": pool, "pool_targets": pool, "leaked": 0, **shares}


def _words(key, s, lexicon, h, pool):
    n = len(s)
    right, off = np.diag(s), ~np.eye(n, dtype=bool)
    wrong = s[off].reshape(n, n - 1)
    k, k_margin = max(1, min(10, n // 10)), max(1, min(4, n // 10))
    near_t = np.sort(s, 1)[:, -k:].mean(1)[:, None]
    near_s = np.sort(s, 0)[-k:].mean(0)[None]
    csls = 2 * s - near_t - near_s
    margin = s / (np.sort(s, 1)[:, -k_margin:].mean(1)[:, None] + np.sort(s, 0)[-k_margin:].mean(0)[None]) * 2
    rival, reverse = wrong.max(1), s.T[off].reshape(n, n - 1).max(1)
    words = pd.DataFrame(
        {
            **key,
            "pair_id": lexicon.pair_id.to_numpy(),
            "split": lexicon.split.to_numpy(),
            "hidden_state": h,
            "pooling": POOLING,
            "pool": pool,
            "leaked": False,
            "chance": 1 / n,
            "chance_reverse": 1 / n,
            "string_rank": float(n),
            "string_rank_reverse": float(n),
            "cosine": right,
            "mismatched_mean": wrong.mean(1),
            "mismatched_sd": wrong.std(1),
            "mismatched_xcs": 2.5 * wrong.clip(min=0).mean(1),
            "best_rival": rival,
            "best_rival_reverse": reverse,
            "best_reference": np.nan,
            "target_rank": _ranks(s),
            "source_rank": _ranks(s.T),
            "csls_target_rank": _ranks(csls),
            "csls_source_rank": _ranks(csls.T),
            "margin": np.diag(margin),
            "margin_target_rank": _ranks(margin),
        }
    )
    return words, k


def _summary(w, k):
    gap = (w.cosine - w.mismatched_mean).mean()
    return dict.fromkeys(columns.METRICS, gap) | {  # a metric that is not written here has the gap's value
        "k": k,
        "n": len(w),
        "cosine": w.cosine.mean(),
        "mismatched": w.mismatched_mean.mean(),
        "gap": gap,
        "z": ((w.cosine - w.mismatched_mean) / w.mismatched_sd).mean(),
        "p_at_1": (w.target_rank <= 1).mean(),
        "p_at_5": (w.target_rank <= 5).mean(),
        "mrr": (1 / w.target_rank).mean(),
        "p_at_1_reverse": (w.source_rank <= 1).mean(),
        "p_at_5_reverse": (w.source_rank <= 5).mean(),
        "mrr_reverse": (1 / w.source_rank).mean(),
        "csls_p_at_1": (w.csls_target_rank <= 1).mean(),
        "csls_p_at_1_reverse": (w.csls_source_rank <= 1).mean(),
        "mexa": ((w.cosine > w.best_rival) & (w.cosine > w.best_rival_reverse)).mean(),
        "margin_error": (w.margin_target_rank > 1).mean(),
        "xcs": 2.5 * w.cosine.clip(lower=0).mean(),
        "xcs_mismatched": w.mismatched_xcs.mean(),
        "ref_xcs": np.nan,
        "ref_xcs_mismatched": np.nan,
        "cka": 0.5 + gap / 2,
        "cosine_centred": gap,
        "gap_centred": gap,
        "cosine_no_sink": w.cosine.mean() - 0.05,
        "gap_no_sink": gap,
        "sink_ratio": 1.5,
    }
