"""What is claimed of translation by prompt: planted gains get their answer, figures are those of a plain loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import synthetic

from tli import facts, statistics
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import translation
from tli.statistics.crossed import crossed, one

SPEC = StatisticsSpec(bootstrap=50)
WORDS = 90
DIRECTIONS = ("pair-1", "1-pair")


@pytest.fixture(scope="module")
def made():
    return synthetic.tables(pairs=1, layers=("2",), words=80, effect=0.3, seeds=5)


def asked(made, gain: dict[str, tuple[float, float]], shots=(0, 5), words=WORDS, few: float = 0.0) -> pd.DataFrame:
    """TRANSLATE in which a run of each arm is right more often by so much, in either direction; two words in three are a component."""
    random = np.random.default_rng(0)
    subjects = pd.concat([made["runs"], made["similarities"].query("seed == -1")])[tables.RUN].drop_duplicates()
    easy, parts = random.random((2, words)), []
    for row in subjects.to_dict("records"):
        up = gain.get(row["arm"], (0.0, 0.0))
        for number, direction in enumerate(DIRECTIONS):
            for one_of in shots:
                chance = 0.3 + up[number] + (few if one_of and row["seed"] == -1 else 0.0)
                right = (easy[number] + random.normal(0, 0.05, words) * (row["seed"] >= 0) < chance).astype(float)
                names = {"direction": direction, "shots": one_of, "item": [f"w{i}" for i in range(words)]}
                names |= {"component": [f"c{i - (i % 3 == 1)}" for i in range(words)], "correct": right, "margin": 0.0, "choices": 10}
                parts.append(pd.DataFrame({**row, **names, "exact": right * (np.arange(words) % 2), "answer": ""}))
    return pd.concat(parts, ignore_index=True)[tables.TRANSLATE]


def line_of(made, table) -> tuple[pd.Series, str]:
    measured = statistics.Measured(made["runs"], made["similarities"], made["metrics"], made["pairs"], {})
    evidence = translation.evidence(translation.sides(table, made["runs"]))
    found = statistics.analyse(measured, SPEC, (evidence,))
    return found["lines"].query("line == @facts.SHOWS_IN_SPEECH").iloc[0], found["verdicts"].iloc[0]["in_short"]


@pytest.mark.parametrize(
    "real, placebo, answer",
    [
        ((0.3, 0.3), (0.0, 0.0), facts.YES),
        ((0.3, 0.0), (0.0, 0.0), facts.NOT_DECIDED),  # one direction alone
        ((0.3, 0.3), (0.3, 0.3), facts.NOT_DECIDED),  # as its placebo
        ((0.3, 0.3), (0.55, 0.55), facts.NOT_DECIDED),  # below its placebo, yet above before: nothing got worse
        ((-0.2, 0.3), (0.0, 0.0), facts.NO),
        ((0.0, 0.0), (0.0, 0.0), facts.NOT_DECIDED),
    ],
)
def test_yes_needs_both_directions_and_more_than_the_placebo(made, real, placebo, answer):
    line, sentence = line_of(made, asked(made, {"tli": real, "placebo-tli": placebo}))
    assert line["answer"] == answer and line["seeds"] == 5 and line["units"] == 60
    if answer == facts.NO:
        assert line["part"] == f"{DIRECTIONS[0]}, {facts.AFTER_BEFORE}" and "what the model says gets worse" in sentence
    if answer == facts.YES:
        assert "it shows in what the model says" in sentence and line["estimate"] == pytest.approx(0.3, abs=0.12)


def test_the_line_rests_on_the_mean_over_shots_and_on_sums_over_components(made):
    table = asked(made, {"tli": (0.1, 0.3)})
    line, _ = line_of(made, table)
    direction, contrast = line["part"].split(", ")
    rows, grid = table[table["direction"] == direction], []
    other = {facts.AFTER_BEFORE: "baseline", facts.REAL_PLACEBO: "placebo-tli"}[contrast]
    for seed in sorted(made["runs"]["seed"].unique()):
        of_seed = []
        for component in sorted(rows["component"].unique()):
            words = rows.loc[rows["component"] == component, "item"].unique()
            total = 0.0
            for word in words:
                of_word = rows[rows["item"] == word]
                after = of_word[(of_word["arm"] == "tli") & (of_word["seed"] == seed)]["correct"].mean()
                before = of_word[(of_word["arm"] == other) & (of_word["seed"].isin([seed, -1]))]["correct"].mean()
                total += after - before
            of_seed.append(total / (WORDS / 60))
        grid.append(of_seed)
    test = one(crossed(np.array(grid)))
    assert line["estimate"] == pytest.approx(test["estimate"], abs=1e-12) and line["p"] == pytest.approx(test["p"], rel=1e-9)


def test_without_a_placebo_the_change_alone_decides():
    alone = synthetic.tables(pairs=1, layers=("2",), words=80, effect=0.3, seeds=5, with_placebo=False)
    assert line_of(alone, asked(alone, {"tli": (0.3, 0.3)}))[0]["answer"] == facts.YES


def test_few_words_answer_nothing(made):
    line, _ = line_of(made, asked(made, {"tli": (0.3, 0.3)}, words=24))
    assert line["answer"] == facts.NOT_DECIDED and line["units"] == 16 and "no answer below" in line["sentence"]


def test_the_table_has_every_side_and_the_rival(made):
    table = asked(made, {"tli": (0.2, 0.3), "placebo-tli": (0.1, 0.0)}, few=0.25)
    found = translation.translation(translation.sides(table, made["runs"]), translation.rival_shots(table), SPEC)
    assert list(found.columns) == tables.TRANSLATION and set(found["rival_shots"]) == {5} and set(found["items"]) == {WORDS}
    place = ["arm", "direction", "shots", "metric", "contrast"]
    assert not found.duplicated(place).any() and len(found[found["arm"] == "tli"]) == 2 * 2 * 2 * 3
    mean = table.groupby(["arm", "direction", "shots"])[["correct", "exact"]].mean()
    rows = found.set_index(place)
    for (direction, shots), metric, column in [
        (one_of, *m) for one_of in [(DIRECTIONS[0], 0), (DIRECTIONS[1], 5)] for m in translation.METRICS.items()
    ]:
        for contrast, arm, of_shots in (
            (facts.AFTER_BEFORE, "baseline", shots),
            (facts.REAL_PLACEBO, "placebo-tli", shots),
            (facts.AFTER_FEWSHOT, "baseline", 5),
        ):
            row = rows.loc["tli", direction, shots, metric, contrast]
            after, other = mean.loc[("tli", direction, shots), column], mean.loc[(arm, direction, of_shots), column]
            assert row["after"] == pytest.approx(after) and row["other"] == pytest.approx(other)
            assert row["estimate"] == pytest.approx(after - other) and row["low"] < row["estimate"] < row["high"]
    assert found.loc[found["metric"] == "choice", "chance"].eq(0.1).all() and found.loc[found["metric"] == "exact", "chance"].isna().all()
    zero = found[found["arm"] == "zero-tli"]
    assert zero.empty, "a floor without variance has no test"
    tested = found[~found["control"].astype(bool)]
    assert (tested["family_size"] == tested.groupby("family")["p"].transform("size")).all() and (tested["p_holm"] >= tested["p"]).all()


def test_with_folds_each_word_counts_in_its_fold():
    """The same words in one piece and dealt into folds, whose baseline is asked for each: the same answer."""
    made = synthetic.tables(pairs=1, layers=("2",), words=80, effect=0.3, seeds=5)
    table = asked(made, {"tli": (0.3, 0.2)})
    runs = pd.concat([made["runs"].assign(fold=fold, run=made["runs"]["run"] + f"/fold-{fold}") for fold in (1, 2)], ignore_index=True)
    seeds, dealt = sorted(made["runs"]["seed"].unique()), []
    for seed in seeds:
        for fold in (1, 2):
            mine = table["component"].str[1:].astype(int) % 2 == fold - 1
            trained = table[mine & (table["seed"] == seed)]
            before = table[mine & (table["seed"] == -1)].assign(seed=seed, fold=fold)
            dealt += [trained.assign(fold=fold, run=trained["run"] + f"/fold-{fold}"), before]
    plain, folded = (
        translation.translation(translation.sides(one_table, one_runs), 5, SPEC)
        for one_table, one_runs in ((table, made["runs"]), (pd.concat(dealt, ignore_index=True), runs))
    )
    assert len(plain)
    pd.testing.assert_frame_equal(plain, folded)
    lines = [translation.evidence(translation.sides(*both)).table for both in ((table, made["runs"]), (pd.concat(dealt), runs))]
    order = [*tables.CELL, "part", "contrast", "seed", "unit"]
    one_way, other = (part.sort_values(order).reset_index(drop=True) for part in lines)
    pd.testing.assert_frame_equal(one_way, other)


def test_without_translation_there_is_nothing_to_say(made):
    nothing = translation.sides(pd.DataFrame(columns=tables.TRANSLATE), made["runs"])
    assert translation.translation(nothing, 0, SPEC).empty and translation.evidence(nothing).table.empty
    only = asked(made, {}, shots=(0,))
    found = translation.translation(translation.sides(only, made["runs"]), translation.rival_shots(only), SPEC)
    assert facts.AFTER_FEWSHOT not in set(found["contrast"])
