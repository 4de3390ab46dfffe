"""What a design finds, told before the run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tiny import pairs_table

from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.foresight import foresight
from tli.io import tables
from tli.statistics import power


def experiment(folder: Path, **changes) -> Experiment:
    values = {
        "models": {"m": {"source": str(folder)}},
        "pairs": {"swh-eng": {"lexicon": "unused.tsv"}},
        "arms": {"tli": {"loss_layer": [2, 3]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
        "seeds": 10,
        "results": str(folder / "results"),
    }
    return Experiment(parse(values | changes))


def listed(held: int = 75, train: int = 205) -> pd.DataFrame:
    one = pairs_table().iloc[[0]]
    table = pd.concat([one] * (held + train), ignore_index=True)
    names = [f"w{i}" for i in range(held + train)]
    return table.assign(pair_id=names, component=names, split=["heldout"] * held + ["train"] * train)


def test_a_list_that_is_not_split_yet_says_how(tmp_path):
    assert any("tli run lexicon" in line for line in foresight(experiment(tmp_path)))


@pytest.mark.parametrize("folds, units", [(1, 75), (5, 280)])
def test_the_planned_design_comes_first(tmp_path, folds, units):
    of = experiment(tmp_path, split={"folds": folds})
    tables.write(listed(), of.layout.lexicon("swh-eng")["pairs"], tables.PAIRS)
    lines = foresight(of)
    assert "of the demo" in lines[0] and f"10 seeds, {'5 folds' if folds > 1 else 'no folds'}, {units} units, a family of 2" in lines[1]
    least = power.detectable(power.assumed(power.Variances(), folds), power.Design(10, units, folds, 2))
    assert f"a change of {least:+.3f} or more is found with 80 % power" in lines[1] and len(lines) > 4


def test_a_finished_runs_variances_are_taken(tmp_path):
    of = experiment(tmp_path)
    tables.write(listed(), of.layout.lexicon("swh-eng")["pairs"], tables.PAIRS)
    usual = foresight(of)[1]
    earlier = {"run_sd": [0.001], "unit_sd": [0.05], "residual_sd": [0.05], "placebo_correlation": [0.9]}
    tables.write(pd.DataFrame(earlier), of.layout.statistics()["power"])
    lines = foresight(of)
    assert "of the finished run" in lines[0] and lines[1] != usual


def test_an_experiment_without_arms_has_no_power_to_tell(tmp_path):
    assert foresight(experiment(tmp_path, arms={})) == []
