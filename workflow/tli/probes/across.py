"""Any adapter on any list: a list's held-out words among forms that no list of the experiment trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tli.io import tables
from tli.probes.base import Answer, Probe


@dataclass(eq=False)
class AcrossProbe(Probe):
    """One list, asked of every subject of a model."""

    kind: ClassVar[str] = "across"
    answers: ClassVar[dict[str, Answer]] = {
        "rows": Answer("similarities.parquet", tuple(tables.ACROSS)),
        "figures": Answer("metrics.tsv", tuple(tables.ACROSS_METRICS)),
    }
