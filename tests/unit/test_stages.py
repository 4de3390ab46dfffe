"""The model stages through their jobs: check, scan, train, evaluate on a tiny model, and what the store spares."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from tiny import LAYERS, pairs_table, whole_model
from trial import ARMS, CELLS, Trial

from tli.errors import CellError, ModelError
from tli.experiment.results import mark_same, read_measured
from tli.io import table_files, tables
from tli.probes.words import WordsProbe
from tli.training import trainer

STATES = list(range(LAYERS + 1))
PLACE = ["pair_id", "hidden_state", "pooling", "pool"]


@pytest.fixture(scope="module")
def done(models, tmp_path_factory):
    """The whole experiment, run once."""
    trial = Trial(tmp_path_factory.mktemp("experiment"), models("llama"))
    trial.run("check")
    trial.run("scan")
    for arm, layer in CELLS:
        trial.train(arm, layer)
    trial.evaluate()
    return trial


@pytest.fixture
def fresh(models, tmp_path):
    """An experiment that is checked and scanned by hand, nothing trained."""
    trial = Trial(tmp_path, models("llama"))
    trial.pretend_checked_and_scanned()
    return trial


@pytest.fixture
def trained(monkeypatch):
    """The seeds that were trained, not taken from the store."""
    seeds, run = [], trainer.Trainer.run
    monkeypatch.setattr(trainer.Trainer, "run", lambda self, member, *rest: seeds.append(member.seed) or run(self, member, *rest))
    return seeds


@pytest.fixture
def measured(monkeypatch):
    """The runs that were measured, not taken from the store."""
    runs, measure = [], WordsProbe.measure
    monkeypatch.setattr(
        WordsProbe, "measure", lambda self, loaded, subject, *rest: runs.append(subject.run) or measure(self, loaded, subject, *rest)
    )
    return runs


def everything(trial: Trial) -> dict[str, pd.DataFrame]:
    """The tables of all parts of the evaluation."""
    return read_measured(trial.layout, [("m", "swh-eng", part) for part in trial.experiment.parts("evaluate", "m", "swh-eng")])


# --- check and scan -------------------------------------------------------------------------------------------------


def test_check_says_what_the_model_is(done):
    record = json.loads(Path(done.layout.check("m")).read_text())
    whole = whole_model(done.model)
    assert record["parameters"] == sum(p.numel() for p in whole.parameters())
    assert (record["layers"], record["hidden_size"], record["causal"], record["tied_head"]) == (LAYERS, 32, True, False)
    assert (record["bos"], record["added_before"], record["added_after"], record["vocabulary"]) == (True, [1], [], 300)


def test_check_of_an_encoder_without_bos(models, tmp_path, capsys):
    trial = Trial(tmp_path, models("bert", bos=False), arms={"tli": {"target_modules": ["query"]}})
    trial.run("check")
    record = json.loads(Path(trial.layout.check("m")).read_text())
    assert (record["causal"], record["bos"], record["added_before"], record["added_after"]) == (False, False, [], [2])
    assert "NOTE: the tokenizer adds nothing before a word" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        ({"loss_layer": [2, LAYERS + 1]}, rf"models\.m: has hs\[0\] to hs\[{LAYERS}\]; the config asks for hs\[{LAYERS + 1}\]"),
        ({"target_modules": ["q_proj", "qkv"]}, "no block has a module 'qkv'"),
    ],
)
def test_check_stops_and_writes_nothing(models, tmp_path, arm, reason):
    trial = Trial(tmp_path, models("llama"), arms={"tli": arm})
    with pytest.raises(ModelError, match=reason):
        trial.run("check")
    assert not Path(trial.layout.check("m")).exists()


def copied(model, folder: Path):
    """The model in a folder of its own, to be spoilt there."""
    return replace(model, source=str(shutil.copytree(model.source, folder / "m")))


def test_check_of_a_model_with_one_tensor_removed(models, tmp_path):
    model = copied(models("llama"), tmp_path)
    file = Path(model.source) / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"model\.layers\.1\.mlp\.up_proj\.weight first.*random numbers"):
        Trial(tmp_path, model).run("check")


def test_check_of_weights_that_are_no_numbers(models, tmp_path):
    model = copied(models("llama"), tmp_path)
    file = Path(model.source) / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.2.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"models\.m: model\.layers\.2\.mlp\.up_proj\.weight holds NaN"):
        Trial(tmp_path, model).run("check")


def test_check_of_a_model_without_its_tokenizer(models, tmp_path):
    model = copied(models("llama"), tmp_path)
    for file in Path(model.source).glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer that can be opened .*copy tokenizer\.json"):
        Trial(tmp_path, model).run("check")


def test_scan_has_every_state_pooling_and_split_once(done):
    scan = pd.read_csv(done.layout.scan("m", "swh-eng")["scan"], sep="\t")
    assert list(scan.columns) == tables.SCAN
    assert not scan.duplicated(["hidden_state", "pooling", "split", "pool"]).any()
    whole, untrained = (scan[scan["pool"] == pool] for pool in (tables.WHOLE_LIST, tables.UNTRAINED))
    assert len(whole) == len(STATES) * 2 * 3 and len(untrained) == len(STATES) * 2
    assert set(scan["hidden_state"]) == set(STATES)
    assert whole.groupby("split")["n"].unique().map(list).to_dict() == {"heldout": [6], "select": [6], "train": [12]}
    assert set(untrained["split"]) == {"heldout"} and (untrained["pool_targets"] == 12).all()  # select and held-out forms
    assert (scan["normed"] == (scan["hidden_state"] == LAYERS)).all()


def test_scan_says_of_every_pair_what_the_other_stages_need(done):
    files = done.layout.scan("m", "swh-eng")
    assert table_files.read(files["words"], tables.WORDS)["pair_id"].tolist() == pairs_table()["pair_id"].tolist()
    assert set(table_files.read(files["audit"], ["severity", "text"]).columns) == {"severity", "text"}


@pytest.mark.parametrize("criterion", ["gap", "csls_p_at_1", "mrr", "cosine", "mexa", "z", "p_at_1"])
def test_best_is_the_argmax_on_select_without_bos(models, tmp_path, criterion):
    trial = Trial(tmp_path, models("llama"), scan={"best_by": criterion, "bootstrap": 50})
    outputs = trial.run("scan").outputs
    choice = pd.read_csv(outputs["choice"], sep="\t")
    scan = pd.read_csv(outputs["scan"], sep="\t").query("split == 'select' and pooling == 'no-bos' and 1 <= hidden_state <= 3")
    assert list(choice.columns) == tables.CHOICE and choice["hidden_state"].tolist() == [1, 2, 3]
    best = max(scan[criterion])
    assert choice.loc[choice["chosen"], "hidden_state"].tolist() == [min(scan.loc[scan[criterion] == best, "hidden_state"])]
    assert choice["win_share"].sum() == pytest.approx(1)


# --- train ----------------------------------------------------------------------------------------------------------


def test_a_second_training_is_taken_from_the_store_and_a_new_seed_alone_is_made(fresh, trained):
    first = fresh.changed(seeds=[1, 2]).train()
    job = fresh.job("train", arm="tli", layer="2", rank="4")
    file = Path(job.folder(1)) / "adapter" / "adapter_model.safetensors"
    tensors = file.read_bytes()
    shutil.rmtree(fresh.folder / "train")  # as Snakemake does with a job's outputs
    again = fresh.changed(seeds=[2, 1, 3]).train()
    assert trained == [1, 2, 3]
    assert again[1] == first[1] and again[2] == first[2] and file.read_bytes() == tensors
    assert len(list((fresh.folder / "store" / "train").iterdir())) == 3


def test_a_killed_training_goes_on_where_it_stopped(fresh, trained, monkeypatch):
    inner = trainer.Trainer.run

    def stopped(self, member, *rest):
        record = inner(self, member, *rest)
        if member.seed == 2:
            raise KeyboardInterrupt
        return record

    three = fresh.changed(seeds=[1, 2, 3])
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            three.train()
    three.train()
    assert trained == [1, 2, 2, 3]


@pytest.mark.parametrize("change", ["settings", "pairs", "model", "dtype"])
def test_what_a_run_depends_on_makes_another_unit(fresh, trained, change):
    first = fresh.train()[1]["unit"]
    other = fresh
    if change == "settings":
        other = fresh.changed(training=fresh.sections["training"] | {"margin": 0.1})
    elif change == "pairs":
        fresh.write_pairs(pairs_table().replace("bread", "loaf"))
    elif change == "model":
        fresh.pretend_checked_and_scanned("another")
    else:
        other = fresh.changed(models={"m": fresh.sections["models"]["m"] | {"dtype": "bfloat16"}})
    assert other.train()[1]["unit"] != first and trained == [1, 1]


def test_held_out_pairs_and_the_place_of_the_model_change_no_unit(fresh, trained, tmp_path_factory):
    first = fresh.train()[1]["unit"]
    fresh.write_pairs(pairs_table().replace("hand", "palm"))
    moved = copied(fresh.model, tmp_path_factory.mktemp("moved"))
    assert fresh.changed(models={"m": fresh.sections["models"]["m"] | {"source": moved.source}}).train()[1]["unit"] == first
    assert trained == [1]


def test_best_is_resolved_and_the_same_run_is_made_once(fresh, trained):
    both = fresh.changed(arms={"tli": {"loss_layer": ["best", 3], "rank": [4]}})
    best = both.train(layer="best")[1]
    assert best["loss_layer"] == 3 and both.train(layer="3")[1]["unit"] == best["unit"] and trained == [1]


def test_each_run_counts_its_own_parameters_also_where_the_unit_is_shared(fresh, trained):
    """More adapters than the loss can reach: the same run, but another count of what is called trainable."""
    reachable, deep = fresh.train("tli")[1], fresh.train("deep")[1]
    assert deep["unit"] == reachable["unit"] and trained == [1]
    per_block = 4 * (32 + 32) + 4 * (32 + 16)
    for record, blocks in [(reachable, 2), (deep, LAYERS)]:
        assert (record["adapted_blocks"], record["trainable_parameters"], record["reached_parameters"]) == (
            blocks,
            blocks * per_block,
            2 * per_block,
        )


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        ({"loss_layer": [LAYERS + 1]}, rf"loss_layer {LAYERS + 1}: this model has hs\[0\] to hs\[{LAYERS}\]"),
        ({"loss_layer": [0]}, "no block lies below"),
        ({"loss_layer": [2], "adapted_blocks": "all"}, "adapters are asked for on 4 blocks, but a loss at .* reaches only the first 2"),
        ({"loss_layer": [2], "adapted_blocks": 3}, "on 3 blocks"),
    ],
)
def test_a_cell_that_cannot_be_is_an_error(fresh, trained, arm, reason):
    other = fresh.changed(arms={"tli": {"rank": [4]} | arm})
    with pytest.raises(CellError, match=reason):
        other.train(layer=str(arm["loss_layer"][0]))
    assert trained == []


def test_a_train_split_of_one_pair_is_an_error(fresh):
    few = pairs_table()
    few.loc[few["split"] == "train", "split"] = ["train"] + ["heldout"] * 11
    fresh.write_pairs(few)
    with pytest.raises(CellError, match="swh-eng: the train split has 1 pairs; at least 2"):
        fresh.train()


# --- evaluate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("similarities", tables.SIMILARITIES),
        ("metrics", tables.RUN_METRICS),
        ("projections", tables.PROJECTIONS),
        ("runs", tables.RUNS),
        ("losses", tables.LOSSES),
    ],
)
def test_tables_have_the_contracts_columns(done, table, columns):
    read = done.measured(table)
    assert list(read.columns) == columns and len(read)


def test_an_adapter_at_initialisation_is_the_baseline(done):
    rows = done.measured("similarities")
    numbers = [c for c in tables.SIMILARITIES if c not in [*tables.RUN, *PLACE, "split"]]
    zero, baseline = (rows[rows["run"] == run].set_index(PLACE)[numbers] for run in ("zero/layer-2/rank-4/seed-1", "baseline"))
    assert len(zero) == (24 + 6) * 3 * 2  # the whole list, and the held-out words among what is untrained
    pd.testing.assert_frame_equal(zero.sort_index(), baseline.loc[zero.index].sort_index(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("run", ["tli/layer-2/rank-4/seed-1", "tli-placebo/layer-2/rank-4/seed-1", "full-ft/layer-output/rank-full/seed-1"])
def test_a_training_changes_what_is_above_and_nothing_below_it(done, run):
    rows = everything(done)["similarities"].set_index(PLACE)
    after, before = (rows[rows["run"] == r]["cosine"] for r in (run, "baseline"))
    change = (after - before.loc[after.index]).abs()
    assert change.xs(LAYERS, level="hidden_state").max() > 1e-3
    assert sorted(change.index.unique("hidden_state")) == ([1, 2, 4] if "full" not in run else [1, 4])


def test_figures_are_those_of_the_rows(done):
    both = everything(done)
    rows, figures = both["similarities"], both["metrics"]
    key = ["run", "split", "hidden_state", "pooling", "pool"]
    by_hand = rows.assign(hit=rows["csls_target_rank"] == 1, gap=rows["cosine"] - rows["mismatched_mean"]).groupby(key)
    by_hand = by_hand.agg(n=("cosine", "size"), cosine=("cosine", "mean"), gap=("gap", "mean"), csls_p_at_1=("hit", "mean"))
    figures = figures.set_index(key)
    assert set(figures.index) == set(by_hand.index)
    for name in by_hand:
        np.testing.assert_allclose(figures.loc[by_hand.index, name], by_hand[name], rtol=1e-6, atol=1e-7)


def test_baseline_is_there_at_every_state_that_a_run_is_measured_at(done):
    rows = everything(done)["similarities"]
    baseline = set(rows.loc[rows["run"] == "baseline", "hidden_state"])
    assert set(rows["hidden_state"]) == baseline and (rows.groupby(["run", "hidden_state", "pooling"]).size() == 24 + 6).all()
    assert set(rows.loc[rows["run"] == "baseline", "seed"]) == {-1}


def test_runs_tell_what_was_trained(done):
    both = everything(done)
    runs = both["runs"].set_index("run")
    assert runs.loc["zero/layer-2/rank-4/seed-1", "steps"] == 0 and runs.loc["tli/layer-2/rank-4/seed-1", "steps"] == 6
    assert runs.loc["full-ft/layer-output/rank-full/seed-1", ["adapter", "rank"]].tolist() == ["", "full"]
    assert np.isnan(runs.loc["full-ft/layer-output/rank-full/seed-1", "alpha"])
    for run, adapter in runs["adapter"].items():
        assert adapter == "" or (done.folder / adapter / "adapter_config.json").is_file(), run
    assert both["losses"].groupby("run").size().to_dict() == {run: n for run, n in runs["steps"].items() if n}


def test_maps_are_made_for_the_baseline_and_one_run_of_each_cell_alone(done):
    maps = done.measured("projections")
    cells = {"tli/layer-best/rank-4/seed-1", "tli/layer-2/rank-4/seed-1", "deep/layer-2/rank-4/seed-1"}  # no control
    assert set(maps["run"]) == {"baseline", *cells} and maps["method"].nunique() == 2
    assert (maps.groupby(["run", "method", "side"])["pair_id"].nunique() == 8).all()
    assert set(maps["hidden_state"]) == {LAYERS} and np.isfinite(maps[["x", "y"]].to_numpy()).all()


def test_evaluation_is_taken_from_the_store_and_a_new_seed_alone_is_measured(done, measured, trained, tmp_path):
    shutil.copytree(done.folder, tmp_path / "copy")
    copy = done.changed(results=str(tmp_path / "copy"))
    job = copy.run("evaluate", part="part-1")
    assert measured == []
    for name in ("similarities", "metrics"):
        pd.testing.assert_frame_equal(table_files.read(job.outputs[name]), done.measured(name))
    two = copy.changed(seeds=[1, 2], arms={name: ARMS[name] for name in ("tli", "full-ft")})
    units = {run: record["unit"] for run, record in ((f"tli/layer-{x}/rank-4/seed-2", two.train(layer=x)[2]) for x in ("best", "2"))}
    two.run("evaluate", part="part-1")
    assert trained == [2] * len(set(units.values()))
    assert measured == list({unit: run for run, unit in reversed(units.items())}.values())[::-1]


def test_a_grid_of_full_trainings_gives_the_baseline_and_empty_tables_in_its_first_part(done, measured):
    full = done.changed(arms={"full-ft": ARMS["full-ft"]}, results=str(done.folder / "empty"))
    for name in ("check", "scan", "lexicon"):
        shutil.copytree(done.folder / name, full.layout.results + f"/{name}", dirs_exist_ok=True)
    outputs = full.run("evaluate", part="part-1").outputs
    assert measured == ["baseline"] and set(table_files.read(outputs["metrics"])["run"]) == {"baseline"}
    for name, columns in [("runs", tables.RUNS), ("losses", tables.LOSSES)]:
        read = table_files.read(outputs[name])
        assert list(read.columns) == columns and len(read) == 0


def elsewhere(done: Trial, folder: Path, **sections) -> Trial:
    """The experiment's trainings in another folder, where nothing is measured yet."""
    for name in ("check", "scan", "lexicon", "train"):
        shutil.copytree(done.folder / name, folder / name)
    return done.changed(results=str(folder), **sections)


