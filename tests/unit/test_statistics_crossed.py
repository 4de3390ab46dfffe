"""The crossed test against a hand calculation, a mixed model, plain loops and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tli.statistics import crossed as module
from tli.statistics.crossed import beyond, crossed, equivalence, one
from tli.statistics.units import complete_words, units_of


def by_loops(d):
    """t', df, p of the formulas, by plain loops."""
    S, U = d.shape
    mean = sum(sum(row) for row in d) / (S * U)
    row = [sum(d[s, u] for u in range(U)) / U for s in range(S)]
    column = [sum(d[s, u] for s in range(S)) / S for u in range(U)]
    ms = U * sum((r - mean) ** 2 for r in row) / (S - 1)
    mu = S * sum((c - mean) ** 2 for c in column) / (U - 1)
    msu = sum((d[s, u] - row[s] - column[u] + mean) ** 2 for s in range(S) for u in range(U)) / ((S - 1) * (U - 1))
    vs, vu, vsu = ms / (S * U), mu / (S * U), msu / (S * U)
    v = max(vs + vu - vsu, vs, vu)
    df = v**2 / (vs**2 / (S - 1) + vu**2 / (U - 1) + vsu**2 / ((S - 1) * (U - 1)))
    t = mean / v**0.5
    return mean, t, df, 2 * stats.t.sf(abs(t), df)


def drawn(seeds, units, seed=0, run=0.3, unit=0.5, residual=1.0, mean=0.2):
    random = np.random.default_rng(seed)
    return mean + random.normal(0, run, (seeds, 1)) + random.normal(0, unit, units) + random.normal(0, residual, (seeds, units))


def test_by_hand():
    """Two seeds, three units: row means 2 and 4, column means 2, 3, 4; MS_s 6, MS_u 2, MS_su 0 (the table is additive)."""
    test = one(crossed(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])))
    assert test["estimate"] == 3 and [test["v_seeds"], test["v_units"], test["v_residual"]] == pytest.approx([1, 1 / 3, 0])
    assert test["error"] == pytest.approx(np.sqrt(4 / 3)) and test["statistic"] == pytest.approx(3 / np.sqrt(4 / 3))
    assert test["df"] == pytest.approx((16 / 9) / (1 + 1 / 18))
    half = stats.t.isf(0.025, test["df"]) * test["error"]
    assert [test["low"], test["high"]] == pytest.approx([3 - half, 3 + half])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(2, 30), st.integers(0, 1_000))
def test_is_the_plain_loops(seeds, units, seed):
    d = drawn(seeds, units, seed)
    test = one(crossed(d))
    assert [test["estimate"], test["statistic"], test["df"], test["p"]] == pytest.approx(by_loops(d), rel=1e-9)
    assert test["log10_p"] == pytest.approx(np.log10(test["p"]), rel=1e-9)


