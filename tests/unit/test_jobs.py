"""Jobs: patterns and jobs name the same files, names that are not there are refused, folds are dealt and read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import tiny
from trial import Trial

from tli.config import load, parse
from tli.errors import ConfigError, TableError
from tli.experiment import Experiment
from tli.experiment.folds import Splits
from tli.experiment.grid import run_name
from tli.experiment.job import JOBS, Job

DEMO = Path(__file__).parents[2] / "config" / "config.yaml"
NAMES = {"model": "demo", "pair": "lin-eng", "arm": "tli", "layer": "best", "rank": "16", "part": "part-1", "number": 0, "language": "swh"}


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(load(DEMO))


def filled(value, names: dict):
    """A pattern with its wildcards filled in."""
    if isinstance(value, dict):
        return {key: filled(one, names) for key, one in value.items()}
    return [filled(one, names) for one in value] if isinstance(value, list) else value.format(**names)


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_a_rules_pattern_and_its_job_name_the_same_files(experiment, kind, tmp_path):
    names = {name: value for name, value in NAMES.items() if name in JOBS[kind].names_of()}
    method = {"method": "lora"} if kind == "train" else {}
    if kind == "tune":
        (over := tmp_path / "tuned.yaml").write_text("arms: {tli: {tune: {epochs: [2, 5]}}}")
        experiment = Experiment(load([DEMO, over]))
    if kind == "across":
        (over := tmp_path / "across.yaml").write_text("evaluation: {on: all}")
        experiment = Experiment(load([DEMO, over]))
    job, pattern = Job.of(experiment, kind, **names), Job.pattern(experiment, kind, **method)
    assert filled(pattern.outputs, names) == job.outputs and job.outputs
    assert (filled(pattern.log, names), filled(pattern.benchmark, names)) == (job.log, job.benchmark)
    assert JOBS[job.params["job"]] is type(job)
    again = Job.of(experiment, job.params["job"], **job.params["names"])  # as the script makes it
    assert again.outputs == job.outputs and again.params == job.params


def test_every_output_belongs_to_one_job(tmp_path):
    (over := tmp_path / "across.yaml").write_text("evaluation: {on: all}\njobs: {adapters_per_job: 7}")
    experiment = Experiment(load([DEMO, over]))
    jobs = [Job.of(experiment, "lexicon", pair=pair) for pair in experiment.config.pairs]
    jobs += [Job.of(experiment, "scan", model="demo", pair=pair) for pair in experiment.config.pairs]
    jobs += [
        Job.of(experiment, "train", model=cell.model, pair=cell.pair, arm=cell.arm, layer=cell.layer, rank=cell.rank)
        for cell in experiment.cells
    ]
    jobs += [
        Job.of(experiment, stage, model=model, pair=pair, part=part)
        for stage in ("evaluate", "transfer")
        for model, pair in experiment.model_pairs
        for part in experiment.parts(stage, model, pair)
    ]
    jobs += [Job.of(experiment, "across", model="demo", part=part) for part in experiment.across_parts("demo")]
    paths = [path for job in jobs for one in job.outputs.values() for path in ([one] if isinstance(one, str) else one)]
    assert len(paths) == len(set(paths))
    names = [(job.stage, job.name) for job in jobs]
    assert len(names) == len(set(names)), "two jobs would write one log and one record"


def test_a_job_that_the_config_does_not_have_is_refused(experiment):
    with pytest.raises(ConfigError, match="no such job"):
        Job.of(experiment, "prepare")
    with pytest.raises(ConfigError, match="--model huge: the config has demo"):
        Job.of(experiment, "check", model="huge")
    with pytest.raises(ConfigError, match="the arm has layers best and ranks 16"):
        Job.of(experiment, "train", model="demo", pair="lin-eng", arm="tli", layer="3", rank="16")


# --- folds ----------------------------------------------------------------------------------------------------------


def with_folds(folds: int) -> Experiment:
    sections = {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x"}}, "arms": {"tli": {"loss_layer": [2]}}, "seeds": 2}
    return Experiment(parse(sections | {"split": {"folds": folds}}))


def test_a_run_is_a_seed_and_a_fold():
    assert [(run.seed, run.fold, run.run) for run in with_folds(1).runs] == [
        (seed, 0, f"tli/layer-2/rank-16/seed-{seed}") for seed in (1, 2)
    ]
    runs = with_folds(3).runs
    assert [(run.seed, run.fold) for run in runs] == [(seed, fold) for seed in (1, 2) for fold in (1, 2, 3)]
    assert runs[4].run == run_name("tli", "2", "16", 2, 2) == "tli/layer-2/rank-16/seed-2/fold-2"
    job = Job.of(with_folds(3), "train", model="m", pair="swh-eng", arm="tli", layer="2", rank="16")
    assert len(job.outputs["records"]) == 6 and "folds" in job.inputs
    assert with_folds(3).judged == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)] and with_folds(1).judged == [(-1, 0)]


def test_tasks_are_scored_on_one_fold_a_seed():
    (part,) = with_folds(3).parts("transfer", "m", "swh-eng").values()
    assert [(run.seed, run.fold) for run in part.runs] == [(1, 1), (2, 1)]


def test_one_number_of_folds_for_all_pairs():
    pairs = {"swh-eng": {"lexicon": "x", "split": {"folds": 2}}}
    with pytest.raises(ConfigError, match=r"pairs\.swh-eng\.split\.folds: is 2, split\.folds is 1"):
        parse({"models": {"m": {"source": "x"}}, "pairs": pairs, "arms": {"tli": {}}})


def test_the_splits_of_a_fold():
    pairs = pd.DataFrame({"pair_id": list("abcde"), "split": ["train", "heldout", "select", "train", "heldout"]})
    deal = pd.DataFrame({"pair_id": list("abcde"), "seed": 7, "fold": [1, 2, 0, 0, 1]})
    splits = Splits(pairs, deal)
    assert splits.of(7, 1)["split"].tolist() == ["heldout", "train", "select", "train", "heldout"]
    assert splits.of(7, 2)["split"].tolist() == ["train", "heldout", "select", "train", "train"]
    assert splits.of(7, 0)["split"].tolist() == pairs["split"].tolist()
    with pytest.raises(TableError, match="no deal of seed 8"):
        splits.of(8, 1)


def test_every_dealt_word_is_held_out_once_a_seed_and_trained_on_in_the_other_folds(models, tmp_path):
    """Through the stages: two folds, two seeds; the base model is judged for each, and adapters in their own pool alone."""
    trial = Trial(tmp_path, models("llama"), arms={"tli": {"loss_layer": [2], "rank": [4]}}, split={"folds": 2}, seeds=[1, 2])
    trial.pretend_checked_and_scanned()
    trial.run("folds")
    trial.train()
    rows = trial_rows(trial)
    deal = pd.read_csv(trial.layout.lexicon("swh-eng")["folds"], sep="\t")
    dealt = deal[deal["fold"] > 0]
    for run in ("baseline", "tli"):
        held = rows[(rows["arm"] == run) & (rows["hidden_state"] == tiny.LAYERS) & (rows["pooling"] == "no-bos")]
        assert set(held["split"]) == {"heldout"} and set(held["pool"]) == {"untrained"}
        assert sorted(zip(held["pair_id"], held["seed"], held["fold"])) == sorted(zip(dealt["pair_id"], dealt["seed"], dealt["fold"]))
    records = [pd.read_json(path, typ="series") for path in Path(trial.layout.results).glob("train/*/*/*/*/*/*/*/run.json")]
    assert len(records) == 4 and {(record["seed"], record["fold"]) for record in records} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    for record in records:
        fold = dealt[(dealt["seed"] == record["seed"]) & (dealt["fold"] == record["fold"])]
        assert record["train_pairs"] == 24 - 6 - len(fold)


def trial_rows(trial: Trial) -> pd.DataFrame:
    trial.evaluate()
    return trial.measured("similarities")


def test_the_base_model_is_judged_in_a_fold_as_an_adapter_at_initialisation_is(models, tmp_path):
    """The first from vectors of all forms, made once; the second from those of its own pool."""
    arms = {"zero": {"loss_layer": [2], "rank": [4], "epochs": 0}}
    trial = Trial(tmp_path, models("llama"), arms=arms, split={"folds": 2}, seeds=[1])
    trial.pretend_checked_and_scanned()
    trial.run("folds")
    trial.train("zero")
    key = ["fold", "pair_id", "hidden_state", "pooling"]
    rows = trial_rows(trial).set_index(key).sort_index()
    numbers = ["cosine", "mismatched_mean", "mismatched_sd", "best_rival", "target_rank", "csls_target_rank", "string_rank", "chance"]
    base, zero = (rows.loc[rows["arm"] == arm, numbers] for arm in ("baseline", "zero"))
    zero = zero.loc[zero.index.isin(base.index)]
    pd.testing.assert_frame_equal(base.loc[zero.index], zero, atol=1e-5)  # float32: other words in a pass
    assert len(zero) > 0