def test_the_order_of_evaluation_changes_nothing(done, measured, tmp_path):
    """Each adapter comes off to the bit: what was worn before does not show."""
    arms = {name: ARMS[name] for name in ("placebo", "zero", "deep", "tli")}
    reverse = elsewhere(done, tmp_path, arms=arms, evaluation=done.sections["evaluation"] | {"projected_pairs": 0})
    outputs = reverse.run("evaluate", part="part-1").outputs
    runs = [run for run in reverse.experiment.runs if not run.is_full]
    records = [json.loads(Path(reverse.layout.record("m", "swh-eng", run.run)).read_text()) for run in runs]
    assert len(measured) == len({record["unit"] for record in records}) + 1
    new = table_files.read(outputs["similarities"])
    old, new = (t.set_index(["run", *PLACE])["cosine"] for t in (done.measured("similarities"), new))
    common = [key for key in new.index if key in old.index]
    assert len(common) > 400 and np.array_equal(old.loc[common], new.loc[common])


def test_merging_into_float32_gives_nearly_the_same(done, measured, tmp_path):
    merged = elsewhere(done, tmp_path, arms={"tli": ARMS["tli"]}, evaluation=done.sections["evaluation"] | {"merge": True})
    outputs = merged.run("evaluate", part="part-1").outputs
    assert "tli/layer-2/rank-4/seed-1" in measured
    new = table_files.read(outputs["similarities"])
    new = new[new["run"] == "tli/layer-2/rank-4/seed-1"]
    old, new = (t.set_index(["run", *PLACE])["cosine"] for t in (done.measured("similarities"), new))
    np.testing.assert_allclose(old.loc[new.index], new, atol=1e-5)


