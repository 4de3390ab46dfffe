"""What is said of a failed run from Snakemake's own log."""

from __future__ import annotations

import shlex

import pytest

from tli.config import parse
from tli.runtime import console

SAID = """Error in rule check:
    message: None
    jobid: 3
    log: {log} (check log file(s) for error details)
    conda-env: tli

Error in rule scan:
    jobid: 4
    log: {log}
"""


@pytest.mark.parametrize("folder", ["results", "my r\u00e9sultats d'ici"])
def test_the_log_of_a_failed_job_is_read_whatever_its_path(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / folder).mkdir()
    log = f"{folder}/check tiny.log"
    (tmp_path / log).write_text("before\nError in check tiny: it is broken\n", encoding="utf-8")
    (tmp_path / "snakemake.log").write_text(SAID.format(log=log), encoding="utf-8")
    config = parse({"models": {"m": {"source": "x"}}, "pairs": {"a-b": {"lexicon": "x"}}, "results": folder})
    console.explain(config, str(tmp_path / "snakemake.log"))
    said = capsys.readouterr().err.splitlines()
    for rule in ("check", "scan"):
        place = said.index(f"The rule {rule} failed; its log is {log}. What it says last:")
        assert said[place + 1] == "  Error in check tiny: it is broken"
    assert shlex.split(said[-1])[-2:] == ["--partial", folder]
