"""What change an experiment will find with 80 % power, before it is run, and what more seeds or folds would buy."""

from __future__ import annotations

from pathlib import Path

from tli.experiment import Experiment
from tli.experiment.settings import statistics_spec
from tli.io import tables
from tli.statistics import power

OFFERED_FOLDS = 5  # what is offered to a config without folds


def foresight(experiment: Experiment) -> list[str]:
    """Sentences: for each list the planned design, then others. Of a list that was not split yet, how to split it.

    The variances are those of the results folder where a run is finished, else power.Variances: the demo's.
    """
    config = experiment.config
    cells = {(run.model, run.pair, run.arm, run.layer, run.rank) for run in experiment.runs if not run.control}
    if not cells:
        return []
    earlier = Path(experiment.layout.statistics()["power"])
    variances = power.variances_of(tables.read(earlier)) if earlier.exists() else power.Variances()
    source = f"of the finished run in {config.results}" if earlier.exists() else "of the demo, since nothing is finished here"
    spec, lines = statistics_spec(config), [f"power of the whole claim, variances {source}:"]
    with_placebo = any(run.placebo_of for run in experiment.runs)
    for pair, section in config.pairs.items():
        path = Path(experiment.layout.lexicon(pair)["pairs"])
        if not path.exists():
            lines.append(f"  {pair}: is told once the list is split: python -m tli run lexicon <this config> --pair {pair}")
            continue
        listed = tables.read(path, tables.PAIRS)
        folds = (section.split or config.split).folds
        dealt = listed[listed["split"].isin(["train", "heldout"])]["component"].nunique()
        units = {1: listed[listed["split"] == "heldout"]["component"].nunique(), (folds if folds > 1 else OFFERED_FOLDS): dealt}
        design = power.Design(len(config.seed_list), units[folds], folds, len(cells), with_placebo)
        lines += [f"  {pair}: {sentence}" for sentence in power.plan_power(units, design, variances, spec)["sentence"]]
    return lines
