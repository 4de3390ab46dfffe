"""Weights on the node's own disk: copied there once, read from there by every job of the node. Optional. No torch.

    export TLI_NODE_DISK='$TMPDIR'      # or a folder such as /scratch/local; single quotes: each node fills in its own

Worth it where many jobs read a large model from a slow shared file system. Without the variable nothing is copied.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import replace
from pathlib import Path

from tli.io.atomic import whole
from tli.log import say
from tli.model.files import identity
from tli.specs import ModelSpec

VARIABLE = "TLI_NODE_DISK"
KINDS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")


def staged(spec: ModelSpec, folder: Path | None) -> ModelSpec:
    """The model with `source` on the node's disk; as it was where that is not asked for or has no room.

    folder: where the model's files lie now, None where they are not on disk. The copy's name is a digest of the model, so a
    changed model is copied again. Two jobs that begin together copy once.
    """
    disk = os.path.expandvars(os.environ.get(VARIABLE, ""))
    if not disk or "$" in disk or folder is None:
        return spec
    place = Path(disk) / "tli-weights"
    files = sorted({file for kind in KINDS for file in Path(folder).glob(kind)})
    try:
        target = place / identity(folder)[:20]
        place.mkdir(parents=True, exist_ok=True)
        with (place / f"{target.name}.lock").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            if not target.is_dir():
                needed, free = sum(file.stat().st_size for file in files), shutil.disk_usage(place).free
                if free < 1.05 * needed:
                    raise OSError(f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")
                with whole(target) as beside:
                    beside.mkdir()
                    for file in files:
                        shutil.copyfile(file, beside / file.name)
    except OSError as error:
        say(f"{VARIABLE}={disk}: not used, the weights are read from {folder} ({error})")
        return spec
    return replace(spec, source=str(target), revision=None)
