"""The report's sentences that are no verdicts: counted again from the tables they stand for."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import synthetic

from tli import facts
from tli.io import tables
from tli.report import build, svg
from tli.report.context import _told
from tli.report.drawings import Drawing
from tli.report.input import Experiment, ReportInput, Tables
from tli.report.methods import methods
from tli.report.sentences import claim, same_runs, transfer_sentences
from tli.report.sheets import sheets
from tli.report.translation import METRICS, translated


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
    own = cells[~cells["control"].astype(bool) & (cells["contrast"] == "after - before") & (cells["metric"] == "accuracy")]
    lower = int(((own["p_holm"] <= 0.05) & (own["estimate"] < 0)).sum())
    higher = int(((own["p_holm"] <= 0.05) & (own["estimate"] > 0)).sum())
    assert f"Of {len(own)} tests of accuracy" in told.summary and f"{lower} found it lower and {higher} higher" in told.summary
    first = told.cells[0]
    of_cell = own[(own[list(first.cell.columns)] == list(first.cell.columns.values())).all(axis=1)]
    shown = {row.task: row.change["estimate"] for row in first.tasks if row.metric == "accuracy"}
    assert shown == dict(zip(of_cell["task"], of_cell["estimate"], strict=True))
    assert all(row.against is None or row.against["contrast"] == "real - placebo" for row in first.tasks)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"sentence": "no claim: 8 items"}, "no claim, 8 items and 5 seeds are too few"),
        ({"p_holm": 0.01, "estimate": -0.1}, "lower"),
        ({"p_holm": 0.01, "estimate": 0.1}, "higher"),
        ({"detectable": 0.12}, "not shown; 0.12 would have been found"),
        ({"detectable": 1.4}, "not shown; no change that is possible would have been found"),
    ],
)
def test_what_is_claimed_of_a_task(changes, expected):
    row = {"sentence": "", "items": 8, "seeds": 5, "p_holm": 0.5, "estimate": 0.1, "detectable": 0.3} | changes
    assert claim(row, ReportInput()) == expected


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
    verdicts = pd.DataFrame([{**cell, "metric": "csls_p_at_1", "verdict": facts.BETTER, "in_short": "in short", "sentence": "rose"}])
    verdicts = verdicts.reindex(columns=tables.VERDICTS)
    lines = [(facts.BEATS_MAP, answer, "of maps"), (facts.LEAVES_WHOLE, facts.YES, "of harm")]
    table = pd.DataFrame([{**cell, "line": line, "answer": said, "sentence": text, "estimate": 0.01} for line, said, text in lines])
    table = table.reindex(columns=tables.VERDICT_LINES)
    told = _told(verdicts, ReportInput(tables=Tables(lines=table)))[0]
    assert told["tone"] == tone and told["lines"] == ("of maps", "of harm") and (told["in_short"], told["sentence"]) == ("in short", "rose")
    unasked = table.assign(answer=[answer, facts.NOT_MEASURED], estimate=float("nan"))
    told = _told(verdicts, ReportInput(tables=Tables(lines=unasked)))[0]
    assert told["tone"] == (facts.BAD if answer == facts.NO else facts.OPEN) and told["lines"] == ("of maps",)
    other = _told(verdicts, ReportInput(tables=Tables(lines=table.assign(layer="3"))))[0]
    assert other["tone"] == facts.OPEN and other["lines"] == ()


def planted_translation(made: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """TRANSLATION of the first cell: figures that tell where they come from."""
    cell = made["grid"][~made["grid"]["control"].astype(bool)].iloc[0][tables.CELL].to_dict()
    sides = {facts.AFTER_BEFORE: 0.1, facts.REAL_PLACEBO: 0.2, facts.AFTER_FEWSHOT: 0.3}
    rows = [
        {**cell, "control": False, "direction": direction, "shots": shots, "metric": metric, "contrast": contrast, "rival_shots": 5}
        | {"items": 63, "seeds": 3, "units": 60, "chance": 0.1 if metric == "choice" else float("nan"), "after": 0.75, "other": other}
        | {"estimate": 0.75 - other, "low": 0.7 - other, "high": 0.8 - other, "p": 0.01}
        for direction in ("a-b", "b-a")
        for shots in (0, 5)
        for metric in ("choice", "exact")
        for contrast, other in sides.items()
    ]
    return pd.DataFrame(rows).reindex(columns=tables.TRANSLATION)


def test_translation_stands_in_one_table_under_what_else_changed(tmp_path, monkeypatch):
    made = synthetic.tables(pairs=1, layers=("2",), seeds=3, words=40, items=20)
    table = planted_translation(made)
    report = ReportInput(Experiment(), Tables.of(made | {"translation": table, "transfer": made["transfer"].iloc[:0]}))
    (told,) = translated(report)
    assert len(told.rows) == 8 and (told.cell.arm, told.cell.layer) == ("tli", "2")
    row = next(one for one in told.rows if (one["direction"], one["shots"], one["metric"]) == ("b → a", 5, METRICS["choice"]))
    assert [row[name] for name in ("before", "placebo", "rival", "after", "chance", "items")] == [0.1, 0.2, 0.3, 0.75, 0.1, 63]
    assert row["change"] == pytest.approx(0.65) and row["against_placebo_high"] == pytest.approx(0.6)
    assert row["against_rival_low"] == pytest.approx(0.4)
    monkeypatch.setattr(
        svg, "written", lambda figure, name, folder: [(folder / f"{name}.{k}").write_text("") for k in ("svg", "png")] and "<svg/>"
    )
    build(report, tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count('id="else"') == 1 and ">0.100 → 0.750</td>" in page and "<td>+0.550 (+0.500 to +0.600)</td>" in page
    assert (tmp_path / "tables" / "translation.tsv").exists()


def test_a_cell_without_a_placebo_or_shots_has_gaps_there():
    made = synthetic.tables(pairs=1, layers=("2",), seeds=3, words=40, items=20)
    table = planted_translation(made)
    alone = table[(table["contrast"] == facts.AFTER_BEFORE) & (table["shots"] == 0)].assign(rival_shots=0)
    (told,) = translated(ReportInput(Experiment(), Tables.of(made | {"translation": alone})))
    assert all(math.isnan(row["placebo"]) and math.isnan(row["rival"]) and row["before"] == 0.1 for row in told.rows)
    assert translated(ReportInput(Experiment(), Tables.of(made))) == []
