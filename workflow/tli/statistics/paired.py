"""Tests of paired differences: arrays in, figures out. Nothing here knows of runs, seeds or words.

Where differences do not vary, no test of them is defined: its statistic, p and interval are NaN and `note` says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

UNDEFINED = "undefined: "
ROUNDING = 1e-7  # of float32, in which the cosines are: differences below it are none
NO_VARIANCE = UNDEFINED + "the differences do not vary"
TOO_FEW = UNDEFINED + "fewer than two differences"


def log10_p_of_t(t: ArrayLike, df: ArrayLike) -> Any:
    """log10 of the two-sided p of a t statistic, exact also where p itself is below the smallest float.

    p = I_x(df / 2, 1 / 2), x = df / (df + t^2); where that underflows, the continued fraction of the incomplete beta
    function (DLMF 8.17.22) is taken in logarithms. Arrays broadcast; NaN stays NaN.
    """
    from scipy import special, stats

    t, df = np.broadcast_arrays(np.abs(np.asarray(t, float)), np.asarray(df, float))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = np.asarray(np.log10(2 * stats.t.sf(t, df)))
    small = (result < -280) & np.isfinite(t)
    if small.any():
        tt, a, b = t[small], df[small] / 2, 0.5
        log_x = -np.log1p((tt / np.sqrt(df[small])) ** 2)
        log_1_x = log_x + 2 * np.log(tt) - np.log(df[small])
        front = a * log_x + b * log_1_x - np.log(a) - special.betaln(a, b)
        result = np.array(result)
        result[small] = (front + np.log(_beta_fraction(a, b, np.exp(log_x)))) / np.log(10)
    return result if result.ndim else float(result)


def _beta_fraction(a: np.ndarray, b: float, x: np.ndarray, steps: int = 300) -> np.ndarray:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))) of DLMF 8.17.22, from the tail upwards."""
    tail = np.ones_like(x)
    for m in range(steps, 0, -1):
        half = m // 2
        if m % 2:
            d = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            d = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        tail = 1 + d / tail
    return 1 / tail


