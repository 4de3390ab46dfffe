"""The report's sentences that are no verdicts: counted again from the tables they stand for."""

from __future__ import annotations

import pandas as pd
import pytest
import synthetic

from tli import facts
from tli.report.context import _told
from tli.report.drawings import Drawing
from tli.report.input import Experiment, ReportInput, Tables
from tli.report.methods import methods
from tli.report.sentences import same_runs, transfer_sentences
from tli.report.sheets import sheets


def test_cells_that_are_one_run_are_named_once():
    runs = synthetic.tables(pairs=1, layers=("best", "2"), seeds=2)["runs"].assign(same_as="")
    assert same_runs(Tables(runs=runs)) == ""
    twin = runs["layer"] == "best"
    runs.loc[twin, "same_as"] = runs.loc[twin, "run"].str.replace("layer-best", "layer-2")
    text = same_runs(Tables(runs=runs))
    assert text.count("tli, layer-best, rank-16 is tli, layer-2, rank-16") >= 1 and "counted once" in text
    assert text.count("seed") == 0
    assert same_runs(Tables()) == ""


def test_transfer_is_counted_and_told_for_the_first_cell():
    made = synthetic.tables(pairs=1, seeds=5)
    cells = synthetic.transfer(made["transfer"], made["runs"], bootstrap=200)["cells"]
    told = transfer_sentences(ReportInput(Experiment(), Tables(transfer_cells=cells, grid=made["grid"])))
    own = cells[~cells["control"].astype(bool) & (cells["contrast"] == "after - before")]
    lower = int(((own["p_holm"] <= 0.05) & (own["estimate"] < 0)).sum())
    higher = int(((own["p_holm"] <= 0.05) & (own["estimate"] > 0)).sum())
    assert f"Of {len(own)} tests" in told.summary and f"{lower} found accuracy lower and {higher} higher" in told.summary
    assert set(told.cells[0].sentences) <= set(cells["sentence"])
    assert told.cells[0].sentences


def test_a_limit_of_items_is_told_wherever_accuracy_is_shown():
    made = synthetic.tables(pairs=1, seeds=5)
    cells = synthetic.transfer(made["transfer"], made["runs"], bootstrap=200)["cells"]
    told = "Of each task the first 100 items alone were scored (transfer.limit)."
    for limit in (None, 100):
        report = ReportInput(Experiment(first_items=limit), Tables.of(made | {"transfer_cells": cells}))
        shown = [
            transfer_sentences(report).summary,
            next(sheet.kind.what for sheet in sheets(report) if sheet.name == "transfer"),
            methods(report)[0],
            Drawing(report, *report.groups[0]).transfer().counts,
        ]
        assert [told in text for text in shown] == [limit is not None] * 4


def test_without_transfer_nothing_is_said():
    assert transfer_sentences(ReportInput()) is None


@pytest.mark.parametrize("answer, tone", [(facts.YES, facts.GOOD), (facts.NOT_DECIDED, facts.OPEN), (facts.NO, facts.BAD)])
def test_a_verdict_is_no_good_news_where_a_line_under_it_says_otherwise(answer, tone):
    cell = {"model": "m", "pair": "p", "arm": "tli", "layer": "2", "rank": "16"}
    verdicts = pd.DataFrame([{**cell, "metric": "csls_p_at_1", "verdict": facts.BETTER, "sentence": "rose"}])
    lines = [(facts.BEATS_MAP, answer, "of maps"), (facts.LEAVES_WHOLE, facts.NOT_MEASURED, "of harm")]
    table = pd.DataFrame([{**cell, "line": line, "answer": said, "sentence": text} for line, said, text in lines])
    told = _told(verdicts, table)[0]
    assert told["tone"] == tone and told["lines"] == ("of maps",) and told["in_short"].startswith(facts.BETTER + ", ")
    other = _told(verdicts, table.assign(layer="3"))[0]
    assert other["tone"] == facts.GOOD and other["lines"] == ()
