"""Across: every adapter, and the base model, on lists that may be another pair's. One load serves all of them."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from tli.bench import Bench, write_answers
from tli.experiment.columns import Columns
from tli.experiment.folds import Splits
from tli.experiment.grid import BASELINE
from tli.experiment.job import AcrossJob
from tli.experiment.trained import read_trained
from tli.io.records import read_check
from tli.log import say
from tli.probes.base import Setting
from tli.probes.registry import PROBES, answers
from tli.subjects import baseline


def run(job: AcrossJob) -> dict:
    """Measure the part's baselines and runs on every list of `evaluation.on`; write similarities (tables.ACROSS) and metrics.

    What the store holds is not measured again. Returns the facts for the provenance. Raises LexiconError, before the model is opened,
    for a list on which no word is left to measure.
    """
    experiment, spec, content = job.experiment, job.spec, job.content
    columns = Columns({pair: Splits.read(job.list_paths(pair)) for pair in job.lists}, experiment.trained_pairs)
    for on in spec.on:
        first, *_ = [columns.of(on, seed, fold) for seed, fold in experiment.judged]
        say(
            f"across: {on}: {first.asked.sum()} words among {' and '.join(map(str, first.pool.candidates.rivals))} forms that no list trains"
        )
    subjects = [
        baseline(job.model, "", name, quantized=name == BASELINE, seed=seed, fold=fold)
        for name in content.baselines
        for seed, fold in experiment.judged
    ]
    subjects += [read_trained(job.layout, run).subject for run in content.runs]
    with tempfile.TemporaryDirectory(prefix="tli-across-") as scratch:
        asked = spec, {on: partial(columns.of, on) for on in spec.on}
        setting = Setting(model=job.model_spec, check=read_check(job.inputs["check"]), pair="", scratch=Path(scratch), across=asked)
        probes = [probe for kind in PROBES["across"] for probe in kind.of(setting)]
        bench = Bench(job.model_spec, job.layout.store, probes, merge=spec.merge)
        parts = bench.measure_all(subjects, "across")
    write_answers(parts, answers("across"), Path(job.outputs["metrics"]).parent)
    return {"word_form": job.model_spec.word_form} | ({"device": bench.device} if bench.device else {})
