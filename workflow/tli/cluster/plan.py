"""What a run will cost, before anything is submitted: jobs, GPU hours, memory and disk of each stage. No torch.

The cuts are those of the rules (tli.jobs.parts, seed_chunks); the figures are those of tli.cluster.costs, which the rules ask for too.
"""

from __future__ import annotations

import pandas as pd

from tli.cluster import costs
from tli.config import Config
from tli.experiment import grid, jobs
from tli.io import tables

COLUMNS = ["stage", "jobs", "gpu_hours", "longest_minutes", "memory_mb", "gpu_memory_mb", "disk_gb", "disk_while_running_gb"]
CPU_STAGES = {"lexicon": (2000, 10), "statistics": (4000, 30), "report": (4000, 20)}  # memory and minutes, as their rules ask


def plan(config: Config) -> pd.DataFrame:
    """One row a stage, in the order of the run, and a row "total". Columns COLUMNS.

    gpu_hours: expected, on one card a job; 0 for models on the CPU. longest_minutes, memory_mb: the most that a job asks of
    the scheduler at its first try. disk_gb stays; disk_while_running_gb is what full fine-tuning needs besides, at most: weights
    until they are measured, checkpoints until a run is done.
    """
    runs = grid.expand(config)
    rows = [_fetching(config), _cpu("lexicon", len(config.pairs))]
    kept = sum(costs.quantized_gb(config, model) for model in config.models)
    rows.append(_stage(config, "check", [{"model": model} for model in config.models]) | {"disk_gb": kept + 0.001 * len(config.models)})
    both = [(model, pair) for model in config.models for pair in config.pairs]
    rows.append(_stage(config, "scan", [{"model": model, "pair": pair} for model, pair in both]))
    rows.append(_training(config, runs))
    for stage in ["evaluate", *(["transfer"] if config.transfer.tasks else [])]:
        rows.append(_measuring(config, runs, stage, both))
    rows += [_cpu("statistics", 1), _cpu("report", 1)]
    table = pd.DataFrame([row for row in rows if row["jobs"]], columns=COLUMNS)
    total = {"stage": "total"} | {
        name: table[name].sum() for name in COLUMNS if name in ("jobs", "gpu_hours", "disk_gb", "disk_while_running_gb")
    }
    total |= {name: table[name].max() for name in ("longest_minutes", "memory_mb", "gpu_memory_mb")}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def text(config: Config, table: pd.DataFrame) -> str:
    """The plan for people, with what it leaves open."""
    shown = table.copy()
    shown["gpu_hours"] = shown["gpu_hours"].map("{:.1f}".format)
    shown["memory_gb"] = (shown.pop("memory_mb") / 1000).map("{:.1f}".format)
    shown["gpu_memory_gb"] = (shown.pop("gpu_memory_mb") / 1000).map("{:.1f}".format)
    for name in ("disk_gb", "disk_while_running_gb"):
        shown[name] = shown[name].map("{:.2f}".format)
    runs = grid.expand(config)
    lines = [
        f"{config.title}: {len(runs)} runs in {len(runs.drop_duplicates(tables.CELL))} cells",
        shown.to_string(index=False),
        "longest_minutes and memory are what a job asks for at its first try, about three times what is expected; GPU hours are what is expected.",
        "What the store of an earlier run holds is not computed again and is not subtracted here.",
    ]
    guessed = [name for name in config.models if jobs.on_hub(config, name) and not config.models[name].parameters]
    lines += [f"models.{name}: not on disk and without `parameters`; counted as 8 billion" for name in guessed]
    if any(costs.needs_gpu(config, name) for name in config.models):
        lines.append("Models that ask for a GPU are counted on one that reaches 20 TFLOP/s on short words (an A100 does).")
    return "\n".join(lines)


def _row(stage: str, number: int, **values) -> dict:
    return dict.fromkeys(COLUMNS, 0) | {"stage": stage, "jobs": number} | values


def _cpu(stage: str, number: int) -> dict:
    memory, minutes = CPU_STAGES[stage]
    return _row(stage, number, memory_mb=memory, longest_minutes=minutes, disk_gb=0.01 * number)


def _fetching(config: Config) -> dict:
    hub = [name for name in config.models if jobs.on_hub(config, name)]
    lists = sum(jobs.is_address(entry) for pair in config.pairs for entry in jobs.addresses(config, pair))
    tasks = int(bool(config.transfer.tasks) and config.transfer.source == "hub")
    weights = sum(costs.size(config, name).parameters * 2 for name in hub)
    return _row("fetch", len(hub) + lists + tasks, memory_mb=1000, disk_gb=weights / 1e9 + 0.1 * tasks)


def _stage(config: Config, stage: str, cells: list[dict]) -> dict:
    """A stage whose jobs are these (the arguments of costs.seconds)."""
    seconds = [costs.seconds(config, stage, **cell) for cell in cells]
    where = [{key: value for key, value in cell.items() if key in ("model", "pair", "layer", "arm", "method")} for cell in cells]
    gpus = [costs.needs_gpu(config, cell["model"]) for cell in cells]
    return _row(
        stage,
        len(cells),
        gpu_hours=sum(second * gpu for second, gpu in zip(seconds, gpus)) / 3600,
        longest_minutes=max(map(costs.asked_minutes, seconds), default=0),
        memory_mb=max((costs.memory_mb(config, stage, **place) for place in where), default=0),
        gpu_memory_mb=max((costs.gpu_memory_mb(config, stage, **place) for place in where), default=0),
        disk_gb=0.001 * len(cells),
    )


def _training(config: Config, runs: pd.DataFrame) -> dict:
    chunks = jobs.seed_chunks(config)
    cells = runs.drop_duplicates(tables.CELL)[[*tables.CELL, "method"]].to_dict("records")
    work = [
        {key: cell[key] for key in ("model", "pair", "arm", "layer", "method")} | {"runs": len(chunk)} for cell in cells for chunk in chunks
    ]
    row = _stage(config, "train", work)
    kept = passing = 0.0
    for cell in cells:
        needed = costs.disk_mb(config, "train", cell["model"], **{key: cell[key] for key in ("pair", "layer", "arm", "rank")}) * len(
            config.seed_list
        )
        if cell["method"] == "full":
            passing += needed + len(chunks) * costs.checkpoint_mb(config, cell["model"], cell["layer"], cell["arm"])
        else:
            kept += needed
    return row | {"disk_gb": kept / 1000, "disk_while_running_gb": passing / 1000}


def _measuring(config: Config, runs: pd.DataFrame, stage: str, both: list[tuple[str, str]]) -> dict:
    work = []
    disk = 0.0
    for model, pair in both:
        for part in jobs.parts(config, runs, model, pair, stage).values():
            number = len(part["runs"]) + len(part["baselines"])
            work.append({"model": model, "pair": pair, "runs": number, "method": costs.method_of(part)})
            disk += number * costs.disk_mb(config, stage, model, pair=pair)
    return _stage(config, stage, work) | {"disk_gb": disk / 1000}
