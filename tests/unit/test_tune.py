"""Fair tuning: trials are judged on the select split alone, with seeds that no run has; the runs take the best one's settings."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from test_anchor import TEXT
from tiny import LAYERS, pairs_table
from trial import Trial

from tli import metrics
from tli.cluster import plan
from tli.cluster.costs import Cost
from tli.cluster.work import Work
from tli.config import load, parse
from tli.config.arms import FIRST_TUNING_SEED, expand_arms
from tli.errors import CellError, ConfigError
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.metrics.pools import among
from tli.metrics.retrieval import per_pair
from tli.model.opening import open_model
from tli.probes.words import Listed, WordsProbe, measure
from tli.report import tuning
from tli.specs import AnchorSpec, TrainSpec, TuneSpec
from tli.specs import Trial as Tried
from tli.training import trainer

ARMS = {
    "tli": {"loss_layer": [2], "rank": [4], "tune": {"learning_rate": [5e-3, 1e-9]}},
    "placebo": {"like": ["tli"], "shuffle_translations": True},
    "full-ft": {"method": "full", "loss_layer": ["output"], "tune": {"learning_rate": [1e-9, 1e-3]}},
}
TLI = {"arm": "tli", "layer": "2", "rank": "4"}


@pytest.fixture
def fresh(models, tmp_path) -> Trial:
    """Checked and scanned by hand, nothing trained."""
    trial = Trial(tmp_path, models("llama"), arms=ARMS, seeds=[1, 2], statistics={"primary": "gap"})
    trial.pretend_checked_and_scanned()
    return trial


@pytest.fixture
def done(monkeypatch):
    """What was trained (learning rate, seed) and which runs were measured, not taken from the store."""
    trained, measured = [], []
    run, ask = trainer.Trainer.run, WordsProbe.measure
    monkeypatch.setattr(
        trainer.Trainer,
        "run",
        lambda self, member, *rest: trained.append((self.spec.learning_rate, member.seed)) or run(self, member, *rest),
    )
    monkeypatch.setattr(
        WordsProbe, "measure", lambda self, loaded, subject, *rest: measured.append(subject.run) or ask(self, loaded, subject, *rest)
    )
    return trained, measured


def tuned(trial: Trial, **names) -> pd.DataFrame:
    """The table of trials of a cell."""
    return table_files.read(trial.run("tune", **TLI | names).outputs["trials"], tables.TRIALS)


# --- through the stages ---------------------------------------------------------------------------------------------


def planted(trial: Trial) -> Trial:
    """Its select pairs are some of the trained ones: whoever learns knows them, and who does not learn does not."""
    pairs = pairs_table()
    select, trained = (pairs["split"] == split for split in ("select", "train"))
    for side in ("source", "target", "alternatives"):
        pairs.loc[select, side] = pairs.loc[trained, side].to_numpy()[: select.sum()]
    trial.write_pairs(pairs)
    return trial.changed(training=trial.sections["training"] | {"epochs": 10})


def test_a_good_rate_beats_one_that_changes_nothing_and_the_runs_take_it(fresh):
    fresh = planted(fresh)
    table = tuned(fresh)
    assert table["learning_rate"].tolist() == [1e-9, 1e-9, 5e-3, 5e-3]  # the smaller change first
    assert table["chosen"].tolist() == [False, False, True, True]
    assert table.loc[table["chosen"], "value"].min() > 0.1 + table.loc[~table["chosen"], "value"].max()
    fresh.train()
    fresh.train("tli-placebo")
    for arm in ("tli", "tli-placebo"):
        record = json.loads((Path(fresh.job("train", **TLI | {"arm": arm}).folder(1)) / "run.json").read_text())
        assert record["settings"]["learning_rate"] == 5e-3
    fresh.changed(arms={name: arm for name, arm in ARMS.items() if name != "full-ft"}).evaluate()
    runs = fresh.measured("runs")
    assert set(runs["learning_rate"]) == {5e-3} and set(runs["seed"]) == {1, 2} and runs["anchor_weight"].isna().all()


def test_a_trial_is_worth_what_a_plain_measurement_of_it_says(fresh):
    """The base model, since 1e-9 leaves it so: hits of the select pairs among their own forms, as the free maps are chosen by."""
    trial = fresh.changed(statistics={"primary": "csls_p_at_1"})
    row = tuned(trial).iloc[0]
    pairs = pairs_table()
    candidates, asked = metrics.candidates(pairs), np.flatnonzero(pairs["split"] == "select")
    vectors = measure(open_model(trial.model), Listed.of(pairs), [LAYERS], ["no-bos"]).vectors[LAYERS, "no-bos"]
    places = [np.unique(of, return_index=True)[1] for of in (candidates.source_of, candidates.target_of)]
    whole = metrics.Vectors(*(side[place] for side, place in zip(vectors, places, strict=True)))
    pool = among("judged", candidates, asked)
    assert row["value"] == pytest.approx(np.mean(per_pair(pool.vectors(whole), pool.candidates, k=10)["csls_target_rank"] == 1))
    assert (row["words"], row["hidden_state"], row["pooling"], row["criterion"]) == (len(asked), LAYERS, "no-bos", "csls_p_at_1")


def test_a_second_tuning_computes_nothing_and_a_new_value_only_its_trials(fresh, done):
    trained, measured = done
    first = tuned(fresh)
    assert len(trained) == len(measured) == 4
    again = tuned(fresh)
    pd.testing.assert_frame_equal(first, again)
    assert len(trained) == len(measured) == 4
    more = ARMS | {"tli": ARMS["tli"] | {"tune": {"learning_rate": [5e-3, 1e-9, 1e-3]}}}
    del more["full-ft"]
    wider = tuned(fresh.changed(arms=more))
    assert trained[4:] == [(1e-3, seed) for seed in (FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1)] and len(measured) == 6
    kept = wider[wider["learning_rate"] != 1e-3]
    assert kept["value"].tolist() == first["value"].tolist() and kept["unit"].tolist() == first["unit"].tolist()


def test_a_killed_tuning_goes_on_where_it_stopped(fresh, done, monkeypatch):
    trained, measured = done
    inner = WordsProbe.measure

    def killed(self, loaded, subject, folder):
        if len(measured) == 2:
            raise KeyboardInterrupt
        inner(self, loaded, subject, folder)

    with monkeypatch.context() as patch:
        patch.setattr(WordsProbe, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            tuned(fresh)
    assert (len(trained), len(measured)) == (4, 2)
    tuned(fresh)
    assert (len(trained), len(measured)) == (4, 4)


def test_full_fine_tuning_is_tuned_and_leaves_no_weights_behind(fresh, done):
    trained, measured = done
    fresh = planted(fresh)
    table = tuned(fresh, arm="full-ft", layer="output", rank="full")
    assert table.loc[table["chosen"], "learning_rate"].tolist() == [1e-3, 1e-3]
    assert not list(fresh.folder.glob("store/train/*/weights"))
    pd.testing.assert_frame_equal(tuned(fresh, arm="full-ft", layer="output", rank="full"), table)
    assert len(trained) == len(measured) == 4


def test_a_trial_that_diverges_is_never_chosen(fresh):
    wild = ARMS["tli"] | {"tune": {"learning_rate": [1e30, 1e-9]}}
    table = tuned(fresh.changed(arms={"tli": wild}))
    assert table.loc[table["chosen"], "learning_rate"].tolist() == [1e-9, 1e-9]
    lost = table[table["learning_rate"] == 1e30]
    assert lost["failed"].all() and lost["value"].isna().all() and len(lost) == 2


def test_trials_on_weights_that_lie_open_are_those_on_weights_opened_anew(fresh, monkeypatch):
    together = tuned(fresh)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "can_turn_to", lambda self, spec: False)
        apart = tuned(fresh.changed(results=str(fresh.folder / "apart")).pretend_checked_and_scanned())
    pd.testing.assert_frame_equal(together, apart)


@pytest.mark.parametrize("metric", ["drift", "kl"])
def test_an_anchors_weight_is_tuned(models, tmp_path, metric):
    """Trials are the runs that arms of these weights would have; of weight 0 the plain one."""
    for language in ("swh", "eng"):
        (tmp_path / f"{language}.txt").write_text("\n".join(f"{text} {language}" for text in TEXT), encoding="utf-8")
    held = {"loss_layer": [2], "rank": [4], "anchor": {"metric": metric}}
    text = {language: str(tmp_path / f"{language}.txt") for language in ("swh", "eng")}
    trial = Trial(tmp_path / "results", models("llama"), arms={"tli": held | {"tune": {"weight": [0, 2], "seeds": 1}}}, text=text)
    trial.pretend_checked_and_scanned()
    table = tuned(trial)
    assert table["weight"].tolist() == [2, 0] and table["value"].notna().all()
    weights = {
        "held": {"loss_layer": [2], "rank": [4], "anchor": {"metric": metric, "weight": 2}},
        "plain": {"loss_layer": [2], "rank": [4]},
    }
    alone = trial.changed(
        arms=weights, seeds=table["seed"].unique().tolist(), results=str(tmp_path / "alone")
    ).pretend_checked_and_scanned()
    for row, arm in zip(table.itertuples(), ("held", "plain"), strict=True):
        (record,) = alone.train(arm).values()
        assert record["unit"] == row.unit
        first, second = map(load_file, tmp_path.glob(f"*/store/train/{row.unit}/adapter/*.safetensors"))
        assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    trial.train()
    trial.evaluate()
    assert trial.measured("runs")["anchor_weight"].fillna(0).tolist() == table.loc[table["chosen"], "weight"].tolist()


# --- leaks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", [TLI, {"arm": "full-ft", "layer": "output", "rank": "full"}])
def test_held_out_rows_replaced_by_noise_change_no_choice(fresh, arm, done):
    before = tuned(fresh, **arm)
    pairs, rng = pairs_table(), np.random.default_rng(0)
    heldout = pairs["split"] == "heldout"
    for side in ("source", "target"):
        pairs.loc[heldout, side] = ["".join(rng.choice(list("abcdefghij "), 9)) for _ in range(heldout.sum())]
    fresh.write_pairs(pairs)
    count = len(done[0])
    pd.testing.assert_frame_equal(tuned(fresh, **arm), before)
    assert len(done[0]) == count, "not even another unit: nothing of a held-out pair is in the key"
    fresh.write_pairs(pairs[~heldout].reset_index(drop=True))
    pd.testing.assert_frame_equal(tuned(fresh, **arm), before)


def test_select_rows_choose(fresh):
    """The other way round: with its translations dealt out wrong, the select split says something else."""
    before = tuned(fresh)
    pairs = pairs_table()
    select = pairs["split"] == "select"
    pairs.loc[select, "target"] = np.roll(pairs.loc[select, "target"], 1)
    fresh.write_pairs(pairs)
    assert not np.allclose(tuned(fresh)["value"], before["value"])


@given(st.lists(st.integers(0, FIRST_TUNING_SEED + 6), min_size=1, max_size=8, unique=True), st.integers(1, 5))
def test_no_seed_of_a_trial_is_a_runs(seeds, count):
    arms = {"tli": {"tune": {"epochs": [1, 2], "seeds": count}}}
    config = parse({"models": {"m": {"source": "x"}}, "pairs": {"a-b": {"lexicon": "x"}}, "arms": arms, "seeds": seeds})
    tried = expand_arms(config)["tli"].tune.seeds
    assert len(set(tried)) == count and not set(tried) & set(config.seed_list)


def test_with_folds_the_trials_read_no_deal(models, tmp_path):
    trial = Trial(tmp_path, models("llama"), arms={"tli": ARMS["tli"]}, split={"folds": 2}, seeds=[1, 2], statistics={"primary": "gap"})
    trial.pretend_checked_and_scanned()
    assert "folds" not in trial.job("tune", **TLI).inputs
    assert tuned(trial)["chosen"].sum() == 2


def test_without_select_pairs_there_is_nothing_to_choose_by(fresh):
    pairs = pairs_table()
    fresh.write_pairs(pairs[pairs["split"] != "select"].reset_index(drop=True))
    with pytest.raises(CellError, match=r"arms\.tli\.tune: swh-eng has no select pairs to choose by; give split\.shares\.select a share"):
        tuned(fresh)


# --- the order of the trials -----------------------------------------------------------------------------------------


def test_the_smaller_change_comes_first():
    order = TuneSpec((3e-4, 1e-4), (5, 2), (1.0, 10.0), (7,)).trials
    assert order[0] == Tried(1e-4, 2, 10.0) and order[-1] == Tried(3e-4, 5, 1.0)
    assert order == tuple(Tried(*one) for one in product((1e-4, 3e-4), (2, 5), (10.0, 1.0)))


def test_a_trials_settings():
    spec = TrainSpec(anchor=AnchorSpec("drift", 10.0))
    assert Tried(1e-3, 2).of(spec) == replace(spec, learning_rate=1e-3, epochs=2)
    assert Tried(1e-3, 2, 3.0).of(spec).anchor == AnchorSpec("drift", 3.0)
    assert Tried(1e-3, 2, 0.0).of(spec).anchor is None  # as an anchor of weight 0 in the config


# --- the config -----------------------------------------------------------------------------------------------------

MODELS = "models: {m: {source: x}}\npairs: {swh-eng: {lexicon: x}}\n"


def config_of(tmp_path: Path, arms: str, more: str = "") -> Experiment:
    path = tmp_path / "c.yaml"
    path.write_text(MODELS + more + "arms:\n" + arms, encoding="utf-8")
    return Experiment(load(path))


RATES = "tune: {learning_rate: [1.0e-4, 3.0e-4]}"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("full-ft: {method: full, tune: {learning_rate: [1.0e-5]}}", "1 trials of 2 seeds"),
        ("full-ft: {method: full, tune: {learning_rate: [1.0e-5, 2.0e-5], seeds: 3}}", "2 trials of 3 seeds"),
        ("plain: {}", "no trials"),
        ("plain: {like: tli, tune: null}", "no trials"),
    ],
)
def test_unequal_trials_are_refused_with_both_places(tmp_path, other, told):
    name = other.split(":")[0]
    message = (
        rf"c\.yaml, line 5: arms\.{name}\.tune: {told}, tli has 2 trials of 2 seeds \(.*c\.yaml, line 4\); arms are compared fairly only"
    )
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, f"  tli: {{{RATES}}}\n  {other}\n")


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (
            f"  tli: {{learning_rate: 1.0e-3, {RATES}}}",
            r"c\.yaml, line 4: arms\.tli\.learning_rate: arms\.tli\.tune tries other values of it",
        ),
        (f"  tli: {{{RATES}}}\n  b: {{like: tli, learning_rate: 1.0e-3}}", r"arms\.b\.learning_rate: arms\.tli\.tune tries other values"),
        (
            "  tli: {tune: {weight: [1, 3]}}",
            r"c\.yaml, line 4: arms\.tli: arms\.tli\.tune tries weights of an anchor, and this arm has none",
        ),
        (
            f"  tli: {{{RATES}, loss_layer: [2]}}\n  placebo: {{like: [tli], shuffle_translations: true, loss_layer: [2, 3]}}",
            r"arms\.placebo\.loss_layer: tli-placebo, a placebo, takes what was chosen for tli, which is not tuned at layer 3",
        ),
        (f"  tli: {{{RATES}}}\n  p: {{like: tli, shuffle_translations: true, {RATES}}}", r"arms\.p\.tune: a placebo is trained with"),
        ("  tli: {tune: {seeds: 3}}", "names nothing to try"),
        ("  tli: {tune: {epochs: [2, 2]}}", "epochs: names 2 twice"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, arms, message):
    with pytest.raises(ConfigError, match=message):
        _ = config_of(tmp_path, arms + "\n").arms


def test_who_is_tuned(tmp_path):
    """Each rank by itself; a placebo with its arm; an arm of no epochs not at all; a general `tune` is everyone's."""
    arms = "  tli: {loss_layer: [2], rank: [4, 8]}\n  zero: {like: tli, epochs: 0}\n  placebo: {like: [tli], shuffle_translations: true}\n"
    experiment = config_of(tmp_path, arms, "training: {tune: {learning_rate: [1.0e-4, 3.0e-4], epochs: [2, 4]}}\n")
    assert [run.cell for run in experiment.tuned_cells] == [("tli", "2", "4"), ("tli", "2", "8")]
    tli, placebo, zero = (experiment.arms[name] for name in ("tli", "tli-placebo", "zero"))
    assert len(tli.tune.trials) == 4 and placebo.tune == tli.tune and zero.tune is None and zero.training.epochs == 0
    assert (placebo.tuned_as, tli.tuned_as) == ("tli", "tli")
    places = {"model": "m", "pair": "swh-eng", "layer": "2", "rank": "8"}
    trains = [Job.of(experiment, "train", arm=arm, **places) for arm in ("tli", "tli-placebo")]
    trials = Job.of(experiment, "tune", arm="tli", **places).outputs["trials"]
    assert [job.inputs["trials"] for job in trains] == [trials, trials]
    assert "trials" not in Job.of(experiment, "train", arm="zero", **places).inputs
    with pytest.raises(ConfigError, match="is trained with what is chosen for tli"):
        Job.of(experiment, "tune", arm="tli-placebo", **places)
    with pytest.raises(ConfigError, match="nothing of it is tuned"):
        Job.of(experiment, "tune", arm="zero", **places)


