"""The grid: a config becomes the runs of its models, pairs, arms, layers, ranks and seeds."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pandas as pd

from tli.config import Config
from tli.config.arms import ResolvedArm, expand_arms
from tli.io import tables

BASELINE = "baseline"
UNQUANTISED = f"{BASELINE}-unquantised"  # what full fine-tuning of an NF4 model starts from and is compared with


@dataclass(frozen=True)
class GridRun:
    """One run of the grid: a seed of a cell. Its fields are the columns tables.GRID."""

    model: str
    pair: str
    arm: str
    layer: str
    rank: str
    seed: int
    fold: int  # the fold that it is measured on and does not learn from; 0 without folds
    run: str  # its name, which is its path below the folder of its model and pair too
    method: str
    placebo_of: str
    control: bool
    baseline: str  # the run that it is compared with

    @property
    def is_full(self) -> bool:
        return self.method == "full"

    @property
    def cell(self) -> tuple[str, str, str]:
        """Arm, layer and rank: the seeds of a cell are its replicates."""
        return self.arm, self.layer, self.rank


def run_name(arm: str, layer: str, rank: str, seed: int | str, fold: int = 0) -> str:
    """A run's name."""
    return f"{arm}/layer-{layer}/rank-{rank}/seed-{seed}" + (f"/fold-{fold}" if fold else "")


def folds_of(config: Config) -> list[int]:
    """The folds of a seed: 1 to K, or 0 alone without folds."""
    folds = config.split.folds
    return list(range(1, folds + 1)) if folds > 1 else [0]


def trained_pairs(config: Config) -> list[str]:
    """Pairs that are trained on, in the config's order."""
    return [name for name, pair in config.pairs.items() if pair.train]


def expand(config: Config, arms: dict[str, ResolvedArm] | None = None) -> list[GridRun]:
    """The runs, in the order of the config; none where it has no arms."""
    arms = expand_arms(config) if arms is None else arms
    return [
        _run(config, model, pair, arm, layer, rank, seed, fold)
        for model in config.models
        for pair in trained_pairs(config)
        for arm in arms.values()
        if arm.is_of(pair)
        for layer in arm.loss_layers
        for rank in arm.rank_names
        for seed in config.seed_list
        for fold in folds_of(config)
    ]


def table_of(runs: list[GridRun]) -> pd.DataFrame:
    """The runs as a table, columns tables.GRID."""
    return pd.DataFrame([asdict(run) for run in runs], columns=tables.GRID)


def _run(config: Config, model: str, pair: str, arm: ResolvedArm, layer: str, rank: str, seed: int, fold: int) -> GridRun:
    # NF4 weights cannot be fully trained: such a run starts from the unquantised ones.
    unquantised = arm.training.is_full and config.models[model].quantization != "none"
    return GridRun(
        model=model,
        pair=pair,
        arm=arm.name,
        layer=layer,
        rank=rank,
        seed=seed,
        fold=fold,
        run=run_name(arm.name, layer, rank, seed, fold),
        method=arm.training.method,
        placebo_of=arm.placebo_of,
        control=arm.is_control,
        baseline=UNQUANTISED if unquantised else BASELINE,
    )
