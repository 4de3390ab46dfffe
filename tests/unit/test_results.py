"""What is read across the parts of the evaluation is what the parts hold."""

import numpy as np
import pandas as pd

from tli.io.table_files import compacted, stacked


def test_stacked_parts_are_the_rows_in_their_order_and_hold_a_name_once():
    random = np.random.default_rng(0)

    def part(names: list[str], n: int) -> pd.DataFrame:
        return pd.DataFrame(
            {"run": random.choice(names, n), "seed": random.integers(5, size=n), "leaked": random.random(n) < 0.5, "x": random.random(n)}
        )

    parts = [part(["b", "a"], 30), part(["c", "a"], 20), part(["d"], 5)]
    expected = pd.concat(parts, ignore_index=True)
    found = stacked([compacted(one) for one in parts])
    assert isinstance(found["run"].dtype, pd.CategoricalDtype) and set(found["run"].cat.categories) == {"a", "b", "c", "d"}
    pd.testing.assert_frame_equal(found.astype({"run": expected["run"].dtype}), expected)
