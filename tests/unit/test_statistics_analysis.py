"""The tables of a whole analysis against figures recomputed from the inputs by other means."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
import synthetic
from scipy import stats

from tli.io import table_files, tables
from tli.statistics import comparing, gains, ranks
from tli.statistics.crossed import crossed, one


@pytest.fixture(scope="module")
def made():
    return synthetic.tables(pairs=1, layers=("best", "output"), ranks=("4", "16"), effect=0.08, rank_slope=0.03, items=2)


@pytest.fixture(scope="module")
def found(made):
    return synthetic.analyse(made, bootstrap=300, equivalence_margin=0.1)


def test_tables_have_their_columns_and_no_silent_gap(made, found):
    assert list(found["tests"].columns) == tables.TESTS and list(found["verdicts"].columns) == tables.VERDICTS
    t = found["tests"]
    assert (t.note[t.p.isna()] != "").all()
    assert set(t.level) == {"confirmatory", "exploratory", "descriptive", "within one run"}
    assert (t.family_size[t.family == ""] == 0).all() and (t.family_size[t.p_holm.notna()] > 0).all()
    assert ((t.p_bh <= t.p_holm + 1e-12) | t.p_holm.isna()).all()


def test_the_zero_arm_is_in_no_family_and_has_no_p(found):
    zero = found["tests"][found["tests"].arm == "zero"]
    assert len(zero) and (zero.family == "").all() and zero.p.isna().all()
    assert (zero[zero.p.isna()].note != "").all()
    assert "zero" not in set(found["verdicts"].arm) and not (found["survival"].query("arm == 'zero'").family != "").any()


def test_controls_enter_no_confirmatory_family(made, found):
    confirmatory = found["tests"][found["tests"].level == "confirmatory"]
    assert set(confirmatory.arm) == {"tli"} and set(confirmatory.family_size) == {4}
    assert (confirmatory.groupby("contrast").size() == 4).all()


def test_within_one_run_is_scipys_test_on_that_runs_words(made, found):
    s = made["similarities"].query("split == 'heldout' and hidden_state == 4").sort_values("pair_id")
    run = "tli/layer-best/rank-4/seed-2"
    after, before = s.cosine[s.run == run].to_numpy(), s.cosine[s.run == "baseline"].to_numpy()
    rows = found["tests"].query("arm == 'tli' and layer == 'best' and rank == '4' and seed == 2 and metric == 'cosine'")
    rows = rows.query("split == 'heldout' and hidden_state == 4").set_index("test")
    theirs = stats.ttest_rel(after, before)
    assert rows.loc["paired t over words", "statistic"] == pytest.approx(theirs.statistic)
    assert rows.loc["paired t over words", "p"] == pytest.approx(theirs.pvalue)
    assert rows.loc["Wilcoxon over words", "p"] == pytest.approx(stats.wilcoxon(after - before, method="asymptotic").pvalue)
    assert rows.loc["share of pairs that gain", "estimate"] == pytest.approx((after > before).mean())
    low, high = rows.loc["BCa bootstrap over words", ["low", "high"]]
    assert low < (after - before).mean() < high
    assert set(rows.level) == {"within one run"}


def test_a_placebo_is_found_by_the_layer_it_resolves_to():
    made = synthetic.tables(pairs=1, layers=("best", "3"), best=3, seeds=2, words=40, items=2)
    runs = made["runs"]
    assert len(comparing.placebo_runs(runs)) == 2  # the repeated ones are counted once
    moved = runs[~((runs.arm == "placebo-tli") & (runs.layer == "best"))]
    moved = moved.assign(same_as=moved.same_as.where(moved.arm != "placebo-tli", ""))
    pairs = comparing.placebo_runs(moved)
    assert pairs.run.str.contains("layer-best").all() and pairs.placebo.str.contains("layer-3").all()


def test_survival_is_the_ratio_of_the_gaps(made, found):
    m = made["metrics"].query("split == 'heldout'").set_index(["run", "hidden_state"])["gap"]
    names = [f"tli/layer-best/rank-16/seed-{s}" for s in range(5)]
    loss, out = (np.array([m[name, h] for name in names]) for h in (3, 4))
    table = found["survival"].query("arm == 'tli' and layer == 'best' and rank == '16' and split == 'heldout'")
    single = table[table.seed >= 0].sort_values("seed")
    np.testing.assert_allclose(single.survival_after, out / loss)
    np.testing.assert_allclose(single.survival_before, m["baseline", 4] / m["baseline", 3])
    cell = table.query("contrast == 'gain at the output'").iloc[0]
    gained = (out - m["baseline", 4]).mean() / (loss - m["baseline", 3]).mean()
    assert cell.passed_on == pytest.approx(gained) and 0.5 < gained < 0.85  # planted: 1 / 1.5
    real, before = grid(made, "tli", "best", "16", "gap")
    assert cell.p == pytest.approx(one(crossed(real - before))["p"])
    assert "reaches the output" in cell.sentence
    assert "output" not in set(found["survival"].layer)  # a loss at the output has nothing to survive


def test_rank_trend_is_the_slope_of_every_seed_and_unit(made, found):
    low, high = (grid(made, "tli", "best", rank, "gap")[0] for rank in ("4", "16"))
    test = one(crossed((high - low) / 2))  # two doublings apart
    row = found["ranks"].query("layer == 'best' and metric == 'gap' and contrast == 'after - before'").iloc[0]
    assert [row.slope, row.p, row.df] == pytest.approx([test["estimate"], test["p"], test["df"]])
    assert row.alpha_rule == "alpha = 2 r" and row.ranks == "4,16" and row.units == test["units"]


def test_slopes_with_missing_ranks_are_numpys():
    x, y = np.array([1.0, 2.0, 4.0]), np.array([[1.0, 3.0, 4.0], [2.0, np.nan, 1.0], [np.nan, np.nan, 1.0]])
    found = ranks.slopes(x, y)
    assert found[0] == pytest.approx(np.polyfit(x, y[0], 1)[0]) and found[1] == pytest.approx(-1 / 3) and np.isnan(found[2])


def test_a_fixed_alpha_is_a_line_of_its_own(made):
    runs = made["runs"]
    assert ranks.alpha_rule(runs.assign(alpha=32.0), runs.run, "model-1", "pair-1") == "alpha = 32"


def test_which_words_gain_is_the_clustered_regression(made, found):
    per_word = found["gains"].query("metric == 'cosine' and arm == 'tli' and layer == 'best' and rank == '16' and split == 'heldout'")
    data = per_word.merge(made["pairs"][["pair_id", "cognate"]], on="pair_id")
    reference = data.category.value_counts().index[0]
    fit = smf.ols(f"after ~ before + C(category, Treatment('{reference}')) + cognate", data).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(data.component)[0]}, use_t=True
    )
    key = {name: per_word[name].iloc[0] for name in tables.CELL}
    own = found["words"]
    own = own[(own[list(key)] == list(key.values())).all(axis=1) & (own.condition == "real") & (own.metric == "cosine")].set_index("term")
    for term in ("before", "cognate"):
        assert own.loc[term, "estimate"] == pytest.approx(fit.params[term])
        assert own.loc[term, "p"] == pytest.approx(fit.pvalues[term])
    assert set(found["words"].condition) == {"real", "placebo"}


def test_regression_with_one_category_few_words_or_a_constant_column():
    table_of_gains = pd.DataFrame(
        {
            **dict.fromkeys(tables.CELL, "x"),
            "metric": "gap",
            "split": "heldout",
            "pair_id": [f"w{i}" for i in range(12)],
            "category": "",
            "component": [f"c{i // 3}" for i in range(12)],
            "before": np.linspace(0, 1, 12),
            "after": np.linspace(0, 1, 12) ** 2,
            "placebo_after": np.nan,
        }
    )
    table_of_gains["pair"] = "x"
    pairs = pd.DataFrame({"pair": "x", "pair_id": table_of_gains.pair_id, "cognate": 0.5})
    table = gains.which_words_gain(table_of_gains, pairs)
    assert table.term.tolist() == ["intercept", "before"] and "cognate" in table.note[0] and "HC3" in table.note[0]
    few = gains.which_words_gain(table_of_gains.head(3), pairs)
    assert few.p.isna().all() and few.note.str.startswith("undefined").all()


def test_gains_are_means_over_seeds(made, found):
    s = made["similarities"].query("hidden_state == 4 and pair_id == 'pair-1-w007'").set_index("run")["cosine"]
    row = found["gains"].query("pair_id == 'pair-1-w007' and metric == 'cosine' and layer == 'output' and rank == '4'").iloc[0]
    real = np.mean([s[f"tli/layer-output/rank-4/seed-{i}"] for i in range(5)])
    placebo = np.mean([s[f"placebo-tli/layer-output/rank-4/seed-{i}"] for i in range(5)])
    assert [row.after, row.placebo_after] == pytest.approx([real, placebo])
    assert [row.change, row.placebo_change] == pytest.approx([real - s["baseline"], placebo - s["baseline"]])


def grid(made, arm, layer, rank, metric, hidden_state=4, split="heldout"):
    """[seeds, units] of a metric and [units] of the model before, by pandas alone."""
    s = made["similarities"].merge(made["pairs"][["pair", "pair_id", "component"]], on=["pair", "pair_id"])
    s = s[(s.hidden_state == hidden_state) & (s.split == split)]
    s = s.assign(gap=s.cosine - s.mismatched_mean, csls_p_at_1=(s.csls_target_rank <= 1) * 1.0)
    size = s[s.run == "baseline"].groupby("component").size()
    sums = s.groupby(["run", "component"])[metric].sum().unstack() / size.mean()
    return sums.loc[[f"{arm}/layer-{layer}/rank-{rank}/seed-{i}" for i in range(5)]].to_numpy(), sums.loc["baseline"].to_numpy()


def test_equivalence_only_with_a_margin(made, found):
    rows = found["tests"][found["tests"].test == "TOST over seeds and units"]
    assert len(rows) == 4 and (rows.family == "equivalence: csls_p_at_1").all()
    sides = []
    for split in ("heldout", "train"):
        real, before = grid(made, "tli", "best", "4", "csls_p_at_1", split=split)
        sides.append(real - before)
    test = one(crossed(*sides, alpha=0.1))
    row = rows[(rows.layer == "best") & (rows["rank"] == "4")].iloc[0]
    assert row.estimate == pytest.approx(sides[0].mean() - sides[1].mean())
    lower, upper = ((sign * row.estimate + 0.1) / test["error"] for sign in (1, -1))
    assert row.p == pytest.approx(max(stats.t.sf(lower, test["df"]), stats.t.sf(upper, test["df"])))


def test_lists_without_a_model_serve_all_models(made, found):
    again = synthetic.analyse({**made, "pairs": made["pairs"].drop(columns="model")})
    pd.testing.assert_frame_equal(again["gains"], found["gains"])
    pd.testing.assert_frame_equal(again["verdicts"], found["verdicts"])


def test_tables_survive_being_written_and_read(made, found, tmp_path):
    table_files.write(found["tests"], tmp_path / "tests.tsv", tables.TESTS)
    table_files.write(found["verdicts"], tmp_path / "verdicts.tsv", tables.VERDICTS)
    table_files.write(made["runs"], tmp_path / "runs.tsv", tables.RUNS)
    table_files.write(made["metrics"], tmp_path / "metrics.tsv", tables.RUN_METRICS)
    read = [table_files.read(tmp_path / name) for name in ("runs.tsv", "metrics.tsv")]
    again = synthetic.analyse({**made, "runs": read[0], "metrics": read[1]})
    assert again["verdicts"].verdict.tolist() == found["verdicts"].verdict.tolist()
    assert len(table_files.read(tmp_path / "verdicts.tsv", tables.VERDICTS)) == 4


def test_without_rows_at_the_loss_layer_there_is_no_survival():
    """The paper's protocol as written is evaluated at the output alone."""
    made = synthetic.tables(pairs=1, layers=("2",), seeds=2)
    last = made["metrics"]["hidden_state"].max()
    at_output = {name: made[name][made[name]["hidden_state"] == last] for name in ("similarities", "metrics")}
    found = synthetic.analyse({**made, **at_output})
    assert found["survival"].empty and len(found["verdicts"]) == 1