def t_of_differences(differences: ArrayLike, alpha: float = 0.05) -> dict[str, np.ndarray]:
    """One-sample t of every column of `differences` (replicates x tests) against 0, two-sided.

    Returns arrays, one value a column: n, df, estimate, sd, low, high (1 - alpha interval), statistic, p, log10_p, dz, note.
    Columns whose differences do not vary, to within rounding, or with fewer than two rows get NaN and a note.
    """
    from scipy import stats

    d = np.asarray(differences, float)
    d = d[:, None] if d.ndim == 1 else d
    n = d.shape[0]
    nothing = np.full(d.shape[1], np.nan)
    mean = d.mean(0) if n else nothing
    sd = d.std(0, ddof=1) if n > 1 else nothing
    still = ~(sd > ROUNDING * np.maximum(1.0, np.abs(d).max(0, initial=0.0)))
    sd = np.where(still & np.isfinite(mean) & (n > 1), 0.0, sd)
    usable = ~still & np.isfinite(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(usable, mean / (sd / np.sqrt(max(n, 1))), np.nan)
        half = stats.t.isf(alpha / 2, max(n - 1, 1)) * sd / np.sqrt(max(n, 1))
        dz = np.where(usable, mean / sd, np.nan)
    note = np.where(usable, "", TOO_FEW if n < 2 else NO_VARIANCE).astype(object)
    note[~np.isfinite(mean)] = TOO_FEW if n < 2 else UNDEFINED + "a value is missing"
    df = np.full(d.shape[1], float(n - 1) if n > 1 else np.nan)
    return {
        "n": np.full(d.shape[1], n),
        "df": df,
        "estimate": mean,
        "sd": sd,
        "low": np.where(usable, mean - half, np.nan),
        "high": np.where(usable, mean + half, np.nan),
        "statistic": t,
        "p": 2 * stats.t.sf(np.abs(t), max(n - 1, 1)),
        "log10_p": log10_p_of_t(t, max(n - 1, 1)),
        "dz": dz,
        "note": note,
    }


def paired_t(before: ArrayLike, after: ArrayLike, alpha: float = 0.05) -> dict:
    """Paired t test of after - before over words, as the paper makes it: n, df, estimate, sd, low, high, statistic, p, ...

    before, after: one value a word, shape (n,), or (n, tests) for many tests at once. Also `dz` (mean difference over the
    sd of the differences) and `d_av` (over the mean of the two sds, Lakens 2013). Scalars for one test, arrays for many.
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    result = t_of_differences(after - before, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (before.std(0, ddof=1) + after.std(0, ddof=1)) / 2 if before.shape[0] > 1 else np.nan
        result["d_av"] = np.atleast_1d(np.where(spread > 0, (after - before).mean(0) / spread, np.nan))
    if after.ndim == 1:
        return {name: value[0] if name == "note" else value[0].item() for name, value in result.items()}
    return result


def resamples(size: int, times: int, random: np.random.Generator) -> np.ndarray:
    """How often each of `size` items is drawn in each of `times` bootstrap resamples: float64 (times, size)."""
    return random.multinomial(size, np.full(size, 1 / size), size=times).astype(float)


def bca_means(
    differences: ArrayLike, times: int = 2000, random: np.random.Generator | None = None, alpha: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """BCa bootstrap interval of the mean of every column (Efron 1987): arrays low, high; NaN where it does not vary.

    All columns share the resamples, so that one matrix product serves them; for a mean, the jackknife's acceleration has a
    closed form, sum d^3 / (6 (sum d^2)^1.5) of the centred values.
    """
    from scipy import special

    d = np.asarray(differences, float)
    n, mean = d.shape[0], d.mean(0)
    if n < 2:
        return np.full(d.shape[1], np.nan), np.full(d.shape[1], np.nan)
    random = np.random.default_rng(0) if random is None else random
    draws = np.sort(resamples(n, times, random) @ d / n, axis=0)
    centred = d - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        acceleration = (centred**3).sum(0) / (6 * (centred**2).sum(0) ** 1.5)
        below = ((draws < mean).mean(0) + (draws <= mean).mean(0)) / 2
        z0 = special.ndtri(np.clip(below, 0.5 / times, 1 - 0.5 / times))
        ends = []
        for z in special.ndtri([alpha / 2, 1 - alpha / 2]):
            share = special.ndtr(z0 + (z0 + z) / (1 - acceleration * (z0 + z)))
            place = np.clip(np.nan_to_num(share, nan=0.5) * (times - 1), 0, times - 1)
            low = np.floor(place).astype(int)
            high = np.minimum(low + 1, times - 1)
            column = np.arange(d.shape[1])
            ends.append(draws[low, column] + (place - low) * (draws[high, column] - draws[low, column]))
    still = ~(centred.std(0) > ROUNDING * np.maximum(1.0, np.abs(d).max(0)))
    return np.where(still, np.nan, ends[0]), np.where(still, np.nan, ends[1])


def wilcoxon(differences: ArrayLike) -> dict[str, np.ndarray]:
    """Wilcoxon signed-rank test of every column (zeros dropped; normal approximation): statistic, p, log10_p, note."""
    from scipy import special, stats

    d = np.asarray(differences, float)
    d = np.where(np.abs(d) > ROUNDING, d, 0.0)
    some = (d != 0).any(0)
    statistic, z = np.full(d.shape[1], np.nan), np.full(d.shape[1], np.nan)
    if some.any():
        tested = stats.wilcoxon(d[:, some], zero_method="wilcox", method="asymptotic", axis=0)
        statistic[some], z[some] = tested.statistic, tested.zstatistic
    log10_p = (special.log_ndtr(-np.abs(z)) + np.log(2)) / np.log(10)
    note = np.where(some, "", UNDEFINED + "no word changes").astype(object)
    return {"statistic": statistic, "p": 2 * special.ndtr(-np.abs(z)), "log10_p": np.minimum(log10_p, 0.0), "note": note}


def equivalence(differences: ArrayLike, margin: float) -> dict:
    """TOST (Schuirmann 1987): is the mean difference within +- margin? p is the larger of the two one-sided ones."""
    from scipy import stats

    if not margin > 0:
        raise ValueError(f"equivalence: the margin must be above 0, it is {margin}; name one in the config")
    one = {name: value[0] for name, value in t_of_differences(np.asarray(differences, float), alpha=0.10).items()}
    if one["note"]:
        return one
    error = one["sd"] / np.sqrt(one["n"])
    lower = stats.t.sf((one["estimate"] + margin) / error, one["df"])
    upper = stats.t.cdf((one["estimate"] - margin) / error, one["df"])
    nearer = (one["estimate"] + margin) if lower > upper else (one["estimate"] - margin)
    p = max(lower, upper)
    return {**one, "statistic": nearer / error, "p": p, "log10_p": np.log10(p) if p > 0 else -np.inf}
