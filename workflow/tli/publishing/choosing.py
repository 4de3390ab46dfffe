"""Which runs are shared: their adapters, or the weights of a full fine-tuning."""

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

# What a card says of a training.
RECORDED = ("unit", "loss_layer", "train_pairs", "steps", "adapted_blocks")
SETTLED = ("objective", "epochs", "batch_size", "learning_rate", "rank", "alpha", "dropout", "target_modules", "full_dtype")
GONE = (
    "all weights were trained, and Snakemake deletes them once they are measured; asked for its weights/model.safetensors with --notemp, "
    "it trains the run again and keeps them"
)
LONGEST = 96  # characters of a repository's name on the hub


@dataclass(frozen=True)
class Left:
    """A run that is not shared, and why."""

    run: str
    reason: str


@dataclass(frozen=True)
class Chosen:
    """The runs that are shared, and what is left out."""

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


def place(run: GridRun) -> str:
    """Its folder in the one that is shared."""
    return f"{'weights' if run.is_full else 'adapters'}/{folder_name(run)}"


def choose(done: Finished, names: Sequence[str] = ()) -> Chosen:
    """The runs of these names (with or without model and pair), or one for each cell that is no control: its first seed's.

    Raises TliError for a name that no run has, and for a named run that cannot be shared.
    """
    runs = [_named(done, name) for name in names]
    asked = [run for found in runs for run in found] or [run for run in done.experiment.cells if not run.control]
    chosen: dict[str, TrainedRun] = {}
    left = []
    for run in dict.fromkeys(asked):
        reason, trained = _trained(done, run)
        if trained is not None and not names and trained.record["unit"] in chosen:
            reason, trained = f"it is the same training as {chosen[trained.record['unit']].run.run}", None
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


def _trained(done: Finished, run: GridRun) -> tuple[str, TrainedRun | None]:
    """Why a run cannot be shared, or the run."""
    layout = done.experiment.layout
    folder, weights = Path(layout.run(run.model, run.pair, run.run)), Path(layout.weights(run.model, run.pair, run.run))
    is_recorded = Path(layout.record(run.model, run.pair, run.run)).exists()
    if is_recorded and run.is_full and not weights.exists():
        return GONE, None
    files = [weights] if run.is_full else [folder / "adapter" / file for file in ADAPTER[:2]]
    if not is_recorded or not all(file.exists() for file in files):
        return f"it is not trained yet, or its {'weights are' if run.is_full else 'adapter is'} gone", None
    trained = read_trained(layout, run)
    if lacking := [name for name in ("settings", *RECORDED) if name not in trained.record] or [
        f"settings.{name}" for name in SETTLED if name not in trained.record["settings"]
    ]:
        return f"its record lacks {', '.join(lacking)}, as an older version left it; train it again", None
    if trained.record.get("failed"):
        return f"its training failed ({trained.record['failed']}): what is there is what it started from", None
    return "", trained
