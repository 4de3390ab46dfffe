"""How the workflow's tests run Snakemake and write their inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

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


def write_lexicon(path: Path, rows: int = 48, prefix: str = "") -> Path:
    """A lexicon of made-up words, none shared, that splits into all three splits."""
    lines = [f"{prefix}neno{'abcdefghij'[i % 10]}{i}\tword{'klmnopqrst'[i % 10]}{i}\tnoun" for i in range(rows)]
    path.write_text("source\ttarget\tcategory\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_config(config: dict, path: Path) -> Path:
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path
