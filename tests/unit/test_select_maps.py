"""Adapter + map: fitted where nothing was trained, blind to what is held out, and no gain where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import synthetic
from test_metrics_maps import hits, planted, rotation
from test_statistics_lines import CELL
from trial import Trial

from tli import facts, metrics, statistics
from tli.io import tables
from tli.metrics import maps
from tli.metrics.map_choice import MapRows, map_curve
from tli.probes import maps as maps_probe
from tli.probes.listed import Listed
from tli.probes.select_maps import ROWS, measure_select_maps, select_rows
from tli.specs import StatisticsSpec
from tli.statistics import added, rivals
from tli.statistics.mapped import Mapped, OnSelect

N, D, SEEDS = 160, 24, range(1, 6)
NAMES = ("centring", "procrustes", "ridge")
SPEC = StatisticsSpec(bootstrap=50)
NO_MAPS = Mapped.none()


def words(n: int = N) -> pd.DataFrame:
    """80 trained, 40 select, 40 held out."""
    table = pd.DataFrame(
        {"pair_id": [f"p{i:03d}" for i in range(n)], "source": [f"s{i}" for i in range(n)], "target": [f"t{i}" for i in range(n)]}
    )
    split = np.array(["train", "train", "select", "heldout"])[np.arange(n) % 4]
    return table.assign(alternatives="", split=split, component=table["pair_id"], category="", cognate=0.0, provenance="")


def vectors_of(source: np.ndarray, target: np.ndarray) -> metrics.Vectors:
    return metrics.Vectors(source.astype(np.float32), target.astype(np.float32))


@pytest.fixture(scope="module")
def base() -> metrics.Vectors:
    """A rotation between the languages with so much noise that a map finds some words and not all."""
    return vectors_of(*planted(N, D, noise=1.5))


def measured_with_map(vectors: metrics.Vectors, listed: Listed | None = None):
    return measure_select_maps({1: vectors}, listed or Listed.of(words()), NAMES, "no-bos")


def test_it_is_the_best_map_by_cross_validation_fitted_to_the_select_pairs(base):
    table, split = words(), words()["split"].to_numpy()
    made = measured_with_map(base)
    select = np.flatnonzero(split == "select")
    rows = MapRows(metrics.candidates(table), select, among_all=True)
    curve = map_curve([(1, base)], rows, NAMES)
    for fitted, judged in rows.parts():  # a part is asked among all 40, not among its own 8
        pool = rows.pool(judged)
        assert sorted(np.r_[fitted, judged]) == sorted(select) and sorted(pool.pairs) == sorted(judged)
        assert pool.candidates.rivals == (40, 40) and set(pool.candidates.source_forms) == set(table["source"].iloc[select])
    fit = made.fits.iloc[0]
    assert fit["value"] == curve["value"].max() and fit["fitted"] == 40
    assert ((curve["map"] == fit["map"]) & (curve["hyperparameter"] == fit["hyperparameter"]) & (curve["value"] == fit["value"])).any()
    mapping = maps.fit(fit["map"], base.source[select], base.target[select], fit["hyperparameter"])
    held = (split == "heldout").nonzero()[0]
    trained = table["split"] == "train"
    pool = metrics.untrained(metrics.candidates(table), held, set(table["source"][trained]), set(table["target"][trained]))
    rows, _ = metrics.evaluate_pool(mapping.vectors(base), pool, metrics.Questions(split))
    assert list(made.rows.columns) == ROWS and made.rows["pair_id"].tolist() == table["pair_id"].iloc[held].tolist()
    assert made.rows["csls_target_rank"].tolist() == rows["csls_target_rank"].tolist()
    np.testing.assert_allclose(made.rows["cosine"], rows["cosine"], atol=1e-6)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_other_rows_of_noise_change_neither_choice_nor_map(base, split):
    rng, others = np.random.default_rng(3), (words()["split"] == split).to_numpy()
    noisy = vectors_of(base.source.copy(), base.target.copy())
    for side in (noisy.source, noisy.target):
        side[others] = rng.normal(size=(others.sum(), D))
    made, before = measured_with_map(noisy), measured_with_map(base)
    pd.testing.assert_frame_equal(made.fits, before.fits)
    assert made.rows.equals(before.rows) == (split == "train")  # the words that are asked were the noise, or were not


def test_a_select_pair_with_a_trained_or_held_out_form_is_not_fitted_to(base):
    table = words()
    table.loc[2, "source"], table.loc[6, "target"] = table.loc[0, "source"], table.loc[3, "target"]
    listed = Listed.of(table)
    assert set(np.flatnonzero(table["split"] == "select")) - set(select_rows(listed)) == {2, 6}


@pytest.mark.parametrize(
    "change, says",
    [({"select": "train"}, "0 pairs are too few to fit a map"), ({"heldout": "train"}, "no word is held out")],
)
def test_without_select_or_held_out_words_it_is_not_measured_and_the_log_says_why(base, capsys, change, says):
    listed = Listed.of(words().assign(split=words()["split"].replace(change)))
    assert measured_with_map(base, listed) is None
    assert f"adapter + map: not measured: {says}" in capsys.readouterr().err


# --- statistics -------------------------------------------------------------------------------------------------------


def adapters(kind: str, base: metrics.Vectors, seed: int) -> metrics.Vectors:
    """What a training made of the vectors.

    memorises: both languages turned, trained words become equal; is-a-map: the source turned as Procrustes on the trained pairs
    turns it, trained words become equal; better: less noise.
    """
    rng, train = np.random.default_rng(seed), (words()["split"] == "train").to_numpy()
    turn = rotation(base.source.shape[1], rng)
    if kind == "is-a-map":
        mapping = maps.fit("procrustes", base.source[train], base.target[train], min(train.sum() - 1, len(turn)))
        source = np.where(train[:, None], base.target, mapping.image(base.source))
        return vectors_of(source + 1e-3 * rng.normal(size=source.shape), base.target)
    source, target = base.source @ turn, base.target @ turn
    if kind == "memorises":
        source[train] = target[train]
    if kind == "better":
        clean = planted(N, D, noise=0.0)[1]
        target = target + (0.7 * (clean - base.target)) @ turn
    return vectors_of(source + 1e-3 * rng.normal(size=source.shape), target)


def experiment(kind: str, base: metrics.Vectors, measure) -> tuple[statistics.Measured, OnSelect]:
    """One cell of five seeds, at hs[1] of a model of one block, measured by `measure` with a map."""
    listed, rows, fits, runs = Listed.of(words()), [], [], []
    subjects = [("baseline", -1, "baseline", base)]
    subjects += [("tli", seed, f"tli/layer-1/rank-4/seed-{seed}", adapters(kind, base, seed)) for seed in SEEDS]
    for arm, seed, run, vectors in subjects:
        names = {"model": "m", "pair": "a-b", "arm": arm, "layer": "1" if seed > 0 else "", "rank": "4" if seed > 0 else ""}
        names |= {"seed": seed, "fold": 0, "run": run}
        made = measure(vectors, listed)
        rows.append(made.rows.assign(**names))
        fits.append(made.fits.assign(**names))
        if seed > 0:
            runs.append(
                names | {"loss_layer": 1, "control": False, "placebo_of": "", "baseline": "baseline", "same_as": "", "train_pairs": 80}
            )
    runs = pd.DataFrame(runs).reindex(columns=tables.RUNS)
    similarities = tables.joined(rows, tables.SIMILARITIES)
    metrics_of = pd.DataFrame([{"model": "m", "hidden_state": 1, "pooling": "no-bos"}]).reindex(columns=tables.RUN_METRICS)
    measured = statistics.Measured(runs, similarities, metrics_of, words().assign(pair="a-b"), {"m": 1})
    return measured, OnSelect(tables.joined(fits, tables.SELECT_MAPS), similarities)


def answer(measured: statistics.Measured, on_select: OnSelect) -> tuple[float, float]:
    """Estimate and two-sided p of the line's test."""
    (one,) = added.table(added.added_by(measured, on_select, NO_MAPS, SPEC), SPEC).to_dict("records")
    return one["estimate"], one["p"]


