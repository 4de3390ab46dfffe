"""What a run will cost, before anything is submitted: jobs, GPU hours, memory and disk of each stage. No torch.

The jobs are those of the rules; the figures are those of tli.cluster.costs, which the rules ask for too.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from tli.cluster import costs
from tli.cluster.costs import Work
from tli.experiment import Experiment, is_address
from tli.experiment.job import Job
from tli.probes.task_items import HUB

COLUMNS = ["stage", "jobs", "gpu_hours", "longest_minutes", "memory_mb", "gpu_memory_mb", "disk_gb", "disk_while_running_gb"]


def plan(experiment: Experiment) -> pd.DataFrame:
    """One row a stage, in the order of the run, and a row "total". Columns COLUMNS.

    gpu_hours: expected, on one card a job; 0 for models on the CPU. longest_minutes, memory_mb: the most that a job asks of
    the scheduler at its first try. disk_gb stays; disk_while_running_gb is what full fine-tuning needs besides, at most: weights
    until they are measured, checkpoints until a run is done.
    """
    config = experiment.config
    kept = sum(costs.quantized_gb(experiment, model) for model in config.models)
    check = _stage(experiment, "check", [Work("check", model) for model in config.models])
    rows = [
        _fetching(experiment),
        _other("lexicon", len(config.pairs)),
        _other("folds", int(experiment.has_folds)),
        check | {"disk_gb": kept + 0.001 * len(config.models)},
        _stage(experiment, "scan", [Work("scan", *key) for key in experiment.model_pairs]),
        _tuning(experiment),
        _training(experiment),
        _measuring(experiment, "evaluate"),
        *([_measuring(experiment, "transfer")] if experiment.has_transfer else []),
        _other("statistics", 1),
        _other("report", 1),
    ]
    table = pd.DataFrame([row for row in rows if row["jobs"]], columns=COLUMNS)
    total = {"stage": "total"} | {name: table[name].sum() for name in ("jobs", "gpu_hours", "disk_gb", "disk_while_running_gb")}
    total |= {name: table[name].max() for name in ("longest_minutes", "memory_mb", "gpu_memory_mb")}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def text(experiment: Experiment, table: pd.DataFrame) -> str:
    """The plan for people, with what it leaves open."""
    config, shown = experiment.config, table.copy()
    trials = sum(one.runs for one in _trials(experiment))
    shown["gpu_hours"] = shown["gpu_hours"].map("{:.1f}".format)
    shown["memory_gb"] = (shown.pop("memory_mb") / 1000).map("{:.1f}".format)
    shown["gpu_memory_gb"] = (shown.pop("gpu_memory_mb") / 1000).map("{:.1f}".format)
    for name in ("disk_gb", "disk_while_running_gb"):
        shown[name] = shown[name].map("{:.2f}".format)
    lines = [
        f"{config.title}: {len(experiment.runs)} runs in {len(experiment.cells)} cells"
        + (f", and {trials} trained before them to tune {len(experiment.tuned_cells)} cells" if trials else ""),
        shown.to_string(index=False),
        "longest_minutes and memory are what a job asks for at its first try, about three times what is expected; GPU hours are what is expected.",
        "What the store of an earlier run holds is not computed again and is not subtracted here.",
    ]
    guessed = [name for name, model in config.models.items() if experiment.on_hub(name) and not model.parameters]
    lines += [f"models.{name}: not on disk and without `parameters`; counted as 8 billion" for name in guessed]
    if any(costs.needs_gpu(experiment, name) for name in config.models):
        lines.append("Models that ask for a GPU are counted on one that reaches 20 TFLOP/s on short words (an A100 does).")
    return "\n".join(lines)


def _row(stage: str, number: int, **values) -> dict:
    return dict.fromkeys(COLUMNS, 0) | {"stage": stage, "jobs": number} | values


def _other(stage: str, number: int) -> dict:
    asked = costs.OF_OTHERS[stage]
    return _row(stage, number, memory_mb=asked.memory_mb, longest_minutes=asked.minutes, disk_gb=0.01 * number)


def _fetching(experiment: Experiment) -> dict:
    config = experiment.config
    hub = [name for name in config.models if experiment.on_hub(name)]
    lists = sum(is_address(entry) for pair in config.pairs for entry in experiment.lists(pair))
    tasks = int(bool(config.transfer.tasks) and config.transfer.source == HUB)
    weights = sum(costs.size(experiment, name).parameters * 2 for name in hub)
    return _row("fetch", len(hub) + lists + tasks, memory_mb=1000, disk_gb=weights / 1e9 + 0.1 * tasks)


def _stage(experiment: Experiment, stage: str, work: list[Work]) -> dict:
    seconds = [costs.seconds(experiment, one) for one in work]
    gpus = [costs.needs_gpu(experiment, one.model) for one in work]
    return _row(
        stage,
        len(work),
        gpu_hours=sum(second * gpu for second, gpu in zip(seconds, gpus, strict=True)) / 3600,
        longest_minutes=max(map(costs.asked_minutes, seconds), default=0),
        memory_mb=max((costs.memory_mb(experiment, one) for one in work), default=0),
        gpu_memory_mb=max((costs.gpu_memory_mb(experiment, one) for one in work), default=0),
        disk_gb=0.001 * len(work),
    )


def _trials(experiment: Experiment) -> list[Work]:
    """The work of every tuning job, with as many runs as it trains."""
    names = ("model", "pair", "arm", "layer", "rank")
    cells = [{name: getattr(cell, name) for name in names} for cell in experiment.tuned_cells]
    return [Work.of(Job.of(experiment, "tune", **cell)) for cell in cells]


def _tuning(experiment: Experiment) -> dict:
    work = _trials(experiment)
    ranks = [cell.rank for cell in experiment.tuned_cells]
    disk = [one.runs * costs.disk_mb(experiment, replace(one, stage="train"), rank) / 1000 for one, rank in zip(work, ranks, strict=True)]
    kept = sum(size for one, size in zip(work, disk, strict=True) if not one.is_full)
    return _stage(experiment, "tune", work) | {"disk_gb": kept, "disk_while_running_gb": sum(disk) - kept}


def _training(experiment: Experiment) -> dict:
    folds = experiment.config.split.folds
    chunks, runs = experiment.seed_chunks, len(experiment.config.seed_list) * folds
    work, kept, passing = [], 0.0, 0.0
    for cell in experiment.cells:
        one = Work("train", cell.model, cell.pair, cell.layer, cell.arm, cell.is_full)
        work += [Work("train", cell.model, cell.pair, cell.layer, cell.arm, cell.is_full, len(chunk) * folds) for chunk in chunks]
        needed = runs * costs.disk_mb(experiment, one, cell.rank)
        if cell.is_full:
            passing += needed + len(chunks) * costs.checkpoint_mb(experiment, cell.model, cell.layer, cell.arm)
        else:
            kept += needed
    return _stage(experiment, "train", work) | {"disk_gb": kept / 1000, "disk_while_running_gb": passing / 1000}


def _measuring(experiment: Experiment, stage: str) -> dict:
    places = [(*key, part) for key in experiment.model_pairs for part in experiment.parts(stage, *key)]
    work = [Work.of(Job.of(experiment, stage, model=model, pair=pair, part=part)) for model, pair, part in places]
    disk = sum(one.runs * costs.disk_mb(experiment, one) for one in work)
    return _stage(experiment, stage, work) | {"disk_gb": disk / 1000}
