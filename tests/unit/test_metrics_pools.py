"""The untrained pool: nothing that training does to trained forms moves it, and what happens to held-out ones is seen."""

from __future__ import annotations

import difflib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import NAN, check, cosine, drawn, lexicon, named, plain, small

from tli import metrics
from tli.errors import LexiconError
from tli.io import tables
from tli.metrics import baselines, pools, strata

RANKS = [name for name in tables.SIMILARITIES if name.endswith("rank")]


def split_list(n: int = 60, heldout: int = 20) -> tuple[pd.DataFrame, np.ndarray]:
    """A list without leaks, with synonyms inside each split; its splits."""
    splits = np.array(["train"] * (n - heldout) + ["heldout"] * heldout)
    rows = [(f"s{i}", f"t{i}", f"t{i + 1}|x{i}" if i % 4 == 0 and i + 1 < n and splits[i] == splits[i + 1] else "") for i in range(n)]
    return lexicon(rows), splits


def trained_forms(pairs: pd.DataFrame, splits: np.ndarray) -> tuple[set[str], set[str]]:
    trained = pairs[splits == "train"]
    return set(trained["source"]), set(trained["target"])


def untrained_pool(pairs: pd.DataFrame, splits: np.ndarray) -> metrics.Pool:
    return metrics.untrained(metrics.candidates(pairs), splits == "heldout", *trained_forms(pairs, splits))


def moved(vectors: metrics.Vectors, c: metrics.Candidates, trained: tuple[set, set], change) -> metrics.Vectors:
    sides = []
    for array, forms, names in ((vectors.source, c.source_forms, trained[0]), (vectors.target, c.target_forms, trained[1])):
        array = array.copy()
        rows = [i for i, form in enumerate(forms) if form in names]
        array[rows] = change(array[rows])
        sides.append(array)
    reference = vectors.reference.copy()
    rows = [i for i, form in enumerate(c.reference_forms) if form in trained[1]]
    reference[rows] = change(reference[rows])
    return metrics.Vectors(*sides, reference)


def bits(vectors: metrics.Vectors, pool: metrics.Pool, questions: metrics.Questions) -> tuple:
    rows, figures = metrics.evaluate_pool(vectors, pool, questions)
    numbers = rows.drop(columns="pool").to_numpy(float)
    return numbers.tobytes(), figures.drop(columns=["split", "stratum", "part", "pool"]).to_numpy(float).tobytes()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 6), st.booleans())
def test_trained_vectors_moved_at_will_move_no_figure(seed, scale, synonyms):
    pairs, splits = split_list()
    if not synonyms:
        pairs["alternatives"] = ""
    c, pool = metrics.candidates(pairs), untrained_pool(pairs, splits)
    vectors = metrics.Vectors(*drawn(c, seed=seed))
    rng = np.random.default_rng(seed)
    questions = metrics.Questions(splits)
    after = moved(vectors, c, trained_forms(pairs, splits), lambda rows: rng.normal(1, 10**scale, rows.shape).astype(np.float32))
    assert not pool.leaked.any()
    assert bits(after, pool, questions) == bits(vectors, pool, questions)
    whole = metrics.whole_list(c)
    assert bits(after, whole, questions) != bits(vectors, whole, questions)


def test_memorising_moves_nothing():
    pairs, splits = split_list(200, 60)
    c, pool = metrics.candidates(pairs), untrained_pool(pairs, splits)
    source, target, reference = drawn(c, d=32)
    before = metrics.Vectors(source, target, reference)
    learned = target.copy()
    train = splits == "train"
    learned[c.target_of[train]] = source[c.source_of[train]]
    after = metrics.Vectors(source, learned, reference)
    questions = metrics.Questions(splits)
    assert bits(after, pool, questions) == bits(before, pool, questions)
    whole = metrics.evaluate_pool(after, metrics.whole_list(c), questions)[1].set_index("split")
    assert whole.loc["train", "csls_p_at_1"] > 0.95  # it did memorise


