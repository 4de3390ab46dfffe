"""Lists held against each other, where a user meets it: `tli plan`, the stage's table and log, the report's first screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.design_warnings import foreseen
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.report.input import ReportInput
from tli.report.warnings import warnings
from tli.stages import lists
from tli.stages.report import audits

SHIPPED = Path(__file__).parents[2] / "resources" / "lexicons"


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    """Swahili, Lingala, and Lingala again but for its last five lines, as Luganda; a fourth list has still to be fetched."""
    lines = (SHIPPED / "lin-eng.tsv").read_text(encoding="utf-8").splitlines()
    near = tmp_path / "luganda.tsv"
    near.write_text("\n".join(lines[:-5]) + "\n", encoding="utf-8")
    files = {"swh-eng": SHIPPED / "swh-eng.tsv", "lin-eng": SHIPPED / "lin-eng.tsv", "lug-eng": near}
    pairs = {pair: {"lexicon": str(file)} for pair, file in files.items()}
    pairs["wol-eng"] = {"lexicon": "https://example.org/wol.tsv", "sha256": "0" * 64}
    return Experiment(parse({"models": {"m": {"source": "x"}}, "pairs": pairs, "results": str(tmp_path / "results")}))


def test_it_is_told_before_the_first_job(experiment):
    remarks = foreseen(experiment, {})
    assert [one.is_serious for one in remarks] == [True]
    near = experiment.config.pairs["lug-eng"].lexicon
    assert f"lug-eng ({near}) share 100 % of their pairs" in remarks[0].text


def test_the_stage_writes_it_down_and_the_report_says_it(experiment, capsys):
    job = Job.of(experiment, "lists")
    assert job.outputs["lists"] in Job.of(experiment, "report").inputs["lists"]
    assert job.layout.makes(job.outputs["lists"]) == ["lists"]
    assert job.inputs["files"][-1] == experiment.layout.fetched_list("wol-eng", 0) and len(job.inputs["files"]) == 4
    lists.run(job)
    found = table_files.read(job.outputs["lists"], tables.LISTS)
    assert found[["pair", "other_pair", "finding", "value", "limit"]].to_numpy().tolist() == [
        ["lin-eng", "lug-eng", "same pairs", 1.0, 0.6]
    ]
    printed = capsys.readouterr().err.splitlines()
    assert printed[0].endswith("lists: 4 held against each other: 1 finding") and found["text"][0] in printed[1] and len(printed) == 2
    report = ReportInput(audit=audits(experiment))
    told = [one for one in warnings(report) if one.about == "lin-eng, lug-eng"]
    assert [(one.text, one.is_serious) for one in told] == [(found["text"][0], True)]


def test_one_list_alone_is_held_against_nothing(tmp_path):
    pairs = {"swh-eng": {"lexicon": str(SHIPPED / "swh-eng.tsv")}}
    alone = Experiment(parse({"models": {"m": {"source": "x"}}, "pairs": pairs, "results": str(tmp_path)}))
    assert Job.of(alone, "report").inputs["lists"] == [] and foreseen(alone, {}) == []


def test_the_job_changes_with_how_a_list_is_read_and_not_with_how_it_is_split(experiment):
    def params(**changes) -> dict:
        config = experiment.config.model_dump(mode="json", exclude_unset=True)
        config["pairs"]["swh-eng"] |= changes
        return Job.of(Experiment(parse(config)), "lists").params

    assert params() == params(split={"folds": 1, "by": "content-words"}) == params(merge=False)
    assert params() != params(columns={"source": "swahili"})
