"""The ladder of rungs, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tli.io.tables import LADDER
from tli.metrics.ladder import ladder


def spread(table: np.ndarray) -> tuple[float, float]:
    return float(table.min()), float(table.max())


def rows(rung: str, values: list[list[float]], name: str = "", twin: bool = False) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"rung": rung, "name": name, "twin": twin, "seed": seed, "unit": f"u{unit}", "value": value}
            for seed, row in enumerate(values)
            for unit, value in enumerate(row)
        ]
    )


def test_rungs_stand_in_order_with_their_means_intervals_and_distance_to_the_best_map():
    given = [
        rows("arm", [[1, 0, 1, 1], [1, 1, 1, 1]], "tli"),
        rows("map", [[1, 1, 1, 0]], "ridge"),
        rows("map", [[1, 1, 0, 0]], "centring"),
        rows("map", [[0, 0, 0, 1], [1, 1, 1, 1]], "ridge", twin=True),
        rows("before", [[0, 1, 0, 0]]),
    ]
    table = ladder(pd.concat(given).sample(frac=1, random_state=0).sort_values("rung", kind="stable"), spread)
    assert list(table.columns) == LADDER[2:]
    assert table["rung"].tolist()[0] == "before" and table["rung"].tolist()[-1] == "arm"
    by_name = table.set_index(["rung", "name", "twin"])
    arm = by_name.loc[("arm", "tli", False)]
    assert (arm["value"], arm["low"], arm["high"], arm["seeds"], arm["units"]) == (7 / 8, 0, 1, 2, 4)
    assert by_name["behind"].drop(("map", "ridge", True)).to_dict() == {
        ("before", "", False): 0.5,
        ("map", "ridge", False): 0,
        ("map", "centring", False): 0.25,
        ("arm", "tli", False): -0.125,
    }
    assert np.isnan(by_name.loc[("map", "ridge", True), "behind"])  # a twin that wins by luck is nobody's best map


def test_without_a_map_nothing_lies_behind_it():
    assert ladder(rows("before", [[0, 1]]), spread)["behind"].isna().all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([rows("hope", [[1, 1]])], "no such rung: hope"),
        ([rows("before", [[1, 1]]), rows("arm", [[1, 1, 1]], "tli")], "arm tli: measured on 3 units, not on the 2"),
        ([rows("before", [[1, 1]]), rows("arm", [[1, 1], [1]], "tli")], "arm tli: a seed lacks some of the 2 units"),
    ],
)
def test_rungs_that_do_not_compare_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        ladder(pd.concat(given), spread)