def test_moving_trained_forms_alone_raises_the_whole_lists_held_out_figure():
    """The trained forms leave for a corner of their own, so held-out words lose rivals: nothing about them was learned."""
    pairs, splits = split_list(400, 100)
    pairs["alternatives"] = ""
    c, pool = metrics.candidates(pairs), untrained_pool(pairs, splits)
    rng = np.random.default_rng(0)
    source, target = np.zeros((2, 400, 48), np.float32)
    source[:, :24] = rng.normal(size=(400, 24))
    target[:, :24] = source[:, :24] + 1.2 * rng.normal(size=(400, 24))
    before = metrics.Vectors(source, target, np.zeros((len(c.reference_forms), 48), np.float32))
    after = moved(before, c, trained_forms(pairs, splits), lambda rows: np.roll(rows, 24, axis=1))
    questions = metrics.Questions(splits)
    whole = [metrics.evaluate_pool(vectors, metrics.whole_list(c), questions)[1].set_index("split") for vectors in (before, after)]
    assert whole[1].loc["heldout", "csls_p_at_1"] > whole[0].loc["heldout", "csls_p_at_1"] + 0.03
    assert bits(before, pool, questions) == bits(after, pool, questions)


def test_an_alignment_planted_in_held_out_vectors_is_found():
    pairs, splits = split_list(200, 60)
    pairs["alternatives"] = ""
    c, pool = metrics.candidates(pairs), untrained_pool(pairs, splits)
    source, target, reference = drawn(c, d=32, shift=0)
    heldout = splits == "heldout"
    found = []
    for strength in (0, 8):
        planted = target.copy()
        planted[c.target_of[heldout]] += strength * source[c.source_of[heldout]]
        _, figures = metrics.evaluate_pool(metrics.Vectors(source, planted, reference), pool, metrics.Questions(splits))
        found.append(figures.iloc[0])
    assert found[0]["csls_p_at_1"] < 0.15 and found[1]["csls_p_at_1"] > 0.95
    assert found[1]["n"] == 60 and found[1]["k"] == 6 and found[1]["chance"] == pytest.approx(1 / 60)
    assert list(found[1].index) == ["split", "stratum", "part", *tables.METRICS, *tables.POOLS]


def test_a_pool_without_leaks_is_the_list_of_its_own_pairs():
    pairs, splits = split_list()
    c, pool = metrics.candidates(pairs), untrained_pool(pairs, splits)
    vectors = metrics.Vectors(*drawn(c))
    rows, _ = metrics.evaluate_pool(vectors, pool, metrics.Questions(splits))
    alone = pairs[splits == "heldout"].reset_index(drop=True)
    by_name = [dict(zip(forms, side, strict=True)) for forms, side in zip(_forms(c), (vectors.source, vectors.target, vectors.reference))]
    expected = plain(alone, *[{name: side[name] for name in names} for side, names in zip(by_name, _forms(metrics.candidates(alone)))])
    check(rows, expected)
    assert rows["pair"].tolist() == np.flatnonzero(splits == "heldout").tolist()


def _forms(c: metrics.Candidates) -> tuple:
    return c.source_forms, c.target_forms, c.reference_forms


@pytest.mark.parametrize("seed", range(4))
def test_a_leaked_pool_is_the_plain_double_loop(seed):
    """Repeated forms on both sides of the split: the definition, written with sets and dictionaries."""
    pairs = small(80, seed)
    rng = np.random.default_rng(seed)
    splits = np.where(rng.random(80) < 0.3, "heldout", "train")
    c, pool = metrics.candidates(pairs), untrained_pool(pairs, splits)
    assert pool.leaked.any() and not pool.leaked.all()
    arrays = drawn(c, seed=seed)
    source, target, reference = named(c, arrays)
    trained = trained_forms(pairs, splits)
    for megabytes in (256, 1e-4):
        part = pool.vectors(metrics.Vectors(*arrays))
        rows = metrics.per_pair(part, pool.candidates, block_megabytes=megabytes)
        check(rows, _plain_pool(pairs, splits == "heldout", source, target, reference, trained))
    heldout = pairs[splits == "heldout"]
    own = heldout["source"].isin(trained[0]).to_numpy() | heldout["target"].isin(trained[1]).to_numpy()
    assert pool.leaked[own].all()
    # what is not leaked does not move
    questions = metrics.Questions(splits)
    after = moved(metrics.Vectors(*arrays), c, trained, lambda rows: rows[::-1] * 3 - 7)
    both = [metrics.evaluate_pool(v, pool, questions)[0].drop(columns="pool") for v in (metrics.Vectors(*arrays), after)]
    assert both[0][~pool.leaked].to_numpy(float).tobytes() == both[1][~pool.leaked].to_numpy(float).tobytes()
    assert both[0][pool.leaked].to_numpy(float).tobytes() != both[1][pool.leaked].to_numpy(float).tobytes()


