"""Whether a place that a user names can be written, asked before the work that would be lost."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tli.errors import TliError


def assert_free(output: str | Path, option: str = "--output") -> None:
    """Raises TliError where `output` is there, or cannot be made."""
    if os.path.lexists(output):
        raise TliError(f"{output} is there already; name a folder that is not")
    assert_can_be_made(output, option)


def assert_can_be_made(output: str | Path, option: str = "--output") -> None:
    """Raises TliError where no file or folder of this name can be made. It is tried: rights do not tell all."""
    above = next(place for place in Path(output).absolute().parents if os.path.lexists(place))
    try:
        Path(tempfile.mkdtemp(prefix=".", dir=above)).rmdir()
    except OSError as error:
        why = "is no folder" if not above.is_dir() else f"takes no new files ({os.strerror(error.errno or 0)})"
        raise TliError(f"{option} {output}: cannot be written, {above} {why}; name another place") from None
