"""Who works on a results folder: the Snakemake that runs now, and jobs that an earlier one left in a SLURM queue.

Snakemake locks its working directory; two that were started from different directories would not see each other. And a
Snakemake that was killed leaves its jobs running. Each start writes itself into `<results>/provenance/starts.tsv`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tli.errors import InUseError
from tli.experiment.layout import Layout

ALLOW = "TLI_ALLOW_DUPLICATES"


def begin(layout: Layout, snakemake_log: str) -> None:
    """Take the results folder for this process until `end`, and write the start down. Raises InUseError.

    A start that is no longer there (same machine, its process gone) is no hindrance. Jobs that an earlier start left in the
    queue are: a start now would do their work twice. TLI_ALLOW_DUPLICATES=1 starts all the same; the results stay right.
    """
    results, marker = Path(layout.results), Path(layout.running())
    results.mkdir(parents=True, exist_ok=True)
    other = _read(marker)
    if other and _alive(other):
        raise InUseError(
            f"{results}: another Snakemake works on this folder (process {other['process']} on {other['machine']}, started in "
            f"{other['directory']}). Wait for it; or, if it is no longer there, delete {marker}"
        )
    left = jobs_left(run_ids(layout))
    if left and not os.environ.get(ALLOW):
        names = sorted({job["name"] for job in left})
        listed = "".join(f"\n  {job['id']}  {job['state']}  {job['what']}" for job in left[:20])
        more = f"\n  and {len(left) - 20} more" if len(left) > 20 else ""
        raise InUseError(
            f"{len(left)} jobs of an earlier start of this run are still in SLURM's queue (run {', '.join(names)}):{listed}{more}\n"
            "A start now would do their work twice. Let them finish and start again, or end them:\n"
            + "".join(f"  scancel --name={name}\n" for name in names)
            + f"Or start all the same with {ALLOW}=1: the results are right, the time is spent twice."
        )
    if left:
        print(f"{len(left)} jobs of an earlier start are still in SLURM's queue; {ALLOW} is set, so they are done twice", flush=True)
    text = json.dumps({"process": os.getpid(), "machine": socket.gethostname(), "began": _began(os.getpid()), "directory": str(Path.cwd())})
    if other:
        marker.unlink(missing_ok=True)
    try:
        with marker.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InUseError(f"{results}: another Snakemake has just begun to work on this folder; wait for it") from None
    history = Path(layout.starts())
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a", encoding="utf-8") as stream:
        stream.write(
            f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\t{socket.gethostname()}\t{os.getpid()}\t{Path(snakemake_log).resolve()}\n"
        )


def end(layout: Layout) -> None:
    """Give the results folder back, if it is ours."""
    marker = Path(layout.running())
    held = _read(marker)
    if held and held["process"] == os.getpid() and held["machine"] == socket.gethostname():
        marker.unlink(missing_ok=True)


def run_ids(layout: Layout) -> list[str]:
    """Names under which earlier starts put their jobs into the queue, from Snakemake's own logs."""
    try:
        lines = Path(layout.starts()).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines[-50:]:
        try:
            text = Path(line.split("\t")[-1]).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found += re.findall(r"^SLURM run ID: (\S+)$", text, re.MULTILINE)
    return list(dict.fromkeys(found))


def jobs_left(names: list[str]) -> list[dict]:
    """The jobs of these names that still wait or run: id, name, state, what. [] where there is no SLURM or it does not answer."""
    if not names or shutil.which("squeue") is None:
        return []
    words = ["squeue", "--noheader", f"--name={','.join(names)}", "--format=%i\t%j\t%T\t%k"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [line.split("\t") for line in answer.stdout.splitlines() if line.count("\t") == 3]
    return [{"id": row[0], "name": row[1], "state": row[2], "what": row[3].replace("_wildcards_", " ")} for row in rows if row[1] in names]


def _read(marker: Path) -> dict | None:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _alive(other: dict) -> bool:
    """Whether that process is still there; of another machine's nobody here can tell, so it counts as there."""
    if other.get("machine") != socket.gethostname():
        return True
    return bool(_began(other["process"])) and _began(other["process"]) == other.get("began")


def _began(process: int) -> str:
    """When a process of this machine began, in the kernel's ticks; "" where there is none. Process ids come again, this does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return "" if Path("/proc/self/stat").exists() or not _exists(process) else "unknown"


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
