"""How many seeds and items a table says that there were, where seeds differ in it."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic
from test_statistics_rivals import SPEC, by_hand, maps_from, measured_of
from test_statistics_translation import WORDS, asked

from tli.statistics import rivals, translation


def test_one_seed_beside_a_map_has_a_difference_and_no_test():
    given = synthetic.tables(pairs=1, layers=("2",), words=80, effect=0.12, seeds=1, number_of_layers=4)
    mapped = maps_from(given, {"ridge": 0.5})
    against = rivals.against_best(measured_of(given), mapped, SPEC)
    d = by_hand(given, mapped, "map-ridge/layer-4")
    assert [(one_cell.map, one_cell.seeds.tolist()) for one_cell in against] == [("ridge", [0])]
    np.testing.assert_array_equal(np.sort(against[0].difference), np.sort(d))
    row = rivals.rivals(against, SPEC).iloc[0]
    assert (row["map"], row["seeds"], row["words"]) == ("ridge", 1, d.shape[1])
    assert row["estimate"] == pytest.approx(d.mean()) and np.isnan(row["p"])


def test_items_are_those_of_the_seed_that_has_most():
    made = synthetic.tables(pairs=1, layers=("2",), words=80, effect=0.3, seeds=5)
    table = asked(made, {"tli": (0.1, 0.1)})
    cut = table[~((table["arm"] == "tli") & (table["seed"] == 0) & table["item"].isin(["w0", "w1"]))]
    found = translation.translation(translation.sides(cut, made["runs"]), 5, SPEC)
    assert set(found.query("arm == 'tli'")["items"]) == {WORDS}
