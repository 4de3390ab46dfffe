"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path`; it takes the place of `path` only when the block ends without an error.

    Works for a file and for a folder. A reader sees the old thing or the new thing, never half of one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is there before the folder, and the folder inside the `try`: a signal at any moment leaves nothing behind.
    beside = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    made, old = beside / path.name, beside / f"{path.name}.old"
    try:
        beside.mkdir(mode=0o700)
        yield made
        for file in [made, *made.rglob("*")]:  # a machine that goes down must not leave names without their content
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        if made.is_dir() and path.is_dir():
            path.rename(old)
        made.replace(path)
    finally:
        if old.exists() and not path.exists():  # struck between the two
            old.rename(path)
        shutil.rmtree(beside, ignore_errors=True)
