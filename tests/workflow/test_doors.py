"""One recipe, several doors: what `python -m tli run` does is what the rules did, file by file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from experiments import ROOT, command, run_by_command, write_config

pytestmark = pytest.mark.workflow
VOLATILE = {"seconds", "peak_memory_mib"}  # how long it took, and what else the process held


def process(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "tli", "run", *words], cwd=ROOT, capture_output=True, text=True)


def test_every_stage_by_command_gives_the_rules_files(finished, undrawn, tmp_path):
    config = finished[0] | {"results": str(tmp_path / "results")}
    config["models"] = {"tiny": finished[0]["models"]["tiny"]}
    experiment = run_by_command(write_config(config, tmp_path / "config.yaml"))
    by_rule, by_command = Path(finished[0]["results"]), Path(config["results"])
    for stage in ("lexicon/aaa-eng", "scan/tiny/aaa-eng", "train/tiny/aaa-eng", "evaluate/tiny/aaa-eng"):
        files = sorted(path.relative_to(by_rule) for path in (by_rule / stage).rglob("*") if path.is_file())
        assert files == sorted(path.relative_to(by_command) for path in (by_command / stage).rglob("*") if path.is_file())
        for name in files:
            assert same(by_rule / name, by_command / name), name
    records = sorted(path.relative_to(by_command) for path in (by_command / "provenance").glob("*/*.json"))
    assert len(records) == 6 + len(experiment.cells), "each job leaves a record of its own"


def same(one: Path, other: Path) -> bool:
    """Byte for byte, but for what is volatile in a run's record and in the table of runs."""
    if one.name == "run.json":
        first, second = (json.loads(path.read_text()) for path in (one, other))
        return {k: v for k, v in first.items() if k not in VOLATILE} == {k: v for k, v in second.items() if k not in VOLATILE}
    if one.name == "runs.tsv":
        first, second = (pd.read_csv(path, sep="\t").drop(columns=list(VOLATILE)) for path in (one, other))
        return first.equals(second)
    return one.read_bytes() == other.read_bytes()


def test_statistics_and_report_by_command(finished, undrawn, tmp_path):
    copy = tmp_path / "results"
    shutil.copytree(finished[0]["results"], copy)
    file = str(write_config(finished[0] | {"results": str(copy)}, tmp_path / "config.yaml"))
    for name in ("statistics", "report"):
        shutil.rmtree(copy / name)
    done = process("statistics", file)
    assert done.returncode == 0, done.stderr
    command("report", file)
    rule = Path(finished[0]["results"])
    for path in (rule / "statistics").iterdir():
        assert same(path, copy / "statistics" / path.name), path.name
    tables = [path.relative_to(rule) for path in (rule / "report" / "tables").glob("[!.]*")]
    assert len(tables) > 10 and all(same(rule / name, copy / name) for name in tables)


def test_a_name_that_is_not_there_is_told(finished, tmp_path):
    file = str(finished[1])
    for words, message in (
        (
            ["train", file, "--model", "tiny", "--pair", "aaa-eng", "--arm", "nobody", "--layer", "2", "--rank", "4"],
            "--arm nobody: the config has tli",
        ),
        (["scan", file, "--model", "huge", "--pair", "aaa-eng"], "--model huge: the config has tiny"),
        (["evaluate", file, "--model", "tiny", "--pair", "aaa-eng", "--part", "part-9"], "--part part-9: tiny, aaa-eng has part-1"),
    ):
        done = process(*words)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
