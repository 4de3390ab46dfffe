"""Snakemake under --profile slurm as a process that a test can look at and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from experiments import ROOT


def place(work: Path, config: Path) -> list:
    return ["--directory", work, "--configfile", config, "--snakefile", ROOT / "workflow" / "Snakefile"]


class Running:
    """A Snakemake under --profile slurm, as a process of its own session."""

    def __init__(self, cluster, folder: Path, *arguments, config: Path | None = None, work: Path | None = None, env: dict | None = None):
        self.log = folder / f"said-{time.monotonic_ns()}.txt"
        words = [sys.executable, Path(__file__).with_name("quick_snakemake.py"), *arguments]
        words += place(work or folder / "work", config or folder / "config.yaml")
        # The executor's first look at a job, and the wait for files, are made for shared file systems and long jobs.
        words += ["--profile", ROOT / "profiles" / "slurm", "--latency-wait", "5"]
        if "TLI_TEST_ROUNDS" not in (env or {}):
            words += ["--slurm-init-seconds-before-status-checks", "1"]
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                [*map(str, words)],
                cwd=ROOT,
                env=os.environ | cluster.env | (env or {}),
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = 900) -> int:
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