def on_train(vectors: metrics.Vectors, listed: Listed):
    """The wrong way: fitted to trained pairs, on which the adapter knows every word."""
    swapped = words().assign(split=words()["split"].replace({"train": "select", "select": "train"}))
    return measure_select_maps({1: vectors}, Listed.of(swapped), NAMES, "no-bos")


def test_a_planted_rotation_that_memorises_its_words_adds_nothing(base):
    """Turned back by no map of trained words, it finds as much as the base model; a map on trained pairs would be misled."""
    estimate, p = answer(*experiment("memorises", base, measured_with_map))
    assert abs(estimate) < 0.06 and p > 0.05
    train = (words()["split"] == "train").to_numpy()
    adapted = adapters("memorises", base, 1)
    fooled = maps.fit("procrustes", adapted.source[train], adapted.target[train], D)
    assert hits(*fooled.apply(adapted.source[train], adapted.target[train])) == 1.0
    misled, _ = answer(*experiment("memorises", base, on_train))
    assert misled < -0.3  # the map that the memorised words ask for is the identity


@pytest.mark.parametrize("noise", [1.2, 1.6])
def test_a_planted_adapter_that_is_a_rotation_and_memorises_its_words_gets_no_adds_line(noise):
    """40 select pairs of 64 dimensions are fewer than the 80 that the adapter was a map on: against a map on those it adds nothing."""
    base = vectors_of(*planted(N, 64, noise=noise))
    measured, on_select = experiment("is-a-map", base, measured_with_map)
    asked = maps_probe.Asked(("procrustes",), (1,), frozenset([1]), (), "no-bos", layers=1)
    scan = maps_probe.measure_maps(lambda state: base, Listed.of(words()), asked)
    curve, rows = (maps_probe.named(table, -1, 0).assign(model="m", pair="a-b") for table in (scan.curve, scan.rows))
    found = added.added_by(measured, on_select, Mapped(curve[tables.MAPS], rows[tables.SIMILARITIES]), SPEC)
    by_rival = added.table(found, SPEC).set_index("rival")
    assert by_rival.loc["select pairs", "estimate"] > 0.1 and by_rival.loc["select pairs", "p"] < 0.05  # it has seen more pairs
    assert abs(by_rival.loc["training pairs", "estimate"]) < 0.1 and by_rival.loc["training pairs", ["map", "fitted"]].tolist() == [
        "procrustes",
        80,
    ]
    made = synthetic.tables(pairs=1, layers=("2",), zero=False, items=2)
    given = added.evidence(found, {"m": 1}, SPEC)
    of_cell = statistics.Measured(made["runs"], made["similarities"], made["metrics"], made["pairs"])
    lines = statistics.analyse(of_cell, SPEC, (statistics.Evidence(given.line, given.table.assign(**CELL)),))["lines"]
    line = lines.set_index("line").loc[facts.ADDS_TO_MAP]
    assert line["answer"] in (facts.NOT_DECIDED, facts.NO)
    assert line["sentence"].startswith("adds what no map fitted on 40 select pairs or 80 training pairs can: no")


