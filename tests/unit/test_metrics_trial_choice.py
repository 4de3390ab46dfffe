"""Which trial of a tuning the runs take."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tli.metrics.trial_choice import choose_trial, is_at_the_edge


def rows(values: dict[int, list[float]], failed: dict[int, int] | None = None) -> pd.DataFrame:
    """Trials with their values, of which the first `failed` are failed."""
    return pd.DataFrame(
        {"trial": trial, "value": value, "failed": place < (failed or {}).get(trial, 0)}
        for trial, of in values.items()
        for place, value in enumerate(of)
    )


def test_ties_go_to_the_smaller_change():
    assert choose_trial(rows({1: [0.1, 0.2], 2: [0.15, 0.15], 3: [0.1, 0.1]})) == 1  # .15 in another sum of floats
    assert choose_trial(rows({1: [0.1], 2: [0.2], 3: [0.2]})) == 2


def test_failed_trials_come_last():
    nan = float("nan")
    assert choose_trial(rows({1: [nan, 0.9], 2: [0.1, 0.1]}, {1: 1})) == 2
    assert choose_trial(rows({1: [nan, nan], 2: [nan, 0.1]}, {1: 2, 2: 1})) == 2
    assert choose_trial(rows({1: [nan, nan], 2: [nan, nan]}, {1: 2, 2: 2})) == 1
    assert choose_trial(rows({1: [nan], 2: [-0.5]})) == 2  # a value that is not defined


@given(st.lists(st.lists(st.integers(0, 20), min_size=2, max_size=2), min_size=1, max_size=6))
def test_the_choice_is_the_first_highest_mean(hits):
    means = [sum(pair) for pair in hits]
    assert choose_trial(rows({n: [h / 20 for h in pair] for n, pair in enumerate(hits, 1)})) == means.index(max(means)) + 1


def test_the_edge_of_what_was_tried():
    assert is_at_the_edge([1, 2, 3], 3) and is_at_the_edge([3, 1, 2], 1)
    assert not is_at_the_edge([1, 2, 3], 2) and not is_at_the_edge([1, 2], 2) and not is_at_the_edge([1], 1)
