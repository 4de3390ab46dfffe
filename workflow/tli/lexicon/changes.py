"""The record of all that cleaning did to a list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

CHANGES = ["action", "file", "line", "field", "before", "after", "reason"]


class Changes:
    """Collects records about rows of `raw` (index 0, 1, ...; columns file and line)."""

    def __init__(self, raw: pd.DataFrame):
        self._places = raw[["file", "line"]]
        self._tables: list[pd.DataFrame] = []

    def add(self, rows: Any, action: str, field: str, before: Any, after: Any, reason: Any) -> None:
        """A record for each of `rows` (index of raw); `before`, `after`, `reason`: a text for all, or one for each."""
        rows = pd.Index(rows)
        if not len(rows):
            return
        places = self._places.iloc[rows]
        texts = {"before": before, "after": after, "reason": reason}
        texts = {name: value if isinstance(value, str) else np.asarray(value, dtype=object) for name, value in texts.items()}
        self._tables.append(
            pd.DataFrame(
                {
                    "row": rows,
                    "action": action,
                    "file": places["file"].to_numpy(),
                    "line": places["line"].to_numpy(),
                    "field": field,
                    **texts,
                }
            )
        )

    def table(self) -> pd.DataFrame:
        """All records (CHANGES) in the order of the raw rows."""
        table = pd.concat(self._tables) if self._tables else pd.DataFrame(columns=["row", *CHANGES])
        return table.sort_values("row", kind="stable")[CHANGES].reset_index(drop=True)
