"""What is said of an early gain that reaches the output, or does not."""

from __future__ import annotations

import pandas as pd
import pytest

from tli.specs import StatisticsSpec
from tli.statistics import survival

SPEC = StatisticsSpec()


def figures(estimate: float, p: float) -> dict:
    return {"estimate": estimate, "p_holm": p}


def row(estimate: float = 0.1, p: float = 0.001, seeds: int = 5, units: int = 60, loss: float = 0.2, output: float = 0.1) -> dict:
    counts = {"split": "heldout", "loss_layer": 2, "seeds": seeds, "units": units}
    return counts | figures(estimate, p) | {"gain_loss": loss, "gain_output": output, "passed_on": output / loss}


SHOWN, NOT_SHOWN, FALLEN = figures(0.2, 0.01), figures(0.2, 0.2), figures(-0.2, 0.01)


@pytest.mark.parametrize(
    "of_output, at_loss, against, told",
    [
        (row(), SHOWN, SHOWN, "the early gain reaches the output"),
        (row(), SHOWN, NOT_SHOWN, "not detectably more than with the placebo"),
        (row(), SHOWN, FALLEN, "not detectably more than with the placebo"),
        (row(), SHOWN, None, "without a placebo it cannot be laid to the translations"),
        (row(p=0.2), SHOWN, SHOWN, "that it reaches the output is not shown"),
        (row(estimate=-0.1), SHOWN, SHOWN, "that it reaches the output is not shown"),
        (row(), NOT_SHOWN, SHOWN, "no gain of the gap is shown at hs[2], so there is none that could reach the output"),
        (row(), FALLEN, SHOWN, "no gain of the gap is shown"),
        (row(), None, SHOWN, "no gain of the gap is shown"),
        (row(seeds=4), SHOWN, SHOWN, "nothing is said of survival below 5 seeds and 20 units"),
        (row(units=19), SHOWN, SHOWN, "nothing is said of survival below 5 seeds and 20 units"),
        (row(seeds=5, units=20), SHOWN, SHOWN, "the early gain reaches the output"),
    ],
)
def test_a_claim_of_survival_needs_a_gain_early_at_the_output_and_over_the_placebo(of_output, at_loss, against, told):
    assert told in survival._sentence(of_output, at_loss, against, SPEC)


@pytest.mark.parametrize("p, shown", [(0.05, True), (0.0501, False)])
def test_alpha_itself_is_enough(p, shown):
    assert ("reaches the output (" in survival._sentence(row(p=p), figures(0.2, p), figures(0.1, p), SPEC)) == shown


def test_a_share_is_told_of_a_gain_and_of_no_loss():
    assert "by +0.200 at hs[2] and by +0.100 at the output (50 % of it)" in survival._sentence(row(), SHOWN, SHOWN, SPEC)
    assert "% of it" not in survival._sentence(row(loss=-0.2), SHOWN, SHOWN, SPEC)
    assert "% of it" not in survival._sentence(row() | {"passed_on": float("nan")}, SHOWN, SHOWN, SPEC)


def test_ratios_are_undefined_where_what_they_divide_by_is_small():
    small, more = survival.SMALL, survival.SMALL * 1.001
    table = pd.DataFrame(
        {
            "gap_loss_before": [0.2, small, more, 0.2],
            "gap_loss_after": [0.4, 0.4, 0.4, small],
            "gap_output_before": [0.1, 0.1, 0.1, 0.1],
            "gap_output_after": [0.3, 0.3, 0.3, 0.3],
            "gain_loss": [0.2, small, -more, -small],
            "gain_output": [0.2, 0.2, 0.2, 0.2],
        }
    )
    found = survival._ratios(table)
    assert found["survival_before"].isna().tolist() == [False, True, False, False]
    assert found["survival_after"].isna().tolist() == [False, False, False, True]
    assert found["passed_on"].isna().tolist() == [False, True, False, True]
    first = found.iloc[0]
    assert [first["survival_before"], first["survival_after"], first["passed_on"]] == pytest.approx([0.5, 0.75, 1.0])
    assert first["survival_change"] == pytest.approx(0.25)
