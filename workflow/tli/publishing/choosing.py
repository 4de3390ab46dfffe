"""Which runs' adapters are shared."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tli.errors import TliError
from tli.experiment.grid import GridRun
from tli.experiment.layout import ADAPTER
from tli.experiment.trained import TrainedRun, read_trained
from tli.io import store
from tli.publishing.finished import Finished

LONGEST = 96  # characters of a repository's name on the hub


@dataclass(frozen=True)
class Left:
    """A run that is not shared, and why."""

    run: str
    reason: str


@dataclass(frozen=True)
class Chosen:
    """The adapters that are shared, and what is left out."""

    runs: tuple[TrainedRun, ...]
    left: tuple[Left, ...] = ()


def full_name(run: GridRun) -> str:
    """A run's name with its model and pair: "my-llama/swh-eng/tli/layer-2/rank-16/seed-1"."""
    return f"{run.model}/{run.pair}/{run.run}"


def folder_name(run: GridRun) -> str:
    """The name of its folder, which can be the name of a repository on the hub: at most LONGEST characters, no two points or dashes in a row."""
    name = re.sub(r"([.-])[.-]+", r"\1", re.sub(r"[^A-Za-z0-9._-]+", ".", full_name(run))).strip(".-")
    if len(name) <= LONGEST:
        return name
    mark = store.digest(full_name(run))[:8]
    return f"{name[: LONGEST - len(mark) - 1].rstrip('.-')}-{mark}"


def choose(done: Finished, names: Sequence[str] = ()) -> Chosen:
    """The adapters of the runs of these names (with or without model and pair), or one for each cell that is no control: its first seed's.

    Raises TliError for a name that no run has, and for a named run whose adapter cannot be shared.
    """
    runs = [_named(done, name) for name in names]
    asked = [run for found in runs for run in found] or [run for run in done.experiment.cells if not run.control]
    chosen: dict[str, TrainedRun] = {}
    left = []
    for run in dict.fromkeys(asked):
        reason, trained = _adapter(done, run)
        if trained is not None and not names and trained.record["unit"] in chosen:
            reason, trained = f"it is the same adapter as {chosen[trained.record['unit']].run.run}", None
        if trained is None:
            left.append(Left(full_name(run), reason))
        else:
            chosen[full_name(run) if names else trained.record["unit"]] = trained
    if names and left:
        raise TliError(f"--run {left[0].run}: {left[0].reason}")
    return Chosen(tuple(chosen.values()), tuple(left))


def _named(done: Finished, name: str) -> list[GridRun]:
    found = [run for run in done.experiment.runs if name.strip("/") in (run.run, full_name(run))]
    if not found:
        every = [known for run in done.experiment.runs for known in (run.run, full_name(run))]
        near = difflib.get_close_matches(name, every, 1)
        raise TliError(f"--run {name}: no run has this name; " + (f"is it {near[0]}?" if near else "`tli grid` lists them"))
    return found


def _adapter(done: Finished, run: GridRun) -> tuple[str, TrainedRun | None]:
    """Why a run's adapter cannot be shared, or the run."""
    layout = done.experiment.layout
    if run.is_full:
        return "all weights were trained, and they are deleted once they are measured; train it again to have them", None
    folder = Path(layout.run(run.model, run.pair, run.run)) / "adapter"
    if not Path(layout.record(run.model, run.pair, run.run)).exists() or not all((folder / file).exists() for file in ADAPTER[:2]):
        return "it is not trained yet, or its adapter is gone", None
    trained = read_trained(layout, run)
    if trained.record.get("failed"):
        return f"its training failed ({trained.record['failed']}): the adapter is what it started from", None
    return "", trained
