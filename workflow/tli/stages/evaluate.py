"""Evaluate: the words before and after training, at the output and at the loss layer. One load serves all adapters."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pandas as pd

from tli import facts
from tli.bench import Bench, write_answers
from tli.experiment.elsewhere import Elsewhere
from tli.experiment.folds import Splits
from tli.experiment.grid import BASELINE, GridRun
from tli.experiment.inside import read_maps_inside
from tli.experiment.job import EvaluateJob
from tli.experiment.layer import resolve_layer
from tli.experiment.trained import TrainedRun, read_trained
from tli.io import table_files, tables
from tli.io.records import read_check
from tli.probes.base import Setting
from tli.probes.registry import PROBES, answers
from tli.probes.words import states_of
from tli.subjects import baseline

SETTINGS = ("objective", "margin", "learning_rate", "epochs", "batch_size", "warmup_steps", "alpha", "dropout")  # of a run, in runs.tsv


def run(job: EvaluateJob) -> dict:
    """Ask the probes of the part's baselines and runs, and write their answers, the runs and their losses.

    The baselines are measured at every loss layer of the grid for this model and pair. What the store holds is not measured
    again. Returns the facts for the provenance.
    """
    check, spec, judged = read_check(job.inputs["check"]), job.spec, job.experiment.judged
    trained = [read_trained(job.layout, run) for run in job.content.runs]
    asked = loss_layers(job, check.layers)
    subjects = [
        baseline(job.model, job.pair, name, quantized=name == BASELINE, seed=seed, fold=fold)
        for name in job.content.baselines
        for seed, fold in judged
    ]
    states = {subject.run: states_of(spec.hidden_states, check.layers, asked) for subject in subjects}
    for subject in read_maps_inside(job, check.layers, judged):
        at = int(subject.layer)  # where the map stands
        states[subject.run] = [state for state in states_of(spec.hidden_states, check.layers, [at]) if state >= at]
        subjects += [subject] if states[subject.run] else []  # below it the model is unchanged
    subjects += [one.subject for one in trained]
    states |= {one.run.run: states_of(spec.hidden_states, check.layers, [one.record["loss_layer"]]) for one in trained}
    projected = {one.subject.place for one in trained if one.run.run in job.experiment.projected_runs(job.model, job.pair)}
    projected |= {(name, *judged[0]) for name in job.content.baselines}
    with tempfile.TemporaryDirectory(prefix="tli-evaluate-") as scratch:
        setting = Setting(
            model=job.model_spec,
            check=check,
            pair=job.pair,
            scratch=Path(scratch),
            measure=spec,
            splits=Splits.read(job.inputs).of,
            elsewhere=Elsewhere.read(job).of,
            states=states,
            projected=frozenset(projected),
        )
        probes = [probe for kind in PROBES["evaluate"] for probe in kind.of(setting)]
        bench = Bench(job.model_spec, job.layout.store, probes, merge=spec.merge)
        parts = bench.measure_all(subjects, "evaluate")
    write_answers(parts, answers("evaluate"), job.layout.part("evaluate", job.model, job.pair, job.part))
    _write_runs(trained, job.outputs)
    for one in trained:
        # The declared weights go when Snakemake is through with them; the store's name for them goes now.
        shutil.rmtree(Path(job.layout.store) / "train" / one.record["unit"] / "weights", ignore_errors=True)
    return {"word_form": job.model_spec.word_form} | ({"device": bench.device} if bench.device else {})


def loss_layers(job: EvaluateJob, layers: int) -> list[int]:
    """The hidden state of every loss layer of the grid; `best` is a state for each set of lists that chooses one for this pair."""
    found = []
    for layer in job.experiment.layers_asked:
        chosen_by = job.experiment.chosen_by(job.pair) if layer == "best" else [(job.pair,)]
        found += [resolve_layer(layer, layers, job.choices(lists)) for lists in chosen_by]
    return found


def _write_runs(trained: list[TrainedRun], outputs: dict) -> None:
    rows = [_row(one.run, one.record, one.adapter) for one in trained]
    table_files.write(pd.DataFrame(rows, columns=tables.RUNS), outputs["runs"], tables.RUNS)
    losses = [tables.of_run(pd.read_parquet(one.losses), one.run) for one in trained]
    table_files.write(tables.joined(losses, tables.LOSSES), outputs["losses"], tables.LOSSES)


def _row(run: GridRun, record: dict, adapter: str) -> dict:
    """A run as runs.tsv has it: as the grid asks for it, what was trained, and with which settings."""
    asked = {name: getattr(run, name) for name in tables.GRID}
    settings = {name: record["settings"][name] for name in SETTINGS}
    settings |= {"anchor_weight": (record["settings"].get("anchor") or {}).get("weight")}
    settings |= {"trained_on": facts.JOINED.join(record["settings"].get("train_on", [run.pair]))}
    return {name: record[name] for name in tables.RUNS if name in record} | asked | settings | {"same_as": "", "adapter": adapter}
