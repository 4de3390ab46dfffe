"""What a run will cost, before anything is submitted: jobs, hours, memory and disk of each stage. No torch.

The jobs are those of the rules; the figures are those of tli.cluster.costs, which the rules ask for too.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from tli.cluster import cards, costs, disk
from tli.cluster.costs import Cost
from tli.cluster.fitting import misfits
from tli.cluster.machines import asked_minutes
from tli.cluster.sizes import size
from tli.cluster.work import Work, works
from tli.experiment import Experiment, is_address
from tli.probes.task_items import HUB

COLUMNS = ["stage", "jobs", "gpu_hours", "cpu_hours", "longest_minutes", "memory_mb", "gpu_memory_gb", "disk_gb", "disk_while_running_gb"]


def plan(experiment: Experiment, card_gb: float = cards.ASSUMED_GB) -> pd.DataFrame:
    """One row a stage, in the order of the run, and a row "total". Columns COLUMNS.

    gpu_hours: expected, times the cards of a job; cpu_hours: of jobs without a card, times their threads. longest_minutes,
    memory_mb: the most that a job asks of the scheduler at its first try; gpu_memory_gb: the most that one needs of a card.
    disk_gb stays; disk_while_running_gb is what full fine-tuning needs besides, at most: weights until they are measured,
    checkpoints until a run is done.
    """
    config, work = experiment.config, works(experiment)
    kept = sum(disk.quantized_gb(experiment, model) for model in config.models)
    staged = {stage: _stage(experiment, stage, several, card_gb) for stage, several in work.items()}
    rows = [
        _fetching(experiment),
        _other("lexicon", len(config.pairs)),
        _other("lists", int(len(config.pairs) > 1)),
        _other("folds", int(experiment.has_folds)),
        staged["check"] | {"disk_gb": kept + 0.001 * len(config.models)},
        staged["scan"],
        *([staged["tune"] | _disk_of_tuning(experiment, work["tune"])] if "tune" in staged else []),
        staged["train"] | _disk_of_training(experiment),
        *(
            staged[stage] | {"disk_gb": _disk_of(experiment, work[stage])}
            for stage in ("evaluate", "across", "transfer")
            if stage in staged
        ),
        _other("statistics", 1),
        _other("report", 1),
    ]
    table = pd.DataFrame([row for row in rows if row["jobs"]], columns=COLUMNS)
    summed = ("jobs", "gpu_hours", "cpu_hours", "disk_gb", "disk_while_running_gb")
    total = {"stage": "total"} | {name: table[name].sum() for name in summed}
    total |= {name: table[name].max() for name in ("longest_minutes", "memory_mb", "gpu_memory_gb")}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def text(experiment: Experiment, table: pd.DataFrame, card: cards.Card | None = None) -> str:
    """The plan for people, with what it leaves open and what does not fit. card: the one that the jobs will get, where it is known."""
    config, gb = experiment.config, card.gb if card else cards.ASSUMED_GB
    shown, on_cards, on_processors = table.copy(), bool(table["gpu_hours"].any()), bool(table["cpu_hours"].any())
    for name in ("gpu_hours", "cpu_hours"):
        shown[name] = shown[name].map(_hours)
    shown["memory_gb"] = (shown.pop("memory_mb") / 1000).map("{:.1f}".format)
    shown["gpu_memory_gb"] = shown.pop("gpu_memory_gb").map("{:.1f}".format)
    for name in ("disk_gb", "disk_while_running_gb"):
        shown[name] = shown[name].map("{:.2f}".format)
    trials = sum(one.runs for one in works(experiment).get("tune", []))
    left_out = ([] if on_cards else ["gpu_hours", "gpu_memory_gb"]) + ([] if on_processors else ["cpu_hours"])
    lines = [
        f"{config.title}: {len(experiment.runs)} runs in {len(experiment.cells)} cells"
        + (f", and {trials} trained before them to tune {len(experiment.tuned_cells)} cells" if trials else ""),
        shown.drop(columns=left_out).to_string(index=False),
        "longest_minutes and memory are what a job asks for at its first try, about three times what is expected; hours are what is "
        "expected (docs/costs.md). What the store of an earlier run holds is not computed again and is not subtracted here.",
    ]
    guessed = [name for name, model in config.models.items() if experiment.on_hub(name) and not model.parameters]
    lines += [f"models.{name}: not on disk and without `parameters`; counted as 8 billion" for name in guessed]
    if on_cards:
        known = f"{gb:.0f} GB ({card.source})" if card else f"{gb:.0f} GB, assumed ({cards.KEY} in the profile says how much yours have)"
        lines.append(f"Hours are those of a card of an A100's class; memory of a card: {known}.")
        lines += map(str, misfits(experiment, gb))
    return "\n".join(lines)


def _hours(hours: float) -> str:
    return f"{hours:.1f}" if hours >= 1 or not hours else f"{max(hours, 0.01):.2f}"


def _row(stage: str, number: int, **values: Any) -> dict:
    return dict.fromkeys(COLUMNS, 0) | {"stage": stage, "jobs": number} | values


def _other(stage: str, number: int) -> dict:
    asked = costs.OF_OTHERS[stage]
    return _row(stage, number, memory_mb=asked.memory_mb, longest_minutes=asked.minutes, disk_gb=0.01 * number)


def _fetching(experiment: Experiment) -> dict:
    config = experiment.config
    hub = [name for name in config.models if experiment.on_hub(name)]
    lists = sum(is_address(entry) for pair in config.pairs for entry in experiment.lists(pair))
    tasks = int(bool(config.transfer.tasks) and config.transfer.source == HUB)
    weights = sum(size(experiment, name).parameters * 2 for name in hub)
    return _row("fetch", len(hub) + lists + tasks, memory_mb=1000, disk_gb=weights / 1e9 + 0.1 * tasks)


def _stage(experiment: Experiment, stage: str, work: list[Work], card_gb: float) -> dict:
    priced = [Cost(experiment, one, card_gb) for one in work]
    seconds, threads = [cost.seconds for cost in priced], experiment.config.jobs.threads
    return _row(
        stage,
        len(work),
        gpu_hours=sum(second * cost.gpus for second, cost in zip(seconds, priced, strict=True)) / 3600,
        cpu_hours=sum(second * threads for second, cost in zip(seconds, priced, strict=True) if not cost.gpus) / 3600,
        longest_minutes=max(map(asked_minutes, seconds), default=0),
        memory_mb=max((cost.memory_mb for cost in priced), default=0),
        gpu_memory_gb=max((cost.gpu_memory_gb for cost in priced), default=0),
        disk_gb=0.001 * len(work),
    )


def _disk_of_tuning(experiment: Experiment, work: list[Work]) -> dict:
    """As of training; all weights of a trial lie there until it is measured."""
    needed = [one.runs * disk.disk_mb(experiment, one.trainings, one.rank) / 1000 for one in work]
    kept = sum(size for one, size in zip(work, needed, strict=True) if not one.is_full)
    return {"disk_gb": kept, "disk_while_running_gb": sum(needed) - kept}


def _disk_of_training(experiment: Experiment) -> dict:
    chunks, runs = experiment.seed_chunks, len(experiment.config.seed_list) * experiment.config.split.folds
    kept = passing = 0.0
    for cell in experiment.cells:
        needed = runs * disk.disk_mb(experiment, Work("train", cell.model, cell.pair, cell.layer, cell.arm, cell.is_full), cell.rank)
        if cell.is_full:
            passing += needed + len(chunks) * disk.checkpoint_mb(experiment, cell.model, cell.layer, cell.arm)
        else:
            kept += needed
    return {"disk_gb": kept / 1000, "disk_while_running_gb": passing / 1000}


def _disk_of(experiment: Experiment, work: list[Work]) -> float:
    """GB of what is measured."""
    return sum(one.runs * disk.disk_mb(experiment, one) for one in work) / 1000
