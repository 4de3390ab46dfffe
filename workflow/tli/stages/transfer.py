"""Transfer: what else the training changed. The harness's tasks, item by item, and perplexity, before and after."""

from __future__ import annotations

import os
import tempfile
from importlib import metadata
from pathlib import Path

import pandas as pd

from tli.bench import Bench
from tli.errors import ItemError
from tli.experiment.grid import BASELINE
from tli.experiment.job import TransferJob
from tli.experiment.trained import read_trained
from tli.io import tables
from tli.io.records import CheckRecord, read_check
from tli.log import say
from tli.probes import harness, task_items
from tli.probes.perplexity import PerplexityProbe, shipped_sentences
from tli.probes.scoring import Harness, TaskProbe
from tli.specs import STAGE_VERSIONS
from tli.subjects import baseline


def run(job: TransferJob) -> dict:
    """Score the part's baselines and runs on every task, and take the perplexity on the shipped sentences of the pair's languages.

    Writes transfer (one row a run, task and item), generation (the metrics of tasks without choices) and perplexity. The items
    are checked before the model is loaded; what the store holds is not scored again. Returns the facts for the provenance.
    Raises ItemError.
    """
    check, spec = read_check(job.inputs["check"]), job.spec
    if not check.causal:
        raise ItemError(
            f"models.{job.model}: is an encoder; tasks and perplexity need a causal language model. Leave it out, or set transfer.tasks: []"
        )
    if spec.source != task_items.HUB:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    task_items.check_data(list(spec.tasks), spec.source, spec.question_from, spec.num_fewshot)
    subjects = [baseline(job.model, job.pair, name, quantized=name == BASELINE) for name in job.content.baselines]
    subjects += [read_trained(job.layout, run).subject for run in job.content.runs]
    with tempfile.TemporaryDirectory(prefix="tli-transfer-") as scratch:
        probes = _probes(job, check, Path(scratch))
        bench = Bench(job.model_spec, job.layout.store, probes)
        parts: dict[str, list] = {"items": [], "values": [], "perplexity": []}
        for number, (subject, folders, made) in enumerate(bench.measure(subjects), 1):
            say(f"transfer: {subject.run} ({number} of {len(subjects)}): {made} of {len(probes)} measured, the others taken from the store")
            for file in (file for folder in folders for file in folder.glob("*.parquet")):
                parts[file.stem].append(tables.of_run(pd.read_parquet(file), subject))
    written = unpair_unlike(tables.joined(parts["items"], tables.TRANSFER))
    tables.write(written, job.outputs["transfer"], tables.TRANSFER)
    tables.write(tables.joined(parts["values"], tables.GENERATION), job.outputs["generation"], tables.GENERATION)
    tables.write(tables.joined(parts["perplexity"], tables.PERPLEXITY), job.outputs["perplexity"], tables.PERPLEXITY)
    return {"device": bench.device} if bench.device else {}


def _probes(job: TransferJob, check: CheckRecord, scratch: Path) -> list:
    spec, model = job.spec, job.model_spec
    add_bos = check.bos if spec.add_bos is None else spec.add_bos
    sentences = {language: texts for language in job.pair.split("-") if (texts := shipped_sentences(language))}
    say(
        f"transfer: BOS before each prompt: {'yes' if add_bos else 'no'}; perplexity on sentences in {', '.join(sentences) or 'no language'}"
    )
    depends = {
        "version": STAGE_VERSIONS["transfer"],
        "identity": check.identity,
        "dtype": model.dtype,
        "harness": metadata.version("lm_eval"),
    }
    scored = {"add_bos": add_bos, "limit": spec.limit, "num_fewshot": spec.num_fewshot}
    around = Harness(spec.batch_size, add_bos)

    def build(task: str):
        return harness.build(task, spec.source, spec.question_from, spec.num_fewshot, scratch)

    tasks = [
        TaskProbe(
            task=task,
            depends=depends | scored | {"data": harness.data_digest(task, spec.source, spec.question_from, spec.num_fewshot)},
            quantization=model.quantization,
            harness=around,
            build=build,
            limit=spec.limit,
        )
        for task in spec.tasks
    ]
    return [PerplexityProbe(depends, model.quantization, sentences), *tasks]


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
