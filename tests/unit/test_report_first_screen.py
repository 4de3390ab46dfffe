"""The first screen's sentences in every state of a verdict: each is counted again from the tables that it stands for."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from tli import facts
from tli.io import tables
from tli.report import answers, headlines
from tli.report.headlines import Clause, headline, spared
from tli.report.input import Arm, Experiment, ReportInput, Tables
from tli.report.intervals import wilson
from tli.report.overview import overview

CELL = {"model": "m", "pair": "p", "arm": "tli", "layer": "2", "rank": "16"}
VERDICT = {
    **CELL,
    "metric": "csls_p_at_1",
    "verdict": facts.BETTER,
    "cell": "tli, loss at hs[2], rank 16",
    "before": 0.4,
    "after": 0.75,
    "placebo": 0.1,
    "change": 0.35,
    "change_low": 0.22,
    "change_high": 0.48,
    "placebo_change": -0.3,
    "p_placebo_change": 0.001,
}


def lines_of(said: dict[str, str], cell: dict = CELL, estimate: float = -0.1) -> pd.DataFrame:
    """VERDICT_LINES of one cell: line -> answer."""
    measured = {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.15}
    rows = [{**cell, "line": line, "answer": answer, **(measured if answer != facts.NOT_MEASURED else {})} for line, answer in said.items()]
    return pd.DataFrame(rows).reindex(columns=tables.VERDICT_LINES)


def screen(said: dict[str, str], harm: bool = True, decides: bool = True, rival: bool = True, **verdict) -> tuple[ReportInput, dict]:
    """What the page is made from, where the lines of VERDICT answer `said`."""
    row = {**VERDICT, "folds": 1.0, "heldout_pairs": 75.0, **verdict}
    rungs = [("map", "ridge", 0.812), ("map", "procrustes", 0.6), ("map at its own state", "ridge", 0.9)]
    ladder = pd.DataFrame(
        [{"model": "m", "pair": "p", "rung": rung, "name": name, "value": value, "layer": "1"} for rung, name, value in rungs]
    )
    rises = [
        {**CELL, "language": name, "rise": rise, "margin": 0.05, "decides": decides} for name, rise in (("swh", 0.031), ("eng", 0.012))
    ]
    read = Tables(
        verdicts=pd.DataFrame([row]).reindex(columns=tables.VERDICTS),
        lines=lines_of(said),
        ladder=(ladder if rival else ladder.iloc[:0]).reindex(columns=tables.LADDER),
        harm=pd.DataFrame(rises if harm else []).reindex(columns=tables.HARM),
        others={"rivals": pd.DataFrame([{**CELL, "map": "ridge"}])} if rival else {},
    )
    return ReportInput(Experiment(arms=(Arm("tli"),)), read), row


# --- the headline ----------------------------------------------------------------------------------------------------

NOTHING = dict.fromkeys(facts.LINES, facts.NOT_MEASURED)


def test_a_headline_has_the_figures_that_it_rests_on():
    report, row = screen(NOTHING | {facts.BEATS_MAP: facts.NOT_DECIDED, facts.LEAVES_WHOLE: facts.NO})
    assert headline(report, row) == ("Aligns better (40 → 75 %); model damaged (−0.10 nats); no proven gain over a free map (81 %)")


def test_a_headline_says_of_each_line_what_it_answers():
    """Of all 256 ways: yes and no stand in the headline, what is not decided is never told as settled, what was not measured says so."""
    told = {
        facts.BEATS_MAP: headlines.MAP_CLAUSES,
        facts.ADDS_TO_MAP: headlines.ADDED_CLAUSES,
        facts.LEAVES_WHOLE: headlines.COST_CLAUSES,
        facts.SHOWS_IN_SPEECH: headlines.SPEECH_CLAUSES,
    }
    for answers_of in itertools.product([facts.YES, facts.NO, facts.NOT_DECIDED, facts.NOT_MEASURED], repeat=len(facts.LINES)):
        said = dict(zip(facts.LINES, answers_of, strict=True))
        text = headline(*screen(said))
        parts = [part.partition(" (")[0] for part in text.split("; ")]
        for line, clauses in told.items():
            wanted = clauses.get(said[line])
            folded = line == facts.ADDS_TO_MAP and said[line] == said[facts.BEATS_MAP] == facts.NOT_DECIDED
            assert {one for one in parts if one in clauses.values()} == ({wanted} if wanted and not folded else set()), (line, text)
        assert ("not compared with a free map" in parts) == (said[facts.BEATS_MAP] == facts.NOT_MEASURED)
        assert parts[0] == "Aligns better" and "no effect" not in text


@pytest.mark.parametrize(
    "more, cost",
    [
        ({"harm": False}, "cost not measured"),
        ({}, "cost not judged (+0.03 nats)"),
        ({"decides": False}, "cost not judged (+0.03 nats, too few sentences to tell)"),
    ],
)
def test_a_headline_says_that_the_cost_is_not_known(more, cost):
    assert headline(*screen(NOTHING, **more)).split("; ")[1] == cost
    assert headline(*screen({}, **more)).split("; ")[1] == cost  # a verdict that is no rise has no lines


@pytest.mark.parametrize("verdict", facts.VERDICTS)
def test_every_verdict_has_a_headline(verdict):
    report, row = screen({}, verdict=verdict, placebo=float("nan"))
    text = headline(report, row)
    named = {facts.TOO_FEW: "Too few seeds or units for a claim", facts.FAILED: "Failed"}
    assert text.startswith(named.get(verdict, verdict[:1].upper() + verdict[1:]))
    if verdict == facts.FAILED:
        assert text == "Failed"
        return
    assert text.split("; ")[0].endswith("(40 → 75 %)") and "cost not judged" in text
    free = "not compared with a free map (81 %)" if verdict in facts.ROSE else "a free map gives 81 %"
    assert text.split("; ")[2] == free
    assert ("a free map gives" in headline(*screen({}, verdict=verdict, rival=False))) is False


def test_figures_of_a_metric_that_counts_no_words_stay_as_they_are():
    report, row = screen(NOTHING, metric="gap")
    assert headline(report, row).startswith("Aligns better (0.400 → 0.750); ")
    assert "+0.350 (95 % interval +0.220 to +0.480)" in answers.worth(report, "m", "p", row)


# --- another setting that leaves the model whole -----------------------------------------------------------------------


def of_arms(*arms: tuple[str, float, str]) -> tuple[ReportInput, dict]:
    """Of each arm its figure after training and its answer on harm; the first is the one shown."""
    report, row = screen({})
    cells = [{**CELL, "arm": arm} for arm, _, _ in arms]
    verdicts = pd.DataFrame([{**row, **cell, "after": after} for cell, (_, after, _) in zip(cells, arms, strict=True)])
    lines = pd.concat([lines_of({facts.LEAVES_WHOLE: said}, cell, 0.02) for cell, (_, _, said) in zip(cells, arms, strict=True)])
    found = Tables(verdicts=verdicts.reindex(columns=tables.VERDICTS), lines=lines, ladder=report.tables.ladder)
    return ReportInput(report.experiment, found), {**row, "arm": arms[0][0]}


def test_the_setting_that_leaves_the_model_whole_is_named():
    text = spared(*of_arms(("tli", 0.75, facts.NO), ("held", 0.7, facts.YES), ("placid", 0.5, facts.NOT_DECIDED)))
    assert text == (
        "Another setting leaves it whole (+0.02 nats): held, loss at hs[2], rank 16; aligns better (40 → 70 %), not compared with a free map."
    )
    text = spared(*of_arms(("tli", 0.75, facts.NOT_DECIDED), ("held", 0.7, facts.YES), ("placid", 0.72, facts.YES)))
    assert "placid, loss at hs[2], rank 16 (the highest of 2 that do, picked by what came out); aligns better (40 → 72 %)" in text


def test_no_setting_is_recommended_where_none_is_or_none_is_needed():
    assert spared(*of_arms(("tli", 0.75, facts.YES), ("held", 0.7, facts.YES))) == ""
    assert spared(*of_arms(("tli", 0.75, facts.NOT_MEASURED), ("held", 0.7, facts.YES))) == ""
    assert spared(*of_arms(("tli", 0.75, facts.NO))) == "" == spared(*of_arms(("tli", 0.75, facts.NO), ("held", 0.7, facts.NO)))
    told = spared(*of_arms(("tli", 0.75, facts.NO), ("held", 0.7, facts.NO), ("other", 0.7, facts.NOT_DECIDED)))
    assert told == "None of the other 2 settings judged is shown to leave the model whole."


# --- the three answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, better, cost",
    [
        (facts.YES, "training is better", "the model is left whole"),
        (facts.NO, "the map is better", "the model is damaged"),
        (facts.NOT_DECIDED, "not decided", "whether it is left whole is not decided"),
    ],
)
def test_the_sentences_follow_the_lines(answer, better, cost):
    report, row = screen({facts.BEATS_MAP: answer, facts.LEAVES_WHOLE: answer, facts.ADDS_TO_MAP: answer})
    told = answers.worth(report, "m", "p", row)
    assert "40 % before, 75 % after, +35 points (95 % interval +22 to +48): aligns better." in told
    assert "The placebo (shuffled translations) ends at 10 %: it undoes alignment that was there." in told
    assert (
        f"The best free map by the select words, ridge, gives 81 % at the output (90 % at hs[1]); training − map: −10 points (−20 to +5.0), {better}."
        in told
    )
    assert f"With a map on top of either: −10 points (−20 to +5.0), {answers.ADDS[answer]}." in told
    told = answers.cost(report, row)
    assert "+0.03 nats a token in swh and +0.01 nats a token in eng." in told and told.endswith(f"The margin is 0.05: {cost}.")


def test_with_folds_it_is_told_whose_figures_they_are():
    """The scan beside it is of the one split: other words, among other candidates."""
    report, row = screen(NOTHING, folds=3.0, heldout_pairs=279.0)
    assert ": of 279 words held out over 3 folds, 40 % before, 75 % after" in answers.worth(report, "m", "p", row)
    report, row = screen(NOTHING, folds=1.0, heldout_pairs=75.0)
    assert "held out over" not in answers.worth(report, "m", "p", row)


def test_a_placebo_that_is_not_shown_to_harm_is_not_said_to():
    for changed in ({"p_placebo_change": 0.2}, {"placebo_change": 0.1}, {"placebo_change": float("nan")}):
        told = answers.worth(*[(one := screen(NOTHING, **changed))[0], "m", "p", one[1]])
        assert "ends at 10 %." in told and "undoes" not in told
    report, row = screen(NOTHING, placebo=float("nan"))
    assert "placebo" not in answers.worth(report, "m", "p", row)


def test_what_was_not_measured_is_said():
    report, row = screen(NOTHING, harm=False)
    told = answers.worth(report, "m", "p", row)
    assert told.endswith("Whether it beats a free map was not measured.") and "With a map" not in told
    assert answers.cost(report, row) == "Not measured: the config names no running text."
    assert answers.cost(screen(NOTHING)[0], row).endswith("The margin is 0.05: not judged.")
    assert "too few to decide anything" in answers.cost(screen({facts.LEAVES_WHOLE: facts.NO}, decides=False)[0], row)
    assert "damaged" not in answers.cost(screen({facts.LEAVES_WHOLE: facts.NO}, decides=False)[0], row)
    assert answers.before(ReportInput(), "m", "p") == "Not scanned yet."
    assert answers.cost(report, None) == "Not tested yet." and answers.cost(ReportInput(), None).startswith("Nothing was trained")


def scanned(best: int, shares: list[float], win_share: float = 0.4) -> ReportInput:
    """A model of len(shares) - 1 blocks whose select words chose hs[best]."""
    states = range(len(shares))
    about = {"model": "m", "pair": "p", "pooling": "no-bos", "n": 50, "chance": 0.01, "cosine": 0.5, "mismatched": 0.1, "pool": "untrained"}
    scan = pd.DataFrame({"hidden_state": states, "csls_p_at_1": shares}).assign(**about, split="heldout")
    select = scan.assign(split="select", pool="whole-list", n=41)
    inner = list(states)[1:-1]
    choice = pd.DataFrame({"hidden_state": inner, "value": 0.2, "win_share": win_share, "criterion": "csls_p_at_1"})
    choice = choice.assign(model="m", pair="p", chosen=[state == best for state in inner])
    both = pd.concat([scan, select]).reindex(columns=tables.SCAN)
    return ReportInput(Experiment(arms=(Arm("tli"),)), Tables(scan=both, choice=choice.reindex(columns=tables.CHOICE)))


def test_the_choice_of_a_layer_says_among_which_states_and_how_surely():
    told = answers.before(scanned(2, [0.6, 0.3, 0.4, 0.44]), "m", "p")
    assert "44 % of 50 held-out words find their translation at the output (CSLS P@1; 95 % interval 31 to 58 %; by chance 1.0 %)." in told
    assert "hs[2], was chosen by 41 select words among hs[1] to hs[2], but unsure: it wins in 40 % of draws of them." in told
    assert told.endswith("It aligns 40 % of the held-out words; hs[0] aligns 60 % (the embeddings: no block below them can be trained).")
    sure = answers.before(scanned(2, [0.1, 0.3, 0.4, 0.44], win_share=facts.SURE_CHOICE), "m", "p")
    assert "unsure" not in sure and sure.endswith("It aligns 40 % of the held-out words; hs[3] aligns 44 %.")
    assert answers.before(scanned(2, [0.1, 0.3, 0.5, 0.4]), "m", "p").endswith("It aligns 50 % of the held-out words, no state more.")


@pytest.mark.parametrize("value, low, high, told", [(0.44, 0.3, 0.58, "30 to 58 %"), (0.3, 0.25, 0.35, "31 to 58 %")])
def test_the_interval_before_training_is_of_the_figure_beside_it(value, low, high, told):
    """The statistics' own where theirs is that figure; with folds theirs is of other words, and the interval is over the scan's."""
    report = scanned(2, [0.6, 0.3, 0.4, 0.44])
    rung = {"model": "m", "pair": "p", "rung": "before", "metric": "csls_p_at_1", "value": value, "low": low, "high": high}
    ladder = pd.DataFrame([rung]).reindex(columns=tables.LADDER)
    report = ReportInput(report.experiment, Tables(scan=report.tables.scan, choice=report.tables.choice, ladder=ladder))
    assert f"44 % of 50 held-out words find their translation at the output (CSLS P@1; 95 % interval {told};" in answers.before(
        report, "m", "p"
    )


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_an_interval_over_words_has_the_level_that_is_named(alpha):
    expected = proportion_confint(22, 50, alpha=alpha, method="wilson")
    assert wilson(0.44, 50, alpha) == pytest.approx(expected, abs=1e-12)
    report = scanned(2, [0.6, 0.3, 0.4, 0.44])
    report = replace(report, experiment=replace(report.experiment, claims=replace(report.experiment.claims, alpha=alpha)))
    told = f"{100 * (1 - alpha):g} % interval {100 * expected[0]:.0f} to {100 * expected[1]:.0f} %"
    assert told in answers.before(report, "m", "p")


# --- the overview of many ------------------------------------------------------------------------------------------------


def test_the_overview_says_of_each_box_what_its_tables_say():
    report, row = screen(NOTHING | {facts.LEAVES_WHOLE: facts.NO})
    other = {**row, "layer": "5", "change": -0.02}
    both = pd.DataFrame([row, other]).reindex(columns=tables.VERDICTS)
    told = {**row, "tone": facts.BAD}
    whole = ReportInput(report.experiment, Tables(verdicts=both, lines=report.tables.lines, harm=report.tables.harm))
    made = overview(whole, [told])
    assert (
        made.pairs == ("p",)
        and "The first setting that the config names: tli, loss at hs[2], rank 16, whatever came out: CSLS P@1" in made.caption
    )
    ((model, (box,)),) = made.rows
    assert model == "m" and (box.verdict, box.tone, box.setting) == (facts.BETTER, facts.BAD, "")
    assert (box.figures, box.change) == ("40 → 75 %", "+35 points (+22 to +48)")
    assert box.clauses == (
        Clause("not compared with a free map", facts.OPEN),
        Clause("model damaged (−0.10 nats)", facts.BAD),
    )
    assert box.spread == "all 2 settings: −2.0 to +35 points"


def test_the_overview_names_settings_that_differ_and_leaves_gaps():
    report, row = screen(NOTHING)
    failed = {**row, "pair": "q", "arm": "full", "cell": "full, loss at hs[2], rank 16", "verdict": facts.FAILED, "tone": facts.BAD}
    made = overview(report, [{**row, "tone": facts.OPEN}, failed, {**row, "model": "n", "tone": facts.OPEN}])
    assert ": tli, loss" not in made.caption and made.pairs == ("p", "q")
    assert [[box and box.setting for box in boxes] for _, boxes in made.rows] == [
        ["tli, loss at hs[2], rank 16", "full, loss at hs[2], rank 16"],
        ["tli, loss at hs[2], rank 16", None],
    ]
    of_failed = made.rows[0][1][1]
    assert of_failed.figures == of_failed.change == "" and of_failed.clauses == ()


def test_no_sentence_has_a_number_that_is_none():
    for said in (NOTHING, dict.fromkeys(facts.LINES, facts.NOT_DECIDED), {}):
        report, row = screen(said, change_low=float("nan"), change_high=float("nan"), placebo_change=float("nan"))
        texts = [headline(report, row), spared(report, row), answers.worth(report, "m", "p", row), answers.cost(report, row)]
        assert not re.search(r"\bnan\b|–|None", " ".join(texts)), texts
