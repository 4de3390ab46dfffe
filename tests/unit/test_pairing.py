"""pairing: placebo assignments against their property and full enumeration; selections against closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tli.training import pairing


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 6), st.data())
def test_derangement_exists_exactly_where_enumeration_finds_one(n, data):
    cells = data.draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n))
    accepted = np.array(cells).reshape(n, n) | np.eye(n, dtype=bool)
    possible = any(not accepted[np.arange(n), list(order)].any() for order in itertools.permutations(range(n)))
    if possible:
        order = pairing.derangement(accepted, seed=data.draw(st.integers(0, 99)))
        assert sorted(order) == list(range(n)) and not accepted[np.arange(n), order].any()
    else:
        with pytest.raises(ValueError, match="no placebo exists"):
            pairing.derangement(accepted, seed=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(30, 200), st.integers(0, 10**6))
def test_no_anchor_gets_a_translation_of_its_own(n, seed):
    rng = np.random.default_rng(seed)
    sources, targets = rng.integers(0, n // 2, n), rng.integers(0, n // 2, n)  # repeats on both sides
    accepted = pairing.assigned(sources, targets, (n // 2, n // 2))
    cells = pairing.accepted_cells(accepted, sources, targets)
    order = pairing.derangement(cells, seed)
    true = set(zip(sources.tolist(), targets.tolist(), strict=True))
    placebo = list(zip(sources.tolist(), targets[order].tolist(), strict=True))
    assert sorted(order) == list(range(n)) and not true & set(placebo)
    assert np.array_equal(order, pairing.derangement(cells, seed))
    assert not np.array_equal(order, pairing.derangement(cells, seed + 1))  # redrawn per seed


def test_derangements_of_three_are_both_reached_about_equally():
    found = [tuple(pairing.derangement(np.eye(3, dtype=bool), seed).tolist()) for seed in range(400)]
    assert set(found) == {(1, 2, 0), (2, 0, 1)}
    assert 150 < found.count((1, 2, 0)) < 250  # 5 sd of a fair coin


def test_dense_acceptance_is_matched_exactly():
    n = 40  # only one wrong translation each: a random search would not find it
    order = np.random.default_rng(0).permutation(n)
    accepted = np.ones((n, n), bool)
    accepted[np.arange(n), order] = False
    assert np.array_equal(pairing.derangement(accepted, 3), order)


def test_impossible_placebo_says_why():
    accepted = np.eye(4, dtype=bool)
    accepted[:, :3] = True  # one target, accepted by all, in three of four rows
    with pytest.raises(ValueError, match=r"these 4 train pairs: at most 1 .* by 4 of the 4 sources.*more distinct"):
        pairing.derangement(accepted, 0)
    with pytest.raises(ValueError, match="shape"):
        pairing.derangement(np.eye(3, dtype=bool)[:2], 0)


def test_twenty_thousand_pairs():
    n = 20_000
    rng = np.random.default_rng(1)
    sources, targets = rng.integers(0, 4000, n), rng.integers(0, 4000, n)
    cells = pairing.accepted_cells(pairing.assigned(sources, targets, (4000, 4000)), sources, targets)
    order = pairing.derangement(cells, 5)
    true = set(zip(sources.tolist(), targets.tolist(), strict=True))
    assert len(set(order.tolist())) == n
    assert not true & set(zip(sources.tolist(), targets[order].tolist(), strict=True))


def test_accepted_cells_of_a_batch():
    accepted = sparse.csr_array(np.array([[1, 0, 1], [0, 1, 0]], bool))
    found = pairing.accepted_cells(accepted, [1, 0, 0], [1, 0, 2]).toarray()
    assert found.tolist() == [[True, False, False], [False, True, True], [False, True, True]]
    again = pairing.assigned(np.array([0, 0, 1]), np.array([2, 2, 0]), (2, 3)).toarray()
    assert again.tolist() == [[False, False, True], [True, False, False]]


MARGINS = np.array([0.3, -0.5, 0.02, np.nan, -0.04, 0.9])


def test_margin_strategies():
    assert pairing.choose("lowest-margin", 3, n=6, seed=0, margins=MARGINS).tolist() == [1, 4, 2]
    assert pairing.choose("uncertainty", 3, n=6, seed=0, margins=MARGINS).tolist() == [2, 4, 0]
    assert pairing.choose("uncertainty", 2, n=6, seed=0, margins=MARGINS, exclude=[2, 0]).tolist() == [4, 1]
    assert pairing.choose("lowest-margin", 6, n=6, seed=0, margins=MARGINS)[-1] == 3
    ties = {pairing.choose("lowest-margin", 1, n=6, seed=seed, margins=np.zeros(6))[0] for seed in range(50)}
    assert ties == set(range(6))


def test_random_is_uniform_without_replacement():
    counts = np.bincount(np.concatenate([pairing.choose("random", 3, n=6, seed=seed) for seed in range(1000)]), minlength=6)
    assert (abs(counts - 500) < 80).all()  # 5 sd of a binomial(1000, 1/2)
    assert sorted(pairing.choose("random", 4, n=6, seed=1, exclude=[0, 5])) == [1, 2, 3, 4]


def test_diverse_takes_one_of_each_cluster_first():
    directions = np.repeat(np.eye(5), 20, axis=0)
    vectors = directions * np.random.default_rng(0).uniform(1, 9, (100, 1))  # only the direction counts
    for seed in range(10):
        chosen = pairing.choose("diverse", 8, n=100, seed=seed, vectors=vectors)
        assert sorted(chosen[:5] // 20) == [0, 1, 2, 3, 4] and len(set(chosen.tolist())) == 8
        rest = pairing.choose("diverse", 3, n=100, seed=seed, vectors=vectors, exclude=[0, 45])
        assert sorted(rest // 20) == [1, 3, 4]
    first = {int(pairing.choose("diverse", 1, n=100, seed=seed, vectors=vectors)[0]) for seed in range(30)}
    assert len(first) > 10


@pytest.mark.parametrize("strategy", pairing.STRATEGIES)
def test_choices_are_deterministic_by_seed_and_distinct(strategy):
    rng = np.random.default_rng(0)
    given = {"n": 50, "margins": rng.normal(size=50), "vectors": rng.normal(size=(50, 4))}
    chosen = pairing.choose(strategy, 20, seed=3, **given)
    assert len(set(chosen.tolist())) == 20
    assert np.array_equal(chosen, pairing.choose(strategy, 20, seed=3, **given))
    assert sorted(pairing.choose(strategy, 50, seed=3, **given)) == list(range(50))


@pytest.mark.parametrize(
    ("strategy", "budget", "words"),
    [
        ("best", 2, "unknown: choose one of random"),
        ("random", 7, "budget 7 does not fit: 6 of 6"),
        ("random", 0, "budget 0"),
        ("uncertainty", 2, "needs margins for each of 6 train pairs, got none"),
        ("diverse", 2, "needs vectors"),
    ],
)
def test_wrong_selections_are_refused(strategy, budget, words):
    with pytest.raises(ValueError, match=words):
        pairing.choose(strategy, budget, n=6, seed=0)
