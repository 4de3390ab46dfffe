"""What is left of a run and about how long it takes, told after every job on the terminal. What is done Snakemake counts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tli.experiment.layout import Layout
from tli.io.atomic import whole


def begin(layout: Layout, stages: Iterable[str], cores: int | None) -> None:
    """Remember what this run is about to do: the stage of each of its jobs, and how many run at a time."""
    planned = Counter(stages)
    with whole(layout.plan()) as beside:
        beside.write_text(json.dumps({"started": time.time(), "planned": planned, "cores": cores or 1}), encoding="utf-8")


def remember(layout: Layout, config: str) -> None:
    """Keep the config of the run beside its results, for a report made of them later."""
    with whole(layout.config()) as beside:
        beside.write_text(config, encoding="utf-8")


def line(layout: Layout) -> str:
    """What is left of the run under way, in words; "" where nothing is, or no run was announced.

    The estimate takes the mean time of a stage's finished jobs, for a stage without one the mean of all, and as many jobs at
    a time as there are cores.
    """
    try:
        plan = json.loads(Path(layout.plan()).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    took: dict[str, list[float]] = {}
    for path in Path(layout.provenance()).glob("*/*.json"):
        if path.stat().st_mtime >= plan["started"]:
            took.setdefault(path.parent.name, []).append(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    planned = plan["planned"]
    every = [second for seconds in took.values() for second in seconds]
    left = {stage: count - len(took.get(stage, ())) for stage, count in planned.items() if count > len(took.get(stage, ()))}
    if not every or not left:
        return ""
    mean = sum(every) / len(every)
    work = sum(count * (sum(took[stage]) / len(took[stage]) if stage in took else mean) for stage, count in left.items())
    waiting = ", ".join(f"{count} {stage}" for stage, count in left.items())
    return f"left {waiting}; about {_duration(work / max(1, plan['cores']))}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds / 10)) * 10} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
