"""Runs against free maps: the same words, the same test, and the ladder that both stand on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats

from tli import facts, statistics
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics import rivals
from tli.statistics.rivals import Mapped

STATES = {"model-1": 4}
SPEC = StatisticsSpec(bootstrap=50)


def made(**changes) -> dict[str, pd.DataFrame]:
    return synthetic.tables(pairs=1, layers=("2",), words=80, effect=0.12, seeds=5, number_of_layers=4, **changes)


def measured_of(given: dict[str, pd.DataFrame]) -> statistics.Measured:
    return statistics.Measured(given["runs"], given["similarities"], given["metrics"], given["pairs"], {})


def maps_from(given: dict[str, pd.DataFrame], found: dict[str, float], state: int = 4) -> Mapped:
    """Maps that find the first `found` of the held-out words, and a curve that ranks them the other way round than chance would."""
    before = given["similarities"].query("seed == -1 and pooling == 'no-bos'")
    rows, curve = [], []
    for name, share in found.items():
        for at in (1, state):
            of_state = before[before["hidden_state"] == state].assign(hidden_state=at).sort_values("pair_id")
            held = of_state["split"] == "heldout"
            right = np.cumsum(held) <= round(share * held.sum() * (0.5 if at != state else 1))
            arm = f"map-{name}"
            names = {"arm": arm, "layer": str(at), "rank": "", "seed": -1, "fold": 0, "run": f"{arm}/layer-{at}"}
            rows.append(of_state.assign(**names, csls_target_rank=np.where(right, 1, 2), target_rank=np.where(right, 1, 2)))
            curve.append([*of_state[["model", "pair"]].iloc[0], -1, 0, name, at, np.nan, share, 20, True, at == 1])
    return Mapped(pd.DataFrame(curve, columns=tables.MAPS), pd.concat(rows)[tables.SIMILARITIES])


def by_hand(given: dict[str, pd.DataFrame], mapped: Mapped, run: str, state: int = 4) -> np.ndarray:
    """[seeds, words] of hit - the map's hit, by a plain pivot."""
    where = f"hidden_state == {state} and split == 'heldout'"
    ours = given["similarities"].query(where + " and pooling == 'no-bos' and arm == 'tli'")
    hits = ours.assign(hit=(ours["csls_target_rank"] <= 1) * 1.0).pivot(index="seed", columns="pair_id", values="hit")
    rival = mapped.similarities.query(where).query("run == @run").set_index("pair_id")["csls_target_rank"]
    return (hits - (rival <= 1).reindex(hits.columns).astype(float)).to_numpy()


def test_the_best_map_is_chosen_by_select_words_alone():
    given = made()
    mapped = maps_from(given, {"ridge": 0.2, "procrustes": 0.9})
    model = given["runs"]["model"].iloc[0]
    assert mapped.best({model: 4})["rival"].tolist() == ["map-procrustes/layer-4"]
    mapped.curve.loc[mapped.curve["map"] == "ridge", "value"] = 0.95  # select says otherwise than held-out words do
    assert mapped.best({model: 4})["rival"].tolist() == ["map-ridge/layer-4"]


@pytest.mark.parametrize("share, answer", [(0.0, facts.YES), (1.0, facts.NO)])
def test_the_line_under_a_verdict_says_who_wins(share, answer):
    given = made()
    measured, mapped = measured_of(given), maps_from(given, {"ridge": share})
    found = statistics.analyse(measured, SPEC, (rivals.evidence(rivals.against_best(measured, mapped, SPEC)),))
    line = found["lines"].query("line == @facts.BEATS_MAP").iloc[0]
    d = by_hand(given, mapped, "map-ridge/layer-4")
    assert (
        line["part"] == "ridge"
        and line["answer"] == answer
        and line["estimate"] == pytest.approx(d.mean(), abs=1e-12)
        and line["seeds"] == 5
    )
    says = {facts.YES: "it beats the best free map", facts.NO: "a free map does better"}[answer]
    assert says in found["verdicts"].query("arm == 'tli'")["in_short"].iloc[0]


