"""What holds for every metric, for one that is added tomorrow too: a new entry of labels.METRICS is tried here by itself."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tli import metrics
from tli.labels import METRICS
from tli.metrics.summary import figures_of

WORDS = 120


def figures(source: np.ndarray, target: np.ndarray, queries: np.ndarray | None = None, order: np.ndarray | None = None) -> dict:
    """Every figure of words s0, s1, ... and their translations t0, t1, ..., the rows in `order`."""
    words = np.arange(len(source)) if order is None else order
    pairs = pd.DataFrame({"source": [f"s{i}" for i in words], "target": [f"t{i}" for i in words], "alternatives": ""})
    pairs.loc[pairs["source"] == "s1", "alternatives"] = "t0"  # a reference, without which RefxCS is undefined
    c = metrics.candidates(pairs)
    place = {form: i for i, form in enumerate(c.source_forms)}, {form: i for i, form in enumerate(c.target_forms)}
    s, t = np.empty_like(source), np.empty_like(target)
    s[[place[0][f"s{i}"] for i in words]], t[[place[1][f"t{i}"] for i in words]] = source[words], target[words]
    vectors = metrics.Vectors(s, t)
    mask = np.ones(len(words), bool) if queries is None else queries[words]
    return figures_of(metrics.per_pair(vectors, c), vectors, c, {"of": mask}, k=5, sink_ratio=2.0)["of"]


@pytest.fixture(scope="module")
def sides() -> tuple[np.ndarray, np.ndarray]:
    """Translations that share a part of their vectors: no metric is at its floor or its ceiling."""
    rng = np.random.default_rng(0)
    source = rng.normal(0.4, 1, (WORDS, 24)).astype(np.float32)
    return source, (source + 2.5 * rng.normal(size=(WORDS, 24))).astype(np.float32)


@pytest.mark.parametrize("name", METRICS)
def test_it_is_named_by_a_test_that_knows_its_value(name):
    tests = (Path(__file__).parent / "test_metrics.py").read_text(encoding="utf-8")
    assert f'"{name}"' in tests or f"{name}(" in tests, (
        f"no test in test_metrics.py names {name}: add one that knows its value from elsewhere (a closed form, a plain loop, scipy)"
    )


@pytest.mark.parametrize("name", METRICS)
def test_its_better_side_is_where_translations_are_nearer(name, sides):
    source, target = sides
    rng = np.random.default_rng(1)
    near, far = figures(source, source + 0.1 * (target - source))[name], figures(source, rng.permutation(target))[name]
    better = METRICS[name].better
    assert better == 0 or better * (near - far) > 0, f"better is {better:+d}, but aligned words have {near:.3f} and shuffled ones {far:.3f}"


@pytest.mark.parametrize("name", METRICS)
def test_it_depends_neither_on_the_order_of_the_pairs_nor_on_the_length_of_the_vectors(name, sides):
    plain = figures(*sides)[name]
    assert np.isfinite(plain)
    order = np.random.default_rng(2).permutation(WORDS)
    assert figures(*sides, order=order)[name] == pytest.approx(plain, abs=1e-5), "the pairs in another order give another value"
    assert figures(*(4 * side for side in sides))[name] == pytest.approx(plain, abs=1e-5), "all vectors times 4 give another value"


@pytest.mark.parametrize("queries", [0, 1, 2, 3])
def test_few_queries_give_a_value_or_nan_and_no_warning(queries, sides):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_many = figures(*sides, queries=np.arange(WORDS) < queries)
        alone = figures(*(side[: max(queries, 1)] for side in sides), queries=np.arange(max(queries, 1)) < queries)
    assert of_many["n"] == alone["n"] == queries
    if not queries:
        assert all(np.isnan(of_many[name]) for name in METRICS if name != "sink_ratio")


def test_a_long_list_takes_no_matrix_of_all_its_words():
    """5,000 words: one square matrix of them in float32 has 95 MiB. What needs one is summed in blocks, as `per_pair` does."""
    rng = np.random.default_rng(3)
    n = 5_000
    c = metrics.candidates(pd.DataFrame({"source": [f"s{i}" for i in range(n)], "target": [f"t{i}" for i in range(n)], "alternatives": ""}))
    vectors = metrics.Vectors(*(rng.normal(size=(n, 32)).astype(np.float32) for _ in range(2)))
    tracemalloc.start()
    metrics.evaluate(vectors, c, np.repeat("heldout", n), block_megabytes=16)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert peak < 80, f"{peak:.0f} MiB"
