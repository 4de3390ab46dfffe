"""Every verdict from a planted case; exactly one for any input."""

import math

import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tli import facts
from tli.io import tables
from tli.statistics import seeds, verdicts

PLANTED = [
    (facts.BETTER, {"effect": 0.12}),
    (facts.ALIKE, {"effect": 0.0, "collapse": 0.3}),
    (facts.ALIKE, {"effect": 0.0, "collapse": 0.3, "run_sd": 0.0, "noise": 0.0}),  # the same in every seed
    (facts.NOTHING, {"effect": 0.0}),
    (facts.NOTHING, {"effect": 0.12, "placebo": 0.12}),  # what the placebo shares is no effect of the translations
    (facts.WORSE, {"effect": -0.05, "words": 320}),
    (facts.PLACEBO_HARMS, {"effect": 0.0, "placebo": -0.15, "words": 240}),
    (facts.MEMORISED, {"effect": 0.0, "train_effect": 0.2}),
    (facts.TOO_FEW, {"seeds": 3}),
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
        assert "no placebo for this arm" in row.sentence and math.isnan(row.p_family)


def test_a_collapse_has_an_enormous_t_over_words_and_no_claim():
    _, found = analysed(effect=0.0, collapse=0.3)
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
        made["metrics"] = made["metrics"][made["metrics"].run != run]

    _, found = analysed(drop)
    assert found["verdicts"].verdict.tolist() == [facts.FAILED] and text in found["verdicts"].sentence[0]


def test_the_same_change_in_every_seed_is_undefined_not_nan_in_silence():
    def freeze(made):
        m = made["metrics"]
        m.loc[(m.arm == "tli") & (m.hidden_state == 4) & (m.split == "heldout"), "csls_p_at_1"] = 1.0

    _, found = analysed(freeze)
    row = found["verdicts"].iloc[0]
    assert row.verdict == facts.NOTHING and "in every seed" in row.sentence and math.isnan(row.detectable)
    undefined = found["tests"][found["tests"].p.isna()]
    assert len(undefined) and (undefined.note != "").all()


def test_a_repeated_run_is_counted_once_and_named():
    made, found = analysed(layers=("best", "2"), best=2)
    assert (made["runs"].same_as != "").sum() == 10
    assert found["verdicts"].layer.tolist() == ["best"] and "layer 2" in found["verdicts"].sentence[0]
    confirmatory = found["tests"][found["tests"].family == seeds.confirmatory_family("csls_p_at_1")]
    assert confirmatory.family_size.tolist() == [1]


def test_the_larger_p_enters_one_family_over_all_cells():
    made = synthetic.tables(pairs=1, layers=("2", "best", "output"), ranks=("4",), effect=0.04, items=2, words=120, zero=False)
    found = synthetic.analyse(made, bootstrap=50)
    table = found["verdicts"]
    m = made["metrics"].query("hidden_state == 4 and split == 'heldout'").set_index(["pair", "run"])["csls_p_at_1"]
    larger = []
    for row in table.itertuples():  # plain loops and scipy, apart from the code under test
        names = [f"{{}}/layer-{row.layer}/rank-4/seed-{s}" for s in range(5)]
        real = np.array([m[row.pair, name.format("tli")] for name in names])
        placebo = np.array([m[row.pair, name.format("placebo-tli")] for name in names])
        p = [stats.ttest_1samp(real, m[row.pair, "baseline"]).pvalue, stats.ttest_rel(real, placebo).pvalue]
        assert [row.p_change, row.p_against_placebo] == pytest.approx(p)
        larger.append(max(p))
    order = np.argsort(larger)
    holm = np.maximum.accumulate(np.sort(larger) * np.arange(len(larger), 0, -1)).clip(max=1)
    np.testing.assert_allclose(table.p_family.to_numpy()[order], holm)
    by_bh = synthetic.analyse(made, correction="benjamini-hochberg")["verdicts"]
    assert (by_bh.p_family <= table.p_family + 1e-12).all() and (by_bh.p_family < table.p_family).any()


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


def figures():
    pair = st.tuples(st.floats(-1, 1), st.floats(0, 1) | st.just(math.nan) | st.sampled_from([0.0, 0.05]))
    names = [*verdicts.CONTRASTS, "train_over_heldout"]
    return st.fixed_dictionaries(
        {
            "failed": st.sampled_from(["", "", "", "seed 1: its loss is not finite"]),
            "seeds": st.integers(1, 12),
            "placebo_seeds": st.none() | st.integers(0, 12),
            "p_family": st.floats(0, 1) | st.just(math.nan),
            **dict.fromkeys(names, pair),
        }
    )


@settings(max_examples=500, deadline=None)
@given(figures())
def test_any_input_gets_exactly_one_verdict_and_claims_keep_their_conditions(cell):
    found = verdicts.judge(cell)
    assert facts.VERDICTS.count(found) == 1
    assert (found == facts.FAILED) == bool(cell["failed"])
    few = min(cell["seeds"], 12 if cell["placebo_seeds"] is None else cell["placebo_seeds"]) < 5
    if found not in (facts.FAILED, facts.TOO_FEW):
        assert not few
    if found == facts.BETTER:
        assert cell["change"][0] > 0 and cell["against_placebo"][0] > 0 and cell["p_family"] <= 0.05
        assert cell["placebo_seeds"] is not None
    if found == facts.WORSE:
        assert cell["change"][0] < 0 and cell["change"][1] <= 0.05


def test_sentences_exist_for_every_verdict():
    from tli.statistics.sentences import OPENINGS

    assert list(OPENINGS) == facts.VERDICTS


def test_errors_name_what_is_wrong():
    made = synthetic.tables(pairs=1, layers=("2",), seeds=2, words=40, items=2)
    with pytest.raises(tables.TableError, match="no-bos"):
        synthetic.analyse({**made, "metrics": made["metrics"].assign(pooling="last")})
    with pytest.raises(tables.TableError, match="loss_layer"):
        synthetic.analyse({**made, "runs": made["runs"].drop(columns="loss_layer")})
    with pytest.raises(ValueError, match="accuracy"):
        synthetic.analyse(made, primary="accuracy")
    assert isinstance(made["pairs"], pd.DataFrame)
