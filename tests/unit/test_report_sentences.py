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
from tli.report.input import Experiment, ReportInput, Tables
from tli.report.sentences import same_runs, transfer_sentences
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
    own = cells[~cells["control"].astype(bool) & (cells["contrast"] == "after - before")]
    lower = int(((own["p_holm"] <= 0.05) & (own["estimate"] < 0)).sum())
    higher = int(((own["p_holm"] <= 0.05) & (own["estimate"] > 0)).sum())
    assert f"Of {len(own)} tests" in told.summary and f"{lower} found accuracy lower and {higher} higher" in told.summary
    assert set(told.cells[0].sentences) <= set(cells["sentence"])
    assert told.cells[0].sentences


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
    assert page.count('id="else"') == 1 and "b → a</td><td>5</td><td>63</td><td>0.100</td><td>0.100</td><td>0.750</td>" in page
    assert (tmp_path / "tables" / "translation.tsv").exists()


def test_a_cell_without_a_placebo_or_shots_has_gaps_there():
    made = synthetic.tables(pairs=1, layers=("2",), seeds=3, words=40, items=20)
    table = planted_translation(made)
    alone = table[(table["contrast"] == facts.AFTER_BEFORE) & (table["shots"] == 0)].assign(rival_shots=0)
    (told,) = translated(ReportInput(Experiment(), Tables.of(made | {"translation": alone})))
    assert all(math.isnan(row["placebo"]) and math.isnan(row["rival"]) and row["before"] == 0.1 for row in told.rows)
    assert translated(ReportInput(Experiment(), Tables.of(made))) == []
