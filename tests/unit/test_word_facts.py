"""How near a word is to the trained ones: against plain loops, and over all lists that a joint training is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from several_lists import SeveralLists, pairs_table

from tli.experiment.results import read_words
from tli.io import table_files, tables
from tli.lexicon import edit_similarity
from tli.model.embedding import embed
from tli.model.opening import open_model
from tli.probes import word_facts
from tli.probes.word_facts import nearest_cosine, nearest_spelling
from tli.statistics import gains

JOINT = {"both": {"train_on": ["aa-eng", "bb-eng"], "loss_layer": [2], "rank": [4]}, "alone": {"loss_layer": [2], "rank": [4]}}
NAME = "aa-eng + bb-eng"


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_nearest_trained_word_is_a_plain_loops(monkeypatch):
    random = np.random.default_rng(0)
    words, trained = [f"w{i % 9}" for i in range(13)], ["w3", "w3", "w4", "x"]
    vectors, others = random.standard_normal((13, 5)), random.standard_normal((4, 5))
    monkeypatch.setattr(word_facts, "BLOCK", 4)  # not a divisor of 13
    wanted = [
        max(cosine(vector, other) for name, other in zip(trained, others, strict=True) if name != word)
        for word, vector in zip(words, vectors, strict=True)
    ]
    np.testing.assert_allclose(nearest_cosine(words, vectors, trained, others), wanted, rtol=1e-12)
    spelt = [max(edit_similarity([word], [name])[0] for name in trained if name != word) for word in words]
    assert nearest_spelling(words, trained).tolist() == spelt


def test_without_another_trained_word_there_is_none():
    one = np.ones((2, 3))
    for trained in ([], ["a"]):
        found = nearest_cosine(["a", "b"], one, trained, one[: len(trained)]), nearest_spelling(["a", "b"], trained)
        assert all(np.isnan(values[0]) for values in found)
        assert all(np.isnan(values[1]) == (not trained) for values in found)


@pytest.fixture(scope="module")
def world(models, tmp_path_factory) -> SeveralLists:
    """Two lists that are trained on together, and one that is by itself; scanned."""
    lists = {pair: pairs_table(pair[:2]) for pair in ("aa-eng", "bb-eng", "cc-eng")}
    made = SeveralLists(tmp_path_factory.mktemp("joint"), models("llama"), lists, arms=JOINT, scan={"bootstrap": 20})
    for pair in lists:
        made.run("scan", model="m", pair=pair)
    return made


def test_a_joint_training_is_looked_at_with_the_train_words_of_all_its_lists(world):
    opened, pooling = open_model(world.experiment.model("m")), "no-bos"
    every = {pair: table["source"].tolist() for pair, table in world.lists.items()}
    vectors = {
        pair: dict(zip(forms, embed(opened, forms, [opened.layers], [pooling]).vectors[opened.layers, pooling], strict=True))
        for pair, forms in every.items()
    }
    trained = {pair: table.query("split == 'train'")["source"].tolist() for pair, table in world.lists.items()}
    found = read_words(world.layout, "m", "aa-eng")
    assert found["trained_on"].unique().tolist() == ["aa-eng", NAME]
    for name, lists in {"aa-eng": ["aa-eng"], NAME: ["aa-eng", "bb-eng"]}.items():
        rows = found[found["trained_on"] == name]
        near = [(form, vectors[pair][form]) for pair in lists for form in trained[pair]]
        wanted = [max(cosine(vectors["aa-eng"][word], vector) for form, vector in near if form != word) for word in every["aa-eng"]]
        np.testing.assert_allclose(rows["nearest_trained"], wanted, atol=1e-5)
        spelt = [max(edit_similarity([word], [form])[0] for form, _ in near if form != word) for word in every["aa-eng"]]
        np.testing.assert_allclose(rows["edit_similarity"], spelt, rtol=1e-12)
    own, both = (found[found["trained_on"] == name].set_index("pair_id") for name in ("aa-eng", NAME))
    assert (both["nearest_trained"] > own["nearest_trained"] + 1e-3).any(), "the other list is nearer to some word"


def test_a_list_by_itself_has_a_row_a_pair_and_depends_on_no_other(world):
    alone = read_words(world.layout, "m", "cc-eng")
    assert alone["trained_on"].unique().tolist() == ["cc-eng"] and len(alone) == len(world.lists["cc-eng"])
    job = world.run("scan", model="m", pair="cc-eng")
    assert "together" not in job.inputs and "joint_trainings" not in job.depends


def test_what_a_joint_arm_adds_leaves_the_lists_own_rows_to_the_last_digit(world, tmp_path):
    without = SeveralLists(tmp_path, world.model, world.lists, arms={"alone": JOINT["alone"]}, scan={"bootstrap": 20})
    without.run("scan", model="m", pair="aa-eng")
    own = read_words(world.layout, "m", "aa-eng").query("trained_on == 'aa-eng'")
    pd.testing.assert_frame_equal(own, read_words(without.layout, "m", "aa-eng"))


def test_words_of_an_older_scan_are_those_of_the_own_list(world, tmp_path):
    older = dataclasses.replace(world.layout, results=str(tmp_path))
    now = read_words(world.layout, "m", "cc-eng")
    table_files.write(now.drop(columns="trained_on"), older.scan("m", "cc-eng")["words"])
    pd.testing.assert_frame_equal(read_words(older, "m", "cc-eng"), now)


def test_the_cells_of_a_joint_training_are_regressed_on_what_it_was_given():
    random = np.random.default_rng(1)
    words = [f"w{i:02d}" for i in range(40)]
    near = {name: random.uniform(size=40) for name in ("own", "joint")}
    before = random.uniform(size=40)
    after = {arm: before + 0.3 * near[arm] + 0.01 * random.standard_normal(40) for arm in near}
    head = {"model": "m", "pair": "aa-eng", "layer": "2", "rank": "4", "metric": "gap", "split": "heldout", "category": ""}
    blocks = [
        pd.DataFrame({**head, "arm": arm, "pair_id": words, "component": words, "before": before, "after": after[arm]}) for arm in after
    ]
    table = pd.concat(blocks, ignore_index=True).assign(placebo_after=np.nan)
    pairs = pd.DataFrame({"model": "m", "pair": "aa-eng", "pair_id": words, "cognate": random.uniform(size=40)})
    pairs = pairs.assign(nearest_trained=near["own"], edit_similarity=random.uniform(size=40))
    cell = {name: head.get(name, "joint") for name in tables.CELL}
    together = pd.DataFrame({**cell, "pair_id": words, "nearest_trained": near["joint"], "edit_similarity": pairs["edit_similarity"]})
    found = gains.which_words_gain(table, pairs, together).query("term == 'nearest_trained'").set_index("arm")["estimate"]
    assert found["own"] == pytest.approx(0.3, abs=0.03) and found["joint"] == pytest.approx(0.3, abs=0.03)
    blind = gains.which_words_gain(table, pairs).query("term == 'nearest_trained'").set_index("arm")["estimate"]
    assert blind["own"] == found["own"] and abs(blind["joint"]) < 0.15, "by its own list alone nothing is seen"
