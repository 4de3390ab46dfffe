"""Evaluate: the words before and after training, at the output and at the loss layer. One load serves all adapters."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from tli.bench import Bench
from tli.experiment.folds import Splits
from tli.experiment.grid import BASELINE, GridRun
from tli.experiment.job import EvaluateJob
from tli.experiment.layer import resolve_layer
from tli.experiment.trained import TrainedRun, read_trained
from tli.io import tables
from tli.io.records import read_check
from tli.log import say
from tli.probes.words import WordsProbe, states_of
from tli.subjects import Subject, baseline

SETTINGS = ("objective", "margin", "learning_rate", "epochs", "batch_size", "warmup_steps", "alpha", "dropout")  # of a run, in runs.tsv


def run(job: EvaluateJob) -> dict:
    """Measure the part's baselines and runs and write similarities, metrics, projections, runs and losses.

    The baselines are measured at every loss layer of the grid for this model and pair. What the store holds is not measured
    again. Returns the facts for the provenance.
    """
    check, spec = read_check(job.inputs["check"]), job.spec
    splits = Splits.read(job.inputs)
    trained = [read_trained(job.layout, run) for run in job.content.runs]
    asked = [resolve_layer(layer, check.layers, job.inputs["choice"]) for layer in job.experiment.layers_asked]
    subjects = [
        baseline(job.model, job.pair, name, quantized=name == BASELINE, seed=seed, fold=fold)
        for name in job.content.baselines
        for seed, fold in job.experiment.judged
    ]
    states = {subject.run: states_of(spec.hidden_states, check.layers, asked) for subject in subjects}
    subjects += [one.subject for one in trained]
    states |= {one.run.run: states_of(spec.hidden_states, check.layers, [one.record["loss_layer"]]) for one in trained}
    projected = {one.subject.place for one in trained if one.run.run in job.experiment.projected_runs(job.model, job.pair)}
    projected |= {(name, *job.experiment.judged[0]) for name in job.content.baselines}
    probe = WordsProbe(spec, job.model_spec, check.identity, splits.of, states, frozenset(projected))
    bench = Bench(job.model_spec, job.layout.store, [probe], merge=spec.merge)
    answers = []
    for number, (subject, (folder,), made) in enumerate(bench.measure(subjects), 1):
        say(f"evaluate: {subject.run} ({number} of {len(subjects)}) {'measured' if made else 'taken from the store'}")
        answers.append((subject, folder))
    _write(answers, trained, job.outputs)
    for one in trained:
        # The declared weights go when Snakemake is through with them; the store's name for them goes now.
        shutil.rmtree(Path(job.layout.store) / "train" / one.record["unit"] / "weights", ignore_errors=True)
    return {"device": bench.device} if bench.device else {}


def _write(answers: list[tuple[Subject, Path]], trained: list[TrainedRun], outputs: dict) -> None:
    def gathered(file: str) -> list[pd.DataFrame]:
        there = [(subject, folder / file) for subject, folder in answers if (folder / file).exists()]
        return [tables.of_run(pd.read_parquet(path), subject) for subject, path in there]

    tables.write(tables.joined(gathered("rows.parquet"), tables.SIMILARITIES), outputs["similarities"], tables.SIMILARITIES)
    tables.write(tables.joined(gathered("figures.parquet"), tables.RUN_METRICS), outputs["metrics"], tables.RUN_METRICS)
    tables.write(tables.joined(gathered("strata.parquet"), tables.STRATA), outputs["strata"], tables.STRATA)
    tables.write(tables.joined(gathered("projections.parquet"), tables.PROJECTIONS), outputs["projections"], tables.PROJECTIONS)
    rows = [_row(one.run, one.record, one.adapter) for one in trained]
    tables.write(pd.DataFrame(rows, columns=tables.RUNS), outputs["runs"], tables.RUNS)
    losses = [tables.of_run(pd.read_parquet(one.losses), one.run) for one in trained]
    tables.write(tables.joined(losses, tables.LOSSES), outputs["losses"], tables.LOSSES)


def _row(run: GridRun, record: dict, adapter: str) -> dict:
    """A run as runs.tsv has it: as the grid asks for it, what was trained, and with which settings."""
    asked = {name: getattr(run, name) for name in tables.GRID}
    settings = {name: record["settings"][name] for name in SETTINGS}
    return {name: record[name] for name in tables.RUNS if name in record} | asked | settings | {"same_as": "", "adapter": adapter}
