"""Every verdict from a planted case; exactly one for any input."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from tli import facts
from tli.errors import TableError
from tli.io import tables
from tli.statistics import verdicts
from tli.statistics.crossed import crossed, one
from tli.statistics.judging import CONTRASTS, Figure, Figures, Rules, judge

PLANTED = [
    (facts.BETTER, {"effect": 0.12}),
    (facts.ALIKE, {"effect": 0.0, "collapse": 0.3, "run_sd": 0.003, "words": 200}),
    (facts.ALIKE, {"effect": 0.0, "collapse": 0.3, "run_sd": 0.0, "noise": 0.0}),  # the same in every seed
    (facts.NOTHING, {"effect": 0.0}),
    (facts.NOTHING, {"effect": 0.0, "collapse": 0.3}),  # too noisy to say that the gap has not changed
    (facts.LIKE_PLACEBO, {"effect": 0.12, "placebo": 0.12}),  # what the placebo shares is no effect of the translations
    (facts.WORSE, {"effect": -0.08, "words": 320}),
    (facts.PLACEBO_HARMS, {"effect": 0.0, "placebo": -0.15, "words": 240}),
    (facts.BELOW_PLACEBO, {"effect": 0.0, "placebo": 0.12, "words": 240}),
    (facts.MEMORISED, {"effect": 0.0, "train_effect": 0.2}),
    (facts.TOO_FEW, {"seeds": 3}),
    (facts.TOO_FEW, {"words": 40}),  # 15 held-out words
    (facts.NO_PLACEBO, {"with_placebo": False}),
]


def analysed(changes=None, **planted):
    made = synthetic.tables(**{"pairs": 1, "layers": ("2",), "zero": False, "items": 2, **planted})
    if changes:
        changes(made)
    return made, synthetic.analyse(made, bootstrap=50)


@pytest.mark.parametrize("verdict, planted", PLANTED, ids=[f"{name}-{i}" for i, (name, _) in enumerate(PLANTED)])
def test_planted_cases(verdict, planted):
    made, found = analysed(**planted)
    row = found["verdicts"].iloc[0]
    assert list(found["verdicts"].columns) == tables.VERDICTS and len(found["verdicts"]) == 1
    assert row.verdict == verdict
    own = made["metrics"][(made["metrics"].hidden_state == 4) & (made["metrics"].split == "heldout")]
    for arm, column in (("baseline", "before"), ("tli", "after"), ("placebo-tli", "placebo")):
        figures = own.loc[own.arm == arm, "csls_p_at_1"]
        assert row[column] == pytest.approx(figures.mean(), nan_ok=True)
        if column != "placebo" or len(figures):
            assert f"{figures.mean():.3f}" in row.sentence
    assert ("Underpowered" in row.sentence) == (row.heldout_pairs < 60)
    if "placebo-tli" not in set(own.arm):
        assert "no placebo for this arm" in row.sentence and row.p_family == pytest.approx(row.p_change)
    assert "undefined" not in row.sentence and "whole-list pool" in row.sentence and f"{row.units} units" in row.sentence
    assert "over other seeds and held-out words, with this training list" in row.sentence
    assert set(found["lines"].answer) <= {facts.NOT_MEASURED} and len(found["lines"]) == len(facts.LINES) * (verdict in facts.ROSE)
    assert ("Not measured: whether it beats the best free map" in row.sentence) == (verdict in facts.ROSE)


def test_a_collapse_has_an_enormous_t_over_words_and_no_claim():
    _, found = analysed(effect=0.0, collapse=0.3, run_sd=0.003, words=200)
    words = found["tests"].query("test == 'paired t over words' and metric == 'cosine' and arm == 'tli' and split == 'train'")
    assert (words.statistic > 30).all() and (words.log10_p < -25).all()
    assert found["verdicts"].verdict.tolist() == [facts.ALIKE]


def test_a_diverged_run_fails_its_cell_and_is_not_left_out():
    def diverge(made):
        made["runs"].loc[made["runs"].run == "tli/layer-2/rank-16/seed-3", "last_loss"] = np.nan

    _, found = analysed(diverge)
    row = found["verdicts"].iloc[0]
    assert row.verdict == facts.FAILED and "seed 3" in row.sentence


@pytest.mark.parametrize(
    "run, text", [("tli/layer-2/rank-16/seed-1", "seed 1"), ("placebo-tli/layer-2/rank-16/seed-2", "placebo of seed 2")]
)
def test_missing_figures_fail_the_cell(run, text):
    def drop(made):
        for name in ("metrics", "similarities"):
            made[name] = made[name][made[name].run != run]

    _, found = analysed(drop)
    assert found["verdicts"].verdict.tolist() == [facts.FAILED] and text in found["verdicts"].sentence[0]


def test_where_all_seeds_agree_the_words_still_vary():
    def freeze(made):
        s = made["similarities"]
        s.loc[(s.arm == "tli") & (s.hidden_state == 4) & (s.split == "heldout"), "csls_target_rank"] = 1

    _, found = analysed(freeze)
    row = found["verdicts"].iloc[0]
    assert row.verdict == facts.BETTER and row.after == 1 and math.isfinite(row.detectable)
    assert found["power"].run_sd[0] == pytest.approx(0, abs=1e-6)


def test_a_figure_that_a_run_lacks_is_told():
    def lose(made):
        s = made["similarities"]
        word = s[(s.split == "heldout")].pair_id.iloc[0]
        lost = (s.run == "tli/layer-2/rank-16/seed-1") & (s.pair_id == word)
        s.loc[lost, "csls_target_rank"] = np.nan

    made, found = analysed(lose)
    row = found["verdicts"].iloc[0]
    words = (made["pairs"].split == "heldout").sum()
    assert row.heldout_pairs == words - 1 and "left out that some seed lacks" in row.sentence


def test_a_repeated_run_is_counted_once_and_named():
    made, found = analysed(layers=("best", "2"), best=2)
    assert (made["runs"].same_as != "").sum() == 10
    assert found["verdicts"].layer.tolist() == ["best"] and "layer 2" in found["verdicts"].sentence[0]
    confirmatory = found["tests"][found["tests"].family == verdicts.family_name("csls_p_at_1")]
    assert confirmatory.family_size.tolist() == [1]


def hits(made, run):
    """[units] of one run: CSLS hits of the held-out words at the output, by component."""
    s = made["similarities"].merge(made["pairs"][["pair", "pair_id", "component"]], on=["pair", "pair_id"])
    s = s[(s.hidden_state == 4) & (s.split == "heldout") & (s.run == run)]
    by = s.assign(hit=(s.csls_target_rank <= 1) * 1.0).groupby("component")["hit"]
    return (by.sum() / by.size().mean()).to_numpy()


def test_the_larger_p_enters_one_family_over_all_cells():
    made = synthetic.tables(pairs=1, layers=("2", "best", "output"), ranks=("4",), effect=0.04, items=2, words=120, zero=False)
    table = synthetic.analyse(made)["verdicts"]
    larger = []
    for row in table.itertuples():
        names = [f"{{}}/layer-{row.layer}/rank-4/seed-{s}" for s in range(5)]
        real, placebo = (np.stack([hits(made, name.format(arm)) for name in names]) for arm in ("tli", "placebo-tli"))
        p = [one(crossed(real - hits(made, "baseline")))["p"], one(crossed(real - placebo))["p"]]
        assert [row.p_change, row.p_against_placebo] == pytest.approx(p)
        larger.append(max(p))
    np.testing.assert_allclose(table.p_family, multipletests(larger, method="holm")[1])
    by_bh = synthetic.analyse(made, correction="benjamini-hochberg")["verdicts"]
    np.testing.assert_allclose(by_bh.p_family, multipletests(larger, method="fdr_bh")[1])


def test_a_cell_of_which_no_claim_can_be_made_counts_as_one_in_its_family():
    def fail(made):
        made["runs"].loc[made["runs"].run == "tli/layer-2/rank-16/seed-3", "last_loss"] = np.nan

    _, found = analysed(fail, layers=("2", "output"))
    family = found["tests"][found["tests"].family == verdicts.family_name("csls_p_at_1")].set_index("layer")
    assert family.p["2"] == 1 and "failed: p counts as 1" in family.note["2"] and set(family.family_size) == {2}


def test_where_the_output_was_not_evaluated_the_sentence_says_where():
    made = synthetic.tables(pairs=1, layers=("2",), zero=False, items=2)
    early = {name: made[name][made[name].hidden_state == 2] for name in ("similarities", "metrics")}
    row = synthetic.analyse({**made, **early}, layers={"model-1": 4})["verdicts"].iloc[0]
    assert row.verdict == facts.BETTER and "at hs[2], not the output" in row.sentence


def without(split):
    def drop(made):
        for name in ("similarities", "metrics"):
            made[name] = made[name][made[name].split != split]

    return drop


def fewer_placebos(made):
    made["runs"] = made["runs"][~((made["runs"].arm == "placebo-tli") & (made["runs"].seed > 2))]


def only_controls(made):
    made["runs"] = made["runs"][made["runs"].control]


@pytest.mark.parametrize(
    "changes, planted, expected",
    [
        (None, {"seeds": 1}, [facts.TOO_FEW]),
        (None, {"seeds": 1, "with_placebo": False}, [facts.TOO_FEW]),
        (without("heldout"), {}, [facts.FAILED]),
        (without("train"), {}, [facts.BETTER]),
        (fewer_placebos, {}, [facts.TOO_FEW]),
        (only_controls, {}, []),
        (None, {"arms": ("tli", "full-ft"), "layers": ("output",)}, [facts.BETTER] * 2),  # a baseline of its own
    ],
)
def test_thin_grids_are_judged_all_the_same(changes, planted, expected):
    _, found = analysed(changes, **planted)
    assert found["verdicts"].verdict.tolist() == expected
    assert (found["tests"].note[found["tests"].p.isna()] != "").all()


def patterns():
    """Every pattern of sign and significance of every contrast: none, below, below after correction, ... (5 to the 5 and more)."""
    up, down = Figure(0.1, 0.01, 0.02), Figure(-0.1, 0.01, 0.02)
    nearly_up, nearly_down, nothing = Figure(0.1, 0.01, 0.2), Figure(-0.1, 0.01, 0.2), Figure(0.01, 0.6, 0.9)
    names = ("change", "against_placebo", "placebo_change")
    for three in itertools.product((up, down, nearly_up, nearly_down, nothing), repeat=3):
        for train, cosine, gap in itertools.product((up, nothing), (up, nothing), (0.01, 0.9)):
            later = dict.fromkeys(("train_change", "train_over_heldout"), train) | dict.fromkeys(("cosine", "mismatched"), cosine)
            for placebo_seeds, p_family in itertools.product((5, None), (0.02, 0.2)):
                yield Figures("", 5, placebo_seeds, 30, p_family, gap, dict(zip(names, three, strict=True)) | later)


def test_every_pattern_has_the_verdict_of_its_conditions():
    """The twelve of the contract written out again, as conditions that exclude each other."""
    seen = set()
    for f in patterns():
        change, against, placebo = f["change"], f["against_placebo"], f["placebo_change"]
        has, claimed = f.placebo_seeds is not None, f.p_family <= 0.05
        raw_up = change.estimate > 0 and change.p <= 0.05
        above = against.estimate > 0 and against.p <= 0.05
        if change.estimate < 0 and change.adjusted <= 0.05:
            expected = facts.WORSE
        elif claimed and change.estimate > 0 and (against.estimate > 0 if has else True):
            expected = facts.BETTER if has else facts.NO_PLACEBO
        elif raw_up and not claimed and (above or not has):
            expected = facts.UNCORRECTED
        elif has and against.estimate > 0 and against.adjusted <= 0.05 and placebo.estimate < 0 and placebo.adjusted <= 0.05:
            expected = facts.PLACEBO_HARMS
        elif has and against.estimate < 0 and against.adjusted <= 0.05:
            expected = facts.BELOW_PLACEBO
        elif has and change.estimate > 0 and change.adjusted <= 0.05 and not above:
            expected = facts.LIKE_PLACEBO
        elif f["train_change"].adjusted <= 0.05 and not raw_up:
            expected = facts.MEMORISED
        elif f["cosine"].adjusted <= 0.05 and f.gap_same <= 0.05:
            expected = facts.ALIKE
        else:
            expected = facts.NOTHING
        assert judge(f, Rules()) == expected, f
        seen.add(expected)
    assert seen == set(facts.VERDICTS) - {facts.FAILED, facts.TOO_FEW}


def any_figures():
    p = st.floats(0, 1) | st.just(math.nan) | st.sampled_from([0.0, 0.05])
    figure = st.builds(Figure, st.floats(-1, 1) | st.just(math.nan), p, p)
    return st.builds(
        Figures,
        failed=st.sampled_from(["", "", "", "seed 1: its loss is not finite"]),
        seeds=st.integers(0, 12),
        placebo_seeds=st.none() | st.integers(0, 12),
        units=st.integers(0, 60),
        p_family=p,
        gap_same=p,
        contrasts=st.fixed_dictionaries({}, optional=dict.fromkeys(CONTRASTS, figure)),
    )


@settings(max_examples=500, deadline=None)
@given(any_figures())
def test_any_input_gets_exactly_one_verdict_and_claims_keep_their_conditions(figures):
    found = judge(figures, Rules())
    assert facts.VERDICTS.count(found) == 1
    assert (found == facts.FAILED) == bool(figures.failed)
    few = min(figures.seeds, 12 if figures.placebo_seeds is None else figures.placebo_seeds) < 5 or figures.units < 20
    assert (found == facts.TOO_FEW) == (few and not figures.failed)
    if found == facts.BETTER:
        assert figures["change"].estimate > 0 and figures["against_placebo"].estimate > 0 and figures.p_family <= 0.05
        assert figures.placebo_seeds is not None
    if found == facts.WORSE:
        assert figures["change"].estimate < 0 and figures["change"].adjusted <= 0.05
    if found in facts.ROSE:
        assert figures["change"].estimate > 0


def test_sentences_exist_for_every_verdict():
    from tli.statistics.sentences import OPENINGS

    assert list(OPENINGS) == facts.VERDICTS


def test_errors_name_what_is_wrong():
    made = synthetic.tables(pairs=1, layers=("2",), seeds=2, words=40, items=2)
    with pytest.raises(TableError, match="no-bos"):
        synthetic.analyse({**made, "metrics": made["metrics"].assign(pooling="last")})
    with pytest.raises(TableError, match="loss_layer"):
        synthetic.analyse({**made, "runs": made["runs"].drop(columns="loss_layer")})
    with pytest.raises(ValueError, match="accuracy"):
        synthetic.analyse(made, primary="accuracy")
    assert isinstance(made["pairs"], pd.DataFrame)
