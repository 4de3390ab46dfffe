"""Faults on a real scheduler: whatever ends a training job, its finished seeds are kept and the run goes on or says why not.

Each test has an arm of its own, one job of three seeds, and strikes as soon as the first seed lies in the store.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from cluster import end
from experiments import ROOT
from safetensors.numpy import load_file


def run_files(experiment: dict, arm: str) -> list[Path]:
    return [
        Path(experiment["results"], "train", "tiny", "aaa-eng", arm, "layer-2", "rank-4", f"seed-{seed}", "run.json") for seed in (1, 2, 3)
    ]


def units(experiment: dict, arm: str) -> dict[int, float]:
    """Finished seeds of an arm in the store: seed -> when it was finished."""
    rate = experiment["arms"][arm]["learning_rate"]
    found = {}
    for path in Path(experiment["results"], "store", "train").glob("*/unit.json"):
        key = json.loads(path.read_text())
        if abs(key["settings"]["learning_rate"] - rate) < 1e-9:
            found[key["seed"]] = path.stat().st_mtime
    return found


def strike_after_the_first_seed(cluster, experiment: dict, arm: str, process) -> tuple[dict, list[int], dict[int, float]]:
    """Wait until the arm's job has finished a seed and freeze it there; returns the job, its processes, the finished seeds."""
    limit = time.monotonic() + 600
    while not units(experiment, arm):
        assert process.process.poll() is None and time.monotonic() < limit, process.said()[-3000:]
        time.sleep(0.05)
    (job,) = [job for job in cluster.queue("RUNNING") if f"_{arm}_" in job["comment"]]
    frozen = cluster.workers(job["id"])
    assert frozen, "the job's process is not found"
    for pid in frozen:
        end(pid, signal.SIGSTOP)
    return job, frozen, units(experiment, arm)


def thaw(frozen: list[int]) -> None:
    for pid in frozen:
        end(pid, signal.SIGCONT)


def assert_whole_and_nothing_done_twice(experiment: dict, arm: str, before: dict[int, float], restarted: bool = True) -> None:
    """All seeds are there and readable, and those that were finished before the fault were not trained again."""
    for path in run_files(experiment, arm):
        assert json.loads(path.read_text())["arm"] == arm
        assert load_file(path.parent / "adapter" / "adapter_model.safetensors")
    after = units(experiment, arm)
    assert sorted(after) == [1, 2, 3] and len(before) < 3
    assert {seed: after[seed] for seed in before} == before
    log = next(Path(experiment["results"]).glob(f"logs/train/tiny.aaa-eng.{arm}.*.log")).read_text()
    assert log.count("taken from the store") >= len(before) * restarted
    leftovers = [path for path in Path(experiment["results"]).rglob(".*") if path.name != ".running.json"]
    assert not [path for path in leftovers if time.time() - path.stat().st_mtime < 1], leftovers


def test_a_job_that_is_cancelled_is_tried_again(cluster, experiment, run):
    """`CANCELLED by UID` of sacct is not understood by the executor; with squeue it is, and the run does not hang."""
    process = run(run_files(experiment, "cancelled")[-1])
    job, frozen, before = strike_after_the_first_seed(cluster, experiment, "cancelled", process)
    thaw(frozen)
    cluster.run("scancel", job["id"])
    assert process.wait() == 0, process.said()[-4000:]
    assert "SLURM status is: 'CANCELLED'" in process.said()
    assert_whole_and_nothing_done_twice(experiment, "cancelled", before)


@pytest.mark.slow
def test_at_the_executors_own_pace_an_end_is_seen_within_two_rounds(cluster, experiment, run, tmp_path):
    """The profile's pace as users have it: 20 s to the first look, then 20 s and 10 s more each time nothing ended."""
    rounds = tmp_path / "rounds"
    process = run(run_files(experiment, "paced")[-1], env={"TLI_TEST_ROUNDS": str(rounds)})
    job, frozen, before = strike_after_the_first_seed(cluster, experiment, "paced", process)
    thaw(frozen)
    cluster.run("scancel", job["id"])
    cluster.wait_for(lambda: job["id"] not in [j["id"] for j in cluster.queue("RUNNING")], 60, "SLURM does not end the job")
    ended = time.time()
    cluster.wait_for(lambda: any("_paced_" in j["comment"] and j["id"] != job["id"] for j in cluster.queue("all")), 300, "not tried again")
    again = time.time()
    seen = [moment for moment in map(float, rounds.read_text().split()) if ended <= moment <= again]
    assert len(seen) <= 2, seen
    assert process.wait() == 0, process.said()[-4000:]
    assert_whole_and_nothing_done_twice(experiment, "paced", before)


