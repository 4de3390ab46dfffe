"""Transfer: what else the training changed. The harness's tasks, item by item, and perplexity, before and after."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from tli.bench import Bench, write_answers
from tli.errors import ItemError
from tli.experiment.elsewhere import Elsewhere
from tli.experiment.folds import Splits
from tli.experiment.grid import BASELINE
from tli.experiment.inside import read_maps_inside
from tli.experiment.job import TransferJob
from tli.experiment.trained import read_trained
from tli.io import tables
from tli.io.records import read_check
from tli.log import say
from tli.probes import task_items
from tli.probes.base import Setting
from tli.probes.registry import PROBES, answers
from tli.probes.translate import TranslateProbe
from tli.subjects import baseline


def run(job: TransferJob) -> dict:
    """Score the part's baselines and runs on every task, and take the perplexity on the shipped sentences of the pair's languages.

    Writes transfer (one row a run, task and item), generation (the metrics of tasks without choices), perplexity, text (one row a
    sentence) and translate (one row a word and direction), and leaves the translation's tasks in a folder. The items
    are checked before the model is loaded; what the store holds is not scored again. Returns the facts for the provenance.
    Raises ItemError.
    """
    check, spec = read_check(job.inputs["check"]), job.spec
    if not check.causal:
        raise ItemError(
            f"models.{job.model}: is an encoder; tasks, perplexity and translation need a causal language model. Leave it out, or set "
            "transfer.tasks: [] and no transfer.translate"
        )
    if spec.source != task_items.HUB:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    task_items.check_data(list(spec.tasks), spec.source, spec.question_from, spec.num_fewshot)
    subjects = [baseline(job.model, job.pair, name, quantized=name == BASELINE) for name in job.content.baselines]
    once = [(seed, fold) for seed, fold in job.experiment.judged if fold <= 1]  # as of runs: a fold a seed
    subjects += read_maps_inside(job, check.layers, once)
    if spec.translate and job.experiment.has_folds:  # it is asked the words of each fold
        judged = [(name, *place) for name in job.content.baselines for place in job.experiment.judged]
        subjects += [baseline(job.model, job.pair, name, quantized=name == BASELINE, seed=seed, fold=fold) for name, seed, fold in judged]
    subjects += [read_trained(job.layout, run).subject for run in job.content.runs]
    with tempfile.TemporaryDirectory(prefix="tli-transfer-") as scratch:
        lists: dict[str, Any] = {"splits": Splits.read(job.inputs).of, "elsewhere": Elsewhere.read(job).of} if spec.translate else {}
        setting = Setting(
            model=job.model_spec,
            check=check,
            pair=job.pair,
            scratch=Path(scratch),
            transfer=spec,
            texts=job.texts,
            **lists,
            has_folds=job.experiment.has_folds,
        )
        probes = [probe for kind in PROBES["transfer"] for probe in kind.of(setting)]
        bench = Bench(job.model_spec, job.layout.store, probes)
        parts = bench.measure_all(subjects, "transfer")
    if BASELINE in job.content.baselines:
        for probe in probes:
            if isinstance(probe, TranslateProbe):
                probe.write(job.layout.translate_tasks(job.model, job.pair), *job.experiment.judged[0])
    if parts.get("items"):
        parts["items"] = [unpair_unlike(tables.joined(parts["items"], tables.TRANSFER))]
    write_answers(parts, answers("transfer"), job.layout.part("transfer", job.model, job.pair, job.part))
    return {"device": bench.device} if bench.device else {}


def unpair_unlike(table: pd.DataFrame) -> pd.DataFrame:
    """Take aligned_id off the tasks of a data set whose labels disagree for the same item: they are not translations.

    table: TRANSFER of tli.io.tables. Where two tasks share aligned_id's and one label differs, both lose theirs.
    """
    named = table.loc[table["aligned_id"] != "", ["task", "aligned_id", "label"]].drop_duplicates()
    both = named.merge(named, on="aligned_id", suffixes=("", "_other"))
    unlike = set(both.loc[both["label"] != both["label_other"], "task"])
    for task in sorted(unlike):
        say(f"transfer: NOTE: {task}: its labels differ from those of another language for the same items; it is compared unpaired")
    return table.assign(aligned_id=table["aligned_id"].mask(table["task"].isin(unlike), ""))
