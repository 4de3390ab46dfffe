"""How the workflow's tests run an experiment, by Snakemake or by command, and write their inputs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml

from tli.__main__ import main
from tli.config import load
from tli.experiment import Experiment

ROOT = Path(__file__).parents[2]


def snakemake(*arguments: str | Path, cwd: Path = ROOT, env: dict | None = None, timeout: int = 900) -> subprocess.CompletedProcess:
    """Run Snakemake as a user does, from the repository's root; stdout and stderr come together."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "snakemake"), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )


def command(*words: str | Path) -> None:
    """`tli run` in this process, from the repository's root and with one thread; a process of its own is 4 s of imports."""
    threads = torch.get_num_threads()
    try:
        with contextlib.chdir(ROOT):
            assert main(["run", *map(str, words), "--threads", "1"]) == 0, words
    finally:
        torch.set_num_threads(threads)


def run_by_command(*config: str | Path) -> Experiment:
    """Every job that Snakemake would do for one model or several on one pair, in the order of the stages; test_doors.py holds the
    files of both ways against each other.
    """
    experiment = Experiment(load(config))
    (pair,) = experiment.config.pairs
    of_pair = "--pair", pair
    command("lexicon", *config, *of_pair)
    for model in experiment.config.models:
        of_model = "--model", model
        command("check", *config, *of_model)
        command("scan", *config, *of_model, *of_pair)
        for cell in (cell for cell in experiment.cells if cell.model == model):
            command("train", *config, *of_model, *of_pair, "--arm", cell.arm, "--layer", cell.layer, "--rank", cell.rank)
        command("evaluate", *config, *of_model, *of_pair)
        if experiment.has_transfer:
            command("transfer", *config, *of_model, *of_pair)
    command("statistics", *config)
    command("report", *config)
    return experiment


def write_lexicon(path: Path, rows: int = 48, prefix: str = "") -> Path:
    """A lexicon of made-up words, none shared, that splits into all three splits."""
    lines = [f"{prefix}neno{'abcdefghij'[i % 10]}{i}\tword{'klmnopqrst'[i % 10]}{i}\tnoun" for i in range(rows)]
    path.write_text("source\ttarget\tcategory\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_config(config: dict, path: Path) -> Path:
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path
