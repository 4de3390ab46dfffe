"""Weights on the node's own disk: copied there once, read from there by every job of the node. Optional. No torch.

    export TLI_NODE_DISK=/scratch/local      # a folder on each node's own disk that outlives a job

Worth it where many jobs read a large model from a slow shared file system. Without the variable nothing is copied. A variable in
single quotes (`'$LOCAL_SCRATCH'`) is filled in on the node. A folder of the job's own, as SLURM's $TMPDIR often is, is not used:
the copy would be read once.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tli.io.atomic import whole
from tli.log import say
from tli.model.files import identity
from tli.specs import ModelSpec

VARIABLE = "TLI_NODE_DISK"
KINDS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")


def staged(spec: ModelSpec, folder: Path | None) -> ModelSpec:
    """The model with `source` on the node's disk; as it was where that is not asked for, has no room or is of no use.

    folder: where the model's files lie now, None where they are not on disk. The copy's name is a digest of the model, so a
    changed model is copied again. Of two jobs that begin together one copies and the other waits; a copier that is killed leaves
    nothing that is taken for whole, and no lock; a copy that lost files since is made anew.
    """
    disk = os.path.expandvars(os.environ.get(VARIABLE, ""))
    if not disk or "$" in disk or folder is None:
        return spec
    try:
        return replace(spec, source=str(_copied(Path(disk), Path(folder))), revision=None)
    except OSError as error:
        say(f"{VARIABLE}={disk}: not used, the weights are read from {folder} ({error})")
        return spec


def _copied(disk: Path, folder: Path) -> Path:
    job = os.environ.get("SLURM_JOB_ID", "")
    if job and re.search(rf"(?<!\d){re.escape(job)}(?!\d)", str(disk)):
        raise OSError(f"it is the folder of job {job} alone: a copy would be read once; name one that stays")
    place = disk / f"tli-weights-{getpass.getuser()}"
    target = place / identity(folder)[:20]
    files = sorted({file for kind in KINDS for file in folder.glob(kind)})
    place.mkdir(parents=True, exist_ok=True)
    with _alone(place / f"{target.name}.lock", folder):
        if not _is_whole(target, files):
            for left in place.glob(f".{target.name}.*"):  # by a copier that was killed: whoever lives holds the lock
                shutil.rmtree(left, ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            _copy(files, target)
    return target


@contextmanager
def _alone(lock: Path, folder: Path) -> Iterator[None]:
    """Within the block no other job of this node is in it. The lock ends with its process, however that ends."""
    with lock.open("w") as door:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{VARIABLE}: another job of this node copies {folder}; waiting for it")
            fcntl.flock(door, fcntl.LOCK_EX)
        yield


def _is_whole(target: Path, files: list[Path]) -> bool:
    """Every file is there with its size: what cleans a node's disk takes single files."""
    try:
        return all((target / file.name).stat().st_size == file.stat().st_size for file in files)
    except OSError:
        return False


def _copy(files: list[Path], target: Path) -> None:
    needed, free = sum(file.stat().st_size for file in files), shutil.disk_usage(target.parent).free
    if free < 1.05 * needed:
        raise OSError(f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")
    with whole(target) as beside:
        beside.mkdir()
        for file in files:
            shutil.copyfile(file, beside / file.name)
