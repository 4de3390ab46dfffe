"""The pictures' coordinates: principal components against a singular value decomposition, and which words are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tli.metrics.projection import project


def drawn(splits: list[str]):
    random = np.random.default_rng(0)
    names = [f"p{number}" for number in range(len(splits))]
    pairs = pd.DataFrame({"pair_id": names, "split": splits, "source": [f"s {n}" for n in names], "target": [f"t {n}" for n in names]})
    return random.normal(1, [1, 2, 3, 4, 5], (len(splits), 5)), random.normal(0, 1, (len(splits), 5)), pairs


def test_pca_is_that_of_all_words_at_length_one():
    source, target, pairs = drawn(["heldout"] * 8)
    source[3] = 0  # stays where it is
    table = project(source, target, pairs, 8)
    assert table.columns.tolist() == ["method", "side", "pair_id", "split", "form", "x", "y"]
    assert table.groupby(["method", "side"], sort=False).size().to_dict() == {
        (method, side): 8 for method in ("PCA", "t-SNE") for side in ("source", "target")
    }
    both = np.concatenate([source, target])
    both /= np.where(both.any(axis=1), np.linalg.norm(both, axis=1), 1)[:, None]
    centred = both - both.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    found = table.loc[table["method"] == "PCA", ["x", "y"]].to_numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :2] * values[:2]), atol=1e-9)  # a direction has no sign
    assert table.loc[table["side"] == "target", "form"].tolist() == 2 * pairs["target"].tolist()


@pytest.mark.parametrize(
    "number, shown", [(3, ["p2", "p4", "p6"]), (5, ["p1", "p2", "p3", "p4", "p6"]), (6, ["p0", "p1", "p2", "p3", "p4", "p6"])]
)
def test_held_out_words_are_shown_first_then_training_ones_in_the_order_of_the_list(number, shown):
    source, target, pairs = drawn(["select", "train", "heldout", "train", "heldout", "select", "heldout"])
    table = project(source, target, pairs, number)
    assert table.loc[(table["method"] == "PCA") & (table["side"] == "source"), "pair_id"].tolist() == shown
    assert table["split"].tolist() == table["pair_id"].map(pairs.set_index("pair_id")["split"]).tolist()


@pytest.mark.parametrize("pairs, methods", [(2, []), (3, ["PCA", "t-SNE"])])
def test_fewer_than_six_words_make_no_picture(pairs, methods):
    table = project(*drawn(["heldout"] * pairs), 10)
    assert table["method"].unique().tolist() == methods and list(table.columns)[0] == "method"


def test_neighbours_of_t_sne_are_neighbours():
    random = np.random.default_rng(1)
    centres = np.eye(3)[np.repeat([0, 1, 2], 10)]
    source, target = (centres + random.normal(0, 0.05, centres.shape) for _ in range(2))
    pairs = drawn(["heldout"] * 30)[2]
    table = project(source, target, pairs, 30, seed=3)
    points = table.loc[table["method"] == "t-SNE", ["x", "y"]].to_numpy()
    group = np.tile(np.repeat([0, 1, 2], 10), 2)
    away = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(60, np.inf))
    assert (group[away.argmin(axis=1)] == group).all()
    pd.testing.assert_frame_equal(table, project(source, target, pairs, 30, seed=3))