def test_a_training_that_takes_noise_away_adds_what_no_map_can(base):
    measured, on_select = experiment("better", base, measured_with_map)
    estimate, p = answer(measured, on_select)
    assert estimate > 0.1 and p < 0.01
    row = added.table(added.added_by(measured, on_select, NO_MAPS, SPEC), SPEC).iloc[0]
    held = on_select.similarities.assign(hit=on_select.similarities["csls_target_rank"] == 1)
    by_arm = held.groupby("arm")["hit"].mean()
    assert (row["trained"], row["as_it_came"]) == (pytest.approx(by_arm["tli"]), pytest.approx(by_arm["baseline"]))
    assert row["fitted"] == 40 and row["seeds"] == 5 and row["units"] == 40 and np.isnan(row["p_nothing"])
    with_margin = added.table(added.added_by(measured, on_select, NO_MAPS, SPEC), StatisticsSpec(equivalence_margin=0.9)).iloc[0]
    assert with_margin["p_nothing"] < 0.05


def test_the_line_and_the_ladder_say_it(base):
    measured, on_select = experiment("better", base, measured_with_map)
    found = added.evidence(added.added_by(measured, on_select, NO_MAPS, SPEC), {"m": 1}, SPEC)
    assert found.line == facts.ADDS_TO_MAP and set(found.table["part"]) == {"40 select pairs"}
    made = synthetic.tables(pairs=1, layers=("2",), zero=False, items=2)
    cell = statistics.Evidence(found.line, found.table.assign(**CELL))
    of_cell = statistics.Measured(made["runs"], made["similarities"], made["metrics"], made["pairs"])
    lines = statistics.analyse(of_cell, SPEC, (cell,))["lines"].set_index("line")
    assert lines.loc[facts.ADDS_TO_MAP, "sentence"].startswith("adds what no map fitted on 40 select pairs can: yes (40 select pairs: +")
    assert added.evidence(
        added.added_by(measured, on_select, NO_MAPS, SPEC), {"m": 0}, SPEC
    ).table.empty  # measured, but not at the claim's state
    ladder = rivals.ladder(measured, NO_MAPS, SPEC, on_select)
    plus = ladder[ladder["rung"].str.endswith(" + map")].set_index("rung")
    row = added.table(added.added_by(measured, on_select, NO_MAPS, SPEC), SPEC).iloc[0]
    assert plus["value"].to_dict() == {"before + map": pytest.approx(row["as_it_came"]), "arm + map": pytest.approx(row["trained"])}
    assert set(plus["fitted"]) == {40} and plus["seeds"].to_dict() == {"before + map": 0, "arm + map": 5}
    assert ladder.loc[~ladder["rung"].isin(plus.index), "fitted"].isna().all()


