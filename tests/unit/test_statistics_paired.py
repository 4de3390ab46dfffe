"""Paired tests against scipy, statsmodels, mpmath, closed forms and the paper's printed figures."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from tli.statistics import families
from tli.statistics import paired as t


@pytest.mark.parametrize(
    "n, mean, statistic, p, high", [(623, 0.0902, 54.8842, 1.3315e-240, 0.0934), (63, 0.0890, 18.4525, 7.1724e-27, 0.0986)]
)
def test_the_papers_two_lines(n, mean, statistic, p, high):
    d = np.random.default_rng(n).normal(0, 1, n)
    d = mean + (d - d.mean()) / d.std(ddof=1) * mean * np.sqrt(n) / statistic  # words with the printed mean and t
    found = {name: value[0] for name, value in t.t_of_differences(d).items()}
    assert found["df"] == n - 1 and found["statistic"] == pytest.approx(statistic)
    assert found["p"] == pytest.approx(p, rel=1e-4)
    assert found["log10_p"] == pytest.approx(np.log10(p), abs=1e-4)
    assert found["high"] == pytest.approx(high, abs=5e-5)
    assert found["dz"] == pytest.approx(statistic / np.sqrt(n))


@pytest.mark.parametrize("statistic, df", [(200, 622), (60, 1e6), (1e5, 62), (-1e100, 5), (54.8842, 622), (40.0, 500), (2.1, 3)])
def test_log10_p_also_where_p_underflows(statistic, df):
    mpmath = pytest.importorskip("mpmath", reason="comes with torch; the reference for p's below the smallest float")
    mpmath.mp.dps = 40
    x = mpmath.mpf(df) / (df + mpmath.mpf(statistic) ** 2)
    exact = mpmath.log10(mpmath.betainc(df / 2, 0.5, 0, x, regularized=True))
    assert t.log10_p_of_t(statistic, df) == pytest.approx(float(exact), rel=1e-9)


def test_paired_t_is_scipys_and_its_effect_sizes_are_the_definitions():
    random = np.random.default_rng(5)
    before = random.normal(0.3, 0.1, (40, 3))
    after = before + random.normal(0.05, 0.1, (40, 3))
    found = t.paired_t(before, after)
    theirs = stats.ttest_rel(after, before)
    interval = theirs.confidence_interval(0.95)
    for name, value in {"statistic": theirs.statistic, "p": theirs.pvalue, "low": interval.low, "high": interval.high}.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10)
    d = after - before
    np.testing.assert_allclose(found["dz"], d.mean(0) / d.std(0, ddof=1))
    np.testing.assert_allclose(found["d_av"], d.mean(0) / ((after.std(0, ddof=1) + before.std(0, ddof=1)) / 2))
    one = t.paired_t(before[:, 0], after[:, 0])
    assert one["statistic"] == pytest.approx(theirs.statistic[0]) and one["note"] == ""


@pytest.mark.parametrize("differences, note", [(np.full(5, 0.1) * 3, t.NO_VARIANCE), (np.zeros(5), t.NO_VARIANCE), ([0.2], t.TOO_FEW)])
def test_without_variance_a_test_is_undefined_and_says_so(differences, note):
    found = t.t_of_differences(np.asarray(differences))
    assert found["note"][0] == note and note.startswith("undefined")
    assert np.isnan(found["p"][0]) and np.isnan(found["statistic"][0]) and np.isnan(found["low"][0])
    assert found["estimate"][0] == pytest.approx(np.mean(differences))


def test_bca_is_scipys_up_to_the_resamples():
    d = np.random.default_rng(7).gamma(1.0, 1.0, (40, 2)) - 0.5
    low, high = t.bca_means(d, 20_000, np.random.default_rng(1))
    theirs = stats.bootstrap((d,), np.mean, n_resamples=20_000, axis=0, vectorized=True, rng=np.random.default_rng(2))
    error = d.std(0) / np.sqrt(40)
    np.testing.assert_allclose(low, theirs.confidence_interval.low, atol=0.1 * error.max())
    np.testing.assert_allclose(high, theirs.confidence_interval.high, atol=0.1 * error.max())
    assert np.isnan(t.bca_means(np.ones((5, 1)), 100)[0])[0]


def test_wilcoxon_is_scipys_and_undefined_where_nothing_changes():
    d = np.random.default_rng(5).normal(0.2, 1, (30, 3))
    d[:5, 1], d[:, 2] = 0.0, 0.0
    found = t.wilcoxon(d)
    for column in (0, 1):
        theirs = stats.wilcoxon(d[:, column], method="asymptotic", zero_method="wilcox")
        assert found["p"][column] == pytest.approx(theirs.pvalue, rel=1e-9)
        assert found["statistic"][column] == theirs.statistic
        assert found["log10_p"][column] == pytest.approx(np.log10(theirs.pvalue))
    assert np.isnan(found["p"][2]) and found["note"][2].startswith("undefined")


def test_equivalence_is_statsmodels_tost():
    one, two = np.random.default_rng(5).normal([[0.0], [0.01]], 0.05, (2, 9))
    found = t.equivalence(one - two, 0.08)
    assert found["p"] == pytest.approx(ttost_paired(one, two, -0.08, 0.08)[0], rel=1e-9)
    with pytest.raises(ValueError, match="margin"):
        t.equivalence(one - two, 0)


def test_adjusted_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]  # Holm: .005*4, .01*3, .03*2, then never less
    np.testing.assert_allclose(families.adjust(p, "holm"), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(families.adjust(p, "benjamini-hochberg"), [0.02, 0.04, 0.04, 0.02])
    np.testing.assert_allclose(families.adjust(p, "benjamini-yekutieli"), np.array([0.02, 0.04, 0.04, 0.02]) * (1 + 1 / 2 + 1 / 3 + 1 / 4))
    with pytest.raises(ValueError, match="bonferroni"):
        families.adjust(p, "bonferroni")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1) | st.just(np.nan), min_size=1, max_size=12))
def test_undefined_tests_enter_no_family(p):
    p = np.array(p)
    defined = np.isfinite(p)
    for ours, theirs in families.METHODS.items():
        found = families.adjust(p, ours)
        assert (np.isfinite(found) == defined).all()
        if defined.any():
            np.testing.assert_allclose(found[defined], multipletests(p[defined], method=theirs)[1])


def test_families_carry_their_size_and_a_fixed_family_counts_the_undefined():
    table = pd.DataFrame({"family": ["a", "a", "a", "b", ""], "p": [0.01, np.nan, 0.02, 0.03, 0.04]})
    free = families.adjust_families(table)
    assert free.family_size.tolist() == [2, 2, 2, 1, 0]
    np.testing.assert_allclose(free.p_holm, [0.02, np.nan, 0.02, 0.03, np.nan])
    fixed = families.adjust_families(table, ("a",))
    assert fixed.family_size.tolist() == [3, 3, 3, 1, 0]
    np.testing.assert_allclose(fixed.p_holm, [0.03, np.nan, 0.04, 0.03, np.nan])
