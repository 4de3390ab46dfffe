"""The whole small grid on a real scheduler: the tables of the local run, one GPU a job, and no token anywhere."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from cluster import ClusterError
from experiments import ROOT, snakemake, write_config
from launch import Running, place

from tli.io import table_files

pytestmark = pytest.mark.slow
TOKEN = "hf_" + "aB3dE5gH7jK9mN1pQ3sT"
PLACE_AND_TIME = {"seconds", "peak_memory_mib", "device"}


@pytest.fixture(scope="module")
def both(cluster, experiment, tmp_path_factory) -> dict:
    """The same config run by the local profile and through SLURM, with a token in the environment; what was seen meanwhile."""
    folder = tmp_path_factory.mktemp("grid")
    config = {key: value for key, value in copy.deepcopy(experiment).items() if key != "folder"} | {
        "arms": {"tli": {"loss_layer": ["best", 2], "rank": [4]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
        "seeds": 2,
        "statistics": {"bootstrap": 200},
        "scan": {"bootstrap": 100},
    }
    config["training"] |= {"epochs": 2}
    config["models"]["tiny"]["device"] = "auto"  # so its jobs ask for a GPU; they compute without one where there is none
    made = {name: write_config(config | {"results": str(folder / name)}, folder / f"{name}.yaml") for name in ("local", "slurm")}
    ran = snakemake(
        "--profile", ROOT / "profiles" / "local", *place(folder / "work-local", made["local"]), env={"CUDA_VISIBLE_DEVICES": ""}
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    # --verbose has the executor's job step print its environment, and SLURM's logs of good jobs are kept to look into.
    process = Running(
        cluster, folder, "--verbose", "--slurm-keep-successful-logs", config=made["slurm"], work=folder / "work", env={"HF_TOKEN": TOKEN}
    )
    seen, words = [], set()
    watcher = threading.Thread(target=_watch, args=(cluster, process, seen, words))
    watcher.start()
    try:
        assert process.wait(1700) == 0, process.said()[-5000:]
    finally:
        process.kill()
        watcher.join()
    return {"folder": folder, "seen": seen, "command_lines": words, "said": process.said()}


def _watch(cluster, process, seen: list, words: set) -> None:
    """The queue, and every command line on this machine, twice a second."""
    while process.process.poll() is None:
        with contextlib.suppress(ClusterError, subprocess.TimeoutExpired):  # the next look will do
            seen.append(cluster.queue("RUNNING"))
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words.add(path.read_bytes())
            except OSError:
                continue
        time.sleep(0.5)


def test_the_tables_are_those_of_the_local_run(both):
    one, other = both["folder"] / "local", both["folder"] / "slurm"
    stages = ("lexicon", "scan", "evaluate", "statistics", "report")
    compared = [path for stage in stages for path in sorted((one / stage).rglob("*")) if path.suffix in (".tsv", ".parquet")]
    assert len(compared) >= 20
    for path in compared:
        here, there = table_files.read(path), table_files.read(other / path.relative_to(one))
        columns = [name for name in here.columns if name not in PLACE_AND_TIME]
        pd.testing.assert_frame_equal(here[columns], there[columns], check_exact=True, obj=str(path.relative_to(one)))
    assert (other / "report" / "index.html").stat().st_size > 10_000


def test_each_gpu_job_has_one_gpu_and_never_three_run_on_two(both):
    with_gpu = [[job for job in jobs if job["gpus"]] for jobs in both["seen"]]
    assert max(map(len, with_gpu)) == 2
    assert {job["gpus"] for jobs in with_gpu for job in jobs} == {1}
    assert {job["node"] for jobs in with_gpu for job in jobs} == {"node1"}
    for job in (job for jobs in both["seen"] for job in jobs):
        assert bool(job["gpus"]) == job["comment"].startswith(("rule_check", "rule_scan", "rule_train", "rule_evaluate")), job
    cards = {}
    for path in (both["folder"] / "slurm" / "provenance").glob("*/*.json"):
        cards.setdefault(path.parent.name, set()).add(json.loads(path.read_text())["cards"])
    for stage in ("check", "scan", "train", "evaluate"):
        assert cards[stage] <= {"0", "1"}, cards
    assert cards["train"] == {"0", "1"}
    assert cards["statistics"] == {""}


def test_a_token_is_written_nowhere(both):
    """Not into a log, a result or Snakemake's own records, nor on a command line; SLURM's own copy of the environment apart."""
    assert both["command_lines"]
    assert not [line for line in both["command_lines"] if TOKEN.encode() in line]
    assert TOKEN not in both["said"]
    printed = [path for path in (both["folder"] / "work").rglob("slurm_logs/**/*.log") if "environ(" in path.read_text(errors="replace")]
    assert printed, "no job printed its environment, so this test sees nothing"
    looked = [path for place in ("slurm", "work") for path in (both["folder"] / place).rglob("*") if path.is_file()]
    assert len(looked) > 50
    assert not [path for path in looked if TOKEN.encode() in path.read_bytes()]
