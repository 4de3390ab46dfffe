"""Item-level tests against statsmodels, plain bootstraps and hand-made cases; transfer tables against their inputs."""

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from tli.errors import TableError
from tli.statistics import items
from tli.statistics.crossed import crossed, one

TASKS = ["copa", "xcopa_sw", "xnli_en", "xnli_sw"]


@pytest.fixture(scope="module")
def made():
    return synthetic.tables(pairs=1, layers=("2",), ranks=("4", "16"), words=40, seeds=5, items=60, transfer_effect=0.1)


@pytest.fixture(scope="module")
def found(made):
    return synthetic.transfer(made["transfer"], made["runs"], bootstrap=500)


@pytest.mark.parametrize("gained, lost, kept, wrong", [(7, 1, 20, 5), (3, 3, 2, 2), (0, 9, 1, 1), (40, 60, 300, 100)])
def test_mcnemar_is_statsmodels_exact(gained, lost, kept, wrong):
    before = np.repeat([0, 1, 1, 0], [gained, lost, kept, wrong])
    after = np.repeat([1, 0, 1, 0], [gained, lost, kept, wrong])
    ours = items.mcnemar_exact(before, after)
    theirs = mcnemar([[kept, lost], [gained, wrong]], exact=True).pvalue
    assert (ours["gained"], ours["lost"]) == (gained, lost)
    assert ours["p"] == pytest.approx(theirs) and ours["log10_p"] == pytest.approx(np.log10(theirs))


def test_mcnemar_without_a_change_is_one_and_says_so():
    assert items.mcnemar_exact([1, 0, 1], [1, 0, 1]) == {"gained": 0, "lost": 0, "p": 1.0, "log10_p": 0.0, "note": "no item changes"}


def test_mcnemar_that_underflows_keeps_its_log():
    found = items.mcnemar_exact(np.zeros(2_000), np.ones(2_000))
    assert found["log10_p"] == pytest.approx(np.log10(2) - 2_000 * np.log10(2)) and found["p"] == 0


def test_paired_bootstrap_is_the_plain_one_over_items():
    random = np.random.default_rng(1)
    before, after = random.random(200) < 0.6, random.random(200) < 0.7
    ours = items.paired_bootstrap_accuracy(before, after, 20_000, 2)
    draw = random.integers(0, 200, (20_000, 200))
    d = after.astype(float) - before
    np.testing.assert_allclose([ours["low"], ours["high"]], np.quantile(d[draw].mean(1), [0.025, 0.975]), atol=0.006)
    assert ours["change"] == pytest.approx(after.mean() - before.mean())
    with pytest.raises(ValueError, match="same items"):
        items.paired_bootstrap_accuracy(before, after[:-1])


def test_graded_items_get_an_interval_about_their_mean():
    random = np.random.default_rng(1)
    before = random.random(80)
    ours = items.paired_bootstrap_accuracy(before, np.clip(before + 0.1, 0, 1), 500)
    assert ours["low"] < ours["change"] < ours["high"] and ours["high"] <= 0.1 + 1e-9


@pytest.mark.parametrize("n, discordant", [(500, 0.2), (1000, 0.1), (300, 0.4)])
def test_the_smallest_change_is_found_with_the_power_it_promises(n, discordant):
    change = items.smallest_detectable_accuracy_change(n, discordant)
    random = np.random.default_rng(0)
    share = [(discordant + change) / 2, (discordant - change) / 2, 1 - discordant]
    gained, lost, _ = random.multinomial(n, share, size=20_000).T
    z = (gained - lost) / np.sqrt(np.maximum(gained + lost, 1))  # McNemar's normal form, as Connor's
    assert np.mean(np.abs(z) > stats.norm.isf(0.025)) == pytest.approx(0.8, abs=0.03)


def test_the_smallest_change_shrinks_with_items_and_exists_without_any_change():
    least = [items.smallest_detectable_accuracy_change(n, 0.2) for n in (50, 200, 1000)]
    assert least[0] > least[1] > least[2]
    assert 0 < items.smallest_detectable_accuracy_change(100, 0.0) < 0.15
    assert items.smallest_detectable_accuracy_change(2) == 1.0 and np.isnan(items.smallest_detectable_accuracy_change(0))


