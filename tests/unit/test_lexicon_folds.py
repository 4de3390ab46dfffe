"""Folds: balanced, anew per seed, no form in two of them over any list, select and large components never dealt."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli import lexicon
from tli.errors import LexiconError
from tli.lexicon import deal_folds, deal_folds_of_union
from tli.specs import LexiconSpec

ROOT = Path(__file__).parents[2]


def divided(rows, start=0, singles=60, prefix=""):
    """Pairs of rows (source, target, alternatives) and of single pairs, split."""
    rows = [*rows, *((f"{prefix}s{i}", f"{prefix}t{i}", "") for i in range(singles))]
    return lexicon.split(pd.DataFrame(rows, columns=["source", "target", "alternatives"], dtype=object))[0]


def folds_of_forms(lists, folds):
    """form -> the folds in which it stands in any list, by a plain loop."""
    found = {}
    for name, pairs in lists.items():
        for row in pairs.itertuples():
            for form in [row.source, row.target, *filter(None, row.alternatives.split("|"))]:
                found.setdefault(form, set()).add(int(folds[name][row.pair_id]))
    return found


word = st.sampled_from([f"w{i}" for i in range(30)])
rows = st.lists(st.tuples(word, word, st.lists(word, max_size=2).map("|".join)), max_size=15, unique_by=lambda row: row[:2])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(rows, st.integers(2, 5), st.integers(0, 1000))
def test_one_list(content, folds, seed):
    pairs = divided(content)
    dealt = deal_folds(pairs, folds, seed)
    assert list(dealt.index) == list(pairs["pair_id"]) and dealt.between(0, folds).all()
    assert all(len(found) == 1 for found in folds_of_forms({"": pairs}, {"": dealt}).values())
    fixed = (pairs["split"] == "select") | (pairs["component"].map(pairs["component"].value_counts()) > max(1, 0.05 * len(pairs)))
    assert (dealt.to_numpy() == 0).tolist() == fixed.tolist()
    sizes = dealt[dealt > 0].value_counts().reindex(range(1, folds + 1), fill_value=0)
    largest = pairs.loc[~fixed, "component"].value_counts().max()
    assert sizes.max() - sizes.min() <= largest
    pd.testing.assert_series_equal(deal_folds(pairs, folds, seed), dealt)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(rows, rows, rows, st.integers(2, 4), st.integers(0, 1000))
def test_a_concept_lies_in_one_fold_for_all_lists(one, other, third, folds, seed):
    lists = {name: divided(content, prefix=name) for name, content in zip(("a-b", "c-b", "c-d"), (one, other, third))}
    dealt = deal_folds_of_union(lists, folds, seed)
    assert all(len(found) == 1 for found in folds_of_forms(lists, dealt).values())
    for name, pairs in lists.items():
        assert list(dealt[name].index) == list(pairs["pair_id"])
        assert (dealt[name][(pairs["split"] == "select").to_numpy()] == 0).all()


def test_every_dealt_pair_is_held_out_once_per_seed_and_seeds_deal_anew():
    pairs = divided([], singles=400)
    dealt = [deal_folds(pairs, 5, seed) for seed in range(40)]
    free = (pairs["split"] != "select").to_numpy()
    assert all((one[free] > 0).all() and (one[~free] == 0).all() for one in dealt)
    # Two seeds put a pair into the same fold one time in five; over 780 pairs of seeds the mean is near that.
    same = np.mean([np.mean(one[free] == other[free]) for i, one in enumerate(dealt) for other in dealt[:i]])
    assert abs(same - 0.2) < 0.01
    # and every pair comes into every fold
    assert all(len(set(column)) == 5 for column in np.array([one[free] for one in dealt]).T)


def test_the_demo_lists_are_balanced_together():
    files = {name: ([str(ROOT / "resources" / "demo" / f"{name}.tsv")], LexiconSpec()) for name in ("swh-eng", "lin-eng")}
    lists = {name: one.pairs for name, one in lexicon.prepare_union(files).items()}
    dealt = deal_folds_of_union(lists, 5, 1)
    for one in dealt.values():
        sizes = one[one > 0].value_counts()
        assert len(sizes) == 5 and sizes.max() - sizes.min() <= 5
    english = {name: dict(zip(lists[name]["target"], dealt[name])) for name in lists}
    shared = set(english["swh-eng"]) & set(english["lin-eng"])
    assert len(shared) > 100 and all(english["swh-eng"][form] == english["lin-eng"][form] for form in shared)


def test_a_component_that_is_large_in_one_list_is_trained_in_all():
    many = divided([(f"a{i}", "thing", "") for i in range(10)], prefix="x")
    few = divided([("b", "thing", "")], prefix="y")
    dealt = deal_folds_of_union({"a-b": many, "c-b": few}, 3, 0)
    assert (dealt["a-b"][:10] == 0).all() and dealt["c-b"].iloc[0] == 0


def test_too_many_folds_are_refused():
    with pytest.raises(LexiconError, match="2 or more"):
        deal_folds(divided([]), 1, 0)
    with pytest.raises(LexiconError, match="the list has [0-9]+ components to deal into 99 folds"):
        deal_folds(divided([]), 99, 0)
