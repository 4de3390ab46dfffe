"""A run of the grid that was trained: its record, its files, and the subject that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tli.experiment.grid import GridRun
from tli.experiment.layout import Layout
from tli.io.records import read_json
from tli.subjects import Subject


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A run of the grid and what its training left behind."""

    run: GridRun
    record: dict[str, Any]  # what the train stage wrote of it
    folder: str
    adapter: str  # the PEFT folder, below the results folder; "" for full fine-tuning

    @property
    def losses(self) -> str:
        return f"{self.folder}/losses.parquet"

    @property
    def subject(self) -> Subject:
        run = self.run
        names = {name: getattr(run, name) for name in ("model", "pair", "arm", "layer", "rank", "seed", "fold", "run")}
        return Subject(**names, unit=self.record["unit"], folder=Path(self.folder), is_full=run.is_full, quantized=not run.is_full)


def read_trained(layout: Layout, run: GridRun) -> TrainedRun:
    """Raises TableError where it was not trained yet."""
    place = run.model, run.pair, run.run
    record = read_json(layout.record(*place), "a run's record; run the stage train first")
    folder = layout.run(*place)
    below = folder.removeprefix(f"{layout.results}/")
    return TrainedRun(run, record, folder, "" if run.is_full else f"{below}/adapter")
