"""A GPU of its own for each running job, on a machine without a scheduler that hands them out. No torch.

Snakemake counts GPUs locally but gives out no ids: two jobs would both take card 0. Here a job takes a lock file per card
and sets CUDA_VISIBLE_DEVICES before torch looks. The lock ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LIST = "TLI_GPUS"  # which cards this workflow may take, as "0,2"; by default all that are visible


def visible() -> list[str]:
    """Ids of the cards that this process may use: TLI_GPUS, else CUDA_VISIBLE_DEVICES, else what nvidia-smi lists."""
    for name in (LIST, "CUDA_VISIBLE_DEVICES"):
        if name in os.environ:
            return [word.strip() for word in os.environ[name].split(",") if word.strip() and word.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number, line in enumerate(line for line in listed.stdout.splitlines() if line.startswith("GPU "))]


@contextmanager
def own(wanted: int, say: Callable[[str], None] = lambda text: None, pause: float = 2.0) -> Iterator[list[str]]:
    """Within the block this process has `wanted` cards that no other job of this workflow has; yields their ids.

    Waits until so many are free. Does nothing for a job that wants none, where there is no card, and where a scheduler
    has given this job exactly what it sees. Raises ValueError where fewer cards exist than are wanted.
    """
    ids = visible() if wanted else []
    scheduled = "SLURM_JOB_ID" in os.environ and len(ids) <= wanted
    if not ids or scheduled:
        yield ids
        return
    if len(ids) < wanted:
        raise ValueError(
            f"the job wants {wanted} GPUs and this machine shows {len(ids)} ({', '.join(ids)}); take a smaller model, or quantization: nf4"
        )
    folder = _folder()
    told = False
    while True:
        held = _take(folder, ids, wanted)
        if held:
            break
        if not told:
            say(f"all {len(ids)} GPUs are taken by other jobs; waiting for {wanted}")
            told = True
        time.sleep(pause)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    try:
        yield list(held)
    finally:
        if before is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
        for stream in held.values():
            stream.close()


def _folder() -> Path:
    """Where the locks lie: one folder per user and, inside an allocation of SLURM, per allocation (ids start at 0 in each)."""
    scope = os.environ.get("SLURM_JOB_ID", "machine")
    folder = Path(os.environ.get("TLI_GPU_LOCKS") or Path(tempfile.gettempdir()) / f"tli-gpus-{getpass.getuser()}") / scope
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _take(folder: Path, ids: list[str], wanted: int) -> dict:
    """Id -> its open, locked file, for `wanted` free cards; {} where there are not so many."""
    held: dict = {}
    # One job looks at a time, else two that want two cards each could end with one each and wait for ever.
    with (folder / "looking.lock").open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        for card in ids:
            stream = (folder / f"card-{re.sub(r'[^A-Za-z0-9-]', '_', card)}.lock").open("w")
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                stream.close()
                continue
            held[card] = stream
            if len(held) == wanted:
                return held
        for stream in held.values():
            stream.close()
    return {}