def test_best_waits_for_the_trials_of_the_layers_that_are_listed(tmp_path):
    experiment = config_of(tmp_path, f"  tli: {{loss_layer: [best, 2], {RATES}}}\n")
    job = Job.of(experiment, "tune", model="m", pair="swh-eng", arm="tli", layer="best", rank="16")
    assert job.inputs["listed"] == [experiment.layout.trials("m", "swh-eng", ("tli", "2", "16"))]
    assert job.inputs["choice"] == [experiment.layout.scan("m", "swh-eng")["choice"]]


# --- what is told ---------------------------------------------------------------------------------------------------


def trials_table(chosen: dict[str, float]) -> pd.DataFrame:
    """Three rates, two seeds each, of one cell for each rank; `chosen`: by rank."""
    made = []
    for (rank, best), (number, rate), seed in product(chosen.items(), enumerate((1e-4, 2e-4, 8e-4), 1), (11, 12)):
        row = {"model": "m", "pair": "p", "arm": "tli", "layer": "2", "rank": rank, "trial": number, "learning_rate": rate, "epochs": 5}
        row |= {"weight": np.nan, "seed": seed, "criterion": "csls_p_at_1", "hidden_state": 4, "pooling": "no-bos", "words": 40}
        made.append(row | {"value": 0.1 * number + 0.01 * (seed == 12), "failed": False, "chosen": rate == best, "unit": f"{rate}{seed}"})
    return pd.DataFrame(made, columns=tables.TRIALS)


