"""Lists that are one list under two names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from tli.lexicon.forms import fail


def same_list(files: list) -> pd.DataFrame:
    """Every two of `files` that are one list: file, other, same_bytes, shared_lines (share of the shorter one's lines).

    Listed are pairs of files that are equal byte for byte or share at least half of their lines: the list of one
    language under the name of another.
    """
    files = [str(file) for file in files]
    digests, lines = [], []
    for file in files:
        if not Path(file).is_file():
            raise fail("there is no such file", "check the path", file=file)
        data = Path(file).read_bytes()
        digests.append(hashlib.sha256(data).digest())
        lines.append({line.strip() for line in data.split(b"\n") if line.strip()})
    rows = []
    for place, file in enumerate(files):
        for after in range(place + 1, len(files)):
            shorter = max(1, min(len(lines[place]), len(lines[after])))
            shared = len(lines[place] & lines[after]) / shorter
            same = digests[place] == digests[after]
            if (same or shared >= 0.5) and Path(file).resolve() != Path(files[after]).resolve():
                rows.append((file, files[after], same, shared))
    return pd.DataFrame(rows, columns=["file", "other", "same_bytes", "shared_lines"])