def test_retention_is_blank_unless_the_baseline_is_above_chance():
    assert items.retention(0.8, 0.9, 0.5, 100)[0] == pytest.approx(0.75)
    value, note = items.retention(0.8, 0.52, 0.5, 100)
    assert np.isnan(value) and note.startswith("undefined")
    assert np.isnan(items.retention(0.8, 0.9, np.nan, 100)[0])


def test_gap_intervals_paired_and_unpaired_are_plain_bootstraps():
    random = np.random.default_rng(3)
    a, b, c, d = (random.random((4, 150)) < np.array([[0.8], [0.5], [0.7], [0.6]])).astype(float)
    change = (a - c) - (b - d)
    paired = items.gap_interval((a, b, c, d), True, 20_000)
    draw = random.integers(0, 150, (2, 20_000, 150))
    np.testing.assert_allclose(paired[3:], np.quantile(change[draw[0]].mean(1), [0.025, 0.975]), atol=0.012)
    apart = items.gap_interval((a, b, c, d), False, 20_000)
    plain = (a - c)[draw[0]].mean(1) - (b - d)[draw[1]].mean(1)
    np.testing.assert_allclose(apart[3:], np.quantile(plain, [0.025, 0.975]), atol=0.012)
    assert paired[2] == pytest.approx(change.mean()) == apart[2]


def test_per_run_figures_are_those_of_the_items(made, found):
    t = made["transfer"].query("task == 'xcopa_sw'").sort_values("item")
    run = "tli/layer-2/rank-16/seed-1"
    after, before = t.correct[t.run == run].to_numpy(), t.correct[t.run == "baseline"].to_numpy()
    row = found["runs"].query("task == 'xcopa_sw' and run == @run").iloc[0]
    assert [row.before, row.after, row.chance] == pytest.approx([before.mean(), after.mean(), 0.5])
    assert (row.gained, row.lost) == ((after & ~before).sum(), (before & ~after).sum())
    assert row.family_size == 4 * 20 and set(found["runs"].task) == set(TASKS)


def test_the_zero_arm_changes_no_item_and_enters_no_family(found):
    zero = found["runs"][found["runs"].arm == "zero"]
    assert (zero.change == 0).all() and (zero.note.str.contains("no item changes")).all() and (zero.family == "").all()
    cells = found["cells"][found["cells"].arm == "zero"]
    assert (cells.family == "").all() and cells.p.isna().all() and cells.note.str.contains("floor without variance").all()


def right(made, task, runs):
    """[runs, items] of a task, by pandas alone."""
    t = made["transfer"]
    return (
        t[t.task == task]
        .assign(correct=lambda x: x.correct * 1.0)
        .pivot(index="run", columns="item", values="correct")
        .loc[runs]
        .to_numpy()
    )


def test_claims_rest_on_the_crossed_test_over_items_and_seeds(made, found):
    names = [f"{{}}/layer-2/rank-16/seed-{s}" for s in range(5)]
    real, placebo = (right(made, "xnli_sw", [name.format(arm) for name in names]) for arm in ("tli", "placebo-tli"))
    before = right(made, "xnli_sw", ["baseline"])
    rows = found["cells"].query("arm == 'tli' and rank == '16' and task == 'xnli_sw' and metric == 'accuracy'").set_index("contrast")
    for contrast, other in (("after - before", before), ("real - placebo", placebo)):
        test = one(crossed(real - other))
        assert [rows.loc[contrast, name] for name in ("estimate", "p", "df")] == pytest.approx([test[n] for n in ("estimate", "p", "df")])
    assert set(rows.family_size) == {2 * 4 * 2}  # ranks, tasks, contrasts; controls are another family
    assert rows.loc["after - before", "chance"] == pytest.approx(1 / 3) and set(rows["items"]) == {60}
    assert rows.sentence.str.contains("60 items, 5 seeds, chance 0.333").all()


def test_the_trend_is_the_slope_of_every_seed_and_item(made, found):
    low, high = (right(made, "copa", [f"tli/layer-2/rank-{rank}/seed-{s}" for s in range(5)]) for rank in (4, 16))
    test = one(crossed((high - low) / 2))
    row = found["trend"].query("task == 'copa' and metric == 'accuracy' and contrast == 'after - before'").iloc[0]
    assert [row.slope, row.p] == pytest.approx([test["estimate"], test["p"]]) and row.seeds == 5


