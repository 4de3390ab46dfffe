"""The model stages through their functions: check, scan, train, evaluate on a tiny model, and what the store spares."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from tiny import LAYERS, pairs_table, whole_model

from tli.config import parse
from tli.errors import CellError, ModelError
from tli.experiment import grid
from tli.io import tables
from tli.stages import check, evaluate, scan, statistics, train
from tli.training import trainer

STATES = list(range(LAYERS + 1))
ARMS = {
    "tli": {"loss_layer": ["best", 2], "rank": [4]},
    "deep": {"like": "tli", "loss_layer": [2], "adapted_blocks": "all", "allow_unreached": True},
    "placebo": {"like": ["tli"], "loss_layer": [2], "shuffle_translations": True},
    "zero": {"like": "tli", "loss_layer": [2], "epochs": 0},
    "full-ft": {"method": "full", "loss_layer": ["output"], "learning_rate": 1e-3},
}


class Experiment:
    """The stages of one tiny experiment, in a folder of its own."""

    def __init__(self, folder: Path, model_settings: dict, seeds: int = 1, best_by: str = "gap"):
        self.folder, self.model_settings = folder, model_settings
        self.config = parse(
            {
                "models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x"}}, "arms": ARMS, "seeds": seeds,
                "training": {"epochs": 2, "batch_size": 5, "warmup_steps": 2, "learning_rate": 5e-3}, "scan": {"best_by": best_by},
            }
        )  # fmt: skip
        tables.write(pairs_table(), folder / "pairs.tsv", tables.PAIRS)

    def check(self, **changes):
        given = dict(
            model="m", model_settings=self.model_settings, layers_asked=[2], target_modules=["q_proj", "v_proj"],
            output=str(self.folder / "check.json"), facts={},
        )  # fmt: skip
        check.check(**given | changes)

    def scan(self, **changes):
        names = {name: str(self.folder / f"{name}.tsv") for name in ("choice", "words", "audit")}
        given = dict(
            model="m", pair="swh-eng", model_settings=self.model_settings, pairs=str(self.folder / "pairs.tsv"), poolings=["no-bos", "with-bos"],
            best_by=self.config.scan.best_by, best_at_most=None, csls_k=10, bootstrap=50, output=str(self.folder / "scan.tsv"), facts={}, **names,
        )  # fmt: skip
        scan.scan(**given | changes)

    def runs(self) -> list[dict]:
        rows = grid.expand(self.config).to_dict("records")
        return [row | {"folder": str(self.folder / "train" / row["model"] / row["pair"] / row["run"])} for row in rows]

    def train(self, arm="tli", layer="2", seeds=(1,), **changes):
        rank = "full" if arm == "full-ft" else "4"
        outputs = {seed: str(self.folder / "train" / "m" / "swh-eng" / grid.run_name(arm, layer, rank, seed)) for seed in seeds}
        given = dict(
            model="m", pair="swh-eng", arm=arm, layer=layer, rank=rank, seeds=list(seeds), model_settings=self.model_settings,
            settings=grid.training_settings(self.config, arm, layer, rank), pairs=str(self.folder / "pairs.tsv"),
            check=str(self.folder / "check.json"), choice=str(self.folder / "choice.tsv"), results=str(self.folder), outputs=outputs, facts={},
        )  # fmt: skip
        train.train(**given | changes)
        return {seed: json.loads((Path(folder) / "run.json").read_text()) for seed, folder in outputs.items()}

    def evaluate(self, runs=None, part="part", **changes):
        output = self.folder / part
        given = dict(
            model="m", pair="swh-eng", runs=self.runs() if runs is None else runs, baselines=["baseline"], layers_asked=["best", "2", "output"],
            mapped=["tli/layer-2/rank-4/seed-1"], model_settings=self.model_settings, hidden_states=["output", "loss-layer", 1],
            poolings=["no-bos", "with-bos"], merge=False, projected_pairs=8, csls_k=10, pairs=str(self.folder / "pairs.tsv"),
            check=str(self.folder / "check.json"), choice=str(self.folder / "choice.tsv"), results=str(self.folder), output=str(output), facts={},
        )  # fmt: skip
        evaluate.evaluate(**given | changes)
        return output


@pytest.fixture(scope="module")
def done(models, tmp_path_factory):
    """The whole experiment, run once."""
    experiment = Experiment(tmp_path_factory.mktemp("experiment"), models("llama"))
    experiment.check()
    experiment.scan()
    for arm, layer in [("tli", "best"), ("tli", "2"), ("deep", "2"), ("tli-placebo", "2"), ("zero", "2"), ("full-ft", "output")]:
        experiment.train(arm, layer)
    experiment.evaluate()
    return experiment


@pytest.fixture
def fresh(models, tmp_path):
    """An experiment that is checked and scanned by hand, nothing trained."""
    experiment = Experiment(tmp_path, models("llama"))
    record = {"model": "m", "identity": "id", "layers": LAYERS}
    (tmp_path / "check.json").write_text(json.dumps(record))
    chosen = pd.DataFrame({"model": "m", "pair": "swh-eng", "hidden_state": [1, 2, 3], "criterion": "gap", "value": 0.1, "win_share": 0.0})
    tables.write(chosen.assign(chosen=[False, False, True]), tmp_path / "choice.tsv", tables.CHOICE)
    return experiment


@pytest.fixture
def trained(monkeypatch):
    """The seeds that were trained, not taken from the store."""
    seeds, run = [], trainer.Trainer.run
    monkeypatch.setattr(trainer.Trainer, "run", lambda self, seed, *rest: seeds.append(seed) or run(self, seed, *rest))
    return seeds


@pytest.fixture
def measured(monkeypatch):
    """The runs that were measured, not taken from the store."""
    runs, measure = [], evaluate._Bench.measure
    monkeypatch.setattr(evaluate._Bench, "measure", lambda self, job, *rest: runs.append(job["run"]) or measure(self, job, *rest))
    return runs


# --- check and scan -------------------------------------------------------------------------------------------------


def test_check_says_what_the_model_is(done, models):
    record = json.loads((done.folder / "check.json").read_text())
    whole = whole_model(done.model_settings)
    assert record["parameters"] == sum(p.numel() for p in whole.parameters())
    assert (record["layers"], record["hidden_size"], record["causal"], record["tied_head"]) == (LAYERS, 32, True, False)
    assert (record["bos"], record["added_before"], record["added_after"], record["vocabulary"]) == (True, [1], [], 300)


def test_check_of_an_encoder_without_bos(models, tmp_path, capsys):
    settings = models("bert", bos=False)
    Experiment(tmp_path, settings).check(target_modules=["query"])
    record = json.loads((tmp_path / "check.json").read_text())
    assert (record["causal"], record["bos"], record["added_before"], record["added_after"]) == (False, False, [], [2])
    assert "NOTE: the tokenizer adds nothing before a word" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"layers_asked": [2, LAYERS + 1]}, rf"models\.m: has hs\[0\] to hs\[{LAYERS}\]; the config asks for hs\[{LAYERS + 1}\]"), ({"target_modules": ["q_proj", "qkv"]}, "no block has a module 'qkv'")],
)  # fmt: skip
def test_check_stops_and_writes_nothing(models, tmp_path, changes, reason):
    with pytest.raises(ModelError, match=reason):
        Experiment(tmp_path, models("llama")).check(**changes)
    assert not (tmp_path / "check.json").exists()


def test_check_of_a_model_with_one_tensor_removed(models, tmp_path):
    folder = Path(shutil.copytree(models("llama")["source"], tmp_path / "m"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"model\.layers\.1\.mlp\.up_proj\.weight first.*random numbers"):
        Experiment(tmp_path, models("llama") | {"source": str(folder)}).check()


def test_check_of_weights_that_are_no_numbers(models, tmp_path):
    folder = Path(shutil.copytree(models("llama")["source"], tmp_path / "m"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.2.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"models\.m: model\.layers\.2\.mlp\.up_proj\.weight holds NaN"):
        Experiment(tmp_path, models("llama") | {"source": str(folder)}).check()


def test_check_of_a_model_without_its_tokenizer(models, tmp_path):
    folder = Path(shutil.copytree(models("llama")["source"], tmp_path / "m"))
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer that can be opened .*copy tokenizer\.json"):
        Experiment(tmp_path, models("llama") | {"source": str(folder)}).check()


def test_scan_has_every_state_pooling_and_split_once(done):
    found = pd.read_csv(done.folder / "scan.tsv", sep="\t")
    assert list(found.columns) == tables.SCAN
    assert len(found) == len(STATES) * 2 * 3 and not found.duplicated(["hidden_state", "pooling", "split"]).any()
    assert set(found["hidden_state"]) == set(STATES)
    assert found.groupby("split")["n"].unique().map(list).to_dict() == {"heldout": [6], "select": [6], "train": [12]}
    assert (found["normed"] == (found["hidden_state"] == LAYERS)).all()


def test_scan_says_of_every_pair_what_the_other_stages_need(done):
    assert tables.read(done.folder / "words.tsv", tables.WORDS)["pair_id"].tolist() == pairs_table()["pair_id"].tolist()
    assert set(tables.read(done.folder / "audit.tsv", ["severity", "text"]).columns) == {"severity", "text"}


@pytest.mark.parametrize("criterion", ["gap", "csls_p_at_1", "mrr", "cosine", "mexa", "z", "p_at_1"])
def test_best_is_the_argmax_on_select_without_bos(models, tmp_path, criterion):
    experiment = Experiment(tmp_path, models("llama"), best_by=criterion)
    experiment.scan()
    choice = pd.read_csv(tmp_path / "choice.tsv", sep="\t")
    found = pd.read_csv(tmp_path / "scan.tsv", sep="\t").query("split == 'select' and pooling == 'no-bos' and 1 <= hidden_state <= 3")
    assert list(choice.columns) == tables.CHOICE and choice["hidden_state"].tolist() == [1, 2, 3]
    best = max(found[criterion])
    assert choice.loc[choice["chosen"], "hidden_state"].tolist() == [min(found.loc[found[criterion] == best, "hidden_state"])]
    assert choice["win_share"].sum() == pytest.approx(1)


# --- train ----------------------------------------------------------------------------------------------------------


def test_a_second_training_is_taken_from_the_store_and_a_new_seed_alone_is_made(fresh, trained):
    first = fresh.train(seeds=(1, 2))
    file = Path(fresh.runs()[1]["folder"]) / "adapter" / "adapter_model.safetensors"
    assert fresh.runs()[1]["run"] == "tli/layer-2/rank-4/seed-1"
    tensors = file.read_bytes()
    shutil.rmtree(fresh.folder / "train")  # as Snakemake does with a job's outputs
    again = fresh.train(seeds=(2, 1, 3))
    assert trained == [1, 2, 3]
    assert again[1] == first[1] and again[2] == first[2] and file.read_bytes() == tensors
    assert len(list((fresh.folder / "store" / "train").iterdir())) == 3


def test_a_killed_training_goes_on_where_it_stopped(fresh, trained, monkeypatch):
    inner = trainer.Trainer.run

    def stopped(self, seed, *rest):
        found = inner(self, seed, *rest)
        if seed == 2:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            fresh.train(seeds=(1, 2, 3))
    fresh.train(seeds=(1, 2, 3))
    assert trained == [1, 2, 2, 3]


@pytest.mark.parametrize("change", ["settings", "pairs", "model", "dtype"])
def test_what_a_run_depends_on_makes_another_unit(fresh, trained, change):
    first = fresh.train()[1]["unit"]
    changes = {}
    if change == "settings":
        changes["settings"] = grid.training_settings(fresh.config, "tli", "2", "4") | {"margin": 0.1}
    elif change == "pairs":
        tables.write(pairs_table().replace("bread", "loaf"), fresh.folder / "pairs.tsv", tables.PAIRS)
    elif change == "model":
        (fresh.folder / "check.json").write_text(json.dumps({"model": "m", "identity": "another", "layers": LAYERS}))
    else:
        changes["model_settings"] = fresh.model_settings | {"dtype": "bfloat16"}
    assert fresh.train(**changes)[1]["unit"] != first and trained == [1, 1]


def test_held_out_pairs_and_the_place_of_the_model_change_no_unit(fresh, trained, tmp_path_factory):
    first = fresh.train()[1]["unit"]
    tables.write(pairs_table().replace("hand", "palm"), fresh.folder / "pairs.tsv", tables.PAIRS)
    moved = shutil.copytree(fresh.model_settings["source"], tmp_path_factory.mktemp("moved") / "m")
    assert fresh.train(model_settings=fresh.model_settings | {"source": str(moved)})[1]["unit"] == first and trained == [1]


def test_best_is_resolved_and_the_same_run_is_made_once(fresh, trained):
    best = fresh.train(layer="best")[1]
    assert best["loss_layer"] == 3 and fresh.train(layer="3")[1]["unit"] == best["unit"] and trained == [1]


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
    ("layer", "changes", "reason"),
    [
        (str(LAYERS + 1), {}, rf"loss_layer {LAYERS + 1}: this model has hs\[0\] to hs\[{LAYERS}\]"), ("0", {}, "no block lies below"),
        ("2", {"adapted_blocks": "all"}, "adapters are asked for on 4 blocks, but a loss at .* reaches only the first 2"), ("2", {"adapted_blocks": 3}, "on 3 blocks"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_is_an_error(fresh, trained, layer, changes, reason):
    settings = grid.training_settings(fresh.config, "tli", layer, "4") | changes
    with pytest.raises(CellError, match=reason):
        fresh.train(layer=layer, settings=settings)
    assert trained == []


def test_a_train_split_of_one_pair_is_an_error(fresh):
    few = pairs_table()
    few.loc[few["split"] == "train", "split"] = ["train"] + ["heldout"] * 11
    tables.write(few, fresh.folder / "pairs.tsv", tables.PAIRS)
    with pytest.raises(CellError, match="swh-eng: the train split has 1 pairs; at least 2"):
        fresh.train()


# --- evaluate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "columns"), [
    ("similarities.parquet", tables.SIMILARITIES), ("metrics.tsv", tables.RUN_METRICS), ("projections.parquet", tables.PROJECTIONS),
    ("runs.tsv", tables.RUNS), ("losses.parquet", tables.LOSSES),
])  # fmt: skip
def test_tables_have_the_contracts_columns(done, file, columns):
    found = tables.read(done.folder / "part" / file)
    assert list(found.columns) == columns and len(found)


def test_an_adapter_at_initialisation_is_the_baseline(done):
    found = tables.read(done.folder / "part" / "similarities.parquet")
    key = ["pair_id", "hidden_state", "pooling"]
    numbers = [c for c in tables.SIMILARITIES if c not in [*tables.RUN, *key, "split"]]
    zero, baseline = (found[found["run"] == run].set_index(key)[numbers] for run in ("zero/layer-2/rank-4/seed-1", "baseline"))
    assert len(zero) == 24 * 3 * 2
    pd.testing.assert_frame_equal(zero.sort_index(), baseline.loc[zero.index].sort_index(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("run", ["tli/layer-2/rank-4/seed-1", "tli-placebo/layer-2/rank-4/seed-1", "full-ft/layer-output/rank-full/seed-1"])
def test_a_training_changes_what_is_above_and_nothing_below_it(done, run):
    found = tables.read(done.folder / "part" / "similarities.parquet").set_index(["pair_id", "hidden_state", "pooling"])
    after, before = (found[found["run"] == r]["cosine"] for r in (run, "baseline"))
    change = (after - before.loc[after.index]).abs()
    assert change.xs(LAYERS, level="hidden_state").max() > 1e-3
    assert sorted(change.index.unique("hidden_state")) == ([1, 2, 4] if "full" not in run else [1, 4])


def test_figures_are_those_of_the_rows(done):
    rows, figures = (tables.read(done.folder / "part" / name) for name in ("similarities.parquet", "metrics.tsv"))
    key = ["run", "split", "hidden_state", "pooling"]
    by_hand = rows.assign(hit=rows["csls_target_rank"] == 1, gap=rows["cosine"] - rows["mismatched_mean"]).groupby(key)
    by_hand = by_hand.agg(n=("cosine", "size"), cosine=("cosine", "mean"), gap=("gap", "mean"), csls_p_at_1=("hit", "mean"))
    figures = figures.set_index(key)
    assert set(figures.index) == set(by_hand.index)
    for name in by_hand:
        np.testing.assert_allclose(figures.loc[by_hand.index, name], by_hand[name], rtol=1e-6, atol=1e-7)


def test_baseline_is_there_at_every_state_that_a_run_is_measured_at(done):
    found = tables.read(done.folder / "part" / "similarities.parquet")
    baseline = set(found.loc[found["run"] == "baseline", "hidden_state"])
    assert set(found["hidden_state"]) == baseline and (found.groupby(["run", "hidden_state", "pooling"]).size() == 24).all()
    assert set(found.loc[found["run"] == "baseline", "seed"]) == {-1}


def test_runs_tell_what_was_trained(done):
    found = tables.read(done.folder / "part" / "runs.tsv").set_index("run")
    assert found.loc["zero/layer-2/rank-4/seed-1", "steps"] == 0 and found.loc["tli/layer-2/rank-4/seed-1", "steps"] == 6
    assert found.loc["full-ft/layer-output/rank-full/seed-1", ["adapter", "rank"]].tolist() == ["", "full"]
    assert np.isnan(found.loc["full-ft/layer-output/rank-full/seed-1", "alpha"])
    for run, adapter in found["adapter"].items():
        assert adapter == "" or (done.folder / adapter / "adapter_config.json").is_file(), run
    losses = tables.read(done.folder / "part" / "losses.parquet")
    assert losses.groupby("run").size().to_dict() == {run: n for run, n in found["steps"].items() if n}


def test_maps_are_made_for_the_baseline_and_the_mapped_run_alone(done):
    found = tables.read(done.folder / "part" / "projections.parquet")
    assert set(found["run"]) == {"baseline", "tli/layer-2/rank-4/seed-1"} and found["method"].nunique() == 2
    assert (found.groupby(["run", "method", "side"])["pair_id"].nunique() == 8).all()
    assert set(found["hidden_state"]) == {LAYERS} and np.isfinite(found[["x", "y"]].to_numpy()).all()


def test_evaluation_is_taken_from_the_store_and_a_new_seed_alone_is_measured(done, measured, trained):
    runs = [run for run in done.runs() if run["method"] == "lora"]
    done.evaluate(runs, part="again")
    assert measured == []
    for name in ("similarities.parquet", "metrics.tsv"):
        old, new = (tables.read(done.folder / part / name) for part in ("part", "again"))
        pd.testing.assert_frame_equal(old[old["arm"] != "full-ft"].reset_index(drop=True), new)
    done.train(seeds=(1, 2))
    added = runs[1] | {
        "seed": 2,
        "run": runs[1]["run"].replace("seed-1", "seed-2"),
        "folder": runs[1]["folder"].replace("seed-1", "seed-2"),
    }
    done.evaluate([*runs, added], part="more")
    assert trained == [2] and measured == ["tli/layer-2/rank-4/seed-2"]


def test_no_run_at_all_gives_the_baseline_and_empty_tables(done, measured):
    output = done.evaluate([], part="none")
    assert measured == [] and set(tables.read(output / "metrics.tsv")["run"]) == {"baseline"}
    for file, columns in [("runs.tsv", tables.RUNS), ("losses.parquet", tables.LOSSES)]:
        found = tables.read(output / file)
        assert list(found.columns) == columns and len(found) == 0


def test_the_order_of_evaluation_changes_nothing(done, measured, tmp_path):
    """Each adapter comes off to the bit: what was worn before does not show."""
    runs = [run for run in done.runs() if run["method"] == "lora"]
    output = done.evaluate(runs[::-1], part="reversed", results=str(tmp_path), mapped=[], projected_pairs=0)
    assert len(measured) == len({json.loads((Path(r["folder"]) / "run.json").read_text())["unit"] for r in runs}) + 1
    old, new = (
        tables.read(part / "similarities.parquet").set_index(["run", "pair_id", "hidden_state", "pooling"])["cosine"]
        for part in (done.folder / "part", output)
    )
    assert np.array_equal(old.loc[new.index], new)


def test_merging_into_float32_gives_nearly_the_same(done, measured):
    runs = [run for run in done.runs() if run["run"] == "tli/layer-2/rank-4/seed-1"]
    output = done.evaluate(runs, part="merged", merge=True, mapped=[])
    assert measured == ["tli/layer-2/rank-4/seed-1"]
    old, new = (
        tables.read(part / "similarities.parquet").set_index(["run", "pair_id", "hidden_state", "pooling"])["cosine"]
        for part in (done.folder / "part", output)
    )
    np.testing.assert_allclose(old.loc[new.index], new, atol=1e-5)


# --- the same run twice ---------------------------------------------------------------------------------------------


def test_runs_that_are_the_same_by_construction_are_marked(done):
    found = statistics.gather([str(done.folder / "part")])["runs"].set_index("run")["same_as"]
    best = int(pd.read_csv(done.folder / "choice.tsv", sep="\t").query("chosen")["hidden_state"].iloc[0])
    assert found["deep/layer-2/rank-4/seed-1"] == "tli/layer-2/rank-4/seed-1"
    assert found["tli/layer-best/rank-4/seed-1"] == ("tli/layer-2/rank-4/seed-1" if best == 2 else "")
    assert (found.drop(["deep/layer-2/rank-4/seed-1", "tli/layer-best/rank-4/seed-1"]) == "").all()


def test_best_gives_way_to_the_number_and_every_training_counts_once():
    columns = ["model", "pair", "run", "layer", "placebo_of", "unit", "same_as"]
    rows = [
        ("m", "p", "a/best", "best", "", "u1", "a/2"), ("m", "p", "a/2", "2", "", "u1", ""), ("m", "p", "b/2", "2", "", "u1", "a/2"),
        ("m", "p", "a-p/2", "2", "a", "u2", ""), ("m", "p", "b-p/2", "2", "b", "u2", "a-p/2"), ("m", "p", "b-p/best", "best", "b", "u2", "a-p/2"),
        ("m", "q", "a/2", "2", "", "u1", ""), ("n", "p", "a/best", "best", "", "u1", ""), ("n", "p", "a/output", "output", "", "u3", ""),
    ]  # fmt: skip
    made = pd.DataFrame(rows, columns=columns)
    for order in (made, made.iloc[::-1].reset_index(drop=True), made.set_axis(range(50, 59))):
        found = statistics.mark_same(order.assign(same_as=""))
        assert found.index.equals(order.index)
        if order is not made and order.index[0] == 0:  # of two equals the earlier counts, so only who is marked may differ
            assert (found["same_as"] != "").sum() == (made["same_as"] != "").sum()
        else:
            assert found["same_as"].tolist() == order["same_as"].tolist()


@pytest.mark.parametrize("merge", [False, True])
def test_a_streamed_evaluation_is_the_whole_models(done, merge, tmp_path):
    """Baseline and adapters in one reading of the files, against each on the opened model."""
    runs = [run for run in done.runs() if run["method"] != "full" and Path(run["folder"]).exists()]
    assert len(runs) >= 4
    found = {}
    for stream in ("always", "never"):
        folder = tmp_path / stream
        folder.mkdir()
        for name in ("check.json", "choice.tsv", "pairs.tsv"):
            shutil.copy(done.folder / name, folder / name)
        experiment = Experiment(folder, done.model_settings | {"stream": stream})
        found[stream] = experiment.evaluate(runs, merge=merge)
    for name in ("similarities.parquet", "metrics.tsv"):
        streamed, whole = (tables.read(found[stream] / name) for stream in ("always", "never"))
        pd.testing.assert_frame_equal(streamed, whole, atol=1e-5, rtol=1e-5)  # float32: rounding alone
