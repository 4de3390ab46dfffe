"""From the words of a cell's runs to its tables, means and counts: by hand on a sheet of a few words, and by plain loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tli import facts, metrics
from tli.metrics import baselines
from tli.statistics.cells import Difference, claim_of, train_side
from tli.statistics.crossed import crossed, one
from tli.statistics.units import Sheet, complete_words, units_of
from tli.statistics.word_figures import NAMES, WORD_FIGURES

CELL = ("m", "p", "tli", "2", "4")
P1 = NAMES.index("p_at_1")
UNIT = np.array([0, 0, 1, 2, 3, 4, 4, 5])  # of eight words; six units
HELDOUT, TRAIN = [0, 1, 2, 3, 4], [5, 6, 7]


def a_sheet(seeds: int = 3, folds: tuple[int, ...] = (0,), lacking: dict[tuple[str, int], list[int]] | None = None) -> Sheet:
    """The model before, a run and a placebo for each seed and fold; lacking: (run, seed) -> words without figures."""
    rows = {("baseline", -1, 0): 0}
    for seed in range(seeds):
        for fold in folds:
            rows[f"tli-{seed}", seed, fold] = len(rows)
            rows[f"placebo-{seed}", seed, fold] = len(rows)
    values = np.random.default_rng(0).random((len(rows), 8, len(NAMES)))
    for (run, seed), words in (lacking or {}).items():
        for (name, of_seed, _), row in rows.items():
            if (name, of_seed) == (run, seed):
                values[row, words] = np.nan
    split = np.zeros((len(rows), 8), np.int8)
    split[:, TRAIN] = 1
    words = np.array([f"w{number}" for number in range(8)], object)
    return Sheet("m", "p", 3, "untrained", rows, words, UNIT, ("heldout", "train"), split, values)


def members(seeds: int = 3, folds: tuple[int, ...] = (0,), placebo: bool = True) -> pd.DataFrame:
    rows = [
        {"seed": seed, "fold": fold, "run": f"tli-{seed}", "placebo": f"placebo-{seed}" if placebo else ""}
        for seed in range(seeds)
        for fold in folds
    ]
    return pd.DataFrame(rows).assign(baseline="baseline")


def test_a_units_words_are_summed_over_the_mean_size_of_the_units():
    d = np.random.default_rng(1).normal(size=(4, 8, 3))
    unit = np.array([3, 0, 3, 1, 3, 0, 2, 1])
    plain = np.stack([d[:, unit == number].sum(axis=1) / (8 / 4) for number in range(4)], axis=1)
    np.testing.assert_allclose(units_of(d, unit), plain)
    np.testing.assert_allclose(units_of(d, unit).mean(axis=1), d.mean(axis=1))  # the mean over units is that over words
    assert units_of(d[:, :0], unit[:0]).shape == (4, 0, 3)


def test_a_word_is_complete_where_every_seed_has_it():
    d = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, 0.0]])
    assert complete_words(d).tolist() == [False, False, True] and complete_words(d[:0]).tolist() == [False] * 3


def test_a_contrast_counts_the_words_that_every_seed_has_on_both_sides():
    sheet = a_sheet(lacking={("tli-1", 1): [2], ("placebo-2", 2): [0], ("tli-0", 0): [6]})
    change, against = (Difference.of(sheet, members(), contrast, "heldout") for contrast in (facts.AFTER_BEFORE, facts.REAL_PLACEBO))
    assert np.flatnonzero(change.words("p_at_1")).tolist() == [0, 1, 3, 4]
    assert np.flatnonzero(against.words("p_at_1")).tolist() == [1, 3, 4]
    assert (change.left_out("p_at_1"), against.left_out("p_at_1")) == (1, 2)
    runs = [sheet.values[sheet.rows[f"tli-{seed}", seed, 0]] for seed in range(3)]
    after, before = np.mean([run[[0, 1, 3, 4], P1] for run in runs]), sheet.values[0, [0, 1, 3, 4], P1].mean()
    assert change.means("p_at_1") == pytest.approx((after, before))
    d = np.stack([run[[0, 1, 3, 4], P1] - sheet.values[0, [0, 1, 3, 4], P1] for run in runs])
    np.testing.assert_allclose(change.table("p_at_1"), np.column_stack([d[:, 0] + d[:, 1], d[:, 2], d[:, 3]]) * 3 / 4)
    some = change.table("p_at_1", np.array([0, 2]), np.isin(np.arange(8), [3, 4]))
    np.testing.assert_allclose(some, d[[0, 2]][:, 2:])


def test_figures_that_the_same_words_have_are_tested_together_each_as_by_itself():
    sheet = a_sheet()
    sheet.values[1, 2, NAMES.index("z")] = np.nan
    sheet.values[:, :, NAMES.index("gap")] = np.nan
    tested = Difference.of(sheet, members(), facts.AFTER_BEFORE, "heldout").tested(0.05).set_index("metric")
    assert set(tested.index) == set(NAMES) - {"gap"} and tested["words"].to_dict() == dict.fromkeys(set(NAMES) - {"gap"}, 5) | {"z": 4}
    for name in ("z", "cosine"):
        alone = one(crossed(Difference.of(sheet, members(), facts.AFTER_BEFORE, "heldout").table(name)))
        assert [tested.loc[name, of] for of in ("estimate", "p", "units")] == pytest.approx(
            [alone[of] for of in ("estimate", "p", "units")]
        )
    assert Difference.of(sheet, members().iloc[:0], facts.AFTER_BEFORE, "heldout").tested(0.05).empty


def test_a_claim_says_what_it_was_counted_from():
    sheet = a_sheet(lacking={("placebo-2", 2): [0], ("tli-1", 1): [2]})
    claim = claim_of(sheet, CELL, members(), "p_at_1", 0.05)
    assert claim.counts == {"seeds": 3, "placebo_seeds": 3, "words": 4, "units": 3, "left_out": 3, "folds": 1} and claim.missing == {}
    words = [1, 3, 4]  # complete in both contrasts: what power is reckoned from
    assert claim.crossed["change"].shape == claim.crossed["against_placebo"].shape == (3, 3)
    placebo = [sheet.values[sheet.rows[f"placebo-{seed}", seed, 0], words, P1] for seed in range(3)]
    assert claim.means["placebo"] == pytest.approx(np.mean(placebo))
    before = sheet.values[0, [0, 1, 3, 4], NAMES.index("cosine")].mean()
    assert claim.means["cosine_before"] == pytest.approx(before) and claim.means["after"] == pytest.approx(
        np.mean([sheet.values[sheet.rows[f"tli-{seed}", seed, 0], [0, 1, 3, 4], P1] for seed in range(3)])
    )
    plain = one(crossed(Difference.of(sheet, members(), facts.PLACEBO_BEFORE, "heldout").table("p_at_1")))
    assert claim.tests["placebo_change"] == plain


def test_a_claim_without_a_placebo_or_without_a_seed_of_it_says_so():
    without = claim_of(a_sheet(), CELL, members(placebo=False), "p_at_1", 0.05)
    assert without.counts["placebo_seeds"] == 0 and np.isnan(without.means["placebo"]) and set(without.crossed) == {"change"}
    lacking = claim_of(a_sheet(lacking={("placebo-1", 1): list(range(8)), ("tli-2", 2): list(range(8))}), CELL, members(), "p_at_1", 0.05)
    assert lacking.missing == {"the placebo of ": [1], "": [2]}


def test_folds_are_pooled_by_their_mean_of_what_they_have():
    sheet = a_sheet(seeds=2, folds=(1, 2))
    rows = {key: number for number, key in enumerate(sheet.rows)}
    sheet.values[rows["tli-0", 0, 2], 0] = np.nan
    change = Difference.of(sheet, members(2, (1, 2)), facts.AFTER_BEFORE, "heldout")
    assert change.first.shape == (2, 8, len(NAMES))
    both = [sheet.values[rows["tli-0", 0, fold]] for fold in (1, 2)]
    np.testing.assert_allclose(change.first[0, 0], both[0][0])
    np.testing.assert_allclose(change.first[0, 1:5], (both[0][1:5] + both[1][1:5]) / 2)
    assert np.isnan(change.first[:, TRAIN]).all()
    assert claim_of(sheet, CELL, members(2, (1, 2)), "p_at_1", 0.05).counts["folds"] == 2


def test_trained_words_are_held_against_held_out_ones_of_the_same_seeds():
    sheet = a_sheet(seeds=4)
    tests = train_side(sheet, members(4), "p_at_1", 0.05)
    train, heldout = (Difference.of(sheet, members(4), facts.AFTER_BEFORE, split).table("p_at_1") for split in ("train", "heldout"))
    assert tests["train_change"] == one(crossed(train)) and tests["train_over_heldout"] == one(crossed(train, heldout))
    none = train_side(sheet, members(4).iloc[:0], "p_at_1", 0.05)
    assert none["train_over_heldout"]["seeds"] == none["train_change"]["units"] == 0


def test_a_words_figures_have_the_figures_of_the_split_as_their_means():
    random = np.random.default_rng(3)
    pairs = pd.DataFrame({"source": [f"s{i % 18}" for i in range(20)], "target": [f"t{i}" for i in range(20)], "alternatives": ""})
    c = metrics.candidates(pairs)
    source = random.normal(size=(18, 5))
    vectors = metrics.Vectors(source, np.concatenate([source, source[:2]]) + random.normal(0, 1.2, (20, 5)))
    rows, figures = metrics.evaluate(vectors, c, np.repeat("all", 20))
    assert baselines.chance(c)[0].max() == pytest.approx(2 / 20)
    for name in NAMES:
        assert np.nanmean(WORD_FIGURES[name](rows)) == pytest.approx(figures["all"][name], rel=1e-9), name
    unranked = rows.assign(target_rank=np.nan, margin_target_rank=np.nan)
    for name in ("p_at_1", "p_at_5", "mrr", "margin_error"):
        assert np.isnan(WORD_FIGURES[name](unranked)).all(), name