def test_without_maps_the_line_is_not_measured():
    measured = measured_of(made())
    evidence = rivals.evidence(rivals.against_best(measured, Mapped.none(), SPEC))
    lines = statistics.analyse(measured, SPEC, (evidence,))["lines"]
    assert set(lines.query("line == @facts.BEATS_MAP")["answer"]) == {facts.NOT_MEASURED}
    assert rivals.rivals(rivals.against_best(measured, Mapped.none(), SPEC), SPEC).empty


def test_the_table_of_rivals_is_the_crossed_test_of_hits():
    given = made()
    measured, mapped = measured_of(given), maps_from(given, {"ridge": 0.6})
    row = rivals.rivals(rivals.against_best(measured, mapped, SPEC), StatisticsSpec(equivalence_margin=0.9)).iloc[0]
    assert (row["map"], row["hidden_state"], row["seeds"]) == ("ridge", 4, 5)
    assert row["estimate"] == pytest.approx(by_hand(given, mapped, "map-ridge/layer-4").mean(), abs=1e-12)
    assert row["low"] < row["estimate"] < row["high"] and row["p_as_well"] < 0.05
    assert np.isnan(rivals.rivals(rivals.against_best(measured, mapped, SPEC), SPEC)["p_as_well"]).all()


def test_a_ladder_holds_everything_from_free_to_trained():
    given = made()
    measured, mapped = measured_of(given), maps_from(given, {"ridge": 0.6, "procrustes": 0.8})
    table = rivals.ladder(measured, mapped, SPEC)
    assert list(dict.fromkeys(table["rung"])) == ["before", "spelling", "map", "map at its own state", "control", "arm"]
    figures = given["metrics"].query("pooling == 'no-bos' and split == 'heldout' and hidden_state == 4")
    before = table.query("rung == 'before'").iloc[0]
    assert before["value"] == pytest.approx(figures.query("seed == -1")["csls_p_at_1"].iloc[0], abs=1e-12)
    trained = table.query("rung == 'arm' and name.str.startswith('tli')").iloc[0]
    assert trained["value"] == pytest.approx(figures.query("arm == 'tli'")["csls_p_at_1"].mean(), abs=1e-12) and trained["seeds"] == 5
    held = (mapped.similarities.query("hidden_state == 4 and split == 'heldout'")).groupby("arm")
    for arm, share in held["csls_target_rank"].apply(lambda rank: (rank <= 1).mean()).items():
        of_map = table[(table["rung"] == "map") & (table["name"] == arm.removeprefix("map-"))]
        assert of_map["value"].tolist() == [pytest.approx(share, abs=1e-12)]
    of_own = table.query("rung == 'map at its own state'").set_index("name")
    assert of_own["layer"].tolist() == ["1", "1"] and of_own["hidden_state"].tolist() == [1, 1]
    own = of_own["value"]
    assert own["procrustes"] == pytest.approx(0.5 * table.query("rung == 'map' and name == 'procrustes'")["value"].iloc[0], abs=0.03)


def test_a_side_without_seeds_has_the_interval_over_units():
    """scipy's t interval of the units' values, where every word is a unit of its own."""
    given = made()
    given["pairs"]["component"] = given["pairs"]["pair_id"]
    measured, mapped = measured_of(given), maps_from(given, {"ridge": 0.6})
    row = rivals.ladder(measured, mapped, SPEC).query("rung == 'map'").iloc[0]
    held = mapped.similarities.query("hidden_state == 4 and split == 'heldout'")
    hits = (held["csls_target_rank"] <= 1).to_numpy(float)
    low, high = stats.t.interval(0.95, len(hits) - 1, hits.mean(), stats.sem(hits))
    assert (row["low"], row["high"], row["seeds"]) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12), 0)


def test_spelling_has_a_rung_where_it_was_ranked():
    given = made()
    ranked = given["similarities"].assign(string_rank=np.where(given["similarities"]["pair_id"].str[-1].isin(list("02468")), 1, 3))
    measured = measured_of(given | {"similarities": ranked})
    table = rivals.ladder(measured, Mapped.none(), SPEC)
    held = ranked.query("seed == -1 and split == 'heldout' and hidden_state == 4 and pooling == 'no-bos'")
    assert table.query("rung == 'spelling'")["value"].iloc[0] == pytest.approx((held["string_rank"] == 1).mean(), abs=1e-12)
    assert "spelling" not in rivals.ladder(measured, Mapped.none(), StatisticsSpec(primary="gap"))["rung"].tolist()
