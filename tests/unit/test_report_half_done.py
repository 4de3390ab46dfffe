"""The page of a results folder that is half done: it says what is known, what is missing, and nothing that is not so."""

from __future__ import annotations

import html
import re
import shutil
import sys
from pathlib import Path

import pytest

from tli.errors import TliError
from tli.experiment import Experiment
from tli.io import table_files
from tli.report import gallery
from tli.report.names import FIGURES, figure_name
from tli.stages.report import write_report

ROOT = Path(__file__).parents[2]
FEW = ("layer-curve", "ladder", "harm-gain", "forest")
STAGES = ("lexicon", "scan", "train", "evaluate", "transfer", "statistics")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Experiment:
    """A results folder as the stages leave it, of one model and two pairs, from synthetic tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        patch.syspath_prepend(ROOT / "tests" / "browser")
        import report_scale

        for name, value in {"RANKS": (16,), "LAYERS": ("best",), "SEEDS": 3, "WORDS": 40}.items():
            patch.setattr(report_scale, name, value)
        experiment = Experiment(report_scale.config(tmp_path_factory.mktemp("whole"), models=1, pairs=2))
        report_scale.write_results(experiment)
        for run in experiment.runs:
            record = Path(experiment.layout.record(run.model, run.pair, run.run))
            record.parent.mkdir(parents=True, exist_ok=True)
            record.touch()
    for name in ("common", "report_scale", "chromium"):
        sys.modules.pop(name, None)
    return experiment


@pytest.fixture
def half(whole, tmp_path, monkeypatch):
    """half(stages, without): what is missing in words, and the page's text, of a copy that has these stages alone."""
    monkeypatch.setattr(gallery, "FIGURES", {name: FIGURES[name] for name in FEW})

    def made(*stages: str, without: tuple[str, ...] = ()) -> tuple[list[str], str]:
        for stage in stages:
            shutil.copytree(Path(whole.config.results) / stage, tmp_path / stage)
        for place in without:
            shutil.rmtree(tmp_path / place)
        experiment = Experiment(whole.config.model_copy(update={"results": str(tmp_path)}))
        missing = write_report(experiment, partial=True)
        page = (tmp_path / "report-partial" / "index.html").read_text(encoding="utf-8")
        page = re.sub(r"<(script|style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
        return missing, " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())

    return made


def plain(text: str) -> str:
    """Without the spaces that tags leave before a stop."""
    return re.sub(r" ([,.;:)])", r"\1", text)


def test_after_the_lexicon_alone(half):
    missing, page = half("lexicon")
    assert missing == [
        "scans: 2 of 2 not finished",
        "runs: 0 of 24 measured, 0 trained",
        "statistics: no verdict yet",
        "tasks: 2 of 2 parts not finished",
    ]
    assert "Not scanned yet. The list has 40 pairs: " in page and "No free map was fitted" not in page
    assert "model-0, l0-eng: not measured yet" in page and "Was training worth it? Not trained yet." in page
    assert "Alignment by hidden state No scan of this model and pair." in page and "From free to trained: who wins Nothing" in page
    assert "Runs that are planned 24 rows" in page and "the paragraph tells what the config asks for, not what has been done" in page


def test_after_the_scan(half):
    missing, page = half("lexicon", "scan")
    assert missing[0] == "runs: 0 of 24 measured, 0 trained" and "of 15 held-out words find" in plain(page)
    assert "tli, loss at the best layer, rank 16: no run is measured yet." in page and "Not tested yet." in page


def test_trained_and_not_measured(half):
    missing, page = half("lexicon", "scan", "train")
    assert missing[0] == "runs: 0 of 24 measured, 24 trained" and "no run is measured yet" in page


def test_measured_and_not_tested(half, whole, tmp_path):
    """The figures are shown, each arm among them, and nothing is claimed. Words count once in the paper's table."""
    missing, page = half("lexicon", "scan", "train", "evaluate", "transfer")
    assert missing == ["statistics: no verdict yet"] and "model-0, l0-eng: not tested yet" in page
    pair = "l0-eng"
    metrics = table_files.read(whole.layout.measured("evaluate", "model-0", pair, "part-1")["metrics"])
    last = metrics[(metrics.split == "heldout") & (metrics.hidden_state == metrics.hidden_state.max()) & (metrics.pooling == "no-bos")]
    last = last[last.pool == ("untrained" if (last.pool == "untrained").any() else "whole-list")]
    after = last[(last.arm == "tli")]["csls_p_at_1"].mean()
    said = rf"rank 16: \d+ % before, {100 * after:.0f} % after, mean of 3 seeds; not tested yet, so nothing is claimed\."
    assert re.search(said, plain(page))
    ladder = (tmp_path / "report-partial" / "figures" / f"{figure_name('ladder', 'model-0', pair)}.svg").read_text(encoding="utf-8")
    assert (
        f"tli, rank 16, the best layer: {after:.3f}" in ladder
        and "placebo-tli-all, rank 16" in ladder
        and " to " not in ladder.split("tli, rank 16")[1][:60]
    )
    first = table_files.read(tmp_path / "report-partial" / "tables" / "table-1.tsv")
    held = table_files.read(whole.layout.lexicon(pair)["pairs"])["split"].value_counts()
    assert set(first.loc[first.split == "heldout", "n"]) == {held["heldout"]} and set(first.loc[first.split == "train", "n"]) == {
        held["train"]
    }


def test_one_pair_failed(half):
    missing, page = half("lexicon", "scan", "train", "evaluate", "transfer", without=("evaluate/model-0/l1-eng",))
    assert missing == ["runs: 12 of 24 measured, 24 trained", "statistics: no verdict yet"]
    assert "model-0, l0-eng: not tested yet" in page and "model-0, l1-eng: not measured yet" in page


def test_tested_without_transfer(half):
    missing, page = half("lexicon", "scan", "train", "evaluate", "statistics")
    assert missing == ["tasks: 2 of 2 parts not finished"] and "Nothing has been tested yet" not in page
    assert "model-0, l0-eng: Too few seeds or units for a claim (" in plain(page)


def test_a_report_that_is_not_partial_says_how_to_get_one(half, whole, tmp_path):
    half("lexicon")
    with pytest.raises(TliError, match=r"scan\.tsv: .*tli report --partial"):
        write_report(Experiment(whole.config.model_copy(update={"results": str(tmp_path)})))
