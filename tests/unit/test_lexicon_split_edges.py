"""Splits at their edges: five per cent to the pair, short lists, categories held out by a file that also splits, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tli import lexicon
from tli.errors import LexiconError
from tli.lexicon.sizes import _in_order, exact_sizes
from tli.specs import SplitSpec


def table(rows: list[tuple[str, str]], **columns: object) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["source", "target"], dtype=object).assign(**{"alternatives": "", "category": "", **columns})


def singles(count: int) -> list[tuple[str, str]]:
    return [(f"s{i}x", f"t{i}y") for i in range(count)]


def splits(pairs: pd.DataFrame, salt: str = "", **spec: object) -> pd.Series:
    return lexicon.split(pairs, SplitSpec(**spec), salt=salt)[0].set_index("source")["split"]


HALVES = {"train": 0.5, "heldout": 0.5}
FIVE_PER_CENT = [(40, 2, False), (38, 2, True), (20, 2, True), (20, 1, False), (60, 3, False), (60, 4, True)]  # pairs, linked, large


@pytest.mark.parametrize("count, linked, large", FIVE_PER_CENT)
def test_a_component_is_large_above_five_per_cent_and_above_one_pair(count, linked, large):
    pairs = table([(f"a{i}", "thing") for i in range(linked)] + singles(count - linked))
    placed = {splits(pairs, salt, shares=HALVES)["a0"] for salt in map(str, range(20))}
    assert placed == ({"train"} if large else {"train", "heldout"})


@pytest.mark.parametrize("count, linked, large", FIVE_PER_CENT)
def test_no_large_component_is_held_out_by_sizes(count, linked, large):
    pairs, sizes = table([(f"a{i}", f"thing {i // linked}") for i in range(count)]), {"heldout": linked, "select": 2 * linked}
    left = count - 3 * linked
    if large:
        with pytest.raises(LexiconError, match=f"above 5 % hold {count} pairs .the largest {linked}. and go to train, .* room for {left};"):
            splits(pairs, sizes=sizes)
    else:
        assert splits(pairs, sizes=sizes).value_counts().to_dict() == sizes | {"train": left}


def test_large_components_that_have_a_split_keep_it():
    pairs = table([(f"a{i}", "thing") for i in range(5)] + singles(40), split=["heldout"] + [""] * 44)
    assert (splits(pairs, shares=HALVES)[[f"a{i}" for i in range(5)]] == "heldout").all()


def test_a_share_may_be_all_or_nothing():
    assert (splits(table(singles(10)), shares={"train": 1.0}) == "train").all()
    assert (splits(table(singles(10)), shares={"train": 0.0, "select": 0.0, "heldout": 1.0}) == "heldout").all()
    assert (splits(table(singles(10)), shares={"train": 1 - 5e-7}) == "train").all()  # rounding


@pytest.mark.parametrize(
    "spec, told",
    [
        ({"shares": {"train": 1.5, "heldout": -0.5}}, "add up to 1"),
        ({"shares": {"train": 0.9, "heldout": 0.09}}, "add up to 1"),
        ({"shares": {"train": 1.0, "test": 0.0}}, "add up to 1"),
        ({"by": "letters"}, "use by: forms or content-words"),
        ({"leaks": "ignore"}, "leaks: error or report"),
        ({"sizes": {"heldout": -1}}, "whole numbers of pairs"),
        ({"sizes": {"heldout": 2.5}}, "whole numbers of pairs"),
        ({"sizes": {"test": 2}}, "whole numbers of pairs"),
        ({"sizes": {"heldout": 2, "select": -1}}, "whole numbers of pairs"),
        ({"sizes": {"heldout": 8, "select": 4}}, "sizes ask for 12 pairs, the list has 10"),
    ],
)
def test_what_cannot_be_meant_is_refused(spec, told):
    with pytest.raises(LexiconError, match=told):
        splits(table(singles(10)), **spec)


def test_a_split_of_no_pairs_may_be_asked_for():
    found = splits(table(singles(10)), sizes={"heldout": 0, "select": 2})
    assert found.value_counts().to_dict() == {"train": 8, "select": 2}


def test_sizes_count_what_the_file_has_given():
    pairs = table(singles(10), split=["heldout"] * 3 + [""] * 7)
    assert splits(pairs, sizes={"heldout": 3, "select": 2}).value_counts().to_dict() == {"train": 5, "heldout": 3, "select": 2}
    with pytest.raises(LexiconError, match="heldout has 3 pairs already .*more than the 2 of sizes"):
        splits(pairs, sizes={"heldout": 2, "select": 2})
    with pytest.raises(LexiconError, match="sizes ask for 12 pairs, the list has 10"):
        splits(pairs, sizes={"heldout": 8, "select": 2, "train": 2})


def test_the_nearest_sizes_count_what_there_is_already():
    sizes, none_large = np.array([3, 3, 3]), np.zeros(3, bool)
    with pytest.raises(LexiconError, match=r"the largest has 3 pairs\); the nearest found: train 16, select 4, heldout 3;"):
        exact_sizes(sizes, none_large, {"heldout": 4, "train": 5}, {"train": 10, "select": 4, "heldout": 0})


def body(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Pairs with category and split, and 40 others without either."""
    own = table([row[:2] for row in rows], category=[row[2] for row in rows], split=[row[3] for row in rows])
    return pd.concat([own, table(singles(40), category="thing", split="")], ignore_index=True)


