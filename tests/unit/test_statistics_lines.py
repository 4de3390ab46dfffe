"""The lines under a verdict: planted differences get their answers; without evidence nothing is said."""

import numpy as np
import pandas as pd
import pytest
import synthetic

from tli import facts, statistics
from tli.errors import TableError
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import lines
from tli.statistics.crossed import crossed, equivalence, one
from tli.statistics.lines import Evidence

CELL = {"model": "model-1", "pair": "pair-1", "arm": "tli", "layer": "2", "rank": "16"}


@pytest.fixture(scope="module")
def measured():
    made = synthetic.tables(pairs=1, layers=("2",), zero=False, items=2)
    return statistics.Measured(made["runs"], made["similarities"], made["metrics"], made["pairs"])


def evidence(line, mean, *, parts=("",), seeds=5, units=60, size=1, margin=0.0, higher_is_yes=True):
    random = np.random.default_rng(0)
    rows = []
    for part, one_mean in zip(parts, np.broadcast_to(mean, len(parts)), strict=True):
        sizes = np.full(units, size) if np.isscalar(size) else np.asarray(size)
        d = (one_mean + random.normal(0, 0.1, (seeds, units))) * sizes
        s, u = np.indices(d.shape)
        rows.append(
            pd.DataFrame({"seed": s.ravel(), "unit": u.ravel(), "difference": d.ravel(), "size": np.tile(sizes, seeds), "part": part})
        )
    return Evidence(line, pd.concat(rows).assign(**CELL), margin, higher_is_yes)


def answers(measured, *given):
    found = statistics.analyse(measured, StatisticsSpec(bootstrap=50), given)
    table = found["lines"]
    assert list(table.columns) == tables.VERDICT_LINES and table["line"].tolist() == facts.LINES
    return table.set_index("line"), found["verdicts"].iloc[0]


def test_without_evidence_nothing_is_measured(measured):
    table, verdict = answers(measured)
    assert set(table.answer) == {facts.NOT_MEASURED} and table.sentence.str.endswith("not measured.").all()
    assert verdict.verdict == facts.BETTER and "Not measured: whether it beats the best free map at the output" in verdict.sentence


@pytest.mark.parametrize("mean, answer", [(0.1, facts.YES), (-0.1, facts.NO), (0.0, facts.NOT_DECIDED)])
def test_the_sign_answers_whether_it_beats_a_map(measured, mean, answer):
    table, verdict = answers(measured, evidence(facts.BEATS_MAP, mean))
    row = table.loc[facts.BEATS_MAP]
    assert row.answer == answer and f": {answer} (" in row.sentence and "60 units, 5 seeds" in row.sentence
    assert lines.HEADLINES[facts.BEATS_MAP][answer] in verdict.in_short


@pytest.mark.parametrize("rise, answer", [(0.0, facts.YES), (0.3, facts.NO), (0.05, facts.NOT_DECIDED)])
def test_a_rise_below_the_margin_leaves_the_model_whole(measured, rise, answer):
    """Both languages: yes needs both, one is enough for no."""
    size = np.random.default_rng(1).integers(5, 30, 60)
    given = evidence(facts.LEAVES_WHOLE, [0.0, rise], parts=("en", "sw"), size=size, margin=0.05, higher_is_yes=False)
    row = answers(measured, given)[0].loc[facts.LEAVES_WHOLE]
    assert row.answer == answer and row.margin == 0.05
    assert row.part == "sw" or answer == facts.YES
    sw = given.table[given.table.part == "sw"].pivot(index="seed", columns="unit", values="difference").to_numpy()
    test = one(crossed((sw - 0.05 * size) / size.mean()))
    if row.part == "sw":
        assert row.estimate == pytest.approx(test["estimate"] + 0.05) == pytest.approx(sw.sum() / (5 * size.sum()))
        assert row.p == pytest.approx(min(1, test["p"] * (2 if test["estimate"] >= 0 else 1)))


def test_headline_is_one_sentence(measured):
    given = (evidence(facts.BEATS_MAP, -0.1), evidence(facts.LEAVES_WHOLE, 1.0, margin=0.05, higher_is_yes=False))
    _, verdict = answers(measured, *given)
    assert verdict.in_short == "aligns better, but a free map does better, and the model is damaged"
    assert verdict.in_short not in verdict.sentence  # said once: the two stand beside each other
    assert "Not measured: whether it adds what no map can, shows in what the model says." in verdict.sentence


def test_few_seeds_or_units_answer_nothing(measured):
    row = answers(measured, evidence(facts.BEATS_MAP, 0.5, units=10))[0].loc[facts.BEATS_MAP]
    assert row.answer == facts.NOT_DECIDED and "no answer below 5 seeds and 20 units" in row.sentence


def test_another_cells_evidence_is_no_answer_and_errors_name_the_line(measured):
    other = evidence(facts.BEATS_MAP, 0.5)
    moved = Evidence(other.line, other.table.assign(rank="4"))
    assert answers(measured, moved)[0].loc[facts.BEATS_MAP, "answer"] == facts.NOT_MEASURED
    with pytest.raises(ValueError, match="beats all"):
        Evidence("beats all", other.table)
    with pytest.raises(TableError, match="size"):
        Evidence(other.line, other.table.drop(columns="size"))


@pytest.mark.parametrize("same_within, answer", [(0.1, facts.NO), (0.001, facts.NOT_DECIDED), (None, facts.NOT_DECIDED)])
def test_tost_may_answer_that_nothing_is_added(measured, same_within, answer):
    given = evidence(facts.ADDS_TO_MAP, 0.0, parts=("41 select pairs",))
    given = Evidence(given.line, given.table, same_within=same_within)
    row = answers(measured, given)[0].loc[facts.ADDS_TO_MAP]
    assert row.answer == answer and row.sentence.startswith(f"adds what no map fitted on 41 select pairs can: {answer} (")
    d = given.table.pivot(index="seed", columns="unit", values="difference").to_numpy()
    if same_within:
        p = equivalence(one(crossed(d)), same_within)
        assert (p <= 0.05) == (answer == facts.NO) and f"within +-{same_within:g} by TOST: adjusted p {p:.2g}" in row.sentence
    assert ("TOST" in row.sentence) == (same_within is not None)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({}, "aligns better"),
        ({facts.BEATS_MAP: facts.YES}, "aligns better, it beats the best free map"),
        (
            {facts.BEATS_MAP: facts.NOT_DECIDED, facts.ADDS_TO_MAP: facts.NOT_DECIDED, facts.LEAVES_WHOLE: facts.NO},
            "aligns better, but the model is damaged; not shown: that it beats a free map, that it adds what no map can",
        ),
        (
            {facts.LEAVES_WHOLE: facts.YES, facts.BEATS_MAP: facts.NO, facts.SHOWS_IN_SPEECH: facts.NOT_DECIDED},
            "aligns better, the model is left whole, but a free map does better; not shown: that it shows in what the model says",
        ),
        ({facts.LEAVES_WHOLE: facts.NOT_DECIDED}, "aligns better; not shown: that the model is left whole"),
        ({facts.LEAVES_WHOLE: facts.NOT_MEASURED}, "aligns better"),
    ],
)
def test_a_headline_lists_what_is_shown_what_speaks_against_it_and_what_is_not_shown(answers, told):
    under = pd.DataFrame({"line": list(answers), "answer": list(answers.values())}) if answers else None
    assert lines.in_short("aligns better", under) == told
