"""The confirmatory family keeps its level under run-to-run variance, and its intervals cover. Bounds: binomial quantiles."""

import numpy as np
import pytest
from scipy import stats

from tli.statistics.families import adjust
from tli.statistics.paired import paired_t, t_of_differences

SIMULATIONS, CELLS, ALPHA = 3_000, 4, 0.05


def bounds(share, n=SIMULATIONS, error=1e-4):
    return stats.binom.ppf([error / 2, 1 - error / 2], n, share) / n


def simulated(seeds, effect=0.0, words=60, shape=(SIMULATIONS, CELLS)):
    """CSLS P@1 of before, real and placebo over seeds: shape (seeds, simulations x cells).

    Each run has a luck of its own (sd .06, ten times what its words alone would give a mean), words are right or wrong.
    """
    random = np.random.default_rng([seeds, int(effect * 1000)])
    size = (seeds, int(np.prod(shape)))
    before = np.full(size[1], 0.4)
    real = random.binomial(words, np.clip(0.4 + effect + random.normal(0, 0.06, size), 0, 1)) / words
    placebo = random.binomial(words, np.clip(0.4 + random.normal(0, 0.06, size), 0, 1)) / words
    return before, real, placebo


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_no_effect_and_run_variance_keep_the_level(seeds):
    before, real, placebo = simulated(seeds)
    p = [t_of_differences(real - other)["p"] for other in (before, placebo)]
    for one in p:  # a single t over the seeds: neither above nor far below its level
        low, high = bounds(ALPHA, one.size)
        assert low <= np.mean(one <= ALPHA) <= high
    family = np.nan_to_num(np.maximum(*p), nan=1.0).reshape(SIMULATIONS, CELLS)
    better = (real.mean(0) > np.maximum(before, placebo.mean(0))).reshape(SIMULATIONS, CELLS)
    claims = [(adjust(row, "holm") <= ALPHA) & up for row, up in zip(family, better, strict=True)]
    assert np.any(claims, axis=1).mean() <= bounds(ALPHA)[1]


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_family_of_one_contrast_holds_its_level_exactly(seeds):
    random = np.random.default_rng(seeds)
    p = t_of_differences(random.normal(0, 0.05, (seeds, SIMULATIONS * CELLS)))["p"].reshape(SIMULATIONS, CELLS)
    wrong = np.mean([(adjust(row, "holm") <= ALPHA).any() for row in p])
    low, high = bounds(1 - (1 - ALPHA / CELLS) ** CELLS)  # independent cells: Holm's first step is Bonferroni's
    assert low <= wrong <= high


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("effect", [0.0, 0.1])
def test_intervals_cover_a_planted_effect(seeds, effect):
    before, real, _ = simulated(seeds, effect)
    found = t_of_differences(real - before)
    covered = np.mean((found["low"] <= effect) & (effect <= found["high"]))
    low, high = bounds(1 - ALPHA, found["low"].size)
    assert low <= covered <= high


def test_words_as_replicates_do_not_keep_it():
    """The paper's test calls a run's luck an effect: that is why it drives no verdict."""
    random = np.random.default_rng(0)
    words, runs = 60, 2_000
    gain = random.normal(0, 0.02, runs) + random.normal(0, 0.05, (words, runs))
    before = random.normal(0.3, 0.08, (words, runs))
    assert np.mean(paired_t(before, before + gain)["p"] <= ALPHA) > 0.4