def test_the_report_says_what_was_tried_and_what_was_chosen():
    trials = trials_table({"4": 2e-4, "8": 2e-4, "16": 8e-4})
    table = tuning.tried(trials)
    assert len(table) == 9 and (table["seeds"] == 2).all()
    assert table["value"].iloc[:3].tolist() == pytest.approx([0.105, 0.205, 0.305])
    assert table["lowest"].iloc[0] == pytest.approx(0.1) and table["highest"].iloc[0] == pytest.approx(0.11)
    how, what = tuning.tuning_sentences(trials)
    assert "every cell had 3 trials of 2 seeds, none of which is a run's" in how and "no held-out pair was read" in how
    assert what == "Chosen were tli: learning rate 0.0002 (2 of 3 cells), learning rate 0.0008 (1 of 3 cells)."
    assert tuning.tuning_sentences(trials_table({"4": 2e-4}))[1] == "Chosen were tli: learning rate 0.0002."
    assert "learned from the list's own train split" in tuning.tuning_sentences(trials, folds=True)[0]
    joint = "Trials of tli, trained on several lists together, were judged by the mean over the lists."
    assert joint in tuning.tuning_sentences(trials, joint=["tli", "other"]) and joint not in tuning.tuning_sentences(
        trials, joint=["other"]
    )
    assert tuning.tuning_sentences(trials.iloc[:0]) == [] and tuning.tried(trials.iloc[:0]).empty