@pytest.mark.parametrize("merge", [False, True])
def test_a_streamed_evaluation_is_the_whole_models(done, merge, tmp_path):
    """Baseline and adapters in one reading of the files, against each on the opened model."""
    results = {}
    for stream in ("always", "never"):
        models = {"m": done.sections["models"]["m"] | {"stream": stream}}
        evaluation = done.sections["evaluation"] | {"merge": merge}
        trial = elsewhere(done, tmp_path / stream, models=models, evaluation=evaluation)
        assert len(trial.job("evaluate", part="part-1").content.runs) >= 4
        results[stream] = trial.run("evaluate", part="part-1").outputs
    for name in ("similarities", "metrics"):
        streamed, whole = (table_files.read(results[stream][name]) for stream in ("always", "never"))
        pd.testing.assert_frame_equal(streamed, whole, atol=1e-5, rtol=1e-5)  # float32: rounding alone


# --- the same run twice ---------------------------------------------------------------------------------------------


def test_runs_that_are_the_same_by_construction_are_marked(done):
    same_as = everything(done)["runs"].set_index("run")["same_as"]
    best = int(pd.read_csv(done.layout.scan("m", "swh-eng")["choice"], sep="\t").query("chosen")["hidden_state"].iloc[0])
    assert same_as["deep/layer-2/rank-4/seed-1"] == "tli/layer-2/rank-4/seed-1"
    assert same_as["tli/layer-best/rank-4/seed-1"] == ("tli/layer-2/rank-4/seed-1" if best == 2 else "")
    assert (same_as.drop(["deep/layer-2/rank-4/seed-1", "tli/layer-best/rank-4/seed-1"]) == "").all()


