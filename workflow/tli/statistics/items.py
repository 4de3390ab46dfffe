"""One run on one task, item by item: descriptive figures of a change in accuracy. None of them drives a claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tli.statistics.paired import UNDEFINED, bca_means

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BLANK = UNDEFINED + "the baseline is not above chance"


def mcnemar_exact(before_correct: ArrayLike, after_correct: ArrayLike) -> dict:
    """McNemar's exact test (binomial on the items that change): gained, lost, p (two-sided), log10_p, note."""
    from scipy import special

    before, after = np.asarray(before_correct, bool), np.asarray(after_correct, bool)
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    changed, fewer = gained + lost, np.arange(min(gained, lost) + 1)
    ways = special.gammaln(changed + 1) - special.gammaln(fewer + 1) - special.gammaln(changed - fewer + 1)
    log_p = special.logsumexp(ways) + (1 - changed) * np.log(2)  # twice the smaller tail of a fair coin
    log10_p = min(0.0, float(log_p / np.log(10)))
    note = "" if changed else "no item changes"
    return {"gained": gained, "lost": lost, "p": 10.0**log10_p, "log10_p": log10_p, "note": note}


def paired_bootstrap_accuracy(
    before_correct: ArrayLike, after_correct: ArrayLike, times: int = 2000, seed: int = 0, alpha: float = 0.05
) -> dict:
    """Change in accuracy with its percentile interval over resampled items: n, before, after, change, low, high.

    For right / wrong items the resampled change hangs only on how many gained and lost ones are drawn, so the counts are drawn
    from their multinomial: the same distribution as drawing items. Graded items (0 to 1) get a BCa interval of the mean.
    """
    before, after = np.asarray(before_correct, float), np.asarray(after_correct, float)
    n = len(before)
    if n == 0 or len(after) != n:
        raise ValueError(f"paired_bootstrap_accuracy: {n} items before, {len(after)} after; both need the same items")
    d = after - before
    random = np.random.default_rng(seed)
    if np.isin(np.concatenate([before, after]), (0, 1)).all():
        counts = random.multinomial(n, [(d > 0).mean(), (d < 0).mean(), (d == 0).mean()], size=times)
        low, high = np.quantile((counts[:, 0] - counts[:, 1]) / n, [alpha / 2, 1 - alpha / 2])
    else:
        low, high = (end[0] for end in bca_means(d[:, None], times, random, alpha))
    return {"n": n, "before": before.mean(), "after": after.mean(), "change": d.mean(), "low": float(low), "high": float(high)}


def smallest_detectable_accuracy_change(n: int, discordant: float | None = None, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest change in accuracy that McNemar's test on n items finds with `power`, as a share of n.

    discordant: share of the items that change either way. Normal form of Connor (1987): z_a sqrt(q) + z_b sqrt(q - d^2)
    = d sqrt(n). Without it, or where so few items change that no d <= q would do, all changes are taken to go one way (q = d),
    which is the least that any test could find. NaN below one item; 1 at most.
    """
    from scipy import optimize, stats

    if n < 1:
        return float("nan")
    a, b = stats.norm.isf(alpha / 2), stats.norm.isf(1 - power)

    def excess(d: float, q: float) -> float:
        return d * np.sqrt(n) - a * np.sqrt(q) - b * np.sqrt(max(q - d * d, 0.0))

    if discordant and excess(discordant, discordant) >= 0:
        return float(optimize.brentq(excess, 0.0, discordant, args=(discordant,)))
    return float(optimize.brentq(lambda d: excess(d, d), 1e-12, 1.0)) if excess(1.0, 1.0) > 0 else 1.0


def accuracy_interval(right: float, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's interval of an accuracy of `right` out of n.

    >>> [round(bound, 3) for bound in accuracy_interval(8, 10)]
    [0.49, 0.943]
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(right, n, alpha=alpha, method="wilson")
    return float(low), float(high)


def retention(after: float, before: float, chance: float, n: int, alpha: float = 0.05) -> tuple[float, str]:
    """(after - chance) / (before - chance) and a note: NaN unless the baseline's lower bound (Wilson) is above chance."""
    if not np.isfinite(chance):
        return float("nan"), UNDEFINED + "the task has no chance level"
    if not accuracy_interval(before * n, n, alpha)[0] > chance:
        return float("nan"), BLANK
    return float((after - chance) / (before - chance)), ""


def gap_interval(
    accuracies: Sequence[ArrayLike], paired: bool, times: int = 2000, seed: int = 0, alpha: float = 0.05
) -> tuple[float, float, float, float, float]:
    """Change of the transfer gap (English - target accuracy) with its bootstrap interval: gap before, after, change, low, high.

    accuracies: arrays of right / wrong by item, English after, target after, English before, target before. paired: item i is the same in both languages, and items are drawn together;
    otherwise each language is resampled by itself.
    """
    english, target, before_english, before_target = (np.asarray(one, float) for one in accuracies)
    changes = [english - before_english, target - before_target]
    random = np.random.default_rng(seed)
    if paired:
        draws = _draws(changes[0] - changes[1], times, random)
    else:
        draws = _draws(changes[0], times, random) - _draws(changes[1], times, random)
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
    before = float(np.mean(before_english) - np.mean(before_target))
    after = float(np.mean(english) - np.mean(target))
    return before, after, after - before, float(low), float(high)


def _draws(d: np.ndarray, times: int, random: np.random.Generator) -> np.ndarray:
    """Bootstrap means of d, from the counts of its distinct values."""
    values, counts = np.unique(d, return_counts=True)
    return random.multinomial(len(d), counts / len(d), size=times) @ values / len(d)
