"""The one test that every claim rests on: a quasi-t over the crossed table seeds x units.

Words, items and sentences are a sample, as seeds are. A test over seeds alone claims for these words, one over words alone
for this training (the language-as-fixed-effect fallacy: Coleman 1964; Clark 1973).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tli.statistics.paired import ROUNDING, log10_p_of_t

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NAME = "quasi-t over seeds and units"
NO_CHANGE = "no change at all"
ALL_ALIKE = "every unit changed alike: p by the sign test over units"
MISSING = "a value is missing"
TOO_SMALL = "fewer than two seeds or units"


def crossed(differences: ArrayLike, minus: ArrayLike | None = None, alpha: float = 0.05) -> dict[str, np.ndarray]:
    """Is the mean of `differences` other than 0 for other seeds and other units? Two-sided.

    differences: shape (S, U) or (S, U, tests): seed s, unit u; a unit of several words enters as their sum over the mean size
    of the units. minus: a table of the same seeds and other units, whose mean is taken off (train against held-out).

    With MS_s, MS_u, MS_su the mean squares of the two-way table and v = MS / (S U):
    V = max(v_s + v_u - v_su, v_s, v_u), t' = mean / sqrt(V), df = V^2 / (v_s^2 / (S - 1) + v_u^2 / (U - 1) + v_su^2 / ((S - 1)(U - 1))).
    Clark 1973 (quasi-F, JVLVB 12:335-359), Satterthwaite 1946 (Biometrics Bulletin 2:110-114). With `minus` the components
    of its units are added. V = 0: p = 1 where nothing changed, else the sign test over units, 2^(1 - U).

    Returns arrays, one value a test: seeds, units, estimate, error (sqrt V), df, low, high, statistic, p, log10_p, v_seeds,
    v_units, v_residual, note. NaN and a note where a value is missing or there are fewer than two seeds or units.
    """
    from scipy import stats

    tables = [np.asarray(one, float) for one in (differences, minus) if one is not None]
    tables = [one[:, :, None] if one.ndim == 2 else one for one in tables]
    seeds, units, tests = tables[0].shape
    rows, v_units, v_residual, below = np.zeros((seeds, tests)), np.zeros(tests), np.zeros(tests), np.zeros(tests)
    with np.errstate(divide="ignore", invalid="ignore"):
        for sign, d in zip((1, -1), tables):
            size, row, column, mean = d.shape[1], d.mean(1), d.mean(0), d.mean((0, 1))
            unit = ((column - mean) ** 2).sum(0) / (size - 1) / size
            residual = ((d - row[:, None] - column + mean) ** 2).sum((0, 1)) / ((seeds - 1) * (size - 1)) / (seeds * size)
            rows, v_units, v_residual = rows + sign * row, v_units + unit, v_residual + residual
            below = below + unit**2 / (size - 1) + residual**2 / ((seeds - 1) * (size - 1))
        mean = rows.mean(0)
        v_seeds = ((rows - mean) ** 2).sum(0) / (seeds - 1) / seeds
        variance = np.maximum(v_seeds + v_units - v_residual, np.maximum(v_seeds, v_units))
        df = variance**2 / (v_seeds**2 / (seeds - 1) + below)
        error = np.sqrt(variance)
        statistic = mean / error
    rounding = ROUNDING * np.maximum(1.0, np.max([np.abs(d).max((0, 1), initial=0.0) for d in tables], axis=0))
    still, usable = error <= rounding, np.isfinite(error) & (min(d.shape[1] for d in tables) > 1)
    nothing = still & (np.abs(mean) <= rounding)
    p = np.where(still, np.where(nothing, 1.0, 2.0 ** (1 - min(units, 1000))), 2 * stats.t.sf(np.abs(statistic), df))
    log10_p = np.where(still, np.where(nothing, 0.0, (1 - units) * np.log10(2)), log10_p_of_t(statistic, df))
    half = np.where(still, 0.0, stats.t.isf(alpha / 2, df) * error)
    note = np.where(np.isfinite(mean), np.where(nothing, NO_CHANGE, np.where(still, ALL_ALIKE, "")), MISSING).astype(object)
    note[np.isfinite(mean) & ~usable] = TOO_SMALL
    values = {"estimate": mean, "error": error, "df": df, "low": mean - half, "high": mean + half, "statistic": statistic, "p": p}
    values |= {"log10_p": log10_p, "v_seeds": v_seeds, "v_units": v_units, "v_residual": v_residual}
    values = {name: np.where(usable | (name == "estimate"), value, np.nan) for name, value in values.items()}
    values["statistic"] = np.where(still, np.nan, values["statistic"])
    return {"seeds": np.full(tests, seeds), "units": np.full(tests, sum(d.shape[1] for d in tables)), **values, "note": note}


def one(values: dict[str, np.ndarray], test: int = 0) -> dict:
    """The plain values of one test of `crossed`."""
    return {name: value[test] if name == "note" else value[test].item() for name, value in values.items()}


def beyond(test: dict, margin: float) -> float:
    """One-sided p that the mean of a `one` lies above `margin`; the sign test over units where nothing varies."""
    from scipy import stats

    if not np.isfinite(test["error"]):
        return float("nan")
    if not np.isfinite(test["statistic"]):
        return 0.5 ** min(test["units"], 1000) if test["estimate"] > margin else 1.0
    return float(stats.t.sf((test["estimate"] - margin) / test["error"], test["df"]))


def equivalence(test: dict, margin: float) -> float:
    """TOST (Schuirmann 1987): the p that the mean of a `one` lies within +- margin, the larger of the two one-sided ones.

    Raises ValueError for a margin that is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"equivalence: the margin must be above 0, it is {margin}; name one in the config")
    turned = test | {"estimate": -test["estimate"]}
    return max(beyond(test, -margin), beyond(turned, -margin))
