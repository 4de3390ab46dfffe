"""What a design finds, told before the run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tiny import pairs_table

from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.foresight import foresight
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.stages import lexicon as lexicon_stage
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


def test_a_list_that_is_not_split_yet_is_split_as_its_job_will(tmp_path):
    words = tmp_path / "swh-eng.tsv"
    words.write_text(
        "source\ttarget\n" + "".join(f"neno{chr(97 + i % 26)}{i}\tword{chr(97 + i % 26)}{i}\n" for i in range(400)), encoding="utf-8"
    )
    of = experiment(tmp_path, pairs={"swh-eng": {"lexicon": str(words)}})
    told = foresight(of)
    assert not Path(of.layout.lexicon("swh-eng")["pairs"]).exists()  # nothing is written
    lexicon_stage.run(Job.of(of, "lexicon", pair="swh-eng"))
    held = (table_files.read(of.layout.lexicon("swh-eng")["pairs"])["split"] == "heldout").sum()
    assert told == foresight(of) and f"{held} units" in told[1]


def test_a_list_that_is_not_there_says_so(tmp_path):
    assert any("once its list can be read" in line and "unused.tsv" in line for line in foresight(experiment(tmp_path)))


@pytest.mark.parametrize("folds, units", [(1, 75), (5, 280)])
def test_the_planned_design_comes_first(tmp_path, folds, units):
    of = experiment(tmp_path, split={"folds": folds})
    table_files.write(listed(), of.layout.lexicon("swh-eng")["pairs"], tables.PAIRS)
    lines = foresight(of)
    assert "of the demo" in lines[0] and f"10 seeds, {'5 folds' if folds > 1 else 'no folds'}, {units} units, a family of 2" in lines[1]
    least = power.detectable(power.assumed(power.Variances(), folds), power.Design(10, units, folds, 2))
    assert f"a change of {least:+.3f} or more is found with 80 % power" in lines[1] and len(lines) > 4


def test_a_finished_runs_variances_are_taken(tmp_path):
    of = experiment(tmp_path)
    table_files.write(listed(), of.layout.lexicon("swh-eng")["pairs"], tables.PAIRS)
    usual = foresight(of)[1]
    earlier = {"run_sd": [0.001], "unit_sd": [0.05], "residual_sd": [0.05], "placebo_correlation": [0.9]}
    table_files.write(pd.DataFrame(earlier), of.layout.statistics()["power"])
    lines = foresight(of)
    assert "of the finished run" in lines[0] and lines[1] != usual


def test_an_experiment_without_arms_has_no_power_to_tell(tmp_path):
    assert foresight(experiment(tmp_path, arms={})) == []
