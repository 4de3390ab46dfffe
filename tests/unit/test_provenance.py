"""Which code made the results: read from the jobs' records in one place, shown by the page beside the code that drew it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tli import report
from tli.config import parse
from tli.experiment import Experiment
from tli.io.provenance import brief, commit, commits, read_records, write_record
from tli.report.input import Provenance, ReportInput
from tli.stages import report as stage

ONE, TWO, DRAWER = "1" * 40, "2" * 40, "3" * 40
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "stage": st.sampled_from(["scan", "train", "report"]),
            "finished": st.sampled_from("abcde"),
            "commit": st.sampled_from(["", *"xyz"]),
        }
    )
)


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = os.environ | who | {"GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(["git", "-C", str(folder), *words], env=env, capture_output=True, text=True, check=True).stdout.strip()


@given(RECORDS)
def test_commits_are_those_of_the_jobs_by_their_last_use(records):
    found = commits(records)
    last = {
        one["commit"]: max(r["finished"] for r in records if r["commit"] == one["commit"] and r["stage"] != "report")
        for one in records
        if one["commit"] and one["stage"] != "report"
    }
    assert set(found) == set(last) and len(found) == len(last)
    assert [last[one] for one in found] == sorted(last.values())


def test_records_of_old_versions_name_none():
    assert commits([{"stage": "scan"}, {"stage": "train", "commit": None}]) == []


@pytest.mark.parametrize(("whole", "short"), [(ONE, "1" * 12), (ONE + "-dirty", "1" * 12 + "-dirty"), ("", "")])
def test_a_short_commit_still_says_that_files_differed(whole, short):
    assert brief(whole) == short


def test_the_commit_of_a_checkout_and_no_other(tmp_path):
    """Of a file that the checkout tracks; a copy of the package inside somebody else's repository is not of it."""
    file, copy = tmp_path / "code.py", tmp_path / "packages" / "code.py"
    copy.parent.mkdir()
    for path in (file, copy):
        path.write_text("a = 1\n", encoding="utf-8")
    assert commit(file) == ""
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-q", "-m", "a")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit(file) == head and commit(copy) == ""
    file.write_text("a = 2\n", encoding="utf-8")
    assert commit(file) == head + "-dirty"


def test_a_record_is_read_as_it_was_written(tmp_path):
    write_record(tmp_path / "scan" / "m.json", "scan", "m", time.time() - 2, {"device": "CPU"})
    (record,) = read_records(tmp_path)
    assert (record["stage"], record["job"], record["device"]) == ("scan", "m", "CPU") and 2 <= record["seconds"] < 20
    assert record["commit"] == commit()


@pytest.mark.parametrize(("now", "drawn_by"), [(TWO, ""), (ONE, ""), (DRAWER, DRAWER), (TWO + "-dirty", TWO + "-dirty"), ("", "")])
def test_the_page_names_the_code_of_the_jobs_and_its_own_only_where_it_differs(tmp_path, monkeypatch, now, drawn_by):
    places = {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x"}}, "arms": {"tli": {}}}
    experiment = Experiment(parse({**places, "results": str(tmp_path)}))
    made = (("scan", TWO, "2026-01-02"), ("lexicon", ONE, "2026-01-01"), ("report", DRAWER, "2026-01-03"))
    for name, by, finished in made:
        path = Path(experiment.layout.provenance(name, "all"))
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"stage": name, "job": "all", "commit": by, "finished": finished}), encoding="utf-8")
    monkeypatch.setattr(stage, "commit", lambda: now)
    found = stage.provenance(experiment)
    assert (found.commits, found.drawn_by) == ((ONE, TWO), drawn_by)


def test_the_page_and_the_summary_say_it(tmp_path):
    report.build(ReportInput(provenance=Provenance(commits=(ONE + "-dirty", TWO), drawn_by=DRAWER)), tmp_path)
    page, summary = ((tmp_path / name).read_text(encoding="utf-8") for name in ("index.html", "summary.md"))
    assert f"<dt>Commits of the jobs</dt><dd><code>{ONE}</code> with changed files, then <code>{TWO}</code></dd>" in page
    assert f"<dt>Commit of this page</dt><dd><code>{DRAWER}</code></dd>" in page
    assert f"Commit of the jobs {ONE}-dirty, then {TWO} (this page: {DRAWER}), config digest unknown." in summary


def test_where_no_job_wrote_it_down_the_page_says_so(tmp_path):
    report.build(ReportInput(), tmp_path)
    assert "<dt>Commit of the jobs</dt><dd>unknown</dd>" in (tmp_path / "index.html").read_text(encoding="utf-8")
