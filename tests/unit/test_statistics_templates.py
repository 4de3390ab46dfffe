"""What words gain in each frame they were fed in: the figures of that frame alone, where the claim is made."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import synthetic

from tli import statistics
from tli.io import tables
from tli.specs import StatisticsSpec
from tli.statistics.crossed import crossed, one
from tli.statistics.templates import in_templates

SPEC = StatisticsSpec(primary="cosine")
FED = {"pair-1": {"no-bos@2": "Say {word}", "no-bos": "{word}"}, "pair-2": {}}


@pytest.fixture(scope="module")
def measured() -> statistics.Measured:
    """Two pairs; every word also in a frame in which what a run gains is half of it."""
    made = synthetic.tables(pairs=2, layers=("2",), words=40, seeds=5)
    rows = made["similarities"]
    key = ["model", "pair", "pair_id", "hidden_state"]
    before = rows[rows["seed"] == -1].set_index(key)["cosine"]
    own = before.reindex(pd.MultiIndex.from_frame(rows[key])).to_numpy()
    framed = rows.assign(pooling="no-bos@2", cosine=(rows["cosine"] + own) / 2)
    return statistics.Measured(made["runs"], pd.concat([rows, framed], ignore_index=True), made["metrics"], made["pairs"], {})


def test_a_row_is_the_crossed_test_of_a_frames_own_words_at_the_claims_state(measured):
    table = in_templates(measured, FED, SPEC)
    assert table.columns.tolist() == tables.TEMPLATES
    assert set(table["pair"]) == {"pair-1"} and set(table["hidden_state"]) == {4} and set(table["metric"]) == {"cosine"}
    assert table.groupby(["arm", "layer"], sort=False)["pooling"].agg(list).tolist() == [["no-bos@2", "no-bos"]] * 3  # in the order given
    assert dict(zip(table["pooling"], table["template"], strict=True)) == FED["pair-1"]
    rows = measured.similarities.query("pair == 'pair-1' and hidden_state == 4 and split == 'heldout'")
    component = measured.pairs.query("pair == 'pair-1'").set_index("pair_id")["component"]
    for pooling in FED["pair-1"]:
        here = rows[rows["pooling"] == pooling]
        before = here[here["run"] == "baseline"].set_index("pair_id")["cosine"]
        after = here[here["arm"] == "tli"].pivot(index="seed", columns="pair_id", values="cosine")[before.index]
        units = (
            (after - before).T.groupby(component.reindex(before.index).to_numpy()).sum().T * component[before.index].nunique() / len(before)
        )
        test = one(crossed(units.to_numpy()))
        row = table.query("arm == 'tli' and pooling == @pooling").iloc[0]
        assert [row[name] for name in ("before", "after")] == pytest.approx([before.mean(), after.to_numpy().mean()])
        assert [row[name] for name in ("change", "low", "high")] == pytest.approx([test[name] for name in ("estimate", "low", "high")])
        assert (row["words"], row["seeds"], row["units"]) == (len(before), 5, units.shape[1]) and not row["control"]
    changes = table.query("arm == 'tli'").set_index("pooling")["change"]
    assert changes["no-bos@2"] == pytest.approx(changes["no-bos"] / 2)


def test_another_state_may_carry_the_claims(measured):
    known = statistics.Measured(measured.runs, measured.similarities, measured.metrics, measured.pairs, {"model-1": 4})
    assert set(in_templates(known, FED, StatisticsSpec(primary="cosine", claim_at=2))["hidden_state"]) == {2}
    assert set(in_templates(known, FED, SPEC)["hidden_state"]) == {4}


def test_nothing_is_told_of_pairs_without_frames(measured):
    assert in_templates(measured, {"pair-1": {}, "pair-2": {}}, SPEC).empty
    controls = in_templates(measured, FED, SPEC).groupby("arm")["control"].first()
    assert controls.to_dict() == {"tli": False, "placebo-tli": True, "zero": True}
    assert np.isfinite(in_templates(measured, {"pair-2": FED["pair-1"]}, SPEC)["after"]).all()
