"""What change an experiment will find with 80 % power, before it is run, and what more seeds or folds would buy."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from tli import lexicon
from tli.errors import TliError
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.experiment.settings import statistics_spec
from tli.io import table_files, tables
from tli.statistics import power

OFFERED_FOLDS = 5  # what is offered to a config without folds


def foresight(experiment: Experiment) -> list[str]:
    """Lines: where the variances are from, then for each list the planned design and others that cost more.

    The variances are those of the results folder where a run is finished, else power.Variances: the demo's.
    """
    if not _cells(experiment):
        return []
    source = (
        f"of the finished run in {experiment.config.results}"
        if _earlier(experiment).exists()
        else "of the demo, since nothing is finished here"
    )
    lines = [f"power of the whole claim, variances {source}:"]
    lists = _Lists(experiment)
    for pair in _measured(experiment):
        try:
            lines += [f"  {pair}: {sentence}" for sentence in _designs(experiment, lists, pair)]
        except TliError as error:
            lines.append(f"  {pair}: is known once its list can be read: {str(error).splitlines()[0]}")
    return lines


def planned(experiment: Experiment) -> list[str]:
    """What the planned design will find, a sentence for each list that can be read."""
    sentences, lists = list[str](), _Lists(experiment)
    for pair in _measured(experiment):
        with suppress(TliError):
            sentences.append(f"{pair}: {_designs(experiment, lists, pair)[0]}")
    return sentences


def _designs(experiment: Experiment, lists: _Lists, pair: str) -> list[str]:
    """The planned design of a list, then others. Raises TliError for a list that cannot be read, or is still to be fetched."""
    config, earlier = experiment.config, _earlier(experiment)
    variances = power.variances_of(table_files.read(earlier)) if earlier.exists() else power.Variances()
    listed = lists.split(pair)
    folds = (config.pairs[pair].split or config.split).folds
    dealt = listed[listed["split"].isin(["train", "heldout"])]["component"].nunique()
    units = {1: listed[listed["split"] == "heldout"]["component"].nunique(), (folds if folds > 1 else OFFERED_FOLDS): dealt}
    with_placebo = any(run.placebo_of for run in experiment.runs)
    design = power.Design(len(config.seed_list), units[folds], folds, len(_cells(experiment)), with_placebo)
    return power.plan_power(units, design, variances, statistics_spec(config))["sentence"].tolist()


def _cells(experiment: Experiment) -> set[tuple[str, str, str, str, str]]:
    """The family: the cells that carry a claim."""
    return {(run.model, run.pair, run.arm, run.layer, run.rank) for run in experiment.runs if not run.control}


def _measured(experiment: Experiment) -> list[str]:
    """The pairs of which a claim is made: an arm may be trained on some of them only."""
    cells = _cells(experiment)
    return [pair for pair in experiment.config.pairs if any(cell[1] == pair for cell in cells)]


def _earlier(experiment: Experiment) -> Path:
    return Path(experiment.layout.statistics()["power"])


class _Lists:
    """The lists with their splits; those that no job has split yet are split here, in memory, each once."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self._union = lexicon.Union()
        self._added: dict[str, TliError | None] = {}  # of each list that was added, why it could not be

    def split(self, pair: str) -> pd.DataFrame:
        """The pairs of a list, tables.PAIRS. Raises TliError for one that cannot be read, or is still to be fetched."""
        path = Path(self.experiment.layout.lexicon(pair)["pairs"])
        if path.exists():
            return table_files.read(path, tables.PAIRS)
        job: Any = Job.of(self.experiment, "lexicon", pair=pair)
        for name, (files, spec) in job.lists.items():
            if name not in self._added:
                self._added[name] = None
                try:
                    self._union.add(name, files, spec)
                except TliError as error:
                    self._added[name] = error
            if (failed := self._added[name]) is not None:
                raise failed
        return self._union.prepared(pair).pairs
