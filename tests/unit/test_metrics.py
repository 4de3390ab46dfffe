"""metrics: every figure against a plain double loop, a closed form or a property."""

from __future__ import annotations

import time
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest

from tli import labels, metrics
from tli.io import tables

NAN = float("nan")


def lexicon(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame([(*row, "")[:3] for row in rows], columns=["source", "target", "alternatives"])


def small(n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Repeated sources and targets, alternatives that are candidates and some that are not."""
    rng = np.random.default_rng(seed)
    extra = [f"t{a}|x{b}" if a % 3 else "" for a, b in rng.integers(0, n, (n, 2))]
    return lexicon([(f"s{a}", f"t{b}", c) for (a, b), c in zip(rng.integers(0, int(n * 0.8), (n, 2)), extra, strict=True)])


def drawn(c: metrics.Candidates, d: int = 8, seed: int = 1, shift: float = 0.3):
    rng = np.random.default_rng(seed)
    sizes = len(c.source_forms), len(c.target_forms), len(c.reference_forms)
    return [(rng.normal(shift, 1, (size, d)) * rng.uniform(0.5, 9, (size, 1))).astype(np.float32) for size in sizes]


def cosine(a, b) -> float:
    a, b = a.astype(float), b.astype(float)
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else 0.0


def plain(pairs: pd.DataFrame, source: dict, target: dict, reference: dict, k: int = 10) -> pd.DataFrame:
    """per_pair as one would write it on paper, on dictionaries of vectors."""
    right: dict[str, set] = {s: set() for s in source}
    for _, row in pairs.iterrows():
        right[row.source] |= {row.target, *[a for a in row.alternatives.split("|") if a]}
    S = {(s, t): cosine(source[s], target[t]) for s in source for t in target}
    pool = min(len(source), len(target))

    def near(word, side, k):
        k = max(1, min(k, pool // 10))
        values = [S[word, t] for t in target] if side == "source" else [S[s, word] for s in source]
        return np.mean(sorted(values)[-k:])

    csls = {(s, t): 2 * S[s, t] - near(s, "source", k) - near(t, "target", k) for s, t in S}
    margin = {(s, t): S[s, t] / ((near(s, "source", 4) + near(t, "target", 4)) / 2) for s, t in S}

    def ranks(score, s, t):
        best = max(score[s, u] for u in target if u in right[s])
        best_back = max(score[u, t] for u in source if t in right[u])
        forward = [u for u in target if u not in right[s] and score[s, u] >= best - 3e-7]
        back = [u for u in source if t not in right[u] and score[u, t] >= best_back - 3e-7]
        return 1 + len(forward), 1 + len(back)

    out = []
    for _, row in pairs.iterrows():
        s, t = row.source, row.target
        wrong = [S[s, u] for u in target if u not in right[s]]
        wrong_back = [S[u, t] for u in source if t not in right[u]]
        others = [cosine(target[t], target.get(u, reference.get(u))) for u in right[s] if u != t]
        out.append(
            {
                "cosine": S[s, t],
                "mismatched_mean": np.mean(wrong) if wrong else NAN,
                "mismatched_sd": np.std(wrong, ddof=1) if len(wrong) > 1 else NAN,
                "mismatched_xcs": np.mean([2.5 * max(w, 0) for w in wrong]) if wrong else NAN,
                "best_rival": max(wrong, default=NAN),
                "best_rival_reverse": max(wrong_back, default=NAN),
                "best_reference": max(others, default=NAN),
                "target_rank": ranks(S, s, t)[0],
                "source_rank": ranks(S, s, t)[1],
                "csls_target_rank": ranks(csls, s, t)[0],
                "csls_source_rank": ranks(csls, s, t)[1],
                "margin": margin[s, t],
                "margin_target_rank": ranks(margin, s, t)[0],
            }
        )
    return pd.DataFrame(out)


def named(c: metrics.Candidates, matrices) -> list[dict]:
    return [dict(zip(f, m, strict=True)) for f, m in zip((c.source_forms, c.target_forms, c.reference_forms), matrices, strict=True)]


def check(rows: pd.DataFrame, expected: pd.DataFrame) -> None:
    shared = [name for name in expected.columns if name in rows.columns]
    assert len(shared) >= len(expected.columns) - 1
    for name in shared:
        exact = name.endswith("rank")
        np.testing.assert_allclose(rows[name], expected[name], atol=0 if exact else 3e-6, rtol=0 if exact else 1e-5, err_msg=name)


def test_candidates_accept_own_alternatives_and_other_rows_targets():
    pairs = lexicon([("paka", "cat", ""), ("mbwa", "dog", "hound|cat"), ("paka", "puss", "moggy"), ("chui", "cat", None)])
    c = metrics.candidates(pairs)
    assert c.source_forms == ("paka", "mbwa", "chui")
    assert c.target_forms == ("cat", "dog", "puss")  # alternatives that are no target are no rivals
    assert c.reference_forms == ("hound", "moggy")
    assert c.source_of.tolist() == [0, 1, 0, 2] and c.target_of.tolist() == [0, 1, 2, 0]
    assert c.accepted.toarray().tolist() == [[True, False, True], [True, True, False], [True, False, False]]
    assert c.references.toarray().tolist() == [[False, True], [True, False], [False, False]]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (lexicon([]), "no row"),
        (lexicon([("a", "")]), "empty target in row 0"),
        (lexicon([("a", "b"), (None, "b")]), "empty source in row 1"),
        (pd.DataFrame({"source": ["a"]}), "lacks the columns"),
    ],
)
def test_candidates_refuse_with_a_reason(pairs, words):
    with pytest.raises(ValueError, match=words):
        metrics.candidates(pairs)


def test_one_wrong_target_has_a_mean_and_no_spread():
    c = metrics.candidates(lexicon([("a", "x"), ("b", "y")]))
    source, target, _ = drawn(c)
    rows = metrics.per_pair(metrics.Vectors(source, target), c)
    np.testing.assert_allclose(rows["mismatched_mean"], [cosine(source[0], target[1]), cosine(source[1], target[0])], atol=1e-6)
    np.testing.assert_allclose(rows["mismatched_xcs"], [2.5 * max(value, 0) for value in rows["mismatched_mean"]], atol=1e-6)
    assert rows["mismatched_sd"].isna().all()


@pytest.mark.parametrize("seed", range(4))
def test_per_pair_is_the_plain_double_loop(seed):
    pairs = small(seed=seed)
    c = metrics.candidates(pairs)
    s, t, r = drawn(c, seed=seed)
    rows = metrics.per_pair(metrics.Vectors(s, t, r), c)
    assert list(rows.columns) == tables.SIMILARITIES[tables.SIMILARITIES.index("cosine") :]
    check(rows, plain(pairs, *named(c, (s, t, r))))
    assert rows["best_reference"].isna().any() and rows["best_reference"].notna().any()


def test_mismatched_xcs_is_the_plain_mean(monkeypatch):
    monkeypatch.setattr(metrics.retrieval, "COLUMNS", ["mismatched_xcs"])
    pairs = small()
    c = metrics.candidates(pairs)
    s, t, r = drawn(c, shift=0)
    expected = plain(pairs, *named(c, (s, t, r)))["mismatched_xcs"]
    np.testing.assert_allclose(metrics.per_pair(metrics.Vectors(s, t), c)["mismatched_xcs"], expected, atol=1e-6)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (19, 1), (20, 2), (99, 9), (100, 10), (1000, 10)])
def test_neighbourhood_is_at_most_a_tenth_of_the_pool(n, k):
    assert metrics.neighbourhood(10, metrics.candidates(lexicon([(f"s{i}", f"t{i}") for i in range(n)]))) == k


@pytest.mark.parametrize("sink", [0, 300, 3000])
def test_cosines_near_one_keep_their_ranks(sink):
    """With a sink of 3000 the cosines differ in the fifth decimal; float64 is the judge."""
    c = metrics.candidates(lexicon([(f"s{i}", f"t{i}") for i in range(400)]))
    rng = np.random.default_rng(0)
    s = rng.normal(size=(400, 2048)).astype(np.float32)
    t = (s + 5 * rng.normal(size=(400, 2048))).astype(np.float32)
    s[:, 0] += sink
    t[:, 0] += sink
    rows = metrics.per_pair(metrics.Vectors(s, t), c)
    exact_s, exact_t = (x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True) for x in (s, t))
    S = exact_s @ exact_t.T
    np.testing.assert_allclose(rows["cosine"], S.diagonal(), atol=2e-7, rtol=0)
    exact = 1 + (S.diagonal()[:, None] < S).sum(axis=1)
    assert (abs(rows["target_rank"] - exact) > 0.1 * exact + 1).mean() < 0.02


def test_neighbourhoods_are_those_of_csls_and_of_the_margin():
    pairs = lexicon([(f"s{i}", f"t{i}") for i in range(70)])  # pool 70: 7 neighbours for CSLS, 4 for the margin
    c = metrics.candidates(pairs)
    s, t, _ = drawn(c)
    t = (t / 9 + s).astype(np.float32)
    rows = metrics.per_pair(metrics.Vectors(s, t), c)
    assert metrics.neighbourhood(10, c) == 7 and metrics.neighbourhood(4, c) == 4
    check(rows, plain(pairs, *named(c, (s, t, np.empty((0, 8))))))
    assert 1 < rows["csls_target_rank"].mean() < 20  # neither perfect nor chance


def test_ties_and_zero_vectors_count_against():
    pairs = lexicon([(f"s{i}", f"t{i}") for i in range(12)])
    c = metrics.candidates(pairs)
    s, t, _ = drawn(c)
    t[5] = 3 * t[2]  # parallel to another word's target: the same cosines
    t[7] = t[8] = 0
    s[2] = t[2]
    rows = metrics.per_pair(metrics.Vectors(s, t), c)
    check(rows, plain(pairs, *named(c, (s, t, np.empty((0, 8))))))
    assert rows["target_rank"][2] == 2  # its own target is as near as can be, and tied
    same = metrics.per_pair(metrics.Vectors(np.ones_like(s), np.ones_like(t)), c)
    ranks = [name for name in same.columns if name.endswith("rank")]
    assert (same[ranks] == 12).all(axis=None)
    assert metrics.summary(same, 1)["mexa"] == 0 and np.isnan(metrics.summary(same, 1)["z"])


def test_results_do_not_depend_on_the_block():
    pairs = small(300)
    c = metrics.candidates(pairs)
    s, t, r = drawn(c, d=24)
    whole = metrics.per_pair(metrics.Vectors(s, t, r), c)
    for megabytes in (1e-6, 0.02, 0.3):
        check(metrics.per_pair(metrics.Vectors(s, t, r), c, block_megabytes=megabytes), whole)


def test_one_pair_only_and_all_accepted_give_nan_and_no_warning():
    for pairs in (lexicon([("a", "b")]), lexicon([("a", "b"), ("a", "c")])):
        c = metrics.candidates(pairs)
        s, t, _ = drawn(c)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows, figures = metrics.evaluate(metrics.Vectors(s, t), c, np.repeat("train", len(pairs)))
        found = figures["train"]
        assert (rows["target_rank"] == 1).all() and found["p_at_1"] == 1 and found["k"] == 1
        undefined = ("mismatched", "gap", "z", "cka", "gap_centred", "gap_no_sink", "sink_ratio", "xcs_mismatched")
        assert all(np.isnan(found[name]) for name in undefined)


@pytest.mark.parametrize("seed", range(3))
def test_summary_is_the_plain_mean_of_each_definition(seed):
    pairs = small(60, seed)
    c = metrics.candidates(pairs)
    s, t, r = drawn(c, d=6, seed=seed)
    t[c.target_of] += 4 * s[c.source_of]
    rows = plain(pairs, *named(c, (s, t, r)))
    found = metrics.summary(metrics.per_pair(metrics.Vectors(s, t, r), c), 4)
    records = rows.to_dict("records")
    xcs = [2.5 * max(row["cosine"], 0) for row in records]
    refs = [max(row["best_reference"], 0) for row in records if not np.isnan(row["best_reference"])]

    def harmonic(row, first):
        b = max(row["best_reference"], 0)
        return 2 * first * b / (first + b) if first + b else 0.0

    expected = {
        "k": 4,
        "n": 60,
        "cosine": np.mean([row["cosine"] for row in records]),
        "gap": np.mean([row["cosine"] - row["mismatched_mean"] for row in records]),
        "z": np.mean([(row["cosine"] - row["mismatched_mean"]) / row["mismatched_sd"] for row in records]),
        "p_at_1": sum(row["target_rank"] == 1 for row in records) / 60,
        "p_at_5": sum(row["target_rank"] <= 5 for row in records) / 60,
        "mrr": np.mean([1 / row["target_rank"] for row in records]),
        "p_at_1_reverse": sum(row["source_rank"] == 1 for row in records) / 60,
        "p_at_5_reverse": sum(row["source_rank"] <= 5 for row in records) / 60,
        "mrr_reverse": np.mean([1 / row["source_rank"] for row in records]),
        "csls_p_at_1": sum(row["csls_target_rank"] == 1 for row in records) / 60,
        "csls_p_at_1_reverse": sum(row["csls_source_rank"] == 1 for row in records) / 60,
        "mexa": sum(row["cosine"] > max(row["best_rival"], row["best_rival_reverse"]) for row in records) / 60,
        "margin_error": sum(row["margin_target_rank"] > 1 for row in records) / 60,
        "xcs": np.mean(xcs),
        "ref_xcs": np.mean([harmonic(w, x) for w, x in zip(records, xcs, strict=True) if not np.isnan(w["best_reference"])]),
    }
    assert refs and 0 < expected["p_at_1"] < 1 and 0 < expected["mexa"] < 1
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5), name
    # the twins, exact where the column is kept, a normal's mean where it is not
    assert found["xcs_mismatched"] == pytest.approx(rows["mismatched_xcs"].mean(), abs=1e-5)
    twin = [harmonic(w, w["mismatched_xcs"]) for w in records if not np.isnan(w["best_reference"])]
    assert found["ref_xcs_mismatched"] == pytest.approx(np.mean(twin), abs=1e-5)


def test_summary_of_no_query_is_nan():
    c = metrics.candidates(small())
    s, t, _ = drawn(c)
    found = metrics.summary(metrics.per_pair(metrics.Vectors(s, t), c).iloc[:0], 3)
    assert found.pop("n") == 0 and found.pop("k") == 3
    assert all(np.isnan(value) for value in found.values())


def test_unrelated_words_have_the_xcs_of_their_mismatched_twin():
    c = metrics.candidates(lexicon([(f"s{i}", f"t{i}") for i in range(1500)]))
    s, t, _ = drawn(c, d=16, shift=0)
    found = metrics.summary(metrics.per_pair(metrics.Vectors(s, t), c), 10)
    assert found["xcs"] > 0.2  # clipping at 0 makes it positive, without any alignment
    assert found["xcs_mismatched"] == pytest.approx(found["xcs"], rel=0.1)


def test_an_added_constant_raises_cosine_and_nothing_that_counts():
    c = metrics.candidates(lexicon([(f"s{i}", f"t{i}") for i in range(200)]))
    rng = np.random.default_rng(0)
    s = rng.normal(size=(200, 32)).astype(np.float32)
    t = (s + 1.5 * rng.normal(size=(200, 32))).astype(np.float32)
    before = metrics.evaluate(metrics.Vectors(s, t), c, np.repeat("heldout", 200))[1]["heldout"]
    constant = np.full(32, 3, np.float32)
    after = metrics.evaluate(metrics.Vectors(s + constant, t + constant), c, np.repeat("heldout", 200))[1]["heldout"]
    assert after["cosine"] > before["cosine"] + 0.25
    assert after["mismatched"] > before["mismatched"] + 0.5
    assert after["gap"] < before["gap"]
    assert after["csls_p_at_1"] <= before["csls_p_at_1"]
    assert after["p_at_1"] <= before["p_at_1"]
    assert 0.3 < before["csls_p_at_1"] < 1
    for same in ("cka", "cosine_centred", "gap_centred"):
        assert after[same] == pytest.approx(before[same], abs=1e-5)


def test_a_planted_sink_dimension_is_dropped_and_only_it():
    c = metrics.candidates(lexicon([(f"s{i}", f"t{i}") for i in range(80)]))
    s, t, _ = drawn(c, d=32, shift=0)
    t += s
    before = metrics.geometry(metrics.Vectors(s, t), c, np.arange(80))
    assert before["cosine_no_sink"] == pytest.approx(metrics.per_pair(metrics.Vectors(s, t), c)["cosine"].mean(), abs=1e-6)
    sunk_s, sunk_t = np.insert(s, 7, 300, axis=1), np.insert(t, 7, 300, axis=1)
    assert metrics.per_pair(metrics.Vectors(sunk_s, sunk_t), c)["mismatched_mean"].mean() > 0.9
    after = metrics.geometry(metrics.Vectors(sunk_s, sunk_t), c, np.arange(80))
    assert after["cosine_no_sink"] == pytest.approx(before["cosine_no_sink"], abs=1e-5)
    assert after["gap_no_sink"] == pytest.approx(before["gap_no_sink"], abs=1e-5)


@pytest.mark.parametrize("size", [50, 2])  # of two pairs each has one rival
def test_robustness_rows_are_the_plain_definition(size):
    pairs = small(size, 5) if size > 2 else lexicon([("maji", "water"), ("moto", "fire")])
    c = metrics.candidates(pairs)
    s, t, r = drawn(c, seed=5, shift=2)
    mean = np.concatenate([s, t]).astype(float).mean(axis=0)
    queries = np.arange(size) % 3 == 0
    rows = plain(pairs, *named(c, (s - mean, t - mean, r)))[queries]
    found = metrics.geometry(metrics.Vectors(s, t), c, queries)
    assert found["cosine_centred"] == pytest.approx(rows["cosine"].mean(), abs=1e-5)
    assert found["gap_centred"] == pytest.approx((rows["cosine"] - rows["mismatched_mean"]).mean(), abs=1e-5)
    assert found == pytest.approx(metrics.geometry(metrics.Vectors(s, t), c, np.flatnonzero(queries)), nan_ok=True)


def unbiased_hsic(K: np.ndarray, L: np.ndarray) -> float:
    """U-centring (Szekely & Rizzo 2014): another road to the estimator of Song et al."""
    n = len(K)

    def centre(A):
        A = A - np.diag(np.diag(A))
        rows = A.sum(axis=1)
        A = A - rows[:, None] / (n - 2) - rows[None] / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
        return A - np.diag(np.diag(A))

    return (centre(K) * centre(L)).sum() / (n * (n - 3))


@pytest.mark.parametrize(("n", "d", "e"), [(4, 3, 3), (12, 40, 30), (60, 5, 9), (30, 10, 64)])
def test_cka_is_the_u_centred_one(n, d, e):
    rng = np.random.default_rng(n)
    x = rng.normal(5, 1, (n, d))
    y = rng.normal(-3, 2, (n, e)) + x[:, :1]
    K, L = x @ x.T, y @ y.T
    expected = unbiased_hsic(K, L) / np.sqrt(unbiased_hsic(K, K) * unbiased_hsic(L, L))
    assert metrics.debiased_cka(x, y) == pytest.approx(expected, rel=1e-8)
    assert metrics.debiased_cka(x, x) == pytest.approx(1)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert metrics.debiased_cka(7 * x @ turn + 2, y) == pytest.approx(expected, rel=1e-8)


def test_cka_of_unrelated_sides_is_about_zero_where_the_biased_one_is_not():
    rng = np.random.default_rng(0)
    draws = [(rng.normal(size=(50, 40)), rng.normal(size=(50, 40))) for _ in range(40)]
    assert abs(np.mean([metrics.debiased_cka(x, y) for x, y in draws])) < 0.02
    biased = [np.linalg.norm((x - x.mean(0)).T @ (y - y.mean(0))) ** 2 for x, y in draws]
    scale = [np.linalg.norm(np.cov(x.T)) * np.linalg.norm(np.cov(y.T)) * 49**2 for x, y in draws]
    assert np.mean(np.array(biased) / scale) > 0.3


def test_cka_undefined_is_nan():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 4))
    assert np.isnan(metrics.debiased_cka(x[:3], x[:3]))
    assert np.isnan(metrics.debiased_cka(x, np.full((10, 4), 0.1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(metrics.debiased_cka(np.eye(4), x[:4]))  # all equally far from each other: its HSIC is 0 to the last bit


def test_every_figure_has_a_label():
    shares = {name for name in tables.POOLS if name.startswith(("chance", "string"))}
    known = labels.METRICS | labels.BESIDE
    assert set(known) == (set(tables.METRICS) - {"k", "n"}) | shares
    assert len({metric.label for metric in known.values()}) == len(known)
    assert labels.metric_label("csls_p_at_1_reverse") == "CSLS P@1 (target to source)" and labels.metric_label("not_ours") == "not ours"


def test_evaluate_gives_every_figure_for_every_split():
    pairs = small(90, 3)
    c = metrics.candidates(pairs)
    s, t, r = drawn(c)
    splits = np.array(["train", "select", "heldout"])[np.arange(90) % 3]
    rows, figures = metrics.evaluate(metrics.Vectors(s, t, r), c, splits, sink_ratio=12.5)
    assert list(figures) == ["heldout", "select", "train"] and len(rows) == 90
    for split, found in figures.items():
        assert list(found) == tables.METRICS
        assert found["sink_ratio"] == 12.5 and found["n"] == 30
        assert found["p_at_1"] == (rows["target_rank"][splits == split] == 1).mean()
        assert not any(np.isnan(value) for value in found.values())
    with pytest.raises(ValueError, match="one name for each of 90 pairs"):
        metrics.evaluate(metrics.Vectors(s, t), c, splits[:5])


def test_wrong_shapes_and_values_are_refused():
    c = metrics.candidates(small())
    s, t, _ = drawn(c)
    with pytest.raises(ValueError, match="source vectors have shape"):
        metrics.per_pair(metrics.Vectors(s[1:], t), c)
    with pytest.raises(ValueError, match="8 dimensions, target vectors 7"):
        metrics.per_pair(metrics.Vectors(s, t[:, 1:]), c)
    t[3, 2] = np.inf
    with pytest.raises(ValueError, match="target vector 3 .* not finite"):
        metrics.per_pair(metrics.Vectors(s, t), c)


def test_twenty_thousand_pairs_in_bounded_memory():
    n = 20_000
    rng = np.random.default_rng(0)
    c = metrics.candidates(lexicon([(f"s{i}", f"t{i}", f"t{i // 2}") for i in range(n)]))
    s = rng.normal(size=(n, 64)).astype(np.float32)
    t = (s + 2 * rng.normal(size=(n, 64))).astype(np.float32)
    start = time.perf_counter()
    tracemalloc.start()
    rows = metrics.per_pair(metrics.Vectors(s, t), c, block_megabytes=64)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert peak < 64 + 40  # blocks, and the vectors and rows themselves; the whole matrix would be 1,526
    assert time.perf_counter() - start < 60
    i = 12_345  # one query by hand
    unit_s, unit_t = s[i] / np.linalg.norm(s[i]), t / np.linalg.norm(t, axis=1, keepdims=True)
    cosines = unit_t @ unit_s
    right = [i, i // 2]
    assert rows["target_rank"][i] == 1 + (np.delete(cosines, right) >= cosines[right].max()).sum()
    assert rows["mismatched_mean"][i] == pytest.approx(np.delete(cosines, right).mean(), abs=1e-6)
