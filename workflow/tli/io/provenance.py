"""Who made what with which versions, where and how long: a JSON file a job, written after it, and what can be read of them."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from tli.errors import TableError
from tli.io.atomic import whole
from tli.io.records import read_json
from tli.log import redact

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "lm_eval",
    "snakemake",
    "numpy",
    "scipy",
    "statsmodels",
    "pandas",
)
DIRTY = "-dirty"  # after a commit: files differed from it
SECONDS = ["stage", "job", "seconds", "device", "peak_memory_mib"]


def write_record(path: str | Path, stage: str, job: str, start: float, facts: dict[str, Any]) -> None:
    """Write the record of a job that began at `start` (Unix time) and ends now."""
    record = {
        "stage": stage,
        "job": job,
        "seconds": round(time.time() - start, 3),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "commit": commit(),
        "versions": {name: version for name in LIBRARIES if (version := _version(name))},
        **facts,
    }
    with whole(path) as beside:
        beside.write_text(redact(json.dumps(record, indent=1)), encoding="utf-8")


def read_records(folder: str | Path) -> list[dict[str, Any]]:
    """Every job's record below a provenance folder, oldest first. Raises TableError for a file that is none."""
    paths = sorted(Path(folder).glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    return [_record(path) for path in paths]


def _record(path: Path) -> dict[str, Any]:
    values = read_json(path, "what a job wrote of itself; delete it, the job's results stay")
    named = {name: values[name] for name in ("stage", "commit", "finished", "machine", "device") if values.get(name) is not None}
    is_one = all(isinstance(value, str) for value in named.values()) and isinstance(values.get("versions", {}), dict)
    if not is_one:
        raise TableError(f"{path}: is no record of a job; delete it, the job's results stay")
    return values


def stage_seconds(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Wall seconds of every finished job, columns SECONDS."""
    return pd.DataFrame([{name: record.get(name, "") for name in SECONDS} for record in records], columns=SECONDS)


def commits(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The commits of the code that made the results, each once, the one used last at the end; of reports, which make none, nothing."""
    used = sorted((record for record in records if record.get("commit") and record.get("stage") != "report"), key=_finished)
    return list(dict.fromkeys(str(record["commit"]) for record in reversed(used)))[::-1]


def brief(commit: str) -> str:
    """A commit in twelve digits, which still says whether files differed."""
    head, dirty, _ = commit.partition(DIRTY)
    return head[:12] + dirty


def commit(file: str | Path = __file__) -> str:
    """The commit of the checkout that `file` belongs to, with "-dirty" where files differ; "" outside a checkout."""

    def git(*words: str) -> str:
        told = subprocess.run(["git", "-C", str(Path(file).parent), *words], capture_output=True, text=True, timeout=20)
        return told.stdout.strip()

    try:
        if not git("ls-files", "--", Path(file).name):  # a folder of packages inside somebody's own repository
            return ""
        head = git("rev-parse", "HEAD")
        return head + (DIRTY if head and git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _finished(record: Mapping[str, Any]) -> str:
    return str(record.get("finished", ""))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