def test_the_report_tells_the_edge_of_what_was_tried():
    (told,) = tuning.edges(trials_table({"4": 2e-4, "8": 1e-4, "16": 8e-4}))
    assert told.startswith("tli: 2 of 3 tuned cells took the lowest or the highest learning rate that was tried (0.0001 to 0.0008)")
    assert not list(tuning.edges(trials_table({"4": 2e-4})))


def test_the_plan_counts_trials_as_runs(tmp_path):
    arms = "  tli: {loss_layer: [2], rank: [4, 8], tune: {epochs: [2, 4, 6]}}\n  placebo: {like: [tli], shuffle_translations: true}\n"
    experiment = config_of(tmp_path, arms)
    table = plan.plan(experiment).set_index("stage")
    assert table.loc["tune", "jobs"] == 2
    assert "40 runs in 4 cells, and 12 trained before them to tune 2 cells" in plan.text(experiment, plan.plan(experiment))
    work = Work.of(Job.of(experiment, "tune", model="m", pair="swh-eng", arm="tli", layer="2", rank="4"))
    tune, training, measuring = (Cost(experiment, one) for one in (work, replace(work, stage="train", runs=2), work.measurements))
    twelve = 2 * (training.seconds - training.loading)  # 2 seeds of 2, 4 and 6 epochs are twice those of 6
    assert tune.seconds == pytest.approx(training.loading + twelve + measuring.seconds)
    assert (tune.memory_mb, tune.gpu_memory_gb) == (measuring.memory_mb, measuring.gpu_memory_gb) and tune.gpus == 1
    assert tune.gpu_memory_gb > training.gpu_memory_gb
