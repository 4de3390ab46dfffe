"""What was measured on tasks, in the form that the lm-evaluation-harness writes (lm_eval.result_schema.EvalResults)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from tli.errors import TliError
from tli.experiment.grid import GridRun
from tli.io import tables
from tli.probes.harness import FEWSHOT_SEED
from tli.probes.task_items import HUB, harness_yaml
from tli.probes.translation_tasks import EXACT, task_name
from tli.publishing.finished import Finished
from tli.report.selection import rows

KEPT = ("task", "tag", "dataset_path", "dataset_name", "output_type", "validation_split", "test_split", "metadata")
NO_VERSION = "no version was recorded"


@dataclass(frozen=True)
class Scored:
    """One task's figures: {"acc,none": 0.6, "acc_stderr,none": 0.05}, and over how many items."""

    task: str
    figures: dict[str, float | str]
    items: int
    shots: int
    is_ours: bool = False  # made of a word list by this workflow


def results(done: Finished, run: GridRun, of: str, name: str) -> dict[str, Any] | None:
    """The results of a run's adapter (`of` its name), or of its baseline; None where no task was scored.

    name: what the model is called there. Task by task the figures are those of the harness, which scored them; standard errors are of the mean
    over the items, as its own `mean_stderr` has them.
    """
    scored = list(_scored(done, run, of))
    if not scored:
        return None
    versions, configs = zip(*(_task(done, one) for one in scored), strict=True)
    named = [one.task for one in scored]
    limit = done.experiment.config.transfer.limit
    provenance = done.report.provenance
    return {
        "results": {one.task: {"name": one.task, "alias": one.task, "sample_len": one.items, **one.figures} for one in scored},
        "group_subtasks": {},
        "configs": dict(zip(named, configs, strict=True)),
        "versions": dict(zip(named, versions, strict=True)),
        "n-shot": {one.task: one.shots for one in scored},
        "higher_is_better": {one.task: {_metric(key): True for key in one.figures if "_stderr" not in key} for one in scored},
        "n-samples": {one.task: {"original": None if limit else one.items, "effective": one.items} for one in scored},
        "config": _config(done, run, name),
        "git_hash": provenance.commits[-1] if provenance.commits else None,
        "date": _seconds(done.date),
        "pretty_env_info": "; ".join(f"{library} {version}" for library, version in provenance.versions.items()),
        "transformers_version": provenance.versions.get("transformers", NO_VERSION),
        "lm_eval_version": provenance.versions.get("lm_eval", NO_VERSION),
        "upper_git_hash": None,
        "task_hashes": {},
        "model_source": "hf",
        "model_name": name,
        "model_name_sanitized": name.replace("/", "__"),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
    }


def accuracies(done: Finished, run: GridRun, of: str) -> pd.DataFrame:
    """task, items, accuracy, standard error, of tasks with choices."""
    scored = _items(done.report.tables.transfer, run, of)
    grouped = scored.assign(correct=scored["correct"].astype(float)).groupby("task", sort=False, observed=True)["correct"]
    return pd.DataFrame(
        [(task, len(part), part.mean(), _standard_error(part)) for task, part in grouped], columns=["task", "items", "accuracy", "error"]
    )


def _items(table: pd.DataFrame, run: GridRun, of: str) -> pd.DataFrame:
    found = rows(table, model=run.model, pair=run.pair, run=of)
    own = found[(found["seed"] == run.seed) & (found["fold"] == run.fold)]
    return own if len(own) else found[found["seed"] == -1]


def _scored(done: Finished, run: GridRun, of: str) -> Iterator[Scored]:
    shots = done.experiment.config.transfer.num_fewshot
    for row in accuracies(done, run, of).itertuples():
        yield Scored(row.task, {"acc,none": row.accuracy, "acc_stderr,none": row.error}, int(row.items), shots)
    for task, part in _items(done.report.tables.generation, run, of).groupby("task", sort=False):
        figures = dict(zip(part["metric"].astype(str), part["value"].astype(float), strict=True))
        yield Scored(str(task), figures, int(part["items"].max()), shots)
    asked = _items(done.translations, run, of) if len(done.translations) else pd.DataFrame(columns=tables.TRANSLATE)
    for (direction, count), part in asked.groupby(["direction", "shots"], sort=False, observed=True):
        name = task_name(str(direction), int(count))
        for task, metric, column in ((name, "acc", "correct"), (name + EXACT, "exact_match", "exact")):
            values = part[column].astype(float)
            figures = {f"{metric},none": values.mean(), f"{metric}_stderr,none": _standard_error(values)}
            yield Scored(task, figures, len(part), 0, is_ours=True)  # the shots stand in the prompts


def _standard_error(values: pd.Series) -> float | str:
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else "N/A"


def _metric(key: str) -> str:
    return key.partition(",")[0]


def _task(done: Finished, one: Scored) -> tuple[Any, dict[str, Any]]:
    """A task's version and config, without what names a place of this machine."""
    if one.is_ours:
        return 1, {"task": one.task, "dataset_path": "json", "metadata": {"version": 1}}
    try:
        from lm_eval.tasks._yaml_loader import load_yaml

        given = load_yaml(harness_yaml(one.task), resolve_func=False)
    except (ImportError, TliError):
        return None, {"task": one.task}
    kept = {key: given[key] for key in KEPT if key in given}
    kept["metric_list"] = [{"metric": str(entry["metric"])} for entry in given.get("metric_list", ())]
    if done.experiment.config.transfer.source != HUB:
        kept |= {"dataset_path": "json", "dataset_name": None}  # the items of a file, in the same form
    return (given.get("metadata") or {}).get("version"), kept


def _config(done: Finished, run: GridRun, name: str) -> dict[str, Any]:
    transfer, model = done.experiment.config.transfer, done.experiment.config.models[run.model]
    is_on_hub = done.experiment.on_hub(run.model)
    return {
        "model": "hf",
        "model_args": {"pretrained": model.source if is_on_hub else "a model in a folder", "name": name},
        "model_dtype": model.dtype,
        "model_revision": model.revision if is_on_hub else None,
        "batch_size": str(transfer.batch_size),
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": transfer.limit,
        "bootstrap_iters": 0,
        "gen_kwargs": {},
        "random_seed": 0,
        "numpy_seed": FEWSHOT_SEED,
        "torch_seed": FEWSHOT_SEED,
        "fewshot_seed": FEWSHOT_SEED,
    }


def _seconds(date: str) -> float | None:
    return datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() if date else None
