"""How far a run is: what is done, what is left, about how long it takes. Told after every job on the terminal."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tli.experiment.layout import Layout
from tli.io.atomic import whole


def begin(layout: Layout, rules: Iterable[str], cores: int | None) -> None:
    """Remember what this run is about to do: the rule names of its jobs, as many as there are, and how many run at a time."""
    planned = Counter(rule.split("_")[0] for rule in rules if rule != "all")
    with whole(layout.plan()) as beside:
        beside.write_text(json.dumps({"started": time.time(), "planned": planned, "cores": cores or 1}), encoding="utf-8")


def remember(layout: Layout, config: str) -> None:
    """Keep the config of the run beside its results, for a report made of them later."""
    with whole(layout.config()) as beside:
        beside.write_text(config, encoding="utf-8")


def line(layout: Layout) -> str:
    """What is done and left of the run under way, in words; "" where none was announced.

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
    planned, total = plan["planned"], sum(plan["planned"].values())
    done = sum(min(len(seconds), planned.get(stage, 0)) for stage, seconds in took.items())
    every = [second for seconds in took.values() for second in seconds]
    if not every or done >= total:
        return f"{done} of {total} jobs done"
    mean = sum(every) / len(every)
    left = {stage: count - len(took.get(stage, ())) for stage, count in planned.items() if count > len(took.get(stage, ()))}
    work = sum(count * (sum(took[stage]) / len(took[stage]) if stage in took else mean) for stage, count in left.items())
    waiting = ", ".join(f"{count} {stage}" for stage, count in left.items())
    return f"{done} of {total} jobs done, left {waiting}; about {_duration(work / max(1, plan['cores']))}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds / 10)) * 10} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