def test_the_gap_is_one_table_of_items_or_the_difference_of_two(made, found):
    names = [f"tli/layer-2/rank-4/seed-{s}" for s in range(5)]
    change = {task: right(made, task, names) - right(made, task, ["baseline"]) for task in ("xnli_en", "xnli_sw")}
    where = "task == 'xnli_sw' and metric == 'transfer gap' and arm == 'tli' and rank == '4' and contrast == 'after - before'"
    paired = one(crossed(change["xnli_en"] - change["xnli_sw"]))
    apart = one(crossed(change["xnli_en"], change["xnli_sw"]))
    unpaired = synthetic.transfer(made["transfer"].assign(aligned_id=""), made["runs"])["cells"]
    for table, test in ((found["cells"], paired), (unpaired, apart)):
        row = table.query(where).iloc[0]
        assert [row.estimate, row.p] == pytest.approx([test["estimate"], test["p"]])


def test_the_gap_is_paired_only_over_aligned_items(made, found):
    gaps = found["gaps"]
    assert set(zip(gaps.task, gaps.english_task, strict=True)) == {("xcopa_sw", "copa"), ("xnli_sw", "xnli_en")}
    assert gaps.paired.all() and set(gaps.n) == {60}
    t = made["transfer"]
    part = t.assign(aligned_id=t.aligned_id.where(t.item < "0020", ""))
    some = synthetic.transfer(part, made["runs"], bootstrap=50)["gaps"]
    assert some.paired.all() and set(some.n) == {20}
    row = some.query("task == 'xnli_sw' and run == 'tli/layer-2/rank-4/seed-0'").iloc[0]
    own = part[(part.run == row.run) & (part.item < "0020")].groupby("task")["correct"].mean()
    assert row.gap_after == pytest.approx(own["xnli_en"] - own["xnli_sw"])
    none = synthetic.transfer(t.assign(aligned_id=""), made["runs"], bootstrap=50)["gaps"]
    assert not none.paired.any() and none.note.str.startswith("unpaired").all()


def test_the_worst_of_several_prompts(made):
    t = made["transfer"].query("task in ('xnli_sw', 'xcopa_sw')")
    names = {"xnli_sw": "afrixnli_sw_prompt_1", "xcopa_sw": "afrixnli_sw_prompt_2"}
    table = synthetic.transfer(t.assign(task=t.task.map(names)), made["runs"], bootstrap=50)["cells"]
    row = table.query("metric == 'worst prompt accuracy' and arm == 'tli' and rank == '4' and contrast == 'after - before'").iloc[0]
    accuracy = t[t["arm"].isin(["tli", "baseline"])].groupby(["run", "task"])["correct"].mean().unstack().min(axis=1)
    after = [accuracy[f"tli/layer-2/rank-4/seed-{s}"] for s in range(5)]
    assert row.estimate == pytest.approx(np.mean(after) - accuracy["baseline"]) and "worst prompt of afrixnli_sw" in row.task


def test_too_few_seeds_make_no_claim(made):
    runs = made["runs"][made["runs"].seed < 3]
    cells = synthetic.transfer(made["transfer"], runs, bootstrap=50)["cells"]
    assert cells[~cells.control].sentence.str.contains("no claim: 60 items, 3 seeds").all()


def test_too_few_items_make_no_claim(made):
    few = made["transfer"][made["transfer"].item < "0008"]
    cells = synthetic.transfer(few, made["runs"])["cells"]
    assert cells[~cells.control].sentence.str.contains("no claim: 8 items, 5 seeds").all()


def test_errors_name_the_table_the_task_and_the_run(made):
    t = made["transfer"]
    with pytest.raises(TableError, match="aligned_id"):
        synthetic.transfer(t.drop(columns="aligned_id"), made["runs"])
    with pytest.raises(TableError, match="no rows of baseline"):
        synthetic.transfer(t[t.run != "baseline"], made["runs"])
    cut = t[~((t.run == "tli/layer-2/rank-4/seed-0") & (t.task == "copa") & (t.item == "0003"))]
    with pytest.raises(TableError, match=r"copa.*tli/layer-2/rank-4/seed-0.*different items"):
        synthetic.transfer(cut, made["runs"], bootstrap=50)
    assert isinstance(t, pd.DataFrame)
