"""Tuned arms through Snakemake: trials come before the runs, which take what they chose; a placebo takes its arm's; the page says so."""

from __future__ import annotations

import copy
from pathlib import Path

import pandas as pd
import pytest
from experiments import ROOT, snakemake, write_config
from test_run import jobs_of

from tli.io import table_files, tables

pytestmark = pytest.mark.workflow
ARMS = {
    "tli": {"loss_layer": ["best", 2], "rank": [4], "tune": {"learning_rate": [1.0e-3, 1.0e-6]}},
    "full-ft": {"method": "full", "loss_layer": ["output"], "tune": {"learning_rate": [1.0e-6, 1.0e-4]}},
    "placebo": {"like": ["tli"], "loss_layer": [2], "shuffle_translations": True},
}


@pytest.fixture(scope="module")
def tuned(experiment, tmp_path_factory) -> dict:
    """A config whose arms are tuned, run to its report."""
    folder = tmp_path_factory.mktemp("tuned")
    tasks = {"tasks": ["xcopa_sw"], "source": str(ROOT / "resources" / "demo" / "transfer"), "limit": 4}
    config = copy.deepcopy(experiment) | {"results": str(folder / "results"), "arms": ARMS, "maps": [], "transfer": tasks}
    config["models"].pop("tiny-nf4")
    ran = snakemake("--profile", "profiles/local", "--configfile", write_config(config, folder / "config.yaml"))
    assert ran.returncode == 0, ran.stdout[-6000:]
    return config


def test_the_runs_have_what_their_trials_chose(tuned):
    results = Path(tuned["results"])
    runs = table_files.read(results / "statistics" / "runs.tsv", tables.RUNS)
    assert len(runs) == 2 * (2 + 1 + 1)  # seeds x (tli at best and 2, full fine-tuning, the placebo of tli at 2)
    for (arm, layer), group in runs.groupby(["arm", "layer"]):
        (rank,) = group["rank"].unique()
        file = results / "tune" / "tiny" / "aaa-eng" / arm.removesuffix("-placebo") / f"layer-{layer}" / f"rank-{rank}" / "trials.tsv"
        trials = table_files.read(file, tables.TRIALS)
        assert len(trials) == 4 and trials["chosen"].sum() == 2 and (trials["words"] > 0).all()
        assert set(group["learning_rate"]) == set(trials.loc[trials["chosen"], "learning_rate"])
        assert not set(trials["seed"]) & set(runs["seed"])
    assert not list(results.glob("store/train/*/weights")), "all weights of a trial go when it is measured"


def test_all_weights_of_a_run_stay_until_the_last_rule_has_read_them(tuned):
    results = Path(tuned["results"])
    scored = pd.concat([table_files.read(path, tables.TRANSFER) for path in results.glob("transfer/*/*/*/transfer.parquet")])
    evaluated = pd.concat([table_files.read(path, tables.RUNS) for path in results.glob("evaluate/*/*/*/runs.tsv")])
    assert scored.groupby("run").size().eq(4).all() and "full-ft" in set(scored["arm"])
    assert set(scored["run"]) == {"baseline", *evaluated["run"]}
    assert list(results.glob("train/*/*/full-ft/*/*/*/run.json")) and not list(results.glob("train/**/weights"))


def test_the_page_shows_the_trials(tuned):
    report = Path(tuned["results"]) / "report"
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "every cell had 2 trials of 2 seeds, none of which is a run&#39;s" in page.replace("'", "&#39;")
    trials = table_files.read(report / "tables" / "trials.tsv")
    assert len(trials) == 3 * 2 and trials["chosen"].sum() == 3


def test_a_value_that_is_added_trains_its_trials_alone(tuned, tmp_path):
    config = copy.deepcopy(tuned)
    for arm, rate in (("tli", 3.0e-4), ("full-ft", 1.0e-5)):
        config["arms"][arm]["tune"]["learning_rate"].append(rate)
    path = write_config(config, tmp_path / "c.yaml")
    dry = snakemake("-n", "--profile", "profiles/local", "--configfile", path)
    assert jobs_of(dry.stdout)["tune"] == 3, dry.stdout[-3000:]
    units = Path(config["results"]) / "store" / "train"
    before = len(list(units.iterdir()))
    trials = f"{config['results']}/tune/tiny/aaa-eng/tli/layer-2/rank-4/trials.tsv"
    ran = snakemake(trials, "--profile", "profiles/local", "--configfile", path)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert len(list(units.iterdir())) - before == 2  # one rate, two seeds
    assert len(table_files.read(trials, tables.TRIALS)) == 6