def test_the_error_is_that_of_a_mixed_model_with_crossed_random_effects():
    """statsmodels' REML fit: on balanced data with no component at 0 its error of the mean is sqrt(v_s + v_u - v_su)."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    d = drawn(8, 20, 3, run=0.6, unit=0.7)
    seed, unit = (codes.ravel() for codes in np.indices(d.shape))
    parts = [[(codes[:, None] == np.arange(size)).astype(float)] for codes, size in ((seed, 8), (unit, 20))]
    names = [[[str(i) for i in range(8)]], [[str(i) for i in range(20)]]]
    model = MixedLM(d.ravel(), np.ones((d.size, 1)), np.zeros(d.size), exog_vc=VCSpec(["seed", "unit"], names, parts))
    fit = model.fit(reml=True, method=["lbfgs"])
    test = one(crossed(d))
    assert fit.converged and test["estimate"] == pytest.approx(fit.fe_params[0], rel=1e-6)
    assert test["error"] == pytest.approx(fit.bse[0], rel=1e-3)
    assert fit.scale == pytest.approx(test["v_residual"] * d.size, rel=1e-3)


def test_many_tests_at_once_are_each_by_itself():
    d = np.stack([drawn(5, 25, seed) for seed in range(4)], -1)
    together = crossed(d)
    for number in range(4):
        alone = one(crossed(d[:, :, number]))
        assert {k: v for k, v in one(together, number).items() if k != "note"} == pytest.approx(
            {k: v for k, v in alone.items() if k != "note"}
        )


def test_nothing_changed_is_no_change_at_all():
    test = one(crossed(np.zeros((5, 30))))
    assert (test["p"], test["log10_p"], test["low"], test["high"], test["note"]) == (1.0, 0.0, 0.0, 0.0, module.NO_CHANGE)


def test_every_unit_alike_is_the_sign_test():
    test = one(crossed(np.full((5, 30), -0.1)))
    assert test["p"] == pytest.approx(stats.binomtest(0, 30).pvalue) and test["note"] == module.ALL_ALIKE
    assert [test["low"], test["high"]] == pytest.approx([-0.1, -0.1])


def test_where_seeds_do_not_vary_the_units_still_do():
    d = np.tile(np.random.default_rng(0).normal(0.3, 1, 40), (5, 1))
    test = one(crossed(d))
    assert test["note"] == "" and test["statistic"] == pytest.approx(stats.ttest_1samp(d[0], 0).statistic)
    assert test["df"] == pytest.approx(39) and test["p"] == pytest.approx(stats.ttest_1samp(d[0], 0).pvalue)


@pytest.mark.parametrize("d, note", [(np.ones((1, 30)), module.TOO_SMALL), (np.ones((5, 1)), module.TOO_SMALL)])
def test_too_small_tables_have_an_estimate_and_no_test(d, note):
    test = one(crossed(d))
    assert test["estimate"] == 1 and np.isnan(test["p"]) and np.isnan(test["low"]) and test["note"] == note


def test_a_missing_value_is_no_test_and_says_so():
    d = drawn(5, 30)
    d[2, 3] = np.nan
    test = one(crossed(d))
    assert np.isnan(test["estimate"]) and np.isnan(test["p"]) and test["note"] == module.MISSING


def test_two_tables_of_other_units_add_their_components():
    first, second = drawn(6, 40, 1), drawn(6, 25, 2)
    test, a, b = one(crossed(first, second)), one(crossed(first)), one(crossed(second))
    rows = first.mean(1) - second.mean(1)
    assert test["estimate"] == pytest.approx(rows.mean()) and test["v_seeds"] == pytest.approx(rows.var(ddof=1) / 6)
    for name in ("v_units", "v_residual"):
        assert test[name] == pytest.approx(a[name] + b[name])


def test_equivalence_is_two_one_sided_tests():
    test = one(crossed(drawn(6, 80, 4, run=0.02, unit=0.1, residual=0.1, mean=0.01)))
    lower = stats.t.sf((test["estimate"] + 0.1) / test["error"], test["df"])
    upper = stats.t.cdf((test["estimate"] - 0.1) / test["error"], test["df"])
    assert equivalence(test, 0.1) == pytest.approx(max(lower, upper))
    assert equivalence(test, 0.001) > 0.05 and beyond(test, test["estimate"]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="margin"):
        equivalence(test, 0)
    assert equivalence(one(crossed(np.zeros((5, 30)))), 0.02) == pytest.approx(0.5**30)  # no change at all is within any margin


def test_units_are_weighted_so_that_their_mean_is_the_mean_per_word():
    d = np.random.default_rng(1).normal(0, 1, (5, 12, 2))
    unit = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 6, 7])[np.random.default_rng(2).permutation(12)]
    units = units_of(d, unit)
    assert units.shape == (5, 8, 2)
    np.testing.assert_allclose(units.mean(1), d.mean(1))
    np.testing.assert_allclose(units[:, 3], d[:, unit == 3].sum(1) / (12 / 8))


def test_words_that_a_seed_lacks_are_left_out():
    d = np.ones((3, 4))
    d[1, 2] = np.nan
    assert complete_words(d).tolist() == [True, True, False, True] and not complete_words(d[:0]).any()


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_no_effect_in_the_population_keeps_the_level(seeds):
    """Simulated, seeds of sd .06, words of sd .45, residual .3: .014 to .035 a side is the contract."""
    random, worlds = np.random.default_rng(seeds), 6_000
    d = random.normal(0, 0.3, (seeds, 60, worlds)) + random.normal(0, 0.06, (seeds, 1, worlds)) + random.normal(0, 0.45, (1, 60, worlds))
    test = crossed(d)
    for side in (1, -1):
        assert 0.014 <= np.mean((test["p"] <= 0.05) & (side * test["estimate"] > 0)) <= 0.035
    over_seeds = stats.ttest_1samp(d.mean(1), 0, axis=0).pvalue
    assert np.mean(over_seeds <= 0.05) > 0.1  # what this test is for


def test_intervals_cover_a_planted_mean():
    random, worlds = np.random.default_rng(7), 4_000
    d = 0.1 + random.normal(0, 0.3, (5, 60, worlds)) + random.normal(0, 0.06, (5, 1, worlds)) + random.normal(0, 0.4, (1, 60, worlds))
    test = crossed(d)
    assert 0.94 <= np.mean((test["low"] <= 0.1) & (test["high"] >= 0.1)) <= 0.975