@pytest.mark.parametrize("correction", ["holm", "benjamini-hochberg", "benjamini-yekutieli"])
def test_every_correction_that_the_config_names_works(correction):
    from typing import get_args

    from tli.config.keys.measures import Statistics

    assert correction in get_args(Statistics.model_fields["correction"].annotation)
    made = synthetic.tables(pairs=2, layers=("2",), seeds=5)
    found = synthetic.analyse(made, correction=correction, bootstrap=100)
    synthetic.transfer(made["transfer"], made["runs"], correction=correction, bootstrap=100)
    assert found["verdicts"]["p_family"].notna().all()


def test_claims_are_made_where_the_config_says():
    made = synthetic.tables(pairs=1, layers=("2",), seeds=5)
    found = synthetic.analyse(made, layers={"model-1": 4}, claim_at=2)
    claims = found["tests"].query("level == 'confirmatory'")
    assert set(claims["hidden_state"]) == {2} and "at hs[2], not the output" in found["verdicts"]["sentence"].iloc[0]
    assert len(found["survival"])  # which is about the output all the same


def test_a_repeated_run_is_a_point_of_its_own_line_over_the_ranks():
    """The line of fixed alpha shares the run at which twice the rank is that alpha; it loses no point by that."""
    made = synthetic.tables(pairs=1, layers=("2",), ranks=("8", "16", "32"), seeds=5, arms=("tli", "fixed"))
    runs = made["runs"]
    repeated = (runs["arm"] == "fixed") & (runs["rank"] == "16")
    runs.loc[repeated, "same_as"] = runs.loc[repeated, "run"].str.replace("fixed/", "tli/")
    found = synthetic.analyse({**made, "runs": runs})["ranks"]
    assert set(found.loc[found["arm"] == "fixed", "ranks"].astype(str)) == set(found.loc[found["arm"] == "tli", "ranks"].astype(str))


def test_of_two_arms_that_are_one_run_either_ones_placebo_serves():
    made = synthetic.tables(pairs=1, layers=("2",), seeds=5, arms=("full-lora", "tli"))
    runs = made["runs"][made["runs"]["arm"] != "placebo-full-lora"].reset_index(drop=True)
    twin = runs["arm"] == "tli"
    runs.loc[twin, "same_as"] = runs.loc[twin, "run"].str.replace("tli/", "full-lora/")
    found = synthetic.analyse({**made, "runs": runs})["verdicts"]
    assert found["arm"].tolist() == ["full-lora"] and np.isfinite(found["p_against_placebo"]).all()