def _plain_pool(pairs, queries, source, target, reference, trained) -> pd.DataFrame:
    right: dict[str, set] = {}
    for row in pairs.itertuples():
        right.setdefault(row.source, set()).update({row.target, *[a for a in row.alternatives.split("|") if a]})
    asked = pairs[queries]
    rivals_s, rivals_t = set(source) - trained[0], set(target) - trained[1]
    pool_s, pool_t = rivals_s | set(asked["source"]), rivals_t | set(asked["target"])
    S = {(s, t): cosine(source[s], target[t]) for s in pool_s for t in pool_t}
    size = min(len(rivals_s), len(rivals_t))

    def near(values, k):
        return np.mean(sorted(values)[-max(1, min(k, size // 10)) :])

    def score(kind, s, t):
        k = 10 if kind == "csls" else 4
        a, b = near([S[s, u] for u in rivals_t], k), near([S[u, t] for u in rivals_s], k)
        return 2 * S[s, t] - a - b if kind == "csls" else S[s, t] / ((a + b) / 2) if kind == "margin" else S[s, t]

    scores = {kind: {cell: score(kind, *cell) for cell in S} for kind in ("cosine", "csls", "margin")}

    def rank(kind, s, t, forward=True):
        own = scores[kind]
        if forward:
            best = max(own[s, u] for u in pool_t if u in right[s])
            return 1 + sum(own[s, u] >= best - 3e-7 for u in rivals_t - right[s])
        best = max(own[u, t] for u in pool_s if t in right[u])
        return 1 + sum(own[u, t] >= best - 3e-7 for u in rivals_s if t not in right[u])

    out = []
    for row in asked.itertuples():
        s, t = row.source, row.target
        wrong = [S[s, u] for u in rivals_t - right[s]]
        others = {u for u in right[s] - {t} if u in pool_t or (u in reference and u not in trained[1])}
        out.append(
            {
                "cosine": S[s, t],
                "mismatched_mean": np.mean(wrong),
                "mismatched_sd": np.std(wrong, ddof=1),
                "mismatched_xcs": np.mean([2.5 * max(w, 0) for w in wrong]),
                "best_rival": max(wrong),
                "best_rival_reverse": max(S[u, t] for u in rivals_s if t not in right[u]),
                "best_reference": max((cosine(target[t], target[u] if u in target else reference[u]) for u in others), default=NAN),
                "target_rank": rank("cosine", s, t),
                "source_rank": rank("cosine", s, t, forward=False),
                "csls_target_rank": rank("csls", s, t),
                "csls_source_rank": rank("csls", s, t, forward=False),
                "margin": scores["margin"][s, t],
                "margin_target_rank": rank("margin", s, t),
            }
        )
    return pd.DataFrame(out)


def test_the_whole_list_is_what_evaluate_gives():
    pairs = small(120, 2)
    c = metrics.candidates(pairs)
    vectors = metrics.Vectors(*drawn(c))
    splits = np.array(["train", "heldout"])[np.arange(120) % 2]
    rows, figures = metrics.evaluate_pool(vectors, metrics.whole_list(c), metrics.Questions(splits), sink_ratio=3)
    expected_rows, expected = metrics.evaluate(vectors, c, splits, sink_ratio=3)
    pd.testing.assert_frame_equal(rows[expected_rows.columns], expected_rows)
    for figure in figures.to_dict("records"):
        assert {name: figure[name] for name in tables.METRICS} == expected[figure["split"]]
        assert figure["pool"] == "whole-list" and figure["pool_targets"] == len(c.target_forms) and figure["leaked"] == 0
        assert np.isnan(figure["string_p_at_1"])


def test_a_pool_of_nothing_is_refused_with_a_mend():
    pairs, splits = split_list()
    c = metrics.candidates(pairs)
    with pytest.raises(LexiconError, match="60 target forms was trained on.*hold some pairs out"):
        metrics.untrained(c, splits == "heldout", set(), set(c.target_forms))


def test_among_their_own_forms_only_the_queries_compete():
    pairs = lexicon([("a", "x", "y"), ("b", "y"), ("c", "z")])
    pool = pools.among("select", metrics.candidates(pairs), np.array([0, 2]))
    assert pool.candidates.target_forms == ("x", "z") and pool.candidates.source_forms == ("a", "c")
    assert pool.candidates.accepted.toarray().tolist() == [[True, False], [False, True]] and not pool.leaked.any()


def similar(first: list[str], second: list[str]) -> np.ndarray:
    return np.array([difflib.SequenceMatcher(None, a, b).ratio() for a, b in zip(first, second, strict=True)])


def test_the_string_baseline_finds_cognates_and_nothing_else():
    words = ["polisi", "basi", "kompyuta", "shati", "hoteli"] + [chr(0x4E00 + i) * 3 for i in range(5)]
    targets = ["polis", "bas", "computa", "shat", "hotel"] + [chr(0x0E01 + i) * 3 for i in range(5)]
    c = metrics.candidates(lexicon(list(zip(words, targets))))
    matrix = baselines.similarity_matrix(c, similar)
    forward, back = baselines.string_ranks(c, matrix)
    assert forward[:5].tolist() == [1] * 5 and back[:5].tolist() == [1] * 5
    assert (forward[5:] == 10).all() and (back[5:] == 10).all()  # like nothing: ties count against
    splits = np.repeat("heldout", 10)
    vectors = metrics.Vectors(*drawn(c))
    for pool in (metrics.whole_list(c), metrics.untrained(c, splits == "heldout", {words[0]}, {targets[0], targets[1]})):
        figures = metrics.evaluate_pool(vectors, pool, metrics.Questions(splits, similarity=matrix))[1].iloc[0]
        assert figures["string_p_at_1"] == 0.5  # a leaked cognate is still asked for among its rivals
    assert figures["leaked"] == 2 and figures["pool_targets"] == 8
    assert baselines.similarity_matrix(c, similar, at_most=99) is None


def test_chance_is_accepted_over_pool():
    c = metrics.candidates(lexicon([("a", "x", "y"), ("b", "y"), ("c", "z"), ("d", "w")]))
    forward, back = baselines.chance(c)
    assert forward.tolist() == [0.5, 0.25, 0.25, 0.25] and back.tolist() == [0.25, 0.5, 0.25, 0.25]
    pool = metrics.untrained(c, np.array([0, 3]), {"a"}, {"x", "z"})
    # a is asked among y, w and its own x, of which x and y are right; x among b, c, d and its own a
    assert [side.tolist() for side in baselines.chance(pool.candidates)] == [[2 / 3, 1 / 2], [1 / 4, 1 / 3]]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_a_guessing_model_scores_chance(seed):
    """Vectors of noise: P@1 is chance within its own error, in both pools."""
    pairs, splits = split_list(120, 100)
    c = metrics.candidates(pairs)
    vectors = metrics.Vectors(*drawn(c, d=64, seed=seed, shift=0))
    for pool in (metrics.whole_list(c), untrained_pool(pairs, splits)):
        figures = metrics.evaluate_pool(vectors, pool, metrics.Questions(splits))[1].set_index("split").loc["heldout"]
        assert abs(figures["p_at_1"] - figures["chance"]) < 5 * np.sqrt(figures["chance"] / 100)


def test_strata_are_the_figures_of_their_queries_and_small_ones_are_left_out():
    n = 140
    pairs = lexicon([(f"s{i}", f"t{i}") for i in range(n)])
    facts = pd.DataFrame(
        {
            "cognate": np.where(np.arange(n) < 40, 0.9, 0.1),
            "token_count": np.where(np.arange(n) % 2, 1, 3),
            "category": np.where(np.arange(n) < 29, "food", "kin"),
            "frequency": np.where(np.arange(n) < 100, np.arange(n, dtype=float), NAN),
        }
    )
    of = strata.parts(facts, cognate_from=0.7)
    assert list(of) == ["cognate", "tokens", "category", "frequency"]
    c = metrics.candidates(pairs)
    vectors = metrics.Vectors(*drawn(c))
    splits = np.repeat("heldout", n)
    rows, figures = metrics.evaluate_pool(vectors, metrics.whole_list(c), metrics.Questions(splits, strata=of))
    parts = figures.set_index(["stratum", "part"])
    counts = {("", ""): 140, ("cognate", "cognate"): 40, ("cognate", "no cognate"): 100, ("category", "kin"): 111}
    counts |= {("tokens", "one token"): 70, ("tokens", "several tokens"): 70}
    counts |= {("frequency", "rare"): 34, ("frequency", "middling"): 33, ("frequency", "frequent"): 33}
    assert dict.fromkeys(parts.index, 0) | counts == parts["n"].to_dict()  # 29 words of food give no figure
    chosen = (facts["cognate"] > 0.5).to_numpy()
    assert parts.loc[("cognate", "cognate"), "mrr"] == pytest.approx((1 / rows["target_rank"][chosen]).mean())
    expected = metrics.geometry(vectors, c, chosen)
    assert parts.loc[("cognate", "cognate"), "cka"] == expected["cka"]
    assert strata.parts(pairs, cognate_from=0.7) == {}