def test_where_nothing_was_measured_there_is_no_row(base):
    measured, _ = experiment("better", base, measured_with_map)
    assert added.added_by(measured, OnSelect.none(), NO_MAPS, SPEC) == []
    assert added.table([], SPEC).empty and added.evidence([], {}, SPEC).table.empty


# --- the stage --------------------------------------------------------------------------------------------------------


def test_the_evaluation_writes_it_for_baseline_and_runs(models, tmp_path):
    trial = Trial(tmp_path, models("llama"), maps=["procrustes"], arms={"tli": {"loss_layer": [2], "rank": [4]}}, seeds=[1])
    trial.run("check")
    trial.run("scan")
    trial.train()
    trial.evaluate()
    fits, rows = trial.measured("select-maps"), trial.measured("select-maps-similarities")
    assert list(fits.columns) == tables.SELECT_MAPS and set(fits["map"]) == {"procrustes"} and set(fits["fitted"]) == {6}
    for run in ("baseline", "tli/layer-2/rank-4/seed-1"):
        assert sorted(fits.loc[fits["run"] == run, "hidden_state"]) == [1, 2, 4]
        of_run = rows[rows["run"] == run]
        assert set(of_run["hidden_state"]) == {1, 2, 4} and set(of_run["split"]) == {"heldout"} and set(of_run["pool"]) == {"untrained"}
        assert len(of_run) == 3 * 6 and set(of_run["pooling"]) == {"no-bos"}


def test_without_maps_in_the_config_nothing_is_asked(models, tmp_path):
    trial = Trial(tmp_path, models("llama"), arms={"tli": {"loss_layer": [2], "rank": [4]}}, seeds=[1])
    assert trial.job("evaluate", part="part-1").spec.select_maps == ()