def test_a_job_that_asked_for_too_little_memory_gets_more(cluster, experiment, run):
    process = run(run_files(experiment, "large")[-1], "--set-resources", "train_lora:mem_mb=attempt**3*150")
    assert process.wait() == 0, process.said()[-4000:]
    failed = [job for job in cluster.queue("all") if "_large_" in job["comment"] and job["state"] in ("FAILED", "OUT_OF_MEMORY")]
    assert failed and "mem_mb=1200" in process.said()
    assert all(path.exists() for path in run_files(experiment, "large"))


@pytest.mark.slow
def test_a_job_beyond_its_time_goes_on_at_the_next_seed(cluster, experiment, run):
    """SLURM counts whole minutes: the job is held still until its one minute has passed."""
    process = run(run_files(experiment, "slow")[-1])
    job, frozen, before = strike_after_the_first_seed(cluster, experiment, "slow", process)
    cluster.run("scontrol", "update", f"JobId={job['id']}", "TimeLimit=1")
    assert process.wait() == 0, process.said()[-4000:]
    assert "SLURM status is: 'TIMEOUT'" in process.said()
    assert_whole_and_nothing_done_twice(experiment, "slow", before)


@pytest.mark.slow
def test_a_node_that_dies_gives_its_job_to_another(cluster, experiment, run):
    process = run(run_files(experiment, "node")[-1])
    job, frozen, before = strike_after_the_first_seed(cluster, experiment, "node", process)
    cluster.kill_node(job["node"])
    try:
        assert process.wait() == 0, process.said()[-4000:]
    finally:
        cluster.start_node(job["node"])
        cluster.wait_for(lambda: cluster.states()[job["node"]] == "idle", 120, "the node does not come back")
    assert_whole_and_nothing_done_twice(experiment, "node", before)


def test_a_job_that_is_preempted_goes_on_when_there_is_room(cluster, experiment, run):
    process = run(run_files(experiment, "preempted")[-1])
    job, frozen, before = strike_after_the_first_seed(cluster, experiment, "preempted", process)
    thaw(frozen)
    urgent = cluster.run(
        "sbatch", "--parsable", "--partition=urgent", "--exclusive", f"--nodelist={job['node']}", "--output=/dev/null", "--wrap=sleep 15"
    ).strip()
    cluster.wait_for(lambda: [j for j in cluster.queue("all") if j["id"] == job["id"] and j["state"] != "RUNNING"], 60, "no preemption")
    assert process.wait() == 0, process.said()[-4000:]
    assert [j["state"] for j in cluster.queue("all") if j["id"] == urgent][0] in ("RUNNING", "COMPLETED", "COMPLETING")
    assert_whole_and_nothing_done_twice(experiment, "preempted", before)


def test_a_killed_snakemake_finds_its_jobs_again_and_a_second_one_is_told(cluster, experiment, run):
    """Also while the first is alive: from the same directory Snakemake's lock tells, from another the results folder's."""
    target = run_files(experiment, "killed")[-1]
    first = run(target)
    job, frozen, before = strike_after_the_first_seed(cluster, experiment, "killed", first)
    second = run(target, work=experiment["folder"] / "elsewhere")
    assert second.wait() != 0
    assert "another Snakemake works on this folder" in second.said(), second.said()[-3000:]
    third = run(target)
    assert third.wait() != 0 and "cannot be locked" in third.said(), third.said()[-3000:]

    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert [j["id"] for j in cluster.queue()] == [job["id"]], "the job runs on without its Snakemake"
    unlock = run("--unlock")
    assert unlock.wait() == 0
    told = run(target)
    assert told.wait() != 0
    said = told.said()
    assert "1 jobs of an earlier start of this run are still in SLURM's queue" in said and f"scancel --name={job['name']}" in said, said[
        -3000:
    ]

    thaw(frozen)
    duplicate = run(target, env={"TLI_ALLOW_DUPLICATES": "1"})
    assert duplicate.wait() == 0, duplicate.said()[-4000:]
    cluster.wait_for(lambda: not cluster.queue(), 300, "the first job does not end")
    for path in run_files(experiment, "killed"):
        assert json.loads(path.read_text())["seed"] == int(path.parent.name[-1])
    assert {seed: units(experiment, "killed")[seed] for seed in before} == before


@pytest.mark.slow
def test_a_controller_that_is_away_for_a_while(cluster, experiment, run):
    """Without accounting the executor would ask sacct, get no answer and forget its jobs; the stand-in answers."""
    path = os.pathsep.join([str(ROOT / "profiles" / "slurm" / "no-accounting"), cluster.env["PATH"]])
    process = run(run_files(experiment, "outage")[-1], env={"PATH": path})
    _, frozen, before = strike_after_the_first_seed(cluster, experiment, "outage", process)
    cluster.stop_controller()
    try:
        time.sleep(40)
    finally:
        cluster.start_controller()
    thaw(frozen)
    assert process.wait(300) == 0, process.said()[-4000:]
    assert_whole_and_nothing_done_twice(experiment, "outage", before, restarted=False)
