"""A finished run as others are told of it: its experiment, all that the report is made from, and the figures of single runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from tli.experiment import Experiment
from tli.experiment.grid import GridRun
from tli.experiment.remembered import remembered
from tli.experiment.results import finished
from tli.io import table_files, tables
from tli.io.provenance import read_records
from tli.report.input import ReportInput
from tli.report.selection import Cell, Endpoint, endpoint, kept_runs, rows
from tli.stages.report import report_input


@dataclass(frozen=True, eq=False)
class Finished:
    """What a results folder holds."""

    experiment: Experiment
    report: ReportInput
    records: tuple[dict[str, Any], ...] = ()  # of the jobs, oldest first

    @classmethod
    def of(cls, results: str | Path) -> Finished:
        """Raises TliError for a folder that no run wrote. What is not finished is named in `report.missing`."""
        experiment = remembered(results)
        records = tuple(read_records(experiment.layout.provenance()))
        return cls(experiment, report_input(experiment, partial=True), records)

    @cached_property
    def translations(self) -> pd.DataFrame:
        """Every word that was asked for by prompt (tables.TRANSLATE)."""
        if not self.experiment.translates:
            return pd.DataFrame(columns=tables.TRANSLATE)
        layout = self.experiment.layout
        places = [(*key, part) for key in self.experiment.model_pairs for part in self.experiment.parts("transfer", *key)]
        files = [layout.measured("transfer", *place)["translate"] for place in finished(layout, places, "transfer", "translate")]
        return tables.joined([table_files.read(file) for file in files], tables.TRANSLATE)

    @cached_property
    def date(self) -> str:
        """When the last result was finished, ISO 8601 in UTC; "" where nobody knows."""
        return max((str(one["finished"]) for one in self.records if one.get("finished")), default="")

    def is_demo(self, model: str) -> bool:
        """Whether a model is too small for any claim."""
        return self.report.experiment.model(model).demo

    def cell(self, run: GridRun) -> Cell:
        """The cell of a run."""
        return Cell(run.model, run.pair, run.arm, run.layer, run.rank)

    def place(self, run: GridRun) -> Endpoint | None:
        """Where claims are made of a run's model and pair."""
        return endpoint(self.report.tables, run.model, run.pair)

    def kept(self, run: GridRun) -> str:
        """The run under whose name a run's figures stand: its own, or the one with which it is the same by construction."""
        own = rows(self.report.tables.runs, model=run.model, pair=run.pair, run=run.run)
        return str(kept_runs(own).iloc[0]) if len(own) else run.run

    def words(self, run: GridRun, of: str) -> pd.Series | None:
        """The figures (tables.METRICS, tables.POOLS) of held-out words at the endpoint: of the run itself (`of` its name), or of its baseline.

        With folds the figures of its own fold. None where they were not measured.
        """
        place = self.place(run)
        if place is None:
            return None
        found = rows(self.report.tables.metrics, model=run.model, pair=run.pair, hidden_state=place.hidden_state, **place.heldout, run=of)
        own = found[(found["seed"] == run.seed) & (found["fold"] == run.fold)]
        found = own if len(own) else found[found["seed"] == -1]
        return found.iloc[0] if len(found) else None

    def harm(self, run: GridRun) -> pd.DataFrame:
        """The rise of cross-entropy of a run's cell, over its seeds: a row a language (tables.HARM)."""
        return rows(self.report.tables.harm, **self.cell(run).columns)

    def verdict(self, run: GridRun) -> dict[str, Any] | None:
        """The verdict of a run's cell (tables.VERDICTS); None for controls, and where nothing was tested."""
        found = rows(self.report.tables.verdicts, **self.cell(run).columns).to_dict("records")
        return found[0] if found else None

    def lines(self, run: GridRun) -> pd.DataFrame:
        """The lines under the verdict of a run's cell (tables.VERDICT_LINES)."""
        return rows(self.report.tables.lines, **self.cell(run).columns)
