"""Free maps in the scan: chosen without held-out words, measured as runs are, in the same pools, for each seed and fold."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from test_metrics_maps import planted
from tiny import LAYERS, pairs_table
from trial import Trial

from tli import metrics
from tli.config.keys.base import FreeMap
from tli.io import table_files, tables
from tli.metrics.maps import KINDS, fit
from tli.metrics.shuffling import derangement
from tli.probes import maps
from tli.probes.maps import Asked, candidate_states, measure_maps
from tli.probes.words import Listed

PAIRED = [name for name, kind in KINDS.items() if kind.paired]
UNPAIRED = [name for name in KINDS if name not in PAIRED]
N = 120  # 72 train, 18 select, 30 held out


def words(n: int = N) -> pd.DataFrame:
    table = pd.DataFrame(
        {"pair_id": [f"p{i}" for i in range(n)], "source": [f"s{i}" for i in range(n)], "target": [f"t{i}" for i in range(n)]}
    )
    split = np.array(["train"] * 12 + ["select"] * 3 + ["heldout"] * 5)[np.arange(n) % 20]
    return table.assign(alternatives="", split=split, component=table["pair_id"], category="", cognate=0.0, provenance="")


def spaces(n: int = N, d: int = 24) -> dict[int, metrics.Vectors]:
    """hs[0]: unrelated; hs[1]: a rotation with noise; hs[2]: aligned as it is, with more noise."""
    rng = np.random.default_rng(0)
    unrelated = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    sides = unrelated, planted(n, d, noise=0.4), planted(n, d, noise=1.2, seed=2, turn=False)
    return {state: metrics.Vectors(*(side.astype(np.float32) for side in both)) for state, both in enumerate(sides)}


def asked(**changes) -> Asked:
    usual = {"names": tuple(KINDS), "states": (0, 1, 2), "full": frozenset([2]), "twins": (1, 2), "pooling": "no-bos", "layers": 2}
    return Asked(**usual | changes)


@pytest.fixture(scope="module")
def mapped():
    return measure_maps(spaces().__getitem__, Listed.of(words()), asked())


def test_the_config_knows_the_maps_that_there_are():
    assert list(get_args(FreeMap)) == list(KINDS)


def test_each_map_takes_the_state_where_select_words_are_found(mapped):
    chosen = mapped.curve[mapped.curve["chosen"]].set_index("map")
    assert chosen.index.is_unique and set(chosen.index) == set(KINDS)
    assert (chosen.loc[PAIRED, "hidden_state"] == 1).all() and (chosen.loc[UNPAIRED, "hidden_state"] == 2).all()
    best = mapped.curve.groupby("map")["value"].max()
    assert (chosen["value"] == best[chosen.index]).all()
    taken = mapped.curve[mapped.curve["at_state"]]
    assert (taken.groupby(["map", "hidden_state"]).size() == 1).all() and len(taken) == 3 * len(KINDS)


def test_rows_are_those_of_the_map_fitted_by_hand(mapped):
    """The chosen Procrustes, fitted to the training rows and asked in the pool, gives the rows that are written."""
    table, vectors = words(), spaces()[1]
    chosen = mapped.curve[mapped.curve["chosen"] & (mapped.curve["map"] == "procrustes")].iloc[0]
    train = (table["split"] == "train").to_numpy()
    by_hand = fit("procrustes", vectors.source[train], vectors.target[train], chosen["hyperparameter"])
    pool = metrics.untrained(
        metrics.candidates(table), (table["split"] == "heldout").to_numpy(), set(table["source"][train]), set(table["target"][train])
    )
    rows, figures = metrics.evaluate_pool(by_hand.vectors(vectors), pool, metrics.Questions(table["split"].to_numpy()))
    ours = mapped.rows.query("arm == 'map-procrustes' and layer == '1' and pool == 'untrained'")
    assert ours["pair_id"].tolist() == table["pair_id"].iloc[rows["pair"]].tolist()
    np.testing.assert_allclose(ours["cosine"], rows["cosine"], atol=1e-6)
    assert ours["csls_target_rank"].tolist() == rows["csls_target_rank"].tolist()
    figure = mapped.figures.query("arm == 'map-procrustes' and layer == '1' and pool == 'untrained'").iloc[0]
    assert figure["csls_p_at_1"] == figures["csls_p_at_1"].iloc[0] > 0.9
    assert (figure["pool_sources"], figure["n"], figure["leaked"]) == (48, 30, 0)


def test_what_is_measured_where(mapped):
    there = mapped.figures.groupby(["arm", "layer", "pool"])["seed"].unique().map(sorted).to_dict()
    for name in KINDS:
        own = "1" if name in PAIRED else "2"
        for state in "012":
            assert there[f"map-{name}", state, "untrained"] == [-1]
            assert ((f"map-{name}", state, "whole-list") in there) == (state in (own, "2"))
            twin = there.get((f"map-{name}-shuffled", state, "untrained"), [])
            assert twin == ([1, 2] if name in PAIRED and state in (own, "2") else [])
    splits = mapped.figures.groupby("pool")["split"].unique().map(sorted).to_dict()
    assert splits == {"untrained": ["heldout"], "whole-list": ["heldout", "select", "train"]}


def test_twins_find_nothing(mapped):
    at = mapped.figures.query("layer == '1' and pool == 'untrained'").groupby("arm")["csls_p_at_1"].mean()
    for name in PAIRED:
        assert at[f"map-{name}"] > 0.9 and at[f"map-{name}-shuffled"] < 0.15


def test_held_out_vectors_choose_nothing(mapped):
    """Held-out rows of noise: the same curve, the same choices."""
    rng, held = np.random.default_rng(5), (words()["split"] == "heldout").to_numpy()

    def noisy(state: int) -> metrics.Vectors:
        vectors = spaces()[state]
        for side in (vectors.source, vectors.target):
            side[held] = rng.normal(size=(held.sum(), side.shape[1]))
        return vectors

    other = measure_maps(noisy, Listed.of(words()), asked())
    pd.testing.assert_frame_equal(other.curve, mapped.curve)
    assert other.figures.query("arm == 'map-procrustes' and layer == '1' and pool == 'untrained'")["csls_p_at_1"].iloc[0] < 0.2


def test_spelling_stands_beside_a_map_as_it_does_beside_the_model():
    table = words().assign(target=[f"s{i}" if i % 2 else f"x{i}" for i in range(N)])
    similarity = metrics.baselines.similarity_matrix(
        metrics.candidates(table), lambda a, b: np.array([float(x == y) for x, y in zip(a, b, strict=True)])
    )
    listed = Listed.of(table, similarity)
    result = measure_maps(spaces().__getitem__, listed, asked(names=("centring",), twins=()))
    (whole, pool) = listed.pools
    expected = metrics.evaluate_pool(spaces()[2], pool, metrics.Questions(table["split"].to_numpy(), similarity))[1]
    ours = result.figures.query("layer == '2' and pool == 'untrained'")
    assert ours["string_p_at_1"].tolist() == expected["string_p_at_1"].tolist() and 0 < ours["string_p_at_1"].iloc[0] < 1


def test_without_a_select_split_the_training_pairs_choose():
    table = words().assign(split=lambda t: t["split"].replace("select", "train"))
    result = measure_maps(spaces().__getitem__, Listed.of(table), asked(names=("procrustes",), twins=()))
    assert result.curve["words"].unique().tolist() == [90]
    assert result.curve.query("chosen")["hidden_state"].tolist() == [1]


def test_too_few_pairs_leave_the_maps_out_and_say_so(capsys):
    table = words().assign(split="heldout")
    result = measure_maps(spaces().__getitem__, Listed.of(table), asked())
    assert not len(result.curve) and not len(result.rows) and not len(result.figures)
    assert "free maps are left out: 0 training pairs" in capsys.readouterr().err


def test_all_states_while_they_are_cheap():
    eight_billion = maps.work_of(420, 4096)
    assert eight_billion == 420 * 4096 * 420
    assert candidate_states(32, 5, (), eight_billion) == tuple(range(33))
    assert candidate_states(32, 5, (), maps.work_of(420, 4096, times=25)) == (0, 5, 32)
    assert candidate_states(32, None, (7, 99), maps.work_of(420, 4096, times=25)) == (0, 7, 32)
    assert candidate_states(8, 5, (), maps.work_of(300, 192, times=25)) == tuple(range(9))


# --- the stage ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["llama", "bert"])
def scanned(request, models, tmp_path_factory):
    arms = {"tli": {"loss_layer": [2], "target_modules": ["query" if request.param == "bert" else "q_proj"]}}
    trial = Trial(tmp_path_factory.mktemp(request.param), models(request.param), maps=list(KINDS), arms=arms, seeds=[3, 4])
    trial.run("check")
    trial.run("scan")
    return trial


def test_maps_are_written_as_runs(scanned):
    files = scanned.layout.scan("m", "swh-eng")
    curve, rows = table_files.read(files["maps"], tables.MAPS), table_files.read(files["map_similarities"], tables.SIMILARITIES)
    figures = table_files.read(files["map_metrics"], tables.RUN_METRICS)
    assert set(curve["hidden_state"]) == set(range(LAYERS + 1)) and curve.query("chosen")["map"].is_unique
    assert set(figures["run"]) >= {"map-centring/layer-4", "map-procrustes/layer-1", "map-procrustes-shuffled/layer-4"}
    assert not figures.duplicated(["run", "seed", "fold", "split", "hidden_state", "pooling", "pool"]).any()
    assert (
        (figures["layer"] == figures["hidden_state"].astype(str)).all() and (figures["rank"] == "").all() and (figures["fold"] == 0).all()
    )
    twin = figures["arm"].str.endswith("-shuffled")
    assert set(figures.loc[~twin, "seed"]) == {-1} and set(figures.loc[twin, "seed"]) == {3, 4}
    assert (figures["normed"] == (figures["hidden_state"] == LAYERS)).all()
    assert set(rows["run"]) == set(figures["run"]) and set(rows.query("pool == 'untrained'")["split"]) == {"heldout"}


def test_finished_maps_lie_in_the_store(scanned, monkeypatch):
    before = Path(scanned.layout.scan("m", "swh-eng")["map_metrics"]).read_bytes()
    monkeypatch.setattr(maps, "measure_maps", lambda *rest: pytest.fail("fitted again"))
    scanned.run("scan")
    assert Path(scanned.layout.scan("m", "swh-eng")["map_metrics"]).read_bytes() == before


def test_with_folds_a_map_is_fitted_to_the_words_of_its_run(models, tmp_path):
    trial = Trial(tmp_path, models("llama"), maps=["procrustes", "centring"], seeds=[1, 2], split={"folds": 2}, arms={"tli": {"rank": [4]}})
    table = pairs_table()
    dealt = table[table["split"] != "select"]["pair_id"]
    folds = pd.concat([pd.DataFrame({"pair_id": dealt, "seed": seed, "fold": (np.arange(len(dealt)) + seed) % 2 + 1}) for seed in (1, 2)])
    table_files.write(folds, trial.layout.lexicon("swh-eng")["folds"], tables.FOLDS)
    trial.run("check")
    trial.run("scan")
    rows = table_files.read(trial.layout.scan("m", "swh-eng")["map_similarities"], tables.SIMILARITIES)
    assert set(rows["pool"]) == {"untrained"}
    held = rows[rows["run"] == "map-procrustes/layer-4"].groupby(["seed", "fold"])["pair_id"].agg(set)
    expected = folds.groupby(["seed", "fold"])["pair_id"].agg(set)
    assert held.to_dict() == expected.to_dict()
    twins = rows[rows["arm"] == "map-procrustes-shuffled"]
    assert set(zip(twins["seed"], twins["fold"], strict=True)) == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_a_seed_that_is_added_changes_no_maps(models, tmp_path):
    few, more = (Trial(tmp_path, models("llama"), seeds=seeds).job("scan").params for seeds in (list(range(5)), list(range(7))))
    assert few == more


def test_a_derangement_without_a_solution_leaves_the_twins_out(capsys):
    table = words().assign(target="the same")
    candidates = metrics.candidates(table)
    with pytest.raises(ValueError, match="no placebo exists"):
        derangement(np.ones((3, 3), bool), 1)
    rows = maps.MapRows(candidates, np.arange(10), np.arange(10, 20))
    assert maps._orders(rows, [1]) == {} and "no twins" in capsys.readouterr().err
