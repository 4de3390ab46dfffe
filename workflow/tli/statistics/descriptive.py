"""Descriptive companions of the confirmatory test: a seed x word bootstrap, and a mixed model. They drive no verdict.

With no effect but run-to-run variance, the bootstrap of seeds and words still calls .21 / .16 / .08 of null cells
significant at 3 / 5 / 10 seeds: it is shown below 10 seeds as an interval only. The mixed model needs 8 seeds.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.statistics.columns import PLACE
from tli.statistics.paired import NO_VARIANCE, resamples

BOOTSTRAP_BELOW, MIXED_FROM = 10, 8
LARGEST_MODEL = 1_500  # rows; above it the closed form, equal where the design is balanced, saves minutes a cell


def descriptive(words: pd.DataFrame, measures: list[str], output: dict[str, int], bootstrap=2000, seed=0, alpha=0.05) -> pd.DataFrame:
    """Rows of TESTS, held-out split at the output, one block a non-zero cell and measure.

    words: `comparing.compared` of the similarities by PLACE and pair_id, with `measures`, their _before and _placebo.
    """
    at_output = words["hidden_state"] == words["model"].map(output)
    words = words[at_output & (words["split"] == "heldout") & ~words["control"].astype(bool)]
    rows = []
    for key, cell in words.groupby([*tables.CELL, *PLACE], sort=True):
        head = dict(zip([*tables.CELL, *PLACE], key, strict=True)) | {"level": "descriptive", "family": "", "seed": -1}
        for measure in measures:
            after, before, placebo = (_grid(cell, measure + side) for side in ("", "_before", "_placebo"))
            for contrast, d in ((facts.AFTER_BEFORE, after - before), (facts.REAL_PLACEBO, after - placebo)):
                d = _complete(d)
                if d.shape[0] >= 2 and d.shape[0] < BOOTSTRAP_BELOW and d.shape[1] >= 2:
                    rows.append({**head, "metric": measure, "contrast": contrast, **_bootstrap(d, bootstrap, seed, alpha)})
            real, wrong = _complete(after - before), _complete(placebo - before)
            if measure not in BINARY and real.shape[0] >= MIXED_FROM and real.shape == wrong.shape and real.shape[1] >= 2:
                fitted = mixed_model(real, wrong, alpha)
                rows.append({**head, "metric": measure, "contrast": facts.REAL_PLACEBO, **fitted})
    return pd.DataFrame(rows, columns=[name for name in tables.TESTS if name not in UNFILLED])


BINARY = ("csls_hit",)  # right or wrong: no linear model of single words
UNFILLED = ("family_size", "p_holm", "p_bh", "p_by")


def _grid(cell, column) -> np.ndarray:
    return cell.pivot(index="seed", columns="pair_id", values=column).to_numpy(float)


def _complete(d: np.ndarray) -> np.ndarray:
    d = d[np.isfinite(d).any(1)]
    return d[:, np.isfinite(d).all(0)] if len(d) else d


def _bootstrap(d, times, seed, alpha) -> dict:
    low, high = seed_word_bootstrap(d, times, np.random.default_rng(seed), alpha)
    note = f"interval only: {times} resamples of seeds and of words; too narrow at few seeds"
    return {
        "test": "seed x word bootstrap",
        "n": d.shape[0],
        "estimate": d.mean(),
        "sd": d.mean(1).std(ddof=1),
        "low": low,
        "high": high,
        "note": note if d.std() > 1e-12 else NO_VARIANCE,
    }


def seed_word_bootstrap(d: np.ndarray, times: int, random, alpha=0.05) -> tuple[float, float]:
    """Percentile interval of the mean of d (seeds x words), both resampled with replacement."""
    seeds, words = d.shape
    draws = ((resamples(seeds, times, random) @ d) * resamples(words, times, random)).sum(1) / (seeds * words)
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def mixed_model(real: np.ndarray, placebo: np.ndarray, alpha=0.05) -> dict:
    """gain ~ condition with crossed random intercepts of run (condition x seed) and word, by REML (statsmodels).

    real, placebo: gains, runs x words, the same words in both. Where the fit does not converge, has no error, or has more
    than LARGEST_MODEL rows, the closed form of the balanced design stands for it (the note says so): with every word
    in every run the words cancel, and the estimate and error of the condition are those of a t over the run means.
    """
    from scipy import stats

    s = real.shape[0]
    estimate = float(real.mean() - placebo.mean())
    means = np.concatenate([real.mean(1) - real.mean(), placebo.mean(1) - placebo.mean()])
    df = 2 * s - 2
    row = {"test": "mixed model: gain ~ condition, run and word random", "n": 2 * s, "df": df, "estimate": estimate}
    if not np.sqrt((means**2).sum() / df) > 1e-12:
        return {**row, "note": NO_VARIANCE.replace("differences", "runs")}
    error, note = _fit(real, placebo)
    if not np.isfinite(error):
        error = float(np.sqrt((means**2).sum() / df * 2 / s))
        note = f"{note}: closed form of the balanced design (t over the run means)"
    t = estimate / error
    half = stats.t.isf(alpha / 2, df) * error
    p = float(2 * stats.t.sf(abs(t), df))
    return {
        **row,
        "sd": error,
        "low": estimate - half,
        "high": estimate + half,
        "statistic": t,
        "p": p,
        "log10_p": float(np.log10(p)) if p > 0 else -np.inf,
        "note": f"{note}; sd is the standard error; df 2 x seeds - 2",
    }


def _fit(real, placebo) -> tuple[float, str]:
    s, n = real.shape
    if 2 * s * n > LARGEST_MODEL:
        return np.nan, f"{2 * s * n} rows, not fitted iteratively"
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    run = np.repeat(np.arange(2 * s), n)
    word = np.tile(np.arange(n), 2 * s)
    scale = float(np.concatenate([real, placebo]).std()) or 1.0
    gain = np.concatenate([real.ravel(), placebo.ravel()]) / scale
    condition = np.column_stack([np.ones(2 * s * n), run < s]).astype(float)
    parts = [[(codes[:, None] == np.arange(size)).astype(float)] for codes, size in ((run, 2 * s), (word, n))]
    names = [[[str(i) for i in range(2 * s)]], [[str(i) for i in range(n)]]]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = MixedLM(gain, condition, np.zeros(len(gain)), exog_vc=VCSpec(["run", "word"], names, parts))
            fit = model.fit(reml=True, method=["lbfgs"])
            error = float(fit.bse[1]) * scale
    except (np.linalg.LinAlgError, ValueError, FloatingPointError) as problem:
        return np.nan, f"the fit stopped ({problem})"
    if not fit.converged or not error > 0:
        return np.nan, "the fit did not converge"
    return error, "REML"