def test_best_gives_way_to_the_number_and_every_training_counts_once():
    columns = ["model", "pair", "run", "layer", "placebo_of", "unit", "same_as"]
    rows = [
        ("m", "p", "a/best", "best", "", "u1", "a/2"),
        ("m", "p", "a/2", "2", "", "u1", ""),
        ("m", "p", "b/2", "2", "", "u1", "a/2"),
        ("m", "p", "a-p/2", "2", "a", "u2", ""),
        ("m", "p", "b-p/2", "2", "b", "u2", "a-p/2"),
        ("m", "p", "b-p/best", "best", "b", "u2", "a-p/2"),
        ("m", "q", "a/2", "2", "", "u1", ""),
        ("n", "p", "a/best", "best", "", "u1", ""),
        ("n", "p", "a/output", "output", "", "u3", ""),
    ]
    made = pd.DataFrame(rows, columns=columns)
    for order in (made, made.iloc[::-1].reset_index(drop=True), made.set_axis(range(50, 59))):
        found = mark_same(order.assign(same_as=""))
        assert found.index.equals(order.index)
        if order is not made and order.index[0] == 0:  # of two equals the earlier counts, so only who is marked may differ
            assert (found["same_as"] != "").sum() == (made["same_as"] != "").sum()
        else:
            assert found["same_as"].tolist() == order["same_as"].tolist()
