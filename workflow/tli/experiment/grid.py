"""The grid: a config becomes the table of its runs, each with its settings and its place below the results folder."""

from __future__ import annotations

import pandas as pd

from tli.config import Config
from tli.config.arms import expand_arms, resolve_alpha
from tli.errors import ConfigError
from tli.io import tables

BASELINE = "baseline"


def expand(config: Config) -> pd.DataFrame:
    """The table of runs, columns tables.GRID, one row a run, in the order of the config.

    Raises ConfigError when the grid is empty.
    """
    rows = []
    for model in config.models:
        for pair in config.pairs:
            for arm, settings in expand_arms(config).items():
                full = settings["method"] == "full"
                for layer in dict.fromkeys(map(str, settings["loss_layer"])):
                    for rank in ["full"] if full else dict.fromkeys(map(str, settings["rank"])):
                        for seed in config.seed_list:
                            rows.append(
                                {
                                    "model": model,
                                    "pair": pair,
                                    "arm": arm,
                                    "layer": layer,
                                    "rank": rank,
                                    "seed": seed,
                                    "run": run_name(arm, layer, rank, seed),
                                    "method": settings["method"],
                                    "placebo_of": settings["placebo_of"],
                                    "control": settings["control"],
                                    # NF4 weights cannot be fully trained: such a run starts from the unquantised ones
                                    "baseline": f"{BASELINE}-unquantised"
                                    if full and config.models[model].quantization != "none"
                                    else BASELINE,
                                }
                            )
    if not rows:
        raise ConfigError("the grid is empty: models, pairs, arms and seeds must each name at least one")
    return pd.DataFrame(rows, columns=tables.GRID)


def run_name(arm: str, layer: str, rank: str, seed: int | str) -> str:
    """A run's name, which is its path below the folder of its model and pair too."""
    return f"{arm}/layer-{layer}/rank-{rank}/seed-{seed}"


def training_settings(config: Config, arm: str, layer: str, rank: str) -> dict:
    """What a training job needs to know of one cell, as plain values (they go into the job's params)."""
    settings = dict(expand_arms(config)[arm])
    for key in ("placebo_of", "control", "loss_layer"):
        settings.pop(key)
    full = settings["method"] == "full"
    settings["rank"] = None if full else int(rank)
    settings["alpha"] = None if full else resolve_alpha(settings["alpha"], int(rank))
    settings["layer"] = layer
    settings["pooling"] = config.pooling.train
    return settings
