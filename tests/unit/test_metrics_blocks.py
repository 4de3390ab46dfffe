"""Blocks of a retrieval: as high as the memory allows, no higher, and all rows in one of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from tli import metrics
from tli.metrics import baselines, retrieval


def listed(n: int, alternatives: int = 0) -> metrics.Candidates:
    others = ["|".join(f"r{row}-{number}" for number in range(alternatives)) for row in range(n)]
    return metrics.candidates(
        pd.DataFrame({"source": [f"s{i}" for i in range(n)], "target": [f"t{i}" for i in range(n)], "alternatives": others})
    )


@pytest.mark.parametrize("megabytes", [0.02, 0.1, 1.0, 64.0])
def test_four_matrices_of_a_blocks_size_are_within_the_memory_and_one_row_more_would_not_be(megabytes):
    n = 150
    c = listed(n)
    source, target = (np.random.default_rng(seed).normal(0, 1, (n, 4)).astype(np.float32) for seed in (0, 1))
    blocks = list(retrieval._blocks(retrieval._sides(source, target, (n, n)), c, megabytes))
    assert np.concatenate([np.arange(n)[block.part] for block in blocks]).tolist() == list(range(n))
    np.testing.assert_allclose(np.concatenate([block.cosines for block in blocks]), source @ target.T, atol=1e-5)
    allowed = megabytes * 2**20
    for block in blocks:
        assert 4 * block.cosines.nbytes <= allowed
    for block in blocks[:-1]:
        assert 4 * (block.cosines.nbytes + n * 4) > allowed


def test_a_row_is_a_block_where_the_memory_holds_less():
    c = listed(30)
    ones = np.ones((30, 2), np.float32)
    assert [block.cosines.shape for block in retrieval._blocks(retrieval._sides(ones, ones, (30, 30)), c, 1e-9)] == [(1, 30)] * 30


def test_references_are_compared_in_bounded_memory_as_all_at_once():
    c = listed(40, alternatives=100)
    random = np.random.default_rng(0)
    target, reference = (random.normal(0, 1, (size, 256)).astype(np.float32) for size in (40, 4000))
    whole = retrieval._best_reference(target, reference, c, 256)
    tracemalloc.start()
    blocks = retrieval._best_reference(target, reference, c, 0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(blocks, whole, rtol=1e-12)
    plain = [max(float(target[i].astype(float) @ reference[100 * i + j].astype(float)) for j in range(100)) for i in range(40)]
    np.testing.assert_allclose(whole, plain, rtol=1e-6)
    assert peak < 1.5 * 2**20  # the block, and indices of 4,000 references; at once it is 8 MiB


def lengths(first: list[str], second: list[str]) -> np.ndarray:
    return np.array([len(a) - len(b) / 10 for a, b in zip(first, second, strict=True)])


def test_spellings_are_compared_up_to_a_number_of_comparisons_and_of_letters():
    pairs = pd.DataFrame({"source": ["a", "bb", "ccc"], "target": ["dddd", "ee", "fff"], "alternatives": ""})
    c = metrics.candidates(pairs)
    found = baselines.similarity_matrix(c, lengths)
    np.testing.assert_allclose(found, [[len(s) - len(t) / 10 for t in pairs["target"]] for s in pairs["source"]], rtol=1e-6)
    assert baselines.similarity_matrix(c, lengths, at_most=9) is not None and baselines.similarity_matrix(c, lengths, at_most=8) is None
    for letters, compared in ((30, True), (31, False)):  # words of 30 letters are long, those of more are sentences
        long = pd.DataFrame({"source": ["s" * letters, "x" * letters], "target": ["t" * 30, "y" * 30], "alternatives": ""})
        assert (baselines.similarity_matrix(metrics.candidates(long), lengths, at_most=4) is not None) == compared


def test_spellings_of_many_targets_are_compared_in_calls_of_bounded_length():
    c, asked = listed(500), []

    def compare(first: list[str], second: list[str]) -> np.ndarray:
        asked.append(len(first))
        return np.array([float(int(a[1:]) * 1000 + int(b[1:])) for a, b in zip(first, second, strict=True)])

    found = baselines.similarity_matrix(c, compare)
    np.testing.assert_array_equal(found, (np.arange(500)[:, None] * 1000 + np.arange(500)).astype(np.float32))
    assert asked == [200_000, 50_000]
