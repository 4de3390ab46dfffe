"""gpus: with fake card ids, in real processes: a card is never with two jobs, and comes free however its job ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tli.cluster import gpus


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "TLI_GPUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TLI_GPU_LOCKS", str(tmp_path / "locks"))


JOB = """
import os, sys, time
from tli.cluster import gpus
with gpus.own(int(sys.argv[1]), pause=0.02):
    print("begin", os.environ["CUDA_VISIBLE_DEVICES"], time.monotonic(), flush=True)
    time.sleep(float(sys.argv[2]))
    print("end", os.environ["CUDA_VISIBLE_DEVICES"], time.monotonic(), flush=True)
"""


def start(wanted: int, seconds: float, cards: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", JOB, str(wanted), str(seconds)], stdout=subprocess.PIPE, text=True, env=os.environ | {"TLI_GPUS": cards}
    )


def test_no_two_jobs_share_a_card_and_all_cards_are_used():
    jobs = [start(1, 0.3, "0,1") for _ in range(6)] + [start(2, 0.2, "0,1")]
    spans = []
    for job in jobs:
        begin, end = (line.split() for line in job.communicate(timeout=60)[0].splitlines())
        assert begin[1] == end[1]
        spans += [(card, float(begin[2]), float(end[2])) for card in begin[1].split(",")]
    assert {card for card, _, _ in spans} == {"0", "1"}
    for card in ("0", "1"):
        mine = sorted((begin, end) for name, begin, end in spans if name == card)
        assert all(later[0] >= earlier[1] for earlier, later in zip(mine, mine[1:])), mine


def test_a_killed_job_gives_its_card_back():
    first = start(1, 60, "0")
    assert first.stdout.readline().startswith("begin 0")
    second = start(1, 0, "0")
    time.sleep(0.5)
    assert second.poll() is None, "the card was given twice"
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.communicate(timeout=30)[0].startswith("begin 0")


def test_what_a_scheduler_has_given_is_left_alone(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with gpus.own(1) as one, gpus.own(1) as other:  # two nodes' cards are both called 0: no lock may stand between them
        assert one == other == ["0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")  # a person's allocation of several cards, shared by local jobs
    monkeypatch.setenv("TLI_GPUS", "0,1")
    jobs = [start(1, 1, "0,1") for _ in range(2)]
    assert {job.communicate(timeout=60)[0].split()[1] for job in jobs} == {"0", "1"}


def test_a_job_that_needs_none_takes_none(monkeypatch):
    monkeypatch.setenv("TLI_GPUS", "0")
    with gpus.own(1), gpus.own(0) as none:
        assert none == []


def test_visible_devices_are_put_back(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1a,GPU-2b")
    with gpus.own(1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-1a"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-1a,GPU-2b"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with gpus.own(1) as none:
        assert none == []


def test_more_than_there_are_is_an_error(monkeypatch):
    monkeypatch.setenv("TLI_GPUS", "0,1")
    with pytest.raises(ValueError, match=r"wants 3 GPUs and this machine shows 2 \(0, 1\)"), gpus.own(3):
        pass
