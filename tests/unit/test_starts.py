"""starts: one Snakemake a results folder, and the jobs that a killed one left behind are found by the run's name."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tli.cluster import starts
from tli.errors import InUseError
from tli.experiment.layout import Layout

RUN = "69a9a0ba-c29d-4fd7-9f17-b782f0db68f3"


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """queue(lines): an squeue that answers so; what it was asked lies in asked.txt."""

    def put(*lines: str) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin" / "squeue"
        body = "\n".join(f"printf '%b\\n' '{line}'" for line in lines)
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked.txt\n{body}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    monkeypatch.delenv(starts.ALLOW, raising=False)
    return put


def log_of_a_run(tmp_path, name: str = RUN):
    path = tmp_path / "one.snakemake.log"
    path.write_text(f"Building DAG of jobs...\nSLURM run ID: {name}\nUsing shell: /usr/bin/bash\n")
    return path


def begin_elsewhere(results, log, stay: str) -> subprocess.Popen:
    code = f"from tli.cluster import starts; from tli.experiment.layout import Layout; starts.begin(Layout({str(results)!r}), {str(log)!r}); print('begun', flush=True); {stay}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    return process


def test_the_second_is_told_and_the_folder_comes_free(tmp_path, queue):
    queue()
    first = begin_elsewhere(tmp_path / "results", tmp_path / "log", "input()")
    with pytest.raises(InUseError, match=f"another Snakemake works on this folder .process {first.pid} on "):
        starts.begin(Layout(str(tmp_path / "results")), "log")
    starts.end(Layout(str(tmp_path / "results")))  # not ours: it stays
    with pytest.raises(InUseError):
        starts.begin(Layout(str(tmp_path / "results")), "log")
    first.kill()  # it had no time to give it back
    first.wait()
    starts.begin(Layout(str(tmp_path / "results")), "log")
    starts.end(Layout(str(tmp_path / "results")))
    assert not (tmp_path / "results" / ".running.json").exists()
    starts.begin(Layout(str(tmp_path / "results")), "log")


def test_a_process_of_the_same_number_is_another_process(tmp_path, queue):
    queue()
    starts.begin(Layout(str(tmp_path)), "log")
    marker = tmp_path / ".running.json"
    held = json.loads(marker.read_text())
    with pytest.raises(InUseError):
        starts.begin(Layout(str(tmp_path)), "log")
    marker.write_text(json.dumps(held | {"began": "1"}))
    starts.begin(Layout(str(tmp_path)), "log")
    marker.write_text(json.dumps(held | {"machine": "another", "began": "1"}))
    with pytest.raises(InUseError, match="on another"):
        starts.begin(Layout(str(tmp_path)), "log")


def test_jobs_in_the_queue_are_named_with_the_command_that_ends_them(tmp_path, queue, monkeypatch):
    queue(f"41\\t{RUN}\\tRUNNING\\trule_train_lora_wildcards_tiny_aaa-eng", "42\\tsomebody-else\\tRUNNING\\tno")
    begin_elsewhere(tmp_path, log_of_a_run(tmp_path), "import os; os._exit(9)").wait()
    with pytest.raises(InUseError) as error:
        starts.begin(Layout(str(tmp_path)), "log")
    said = str(error.value)
    assert "1 jobs of an earlier start" in said and "41  RUNNING  rule_train_lora tiny_aaa-eng" in said and "42" not in said
    assert f"scancel --name={RUN}" in said and "TLI_ALLOW_DUPLICATES=1" in said
    assert f"--name={RUN}" in (tmp_path / "asked.txt").read_text()
    monkeypatch.setenv(starts.ALLOW, "1")
    starts.begin(Layout(str(tmp_path)), "log")


def test_an_empty_queue_or_none_is_no_hindrance(tmp_path, queue, monkeypatch):
    queue()
    begin_elsewhere(tmp_path, log_of_a_run(tmp_path), "import os; os._exit(9)").wait()
    starts.begin(Layout(str(tmp_path)), "log")
    starts.end(Layout(str(tmp_path)))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert starts.jobs_left([RUN]) == []
    starts.begin(Layout(str(tmp_path)), "log")


def test_run_names_come_from_the_logs_of_all_starts(tmp_path):
    history = tmp_path / "provenance" / "starts.tsv"
    history.parent.mkdir()
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    for number, log in enumerate(logs[:2]):
        log.write_text(f"SLURM run ID: run-{number}\n")
    history.write_text("".join(f"when\tm\t1\t{log}\n" for log in logs))
    assert starts.run_ids(Layout(str(tmp_path))) == ["run-0", "run-1"]
    assert starts.run_ids(Layout(str(tmp_path / "nowhere"))) == []
