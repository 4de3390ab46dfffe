"""Splits: no form in two splits for any list, stable shares, exact sizes, and errors that tell what to change."""

import hashlib
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli import lexicon
from tli.config.keys.lists import Split
from tli.errors import LexiconError
from tli.io.tables import PAIRS
from tli.lexicon import leaks, pair_id
from tli.lexicon.sizes import exact_sizes
from tli.specs import SplitSpec


def split(pairs, salt="", **spec):
    return lexicon.split(pairs, SplitSpec(**spec), salt=salt)


def table(rows, **columns):
    pairs = pd.DataFrame(rows, columns=["source", "target"], dtype=object)
    return pairs.assign(**{"alternatives": "", "category": "", **columns})


def singles(count, start=0):
    """Pairs that share nothing."""
    return [(f"s{i}x", f"t{i}y") for i in range(start, start + count)]


def splits_of_forms(pairs):
    """form -> the splits in which it stands, by a plain loop."""
    found = {}
    for row in pairs.itertuples():
        for form in [row.source, row.target, *filter(None, row.alternatives.split("|"))]:
            found.setdefault(form.casefold(), set()).add(row.split)
    return found


def components_by_loop(pairs):
    """Components by spreading from each pair, as sets of pair ids."""
    forms = {
        row.pair_id: {form.casefold() for form in [row.source, row.target, *filter(None, row.alternatives.split("|"))]}
        for row in pairs.itertuples()
    }
    left, found = dict(forms), []
    while left:
        group, seen = {next(iter(left))}, set()
        while True:
            seen = set().union(*(forms[one] for one in group))
            more = {one for one in left if forms[one] & seen}
            if more == group:
                break
            group = more
        found.append(frozenset(group))
        left = {one: value for one, value in left.items() if one not in group}
    return set(found)


def test_columns_ids_and_order():
    kept, aside = split(table(singles(60)))
    assert list(kept.columns) == PAIRS and aside.empty
    assert kept["source"].tolist() == [source for source, _ in singles(60)]
    assert kept["pair_id"][0] == hashlib.sha256(b"s0x\tt0y").hexdigest()[:12] == pair_id("s0x", "t0y")
    assert kept["cognate"].between(0, 1).all()


def test_shares_are_near_what_is_asked():
    kept, _ = split(table(singles(4000)))
    found = kept["split"].value_counts(normalize=True)
    # 4 standard errors of a binomial share
    assert Split().shares == SplitSpec().shares, "what the audit of a list shows is what a run makes of it"
    for name, share in SplitSpec().shares.items():
        assert abs(found[name] - share) < 4 * np.sqrt(share * (1 - share) / 4000)
    other, _ = split(table(singles(4000)), salt="another")
    assert (other["split"] != kept["split"]).mean() > 0.3


word = st.sampled_from([f"w{i}" for i in range(40)] + [f"W{i}" for i in range(10)])
lists = st.lists(st.tuples(word, word, st.lists(word, max_size=2)), min_size=1, max_size=25)


def linked(found):
    """A list in which some pairs are linked, with enough single pairs for every split."""
    rows = [(source, target) for source, target, _ in found] + singles(60)
    return table(rows, alternatives=["|".join(more) for *_, more in found] + [""] * 60)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(lists, st.sampled_from(["forms", "content-words"]))
def test_nothing_leaks_and_nothing_is_lost(found, by):
    pairs = linked(found)
    kept, aside = split(pairs, by=by)
    assert all(len(splits) == 1 for splits in splits_of_forms(kept).values())
    assert leaks(kept, by).empty
    assert len(kept) + len(aside) == len(pairs) and (aside["reason"] != "").all()
    assert set(kept["pair_id"]) | set(aside["pair_id"]) == {pair_id(*row) for row in pairs[["source", "target"]].to_numpy()}
    assert kept["split"].isin(["train", "select", "heldout"]).all()
    if by == "forms":
        groups = {frozenset(group["pair_id"]) for _, group in kept.groupby("component")}
        assert groups == components_by_loop(kept)
    large = kept["component"].map(kept["component"].value_counts()) > max(1, 0.05 * len(kept))
    assert (kept.loc[large, "split"] == "train").all()
    pd.testing.assert_frame_equal(split(pairs, by=by)[0], kept)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(lists, lists)
def test_pairs_added_at_the_end_move_no_other(found, added):
    # 600 single pairs: no component comes near 5 % of the list
    pairs = pd.concat([linked(found), table(singles(600, 100))], ignore_index=True)
    before, _ = split(pairs)
    after, aside = split(pd.concat([pairs, linked(added).head(len(added))], ignore_index=True))
    moved = before.merge(after, on="pair_id", suffixes=("", "_after"))
    assert len(moved) == len(before)
    assert (moved["split"] == moved["split_after"]).all()


