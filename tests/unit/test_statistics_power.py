"""Power: the promised share is what whole experiments find; the contract's figures; variances found again."""

import numpy as np
import pandas as pd
import pytest

from tli.specs import StatisticsSpec
from tli.statistics import power
from tli.statistics.crossed import crossed
from tli.statistics.power import Components, Design, Variances


def experiments(effect, parts: Components, design: Design, many: int, seed: int = 0):
    """Tables [contrasts, seeds, units, experiments] drawn word by word."""
    random = np.random.default_rng(seed)

    def normal(cov, *shape):
        values, vectors = np.linalg.eigh(cov)
        return random.standard_normal((*shape, len(cov))) @ (vectors * np.sqrt(values.clip(0))).T

    d = effect + normal(parts.seeds, design.seeds, 1, many) + normal(parts.units, 1, design.units, many)
    return np.moveaxis(d + normal(parts.residual, design.seeds, design.units, many), -1, 0)


@pytest.mark.parametrize("design", [Design(5, 75), Design(5, 75, family=4), Design(10, 200, 5, 8), Design(5, 40, with_placebo=False)])
def test_the_smallest_detectable_effect_is_found_with_80_percent_power(design):
    parts = power.assumed(Variances(), design.folds, design.with_placebo)
    effect = power.detectable(parts, design)
    tests = [crossed(d) for d in experiments(effect, parts, design, 2_500)]
    claimed = np.all([(test["p"] <= 0.05 / design.family) & (test["estimate"] > 0) for test in tests], axis=0)
    assert claimed.mean() == pytest.approx(0.80, abs=0.03)


@pytest.mark.parametrize(
    "effect, units, folds, expected", [(0.10, 75, 1, 0.42), (0.10, 600, 5, 0.996), (0.05, 75, 1, 0.12), (0.05, 600, 5, 0.62)]
)
def test_one_contrast_at_five_seeds_has_the_published_power(effect, units, folds, expected):
    design = Design(5, units, folds, with_placebo=False)
    needed = power.needed(power.assumed(Variances(), folds, False), design)
    assert (needed <= effect).mean() == pytest.approx(expected, abs=0.03)


def test_planned_variances_are_found_again_in_what_is_drawn():
    design, assumed = Design(100, 150), Variances(run=0.2, unit=0.5, residual=0.3, placebo=0.4)
    tables = experiments(0.1, power.assumed(assumed), design, 1)[..., 0]
    found = power.described(power.components(list(tables)), 1)
    assert found["run_sd"] == pytest.approx(0.2, rel=0.2) and found["unit_sd"] == pytest.approx(0.5, rel=0.15)
    assert found["residual_sd"] == pytest.approx(0.3, rel=0.05) and found["placebo_correlation"] == pytest.approx(0.4, abs=0.15)


def test_more_seeds_folds_and_a_smaller_family_find_less():
    parts = power.assumed(Variances())
    assert (
        power.detectable(parts, Design(10, 75)) < power.detectable(parts, Design(5, 75)) < power.detectable(parts, Design(5, 75, family=10))
    )
    assert power.detectable(power.assumed(Variances(), 5), Design(5, 600, 5)) < power.detectable(parts, Design(5, 75)) / 2
    assert power.detectable(parts, Design(1, 75)) == np.inf


def test_the_plan_says_what_the_design_finds_and_what_more_would_buy():
    plan = power.plan_power({1: 75, 5: 600}, Design(3, 75, family=4), Variances(), StatisticsSpec())
    assert list(plan.columns) == power.PLAN and plan.seeds[0] == 3 and plan.folds[0] == 1
    assert "no claim is made below 5 seeds and 20 units" in plan.sentence[0]
    best = plan[(plan.seeds == 20) & (plan.folds == 5)].iloc[0]
    assert best.detectable == plan.detectable.min() and "80 % power" in best.sentence


def test_a_change_that_is_not_possible_is_told_as_none():
    plan = power.plan_power({1: 20}, Design(5, 20, family=40), Variances(run=0.6, unit=1.0), StatisticsSpec())
    assert "no change that is possible" in plan.sentence[0]


@pytest.mark.parametrize("folds", [1, 5])
def test_the_plans_powers_are_those_of_the_design_at_changes_of_05_and_10(folds):
    design, variances, spec = Design(7, 90, folds, 3), Variances(run=0.05, unit=0.3), StatisticsSpec()
    row = power.plan_power({folds: 90}, design, variances, spec).iloc[0]
    parts = power.assumed(variances, folds)
    assert [row.power_at_05, row.power_at_10] == [(power.needed(parts, design) <= effect).mean() for effect in (0.05, 0.10)]
    assert row.detectable == power.detectable(parts, design) and row.family_size == 3 and row.units == 90
    assert (power.needed(parts, design) <= row.detectable).mean() == pytest.approx(0.80, abs=1e-3)
    told = "5 folds" if folds == 5 else "no folds"
    assert row.sentence == f"7 seeds, {told}, 90 units, a family of 3: a change of {row.detectable:+.3f} or more is found with 80 % power."


def test_variances_of_an_earlier_experiment_are_the_medians_of_its_cells():
    columns = {"run_sd": [0.1, 0.3, 0.2], "unit_sd": [0.5, np.nan, 0.7], "residual_sd": [0.2] * 3, "placebo_correlation": [np.nan] * 3}
    assert power.variances_of(pd.DataFrame(columns)) == Variances(run=0.2, unit=0.6, residual=0.2, placebo=Variances().placebo)


def test_the_correlation_with_the_placebo_is_told_where_both_vary():
    real, placebo, both = 0.16, 0.09, 0.06  # variances of units, and the covariance
    units = np.array([[real, real - both], [real - both, real + placebo - 2 * both]])
    parts = Components(np.eye(2) * 0.04, units, np.eye(2) * 0.25)
    found = power.described(parts, 4)
    expected = {"run_sd": 0.2 * 2, "unit_sd": 0.4, "residual_sd": 0.5, "placebo_correlation": both / np.sqrt(real * placebo)}
    assert found == pytest.approx(expected)
    none = power.described(Components(np.eye(2), np.zeros((2, 2)), np.eye(2)), 1)
    assert np.isnan(none["placebo_correlation"]) and none["unit_sd"] == 0
    assert np.isnan(power.described(Components(np.eye(1), np.eye(1), np.eye(1)), 1)["placebo_correlation"])


def test_components_are_the_moment_estimates_of_a_two_way_table():
    random = np.random.default_rng(0)
    d = random.normal(size=(4, 1)) + 0.5 * random.normal(size=(1, 9)) + 0.3 * random.normal(size=(4, 9))
    found = power.components([d])
    rows, columns, mean = d.mean(axis=1), d.mean(axis=0), d.mean()
    within = sum((d[s, u] - rows[s] - columns[u] + mean) ** 2 for s in range(4) for u in range(9)) / (3 * 8)
    of_seeds, of_units = 9 * ((rows - mean) ** 2).sum() / 3, 4 * ((columns - mean) ** 2).sum() / 8
    assert [found.residual.item(), found.seeds.item(), found.units.item()] == pytest.approx(
        [within, (of_seeds - within) / 9, (of_units - within) / 4]
    )
    assert power.components([d - rows[:, None]]).seeds.item() == 0  # seeds differ less than chance has it: no variance is below 0