def test_a_category_is_held_out_beside_a_files_own_splits():
    pairs = body(
        ("kidole", "finger", "body", ""),
        ("mkono", "hand", "body", "heldout"),
        ("chanda", "finger", "thing", ""),
        ("pete", "finger", "thing", "heldout"),
        ("meza", "table", "thing", "train"),
        ("kiti", "chair", "thing", "select"),
    )
    kept, aside = lexicon.split(pairs, SplitSpec(heldout_categories=("body",)))
    found = kept.set_index("source")["split"]
    assert found[["kidole", "mkono", "pete", "meza", "kiti"]].tolist() == ["heldout", "heldout", "heldout", "train", "select"]
    assert aside[["source", "reason"]].to_numpy().tolist() == [["chanda", "shares 'finger' with 'kidole' of a held-out category"]]


@pytest.mark.parametrize("name", ["train", "select"])
def test_a_file_that_trains_what_a_held_out_category_shares_is_refused(name):
    with pytest.raises(LexiconError, match=rf"'chanda' \({name} by the file\) shares 'finger' with a held-out category"):
        lexicon.split(body(("kidole", "finger", "body", ""), ("chanda", "finger", "thing", name)), SplitSpec(heldout_categories=("body",)))
    with pytest.raises(LexiconError, match=rf"'kidole' of the held-out category 'body' is in {name} by the file"):
        lexicon.split(body(("mkono", "hand", "body", ""), ("kidole", "finger", "body", name)), SplitSpec(heldout_categories=("body",)))


def test_an_unknown_category_is_told_with_those_that_there_are():
    many = table(singles(40), category=[f"c{i:02}" for i in range(39)] + [""])
    with pytest.raises(LexiconError, match="'sea', which no pair has; the list has: c00, .*, c11$"):
        lexicon.split(many, SplitSpec(heldout_categories=("c01", "sea")))
    with pytest.raises(LexiconError, match="the list has: none"):
        lexicon.split(table(singles(40)), SplitSpec(heldout_categories=("sea",)))


def test_an_unknown_split_is_told_with_its_file_and_line():
    pairs = table(singles(4), split=["train", "test", "heldout", "dev"], file="list.tsv", line=[2, 3, 4, 5])
    with pytest.raises(LexiconError, match="'test' of 's1x' is not known") as error:
        lexicon.split(pairs)
    assert "list.tsv" in str(error.value) and "3" in str(error.value)


def test_leaks_of_a_file_are_counted_and_three_are_shown():
    rows = [(f"a{i}", "x" * (i + 1)) for i in range(5)] + [(f"b{i}", "x" * (i + 1)) for i in range(5)]
    pairs = table(rows, split=["train"] * 5 + ["heldout"] * 5)
    with pytest.raises(LexiconError, match="^5 forms leak across.*'x' in train and heldout.*'xx' in.*'xxx' in") as error:
        lexicon.split(pairs)
    assert "'xxxx'" not in str(error.value)


def test_the_largest_component_and_the_form_that_holds_it_together_are_named():
    rows = [(f"a{i}", "thing") for i in range(30)] + [("a0", "other"), ("z", "y")]
    with pytest.raises(LexiconError, match=r"its largest component holds 31 of 32 pairs \(30 of them share 'thing'\)"):
        lexicon.split(table(rows))


def test_repeats_are_set_aside_or_kept_with_ids_of_their_own():
    pairs = table([("a", "b"), ("a", "b"), ("a", "b"), *singles(30)])
    kept, aside = lexicon.split(pairs)
    assert len(kept) == 31 and aside["reason"].tolist() == ["repeats an earlier pair"] * 2
    kept, aside = lexicon.split(pairs, repeats="keep")
    assert len(kept) == 33 and aside.empty and kept["pair_id"].is_unique
    ids = kept["pair_id"].tolist()
    assert ids[:3] == [lexicon.pair_id("a", "b"), lexicon.pair_id("a", "b\t2"), lexicon.pair_id("a", "b\t3")]
    assert kept["component"].tolist()[:3] == ids[:1] * 3


def test_components_fill_the_splits_in_the_order_in_which_they_are_offered():
    placed = ["train"] * 5
    left = _in_order(np.array([2, 3, 1, 4, 1]), np.arange(5), [3, 1], ["heldout", "select"], placed)
    assert placed == ["heldout", "train", "heldout", "train", "select"] and left == [0, 0]
    assert _in_order(np.array([2, 9]), np.arange(2), [3, 1], ["heldout", "select"], ["train"] * 2) == [1, 1]
    singles_of = exact_sizes(
        np.ones(8, int), np.zeros(8, bool), {"heldout": 3, "select": 2}, dict.fromkeys(["train", "select", "heldout"], 0)
    )
    assert singles_of == ["heldout"] * 3 + ["select"] * 2 + ["train"] * 3


def test_beyond_the_work_of_the_exact_search_the_nearest_is_what_was_filled_in_order(monkeypatch):
    monkeypatch.setattr("tli.lexicon.sizes.WORK", 0)
    with pytest.raises(LexiconError, match="the nearest found: train 5, select 0, heldout 4;"):
        exact_sizes(np.array([4, 3, 2]), np.zeros(3, bool), {"heldout": 5, "select": 0}, dict.fromkeys(["train", "select", "heldout"], 0))
