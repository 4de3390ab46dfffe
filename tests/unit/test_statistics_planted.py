"""Planted worlds through the real tables, statistics and sentences: each gets its verdict, and an independent recomputation."""

import numpy as np
import planted
import pytest
from planted import World
from scipy import stats

from tli import facts, statistics
from tli.io import tables
from tli.specs import StatisticsSpec

WORLDS = [
    (facts.BETTER, World(gain=0.3), 7),
    (facts.BETTER, World(gain=0.3, folds=3, words=90), 7),
    (facts.MEMORISED, World(memorise=True), 7),
    (facts.PLACEBO_HARMS, World(placebo_gain=-0.4), 7),
    (facts.ALIKE, World(signal=0.3, collapse=0.4, word_moves=0.02, run_moves=0.02, luck=0.0, words=300), 5),
    (facts.NOTHING, World(rotate=True), 6),
]


@pytest.mark.parametrize("verdict, world, least", WORLDS, ids=[f"{verdict}-{world.folds}" for verdict, world, _ in WORLDS])
def test_each_world_gets_its_verdict(verdict, world, least):
    rows = [planted.verdict(world, seed) for seed in range(8)]
    assert sum(row["verdict"] == verdict for row in rows) >= least
    for row in rows:
        assert "undefined" not in row["sentence"] and "untrained pool" in row["sentence"]
        assert f"{row['units']} units, {world.seeds} seeds" in row["sentence"]
        assert ("in 3 folds" in row["sentence"]) == (world.folds == 3)


@pytest.mark.parametrize("world", [World(), World(signal=0.0, words=63), World(word_moves=0.0, luck=0.1), World(memorise=True)])
def test_without_an_effect_claims_are_rare(world):
    """A small part of `make calibrate`: at 40 experiments 8 or more of one verdict would be .05 less than once in 1,000."""
    seen = [planted.verdict(world, 1_000 + seed)["verdict"] for seed in range(40)]
    for claim in (facts.WORSE, facts.BETTER, facts.UNCORRECTED, facts.PLACEBO_HARMS, facts.BELOW_PLACEBO, facts.LIKE_PLACEBO):
        assert seen.count(claim) <= stats.binom.ppf(0.999, 40, 0.05)


def test_memorising_moves_nothing_in_the_untrained_pool():
    plain, memorised = (planted.tables_of(World(memorise=one), 3).similarities for one in (False, True))
    parts = [one[one["pool"] == tables.UNTRAINED].reset_index(drop=True) for one in (plain, memorised)]
    np.testing.assert_array_equal(*(part[planted.FIGURES].to_numpy() for part in parts))


def recomputed(measured, other: str) -> dict:
    """t', df, p and interval by pandas and scipy alone: none of the package's code."""
    s = measured.similarities
    s = s[(s["pool"] == "untrained") & (s["split"] == "heldout") & (s["hidden_state"] == 4)]
    s = s.merge(measured.pairs[["pair_id", "component"]], on="pair_id").assign(hit=lambda x: (x["csls_target_rank"] <= 1) * 1.0)
    real = s[s["arm"] == "tli"]
    theirs = s[s["arm"] == other][["seed", "fold", "pair_id", "hit"]]
    if (theirs["seed"] == -1).all():
        joined = real.merge(theirs.drop(columns=["seed", "fold"]), on="pair_id", suffixes=("", "_other"))
    else:
        joined = real.merge(theirs, on=["seed", "fold", "pair_id"], suffixes=("", "_other"))
    joined["d"] = joined["hit"] - joined["hit_other"]
    table = joined.pivot_table(index="seed", columns="component", values="d", aggfunc="sum")
    words = joined.drop_duplicates("pair_id").groupby("component").size()
    table = table / words.mean()
    assert not table.isna().any(axis=None)
    S, U = table.shape
    rows, columns, mean = table.mean(axis=1), table.mean(axis=0), table.to_numpy().mean()
    v_s = ((rows - mean) ** 2).sum() / (S - 1) / S
    v_u = ((columns - mean) ** 2).sum() / (U - 1) / U
    left = table.sub(rows, axis=0).sub(columns, axis=1) + mean
    v_su = (left**2).to_numpy().sum() / ((S - 1) * (U - 1)) / (S * U)
    v = max(v_s + v_u - v_su, v_s, v_u)
    df = v**2 / (v_s**2 / (S - 1) + v_u**2 / (U - 1) + v_su**2 / ((S - 1) * (U - 1)))
    low, high = stats.t.interval(0.95, df, mean, np.sqrt(v))
    t = mean / np.sqrt(v)
    return {"estimate": mean, "t": t, "df": df, "p": 2 * stats.t.sf(abs(t), df), "low": low, "high": high, "units": U}


@pytest.mark.parametrize("world", [World(gain=0.1), World(gain=0.1, folds=4, words=120, seeds=6)], ids=["held out", "folds"])
def test_an_independent_recomputation_gives_the_same(world):
    measured = planted.tables_of(world, 11)
    found = statistics.analyse(measured, StatisticsSpec(bootstrap=100))
    row = found["verdicts"].iloc[0]
    for name, other in (("change", "baseline"), ("against_placebo", "placebo-tli")):
        ours = {"estimate": row[name], "t": row[f"t_{name}"], "df": row[f"df_{name}"], "p": row[f"p_{name}"]}
        ours |= {"low": row[f"{name}_low"], "high": row[f"{name}_high"], "units": row["units"]}
        assert ours == pytest.approx(recomputed(measured, other), rel=1e-9)
    assert row["p_family"] == pytest.approx(max(row["p_change"], row["p_against_placebo"]))
    assert list(found["lines"].columns) == tables.VERDICT_LINES