def test_a_later_pair_that_would_bridge_two_splits_is_set_aside():
    pairs = table(singles(100))
    kept, _ = split(pairs)
    one, other = (kept[kept["split"] == name].iloc[0] for name in ("train", "heldout"))
    longer = pd.concat([pairs, table([(one["source"], "bridge")], alternatives=other["target"])], ignore_index=True)
    after, aside = split(longer)
    pd.testing.assert_frame_equal(after, kept)
    assert aside["target"].tolist() == ["bridge"]
    assert aside["reason"][0] == f"would join train (by {one['source']!r}) and heldout (by {other['target']!r})"


def test_a_form_on_the_other_side_and_a_lemma_join_too():
    rows = [("pole", "sorry"), ("nguzo", "pole"), ("wake", "wives"), ("mke", "woman")]
    pairs = table(rows + singles(90), source_lemma=["", "", "mke", ""] + [""] * 90)
    kept, _ = split(pairs)
    component = kept.set_index("source")["component"]
    assert component["pole"] == component["nguzo"] == pair_id("pole", "sorry")
    assert component["wake"] == component["mke"] != component["pole"]


def test_content_words_join_phrases_but_function_words_do_not():
    rows = [("maji ya moto", "hot water"), ("bei ya moto", "hot price"), ("kitabu cha mtoto", "book of the child"), ("cha", "of the sea")]
    pairs = table(rows + singles(90))
    by_word = split(pairs, by="content-words")[0].set_index("target")["component"]
    assert by_word["hot water"] == by_word["hot price"]
    assert by_word["book of the child"] != by_word["of the sea"] != by_word["hot water"]
    by_form = split(pairs)[0].set_index("target")["component"]
    assert by_form["hot water"] != by_form["hot price"]


def test_a_component_above_five_per_cent_goes_to_train():
    pairs = table([(f"a{i}", "thing") for i in range(8)] + singles(92))
    for salt in "abcdefgh":
        kept, _ = split(pairs, salt=salt)
        assert (kept.loc[kept["target"] == "thing", "split"] == "train").all()


def test_an_unsplittable_list_names_its_largest_component():
    with pytest.raises(
        LexiconError, match=r"heldout would be empty; its largest component holds 40 of 40 pairs \(40 of them share 'thing'\)"
    ):
        split(table([(f"a{i}", "thing") for i in range(40)]))
    with pytest.raises(LexiconError, match="no pair is left"):
        split(table([]))


def test_a_short_list_says_that_it_is_short():
    with pytest.raises(LexiconError, match="^5 pairs in 5 components are too few: (select|heldout)[a-z ]* would be empty; add pairs"):
        split(table(singles(5)))


@pytest.mark.parametrize("sign", ["`", "\u00b4", "\u2019", "\u02bc"])
def test_an_apostrophe_of_another_kind_leaks_too(sign):
    pairs = table([("ng'ombe", "cow"), (f"ng{sign}ombe", "cattle")] + singles(3), split=["train", "heldout", "train", "select", "heldout"])
    with pytest.raises(LexiconError, match='1 form leaks.*"ng\'ombe" in train and heldout'):
        split(pairs)


def test_sizes_are_met_exactly():
    rows = [(f"a{i}", f"b{i // 3}") for i in range(300)] + singles(500)
    kept, aside = split(table(rows), sizes={"train": 623, "heldout": 63, "select": 74})
    assert kept["split"].value_counts().to_dict() == {"train": 623, "heldout": 63, "select": 74}
    assert len(aside) == 40 and set(aside["reason"]) == {"beyond the sizes asked for"}
    kept, aside = split(table(rows), sizes={"heldout": 63, "select": 74})
    assert kept["split"].value_counts().to_dict() == {"train": 663, "heldout": 63, "select": 74} and aside.empty
    assert leaks(kept).empty


