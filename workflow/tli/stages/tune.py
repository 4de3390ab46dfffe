"""Tune: the trials of one cell, trained with seeds of their own and judged on the select split; its runs take the best one's settings.

No held-out pair is read: a trial learns from the train split, and is asked the select pairs among their own forms. Of a joint training
the mean over its lists chooses.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from tli.bench import Bench
from tli.errors import CellError
from tli.experiment.folds import Splits
from tli.experiment.job import TuneJob
from tli.experiment.tuned import described
from tli.io import store, table_files, tables
from tli.io.records import read_json
from tli.log import say, warn
from tli.metrics.trial_choice import choose_trial, is_at_the_edge
from tli.model.device import device_name
from tli.probes.templates import TemplateProbe
from tli.probes.words import WordsProbe, states_of
from tli.specs import Member, TrainSpec, Trial
from tli.stages.cell import Cell
from tli.subjects import Subject


def run(job: TuneJob) -> dict:
    """Train and measure every seed of every trial that the store does not hold yet, and write the table of trials (tables.TRIALS).

    The model is opened twice at most: up to the loss layer for all trainings, whole for all measurements. Returns the facts for
    the provenance. Raises CellError for a list without select pairs.
    """
    tuning = _Tuning(job)
    facts = tuning.train()
    rows = tuning.measured()
    best = choose_trial(rows)
    table = rows.assign(chosen=rows["trial"] == best, **{name: getattr(job, name) for name in tables.CELL})
    table_files.write(table, job.outputs["trials"], tables.TRIALS)
    tuning.drop_weights()
    _say_what_was_chosen(job, table, best)
    return facts


@dataclass(frozen=True, eq=False)
class _Tried:
    """One seed of one trial."""

    number: int  # of the trial, from 1
    trial: Trial
    cell: Cell
    member: Member
    unit: str  # digest of its training
    folder: Path  # its unit of the store

    @property
    def subject(self) -> Subject:
        job, full = self.cell.job, self.cell.spec.is_full
        run = f"{job.arm}/layer-{job.layer}/rank-{job.rank}/trial-{self.number}/seed-{self.member.seed}"
        names: dict[str, Any] = {"model": job.model, "pair": job.pair, "arm": job.arm, "layer": job.layer, "rank": job.rank}
        return Subject(
            **names, seed=self.member.seed, fold=0, run=run, unit=self.unit, folder=self.folder, is_full=full, quantized=not full
        )

    @property
    def record(self) -> dict:
        return read_json(self.folder / "run.json", "a unit of the store; delete its folder")

    @property
    def is_trained(self) -> bool:
        return self.folder.is_dir()

    @property
    def failed(self) -> bool:
        return bool(self.record["failed"])


class _Tuning:
    """The trials of a job."""

    def __init__(self, job: TuneJob):
        self.job = job
        lists = {pair: splits.pairs for pair, splits in Splits.read_lists(job.lists, job.inputs).items()}
        lists = {pair: pairs[pairs["split"] != "heldout"] for pair, pairs in lists.items()}  # nothing below has them
        self.asked = {pair: pairs[pairs["split"] == "select"].reset_index(drop=True) for pair, pairs in lists.items()}
        for pair, asked in self.asked.items():
            if asked.empty:
                raise CellError(f"arms.{job.arm}.tune: {pair} has no select pairs to choose by; give split.shares.select a share")
        members = [Member(seed) for seed in job.tuning.seeds]
        units = Path(job.layout.store) / "train"
        self.tried: list[_Tried] = []
        for number, trial in enumerate(job.tuning.trials, 1):
            cell = Cell(job, trial.of(job.spec), members, {pair: Splits(pairs) for pair, pairs in lists.items()})
            digests = [store.digest(cell.key(member)) for member in members]
            self.tried += [_Tried(number, trial, cell, *one, units / one[1]) for one in zip(members, digests, strict=True)]
        self.state = states_of(job.measure.hidden_states, cell.check.layers, [])[0]

    @cached_property
    def probes(self) -> list[WordsProbe]:
        """Each asks the select pairs of a list: no other is in the list that it gets."""
        states = {one.subject.run: [self.state] for one in self.tried}
        identity = self.tried[0].cell.check.identity
        kind = TemplateProbe if self.job.measure.templates is not None else WordsProbe
        about = self.job.model_spec, identity
        return [kind(self.job.measure_of(pair), *about, partial(_always, asked), states) for pair, asked in self.asked.items()]

    def _is_done(self, one: _Tried) -> bool:
        """Whether it is trained, and measured or past measuring."""
        if not one.is_trained:
            return False
        store_of = Path(self.job.layout.store)
        return one.failed or all(store.find(store_of, probe.kind, probe.key(one.subject)) is not None for probe in self.probes)

    def train(self) -> dict:
        """What is not done yet; settings by settings on one opened model, which is closed again."""
        trainer, trials = None, list(dict.fromkeys(one.number for one in self.tried))
        for number in trials:
            todo = [one for one in self.tried if one.number == number and not self._is_done(one)]
            say(
                f"tune: trial {number} of {len(trials)}: {described(self.job.tuning, self._spec(number))}; {len(todo)} seeds to train or measure"
            )
            if todo:
                cell = Cell(self.job, todo[0].cell.spec, [one.member for one in todo], todo[0].cell.lists)
                trainer = cell.fill(trainer)
        facts = {"device": device_name(trainer.opened.device)} if trainer else {}
        del trainer
        gc.collect()  # the weights go before the whole model comes
        return facts

    def _spec(self, number: int) -> TrainSpec:
        return next(one.cell.spec for one in self.tried if one.number == number)

    def measured(self) -> pd.DataFrame:
        """One row a trial and seed: tables.TRIALS but for the cell and what was chosen."""
        job = self.job
        bench = Bench(job.model_spec, job.layout.store, self.probes, merge=job.measure.merge)
        asked = [one.subject for one in self.tried if not one.failed]
        values = {subject.run: self._value(folders) for subject, folders, _ in bench.measure(asked)}
        rows = []
        for one in self.tried:
            value, words = values.get(one.subject.run, (float("nan"), sum(map(len, self.asked.values()))))
            settings = {"learning_rate": one.trial.learning_rate, "epochs": one.trial.epochs, "weight": one.trial.weight}
            rows.append(
                {"trial": one.number, **settings, "seed": one.member.seed, "words": words, "value": value, "failed": one.failed}
                | {"unit": one.unit, "criterion": job.criterion, "hidden_state": self.state, "pooling": self.probes[0].pooling}
            )
        return pd.DataFrame(rows)

    def _value(self, folders: Sequence[Path]) -> tuple[float, int]:
        """The mean of the criterion over the lists, and the words that it rests on."""
        rows = [row for folder in folders for row in pd.read_parquet(folder / "figures.parquet").to_dict("records")]
        return sum(float(row[self.job.criterion]) for row in rows) / len(rows), sum(int(row["n"]) for row in rows)

    def drop_weights(self) -> None:
        """All weights of a full training are as large as the model, and a trial's are measured once."""
        for one in self.tried:
            shutil.rmtree(one.folder / "weights", ignore_errors=True)


