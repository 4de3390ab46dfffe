"""A real SLURM for the tests, an experiment small enough for it, and Snakemake as a process that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cluster as slurm
import pytest
import tiny
from experiments import ROOT, snakemake, write_config, write_lexicon
from launch import Running, place


def pytest_addoption(parser):
    parser.addoption("--slurm", action="store_true", help="start a SLURM on this machine and run its tests")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "slurm" in Path(item.fspath).parts[-2:] and "cluster" in item.fixturenames and not config.getoption("--slurm", default=False):
            item.add_marker(pytest.mark.skip(reason="needs a SLURM of its own on this machine; `make test-slurm` runs it"))


@pytest.fixture(scope="session")
def cluster():
    """The running cluster; it is gone at the end, however the tests went."""
    reason = slurm.install()
    if reason:
        pytest.skip(f"SLURM cannot be installed here: {reason}")
    # Not below pytest's own folder: munge wants every folder above its socket open to all.
    with slurm.Cluster(Path(tempfile.mkdtemp(prefix="tli-slurm-"))) as made:
        yield made


@pytest.fixture(scope="session")
def experiment(tmp_path_factory) -> dict:
    """A config as a dict: a random model on the CPU, one pair, an arm per fault. Its lexicon and model are checked already.

    The arms differ only in name and learning rate, so each has its own units; three seeds train in one job.
    """
    folder = tmp_path_factory.mktemp("experiment")
    tiny.save_model(folder / "model", "llama")
    tiny.save_tokenizer(folder / "model")
    faults = ["node", "cancelled", "slow", "large", "killed", "preempted", "outage", "paced"]
    config = {
        "results": str(folder / "results"),
        "models": {"tiny": {"source": str(folder / "model"), "dtype": "float32", "device": "cpu"}},
        "pairs": {"aaa-eng": {"lexicon": str(write_lexicon(folder / "aaa-eng.tsv"))}},
        "arms": {name: {"loss_layer": [2], "rank": [4], "learning_rate": 0.001 + 0.0001 * number} for number, name in enumerate(faults)},
        "seeds": 3,
        "jobs": {"seeds_together": False},  # what was finished when a job died can be counted
        "training": {"epochs": 60, "warmup_steps": 2},
    }
    targets = [f"{config['results']}/check/tiny.json", f"{config['results']}/lexicon/aaa-eng/pairs.tsv"]
    ran = snakemake(
        *targets, *place(folder / "work", write_config(config, folder / "config.yaml")), "--profile", ROOT / "profiles" / "local"
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    return config | {"folder": folder}


@pytest.fixture
def run(cluster, experiment):
    """run(*arguments, **options) -> Running; what still runs at the end of a test is killed, and its jobs with it."""
    started: list[Running] = []

    def start(*arguments, **options) -> Running:
        started.append(Running(cluster, options.pop("folder", experiment["folder"]), *arguments, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
    for job in cluster.queue():
        subprocess.run(["scancel", job["id"]], env=os.environ | cluster.env, capture_output=True)
    cluster.wait_for(lambda: not cluster.queue(), 60, "jobs are left")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            "--unlock",
            "--cores",
            "1",
            *map(str, place(experiment["folder"] / "work", experiment["folder"] / "config.yaml")),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        capture_output=True,
    )