def test_sizes_that_cannot_be_met_say_how_near_it_gets():
    rows = [(f"a{i}", f"b{i // 3}") for i in range(300)]  # components of 3
    with pytest.raises(LexiconError, match="the nearest found: train 240, select 30, heldout 30"):
        split(table(rows), sizes={"train": 239, "select": 30, "heldout": 31})
    with pytest.raises(LexiconError, match="sizes ask for 400 pairs, the list has 300"):
        split(table(rows), sizes={"train": 300, "heldout": 100})
    big = [(f"c{i}", "thing") for i in range(50)]
    with pytest.raises(LexiconError, match="the largest 50.* go to train, which has room for 40"):
        split(table(rows + big), sizes={"train": 40, "heldout": 60, "select": 60})


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_exact_sizes_finds_what_can_be_met_and_nothing_else(sizes, heldout, select, train):
    need = {"heldout": heldout, "select": select, "train": train}
    ways = itertools.product(["heldout", "select", "train", ""], repeat=len(sizes))
    fill = [{name: sum(s for s, where in zip(sizes, way) if where == name) for name in need} for way in ways]
    arguments = np.array(sizes), np.zeros(len(sizes), dtype=bool), need, dict.fromkeys(["train", "select", "heldout"], 0)
    if need in fill:
        chosen = exact_sizes(*arguments)
        assert {name: sum(s for s, where in zip(sizes, chosen) if where == name) for name in need} == need
    else:
        with pytest.raises(LexiconError, match="sizes"):
            exact_sizes(*arguments)


def test_the_split_column_of_the_file_wins():
    names = ["heldout"] * 10 + ["select"] * 5 + ["train"] * 20
    kept, _ = split(table(singles(35), split=names), shares={"train": 1.0})
    assert kept["split"].tolist() == names
    with pytest.raises(LexiconError, match="'test' of 's0x' is not known; use train, select, heldout"):
        split(table(singles(1), split="test"))


def test_a_leak_in_the_split_column_is_an_error_or_reported():
    rows = [("kamba", "rope"), ("ugwe", "rope")] + singles(3)
    pairs = table(rows, split=["train", "heldout", "train", "select", "heldout"])
    with pytest.raises(LexiconError, match="1 form leaks.*'rope' in train and heldout.*leaks: report"):
        split(pairs)
    kept, aside = split(pairs, leaks="report")
    assert kept["split"].tolist() == pairs["split"].tolist() and aside.empty
    assert leaks(kept)[["form", "splits", "pairs"]].to_numpy().tolist() == [["rope", "train|heldout", 2]]
    assert kept["component"][0] == kept["component"][1]


def test_pairs_without_a_split_follow_those_with_one():
    rows = [("a", "b"), ("c", "d"), ("e", "b"), ("d", "f"), ("a", "c")] + singles(80)
    pairs = table(rows, split=["heldout", "train", "", "", ""] + [""] * 80)
    for options in ({}, {"sizes": {"heldout": 20, "select": 10}}):
        kept, aside = split(pairs, **options)
        assert kept.set_index("source")["split"][["a", "c", "e", "d"]].tolist() == ["heldout", "train", "heldout", "train"]
        if not options:
            assert aside[["source", "target"]].to_numpy().tolist() == [["a", "c"]]
            assert aside["reason"][0] == "would join heldout (by 'a') and train (by 'c')"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(lists, st.lists(st.sampled_from(["", "", "train", "heldout", "select"]), min_size=25, max_size=25), st.booleans())
def test_nothing_leaks_from_a_partly_given_split(found, names, exact):
    pairs = linked(found).assign(split=names[: len(found)] + [""] * 60)
    options = {"sizes": {"heldout": 30, "select": 28}} if exact else {}
    try:
        kept, aside = split(pairs, **options)
    except LexiconError as error:
        assert "leak" in str(error) or "would join" in str(error) or "more than the" in str(error) or "nearest" in str(error)
        return
    assert leaks(kept).empty and len(kept) + len(aside) == len(pairs)


def test_held_out_categories_are_held_out_and_shared_forms_set_aside():
    rows = [("kidole", "finger"), ("chanda", "finger"), ("mkono", "hand")] + singles(80)
    pairs = table(rows, category=["body", "thing", "body"] + ["thing"] * 80)
    for options in ({}, {"sizes": {"heldout": 20, "select": 10}}):
        kept, aside = split(pairs, heldout_categories=["body"], **options)
        assert (kept.loc[kept["category"] == "body", "split"] == "heldout").all()
        assert aside["reason"].tolist() == ["shares 'finger' with 'kidole' of a held-out category"]
        assert leaks(kept).empty
    with pytest.raises(LexiconError, match="'food', which no pair has; the list has: body, thing"):
        split(pairs, heldout_categories=["food"])
    with pytest.raises(LexiconError, match="is in train by the file"):
        split(pairs.assign(split="train"), heldout_categories=["body"])


@pytest.mark.parametrize("shares", [{"train": 0.5}, {"train": 1.2, "heldout": -0.2}, {"test": 1.0}])
def test_wrong_shares_are_refused(shares):
    with pytest.raises(LexiconError, match="add up to 1"):
        split(table(singles(10)), shares=shares)