def _always(pairs: pd.DataFrame, seed: int, fold: int) -> pd.DataFrame:
    """The same pairs for every seed and fold."""
    return pairs


def _say_what_was_chosen(job: TuneJob, table: pd.DataFrame, best: int) -> None:
    for number, rows in table.groupby("trial"):
        row = rows.iloc[0]
        settings = f"learning rate {row['learning_rate']:g}, {row['epochs']} epochs" + (
            f", weight {row['weight']:g}" if job.tuning.weights else ""
        )
        failed = f", {rows['failed'].sum()} of {len(rows)} failed" if rows["failed"].any() else ""
        say(
            f"tune: {settings}: {row['criterion']} {rows['value'].mean():.3f} of {row['words']} select words{failed}{' <- chosen' * (number == best)}"
        )
    chosen = table[table["trial"] == best].iloc[0]
    if chosen["failed"]:
        warn(f"arms.{job.arm}: every trial failed; its runs are trained with the smallest change")
    for name, values in (("learning_rate", job.tuning.learning_rates), ("epochs", job.tuning.epochs), ("weight", job.tuning.weights)):
        if is_at_the_edge(list(values), chosen[name]):
            warn(f"arms.{job.arm}.tune.{name}: {chosen[name]:g} is at the edge of what was tried; a better value may lie beyond")
