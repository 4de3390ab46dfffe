"""Finished units of work, kept beside the declared outputs, so that a killed job goes on where it stopped.

Snakemake deletes a job's outputs before it starts and when it fails. A unit (one seed of a cell, one adapter measured on a
pair, one task on an adapter) lies here instead, in a folder named by a digest of all that it depends on, and is copied
into the outputs. A second copy of a job finds the unit or makes it again: either way the result is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from tli.io.atomic import whole


def digest(key: object) -> str:
    """SHA-256 (64 hexadecimal digits) of a value made of plain JSON types; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(key, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()).hexdigest()


def find(store: Path, kind: str, key: dict) -> Path | None:
    """The folder of the unit that depends on `key`, or None where it is not finished."""
    folder = Path(store) / kind / digest(key)
    return folder if folder.is_dir() else None


@contextmanager
def make(store: Path, kind: str, key: dict) -> Iterator[Path]:
    """Yield an empty folder; what is written there becomes the unit when the block ends without an error."""
    final = Path(store) / kind / digest(key)
    with whole(final) as folder:
        folder.mkdir()
        yield folder
        (folder / "unit.json").write_text(json.dumps(key, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")


def get(store: Path, kind: str, key: dict, build: Callable[[Path], None]) -> tuple[Path, bool]:
    """The unit's folder, built by `build(folder)` where it is not there yet, and whether it was built now."""
    found = find(store, kind, key)
    if found is not None:
        return found, False
    with make(store, kind, key) as folder:
        build(folder)
    return Path(store) / kind / digest(key), True


def sweep(store: Path, idle: float = 86_400) -> int:
    """Remove what killed processes left: hidden folders, half written, in which nothing changed for `idle` seconds, and
    checkpoints of trainings that nobody went on with for thirty times as long. Returns how many.
    """
    found = [(folder, idle) for folder in Path(store).glob("*/.*") if folder.is_dir()]
    found += [(folder, 30 * idle) for folder in Path(store).glob("checkpoints/[!.]*")]
    dead = [f for f, limit in found if time.time() - max(p.stat().st_mtime for p in [f, *f.rglob("*")]) > limit]
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    return len(dead)


def copy(unit: Path, output: Path) -> None:
    """Put a copy of one file or folder of a unit at `output`, whole."""
    with whole(output) as beside:
        if Path(unit).is_dir():
            shutil.copytree(unit, beside)
        else:
            shutil.copyfile(unit, beside)


def link(unit: Path, output: Path) -> None:
    """As `copy` for a folder, with hard links: both names are one file. Copies where the file system cannot link."""
    with whole(output) as beside:
        try:
            shutil.copytree(unit, beside, copy_function=os.link)
        except (OSError, shutil.Error):
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(unit, beside)


def digest_table(table: pd.DataFrame) -> str:
    """Digest of a table's cells and columns, independent of its index."""
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
