"""Thin factors: all of the rows, and nothing of float32's rounding."""

from __future__ import annotations

import numpy as np
import pytest

from tli.metrics.thin import centred, thin


@pytest.mark.parametrize("n, d, rank", [(50, 20, 3), (12, 300, 7), (40, 40, 1)])
def test_directions_that_only_rounding_makes_are_left_out(n, d, rank):
    random = np.random.default_rng(n)
    rows = (random.normal(size=(n, rank)) @ random.normal(size=(rank, d))).astype(np.float32)
    one = thin(rows)
    unit = rows.astype(float) / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    assert len(one.values) == rank and (np.diff(one.values) <= 0).all()
    np.testing.assert_allclose(one.left * one.values @ one.right.T + one.mean, unit, atol=1e-5)
    np.testing.assert_allclose(one.left.T @ one.left, np.eye(rank), atol=1e-12)
    np.testing.assert_allclose(one.mean, unit.mean(axis=0), atol=1e-12)


def test_rows_that_do_not_vary_have_no_direction():
    alike = np.tile(np.random.default_rng(0).normal(size=9), (6, 1))
    assert len(thin(alike).values) == 0 == len(thin(alike * np.arange(1, 7)[:, None]).values)


@pytest.mark.parametrize("number, size", [(2, 2), (2.0, 2), (5, 5), (6, 5)])
def test_a_cut_takes_the_largest_or_as_many_as_there_are(number, size):
    one = thin(np.random.default_rng(1).normal(size=(6, 30)))  # six rows less their mean: five directions
    cut = one.cut(number)
    assert cut.left.shape == (6, size) and cut.right.shape == (30, size) and cut.values.tolist() == one.values[:size].tolist()


def test_rows_are_brought_to_length_one_and_a_zero_row_stays():
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]])
    np.testing.assert_allclose(centred(rows, np.array([0.5, 0.0])), [[0.1, 0.8], [-0.5, 0.0], [-0.5, -1.0]])
    assert rows[0].tolist() == [3.0, 4.0]  # those given stay as they are
    with pytest.raises(ValueError, match=r"vector 1 \(from 0\)"):
        centred(np.array([[1.0, 2.0], [np.inf, 0.0], [np.nan, 0.0]]), 0.0)
    with pytest.raises(ValueError, match=r"vector 0 \(from 0\)"):
        centred(np.array([[np.nan, 2.0]]), 0.0)
