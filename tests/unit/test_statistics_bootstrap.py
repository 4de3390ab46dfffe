"""The BCa interval against Efron's formula written out, on the same resamples."""

import numpy as np
import pytest
from scipy import stats

from tli.statistics import paired


def plain(values: np.ndarray, draws: np.ndarray, alpha: float) -> list[float]:
    """Efron 1987, step by step: draws are the means of the resamples."""
    left_out = np.array([np.delete(values, i).mean() for i in range(len(values))])
    apart = left_out.mean() - left_out
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    below = (draws < values.mean()).mean() + (draws == values.mean()).mean() / 2  # a tie counts half
    bias = stats.norm.ppf(min(max(below, 0.5 / len(draws)), 1 - 0.5 / len(draws)))
    ends = [bias + stats.norm.ppf(level) for level in (alpha / 2, 1 - alpha / 2)]
    return [float(np.quantile(draws, stats.norm.cdf(bias + end / (1 - acceleration * end)))) for end in ends]


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_bca_is_efrons_formula_on_the_same_resamples(alpha):
    random = np.random.default_rng(7)
    d = np.column_stack(
        [random.gamma(1.0, 1.0, 16), random.normal(0.3, 1, 16), np.tile([-3.0, 1.0, 1.0, 1.0], 4)]
    )  # skewed, not, with ties
    low, high = paired.bca_means(d, 999, np.random.default_rng(3), alpha)
    draws = paired.resamples(16, 999, np.random.default_rng(3)) @ d / 16
    for column in range(3):
        assert [low[column], high[column]] == pytest.approx(plain(d[:, column], draws[:, column], alpha), rel=1e-12)


def test_an_end_beyond_all_resamples_is_the_outermost_of_them():
    d = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    draws = paired.resamples(5, 19, np.random.default_rng(2)) @ d / 5
    low, high = paired.bca_means(d, 19, np.random.default_rng(2), alpha=1e-15)
    assert [low[0], high[0]] == pytest.approx([draws.min(), draws.max()], abs=1e-12)


@pytest.mark.parametrize("side", [-1, 1])
def test_where_all_resamples_lie_on_one_side_half_a_resample_is_taken_to_lie_on_the_other(side):
    d = np.array([[0.0], [1.0], [3.0], [9.0]])

    def drawn(seed):
        return (paired.resamples(4, 5, np.random.default_rng(seed)) @ d / 4)[:, 0]

    seed = next(seed for seed in range(1000) if (side * (drawn(seed) - d.mean()) > 0).all())
    low, high = paired.bca_means(d, 5, np.random.default_rng(seed))
    assert [low[0], high[0]] == pytest.approx(plain(d[:, 0], drawn(seed), 0.05), rel=1e-12)


def test_resamples_are_drawn_alike_unless_told_otherwise():
    d = np.random.default_rng(5).normal(0, 1, (12, 2))
    np.testing.assert_array_equal(paired.bca_means(d, 500), paired.bca_means(d, 500, np.random.default_rng(0)))
    np.testing.assert_array_equal(paired.bca_means(d), paired.bca_means(d, 2000))


def test_one_difference_has_no_interval():
    assert np.isnan(paired.bca_means(np.ones((1, 2)), 100)).all()
